"""What options do to whole runs, beside what says the same in other words, or plain numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import fusestack
from fusestack.focus import lowpass
from fusestack.focus.masks import Masks
from fusestack.model.errors import ConfigError
from tests.focus.stacks import config, run, scene, write


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write(tmp_path_factory.mktemp("slices"), scene((70, 90), 4)[0], "uint16")


def made(paths: list[str], folder: Path, options: str, **focus: Any) -> dict[str, NDArray[Any]]:
    run(paths, folder, options=options, **focus)
    return {name: tifffile.imread(folder / f"{name}.tif") for name in ("sharp", "mask", "depth")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("--blur=s1,S2,c2", "--blur=s1,S2,C=sRGB,c2"),
        ("--channel=c1,level", "--channel=C=sRGB,c1,level"),
        ("--colorspace=hsl --blur=s1,S2,c2", "--blur=s1,S2,C=HSL,c2"),
        ("--colorspace=Lab,c0 --statistic=r4", "--statistic=r4,C=Lab,c0"),
        ("--bg=gray50", "--bg=#808080"),
        ("--statistic=r4 --bg=rgb(10,20,30)", "--statistic=r4 --bg=#0a141e"),
        ("--statistic=r4 --bg=none", "--statistic=r4 --bg=transparent"),
        ("--statistic=r4 --prepresize=p50,spline", "--statistic=r4 --prepresize=p50,Spline"),
        ("--cmd='-statistic StandardDeviation 4x4'", "--statistic=r4"),
    ],
)
def test_two_ways_to_say_the_same(one: str, other: str, paths: list[str], tmp_path: Path) -> None:
    first, second = made(paths, tmp_path / "one", one), made(paths, tmp_path / "two", other)
    for name, pixels in first.items():
        tolerance = 200 if "gray50" in one else 0
        assert np.allclose(pixels.astype(float), second[name].astype(float), atol=tolerance, equal_nan=True), name


@pytest.mark.parametrize("options", ["--fft=c2", "--fft=C=Gray", "--colorspace=HSL --fft=c2 --maskfft", "--fft"])
def test_channels_of_tiled_low_passes(
    options: str, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(paths, tmp_path / "whole", options)
    monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    tiled = made(paths, tmp_path / "tiled", options)
    # so small a plane is hardly wider than what the whole transform adds around it
    assert np.mean(np.abs(whole["mask"].astype(float) - tiled["mask"])) < 0.04 * 65535


@pytest.mark.parametrize("options", ["--blur=C=Gray,c1", "--colorspace=gray,c2 --blur"])
def test_channels_that_a_space_does_not_have(options: str, paths: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Gray has no channel"):
        fusestack.plan(config(paths, tmp_path, options=options))


@pytest.mark.parametrize("weight", [5, 15, 20, 40, 45, 55, 65, 80, 90])
def test_limits_are_not_rounded_to_the_next_step(weight: int, paths: list[str], tmp_path: Path) -> None:
    assert made(paths, tmp_path, f"--statistic=r4,w{weight}")["mask"].max() == 65535


def test_small_differences_from_white_are_kept(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[NDArray[np.float32]] = []
    inner = Masks.__call__

    def watched(self: Masks, box: Any) -> NDArray[np.float32]:
        found.append(inner(self, box))
        return found[-1]

    monkeypatch.setattr(Masks, "__call__", watched)
    for number, (options, exact) in enumerate((("--blur=s1,neg", True), ("--max=level", True), ("--blur=s1", False))):
        found.clear()
        made(paths, tmp_path / str(number), options)
        assert any((mask.view(np.uint32) & 0x7F).any() for mask in found) == exact


def test_nothing_painted_lies_at_the_back(paths: list[str], tmp_path: Path) -> None:
    found = made(paths, tmp_path / "hard", "--statistic=r4 --cutthreshold=t60 --finalalpha=off")
    known = made(paths, tmp_path / "known", "--statistic=r4 --cutthreshold=t60")
    unpainted = np.isnan(known["depth"])
    assert 0.05 < unpainted.mean() < 0.95
    assert (found["depth"][unpainted] == len(paths) - 1).all()


def test_depth_maps_with_opacity(paths: list[str], tmp_path: Path) -> None:
    output = {"depth": str(tmp_path / "depth.png")}
    run(paths, tmp_path / "one", options="--statistic=r5 --maskblur=s2 --cutthreshold=t30", output=output)
    known = fusestack.sources.pictures.read_picture(fusestack.sources.pictures.describe_picture(output["depth"])[0])
    assert len(known) == 2
    again = made(paths, tmp_path / "two", f"--depthmap={output['depth']} --masklevel=off")
    slices = np.round(known[0] / 65535 * (len(paths) - 1))
    assert (again["depth"][known[1] > 0] == slices[known[1] > 0]).all()


def nothing(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full_like(planes, np.nan)


def test_functions_that_make_no_numbers(paths: list[str], tmp_path: Path) -> None:
    found = made(paths, tmp_path, "--blur --cmd=tests.focus.test_options:nothing,halo=0")
    assert found["mask"].max() > 0
