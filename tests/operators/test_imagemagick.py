"""Options of ImageMagick that are computed here give the numbers of the program (6.9.11, Q16 with HDRI)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fusestack.operators import imagemagick
from fusestack.operators.commands import Command, CutCommand, FinalCommand, MaskCommand, run_command
from fusestack.operators.imagemagick import known
from tests.programs import NO_IMAGEMAGICK, has_imagemagick

GREY = np.array([[[-0.2, 0, 0.1, 0.25, 0.6, 0.75, 1, 1.2]]], np.float32)
COLOURS = np.array([[[0.1, 0.6, 0.2, 0.5]], [[0.2, 0.3, 0.8, 0.5]], [[0.9, 0.1, 0.05, 0.5]]], np.float32)
ANSWERS: dict[str, list[float]] = {
    "-gamma 2": [-0.2, 0.0, 0.31623, 0.5, 0.7746, 0.86603, 1.0, 1.09545],
    "-level 10%,90%": [0.0, 0.0, 0.0, 0.1875, 0.625, 0.8125, 1.0, 1.0],
    "-level 10%": [0.0, 0.0, 0.0, 0.1875, 0.625, 0.8125, 1.0, 1.0],
    "-level 10x90%": [0.0, 0.0, 0.0, 0.1875, 0.625, 0.8125, 1.0, 1.0],
    "-level 6553.5,58981.5,2": [0.0, 0.0, 0.0, 0.43301, 0.79057, 0.90139, 1.0, 1.0],
    "-level 90%,10%": [1.0, 1.0, 1.0, 0.8125, 0.375, 0.1875, 0.0, 0.0],
    "-threshold 25%": [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
    "-threshold 16384": [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
    "-evaluate Abs -20%": [0.4, 0.2, 0.1, 0.05, 0.4, 0.55, 0.8, 1.0],
    "-evaluate Add 10%": [-0.1, 0.1, 0.2, 0.35, 0.7, 0.85, 1.1, 1.3],
    "-evaluate subtract 6553.5": [-0.3, -0.1, 0.0, 0.15, 0.5, 0.65, 0.9, 1.1],
    "-evaluate Multiply 2": [-0.4, 0.0, 0.2, 0.5, 1.2, 1.5, 2.0, 2.4],
    "-evaluate Divide 0": [-0.2, 0.0, 0.1, 0.25, 0.6, 0.75, 1.0, 1.2],
    "-evaluate Pow 2": [-0.04, 0.0, 0.01, 0.0625, 0.36, 0.5625, 1.0, 1.44],
    "-evaluate Log 10": [0.0, 0.0, 0.28906, 0.52244, 0.81151, 0.89248, 1.0, 1.06967],
    "-evaluate Exp -2": [1.49182, 1.0, 0.81873, 0.60653, 0.30119, 0.22313, 0.13534, 0.09072],
    "-evaluate Sin 1": [0.02447, 0.5, 0.79389, 1.0, 0.20611, 0.0, 0.5, 0.97553],
    "-evaluate Cosine 2": [0.09549, 1.0, 0.65451, 0.0, 0.65451, 0.0, 1.0, 0.09549],
    "-evaluate Max 50%": [0.50001, 0.50001, 0.50001, 0.50001, 0.6, 0.75, 1.0, 1.2],
    "-evaluate Min 50%": [-0.2, 0.0, 0.1, 0.25, 0.50001, 0.50001, 0.50001, 0.50001],
    "-evaluate Mean 50%": [0.15, 0.25, 0.3, 0.375, 0.55, 0.625, 0.75, 0.85],
    "-evaluate Set 25%": [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25],
    "-evaluate Threshold 50%": [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
    "-evaluate ThresholdBlack 50%": [0.0, 0.0, 0.0, 0.0, 0.6, 0.75, 1.0, 1.2],
    "-evaluate ThresholdWhite 50%": [-0.2, 0.0, 0.1, 0.25, 1.0, 1.0, 1.0, 1.0],
    "-sigmoidal-contrast 5x30%": [0.0, 0.0, 0.10976, 0.32401, 0.80576, 0.91622, 1.0, 1.0],
    "-auto-level": [0.0, 0.14286, 0.21429, 0.32143, 0.57143, 0.67857, 0.85714, 1.0],
    "-normalize": [0.0, 0.0, 0.10001, 0.25, 0.6, 0.75, 1.0, 1.0],
}
IN_COLOURS = {
    "-threshold 29%": [[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]],
    "-auto-level": [
        [0.05882, 0.64706, 0.17647, 0.52941],
        [0.17647, 0.29412, 0.88235, 0.52941],
        [1.0, 0.05882, 0.0, 0.52941],
    ],
    "-normalize": [[0.0, 0.95305, 0.0, 0.69599], [0.0, 0.18185, 1.0, 0.69599], [1.0, 0.0, 0.0, 0.69599]],
}


@pytest.mark.parametrize("command", ANSWERS)
def test_numbers_of_the_program(command: str) -> None:
    # sigmoidal contrast is told through a table of 16 bits there; a root is steep at 0
    assert np.allclose(run_command(command, GREY)[0, 0], ANSWERS[command], atol=5e-5)


@pytest.mark.parametrize("command", IN_COLOURS)
def test_three_planes_are_one_image_in_colours(command: str) -> None:
    assert np.allclose(run_command(command, COLOURS)[:, 0], IN_COLOURS[command], atol=2e-5)
    both = np.concatenate([COLOURS, COLOURS[:1]])  # four planes are four images
    alone = np.concatenate([run_command(command, plane[None]) for plane in both])
    assert np.array_equal(run_command(command, both), alone)


@pytest.mark.skipif(not has_imagemagick(), reason=NO_IMAGEMAGICK)
@pytest.mark.parametrize("command", ANSWERS)
def test_the_program_that_is_installed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_16_bits = (np.floor(np.clip(COLOURS, 0, 1) * 65535 + 0.5) / 65535).astype(np.float32)  # as it gets them
    ours = np.clip(run_command(command, of_16_bits), 0, 1)
    monkeypatch.setattr(imagemagick, "known", lambda _: None)
    assert np.allclose(ours, np.clip(run_command(command, COLOURS), 0, 1), atol=5e-5)


@pytest.mark.parametrize("plane", [np.full((1, 5, 6), 0.37, np.float32), np.zeros((3, 5, 6), np.float32)])
@pytest.mark.parametrize("command", ["-auto-level", "-normalize"])
def test_even_images_stay_as_they_are(command: str, plane: NDArray[np.float32]) -> None:
    assert np.array_equal(run_command(command, plane), plane)


@pytest.mark.parametrize(
    "command",
    [
        "-gamma",
        "-gamma 0",
        "-gamma 1,2,3",
        "-level",
        "-level 10%,90%,0",
        "-level a",
        "+level 10%",
        "-threshold x",
        "-evaluate Add",
        "-evaluate Xor 3",
        "-evaluate RMS 50%",
        "-sigmoidal-contrast 3xa",
        "-blur 0x1 -unknown",
        "+sigmoidal-contrast 3",
    ],
)
def test_everything_else_is_left_to_the_program(command: str) -> None:
    assert known(command) is None


def test_commands_are_cut_where_limits_are_needed() -> None:
    found = known("-blur 0x2 -auto-level -gamma 2 -negate -normalize -threshold 40%")
    assert found is not None
    assert found.pieces == ("-blur 0x2", "-auto-level", "-gamma 2 -negate", "-normalize", "-threshold 40%")
    assert [stretch.unites for stretch in found.stretches] == ["extremes", "sum"]


def test_what_needs_whole_planes() -> None:
    assert Command(command="-auto-level").needs_whole_plane
    assert MaskCommand(command="a.b:c").needs_whole_plane
    for kind in (CutCommand, FinalCommand):
        assert kind(command="a.b:c").needs_whole_plane
        assert not kind(command="a.b:c", reach=2).needs_whole_plane
        assert not kind(command="-blur 0x1 -gamma 2").needs_whole_plane
    assert CutCommand(command="-auto-level").needs_whole_plane
    assert FinalCommand(command="-auto-level -normalize").measures == 2
