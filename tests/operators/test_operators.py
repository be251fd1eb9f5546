"""Every operator: the same bytes for any cut into blocks, and a halo that is enough and not far too large."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusestack import kernels
from fusestack.focus.statistics import united
from fusestack.operators import REGISTRY
from fusestack.operators.base import Operator, Place
from fusestack.operators.canvas import TOLERANCE, Canvas, Step
from fusestack.operators.cuts import CutOperator
from fusestack.operators.finals import FinalOperator, Picture
from fusestack.operators.generators import Generator
from fusestack.operators.masks import MaskGuided, MaskOperator
from fusestack.operators.preparations import BINS, Placing, Toning
from tests.operators.table import TABLE

SHAPE = (97, 131)
BLOCKS = ((97, 131), (64, 64), (37, 53), (29, 131))
Apply = Callable[[NDArray[np.float32], Place], NDArray[np.float32]]

ROWS = [(kind, name, options) for (kind, name), rows in TABLE.items() for options in rows]
OF_STACKS = ("generator", "depthmap"), ("mask", "merge"), ("mask", "level")  # see tests/focus
OPERATORS = [(row, REGISTRY[row[0]][row[1]](**row[2])) for row in ROWS if row[:2] not in OF_STACKS]
LOCAL = [row for row, one in OPERATORS if not (one.needs_whole_plane or isinstance(one, Placing))]


def identity(row: Any) -> str:
    return str(row) if not isinstance(row, dict) else ",".join(f"{k}={v}" for k, v in row.items()) or "-"


def planes(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Noise beside a bright stripe and a dark region: sums that slide would differ here."""
    rng = np.random.default_rng(seed)
    found = 0.02 * rng.random((count, *SHAPE)).astype(np.float32)
    found[:, :, 40:44] = 1
    found[:, 50:, 60:] += rng.random((count, SHAPE[0] - 50, SHAPE[1] - 60)).astype(np.float32) * 0.9
    return np.clip(found, 0, 1)


def inputs(kind: str) -> NDArray[np.float32]:
    """What an operator of a kind gets, as planes: colours; a mask; the planes of a step; those of a picture."""
    return planes({"generator": 3, "mask": 1, "cut": 8, "final": 7, "prepare": 3}[kind])


def applied(operator: Operator) -> Apply:
    """The operator as a function of planes."""
    if isinstance(operator, MaskGuided):
        return lambda found, place: operator.apply(found, replace(place, guide=np.sqrt(found)))
    if isinstance(operator, Generator | MaskOperator):
        return operator.apply
    if isinstance(operator, Toning):
        counts = np.bincount((planes(1)[0].ravel() * (BINS - 1)).astype(int), minlength=BINS).astype(float)
        return lambda found, _: operator.apply(found, counts if operator.measures else None)
    if isinstance(operator, CutOperator):
        return lambda found, _: cut(operator, found)
    assert isinstance(operator, FinalOperator)
    known = statistics(operator, Picture.unpacked(inputs("final")), BLOCKS[0])
    return lambda found, _: operator.apply(Picture.unpacked(found), known).packed()


def cut(operator: CutOperator, found: NDArray[np.float32]) -> NDArray[np.float32]:
    mask, greatest, valley, painted = found[0], np.maximum(found[1], found[0]), found[2] * 0.5, found[3]
    hard = (mask >= greatest - TOLERANCE).astype(np.float32)
    step = Step(mask, hard, greatest, found[4:7], painted, valley, Canvas.empty(found[4:7].shape))
    operator.apply(step)
    assert step.canvas is not None
    return np.stack([step.cut, step.greatest, step.valley, step.stored, *step.canvas.colours, step.canvas.alpha])


def statistics(operator: FinalOperator, picture: Picture, block: tuple[int, int]) -> list[NDArray[np.float64]]:
    known: list[NDArray[np.float64]] = []
    for number in range(operator.measures):
        rows = []
        for part, outer, inner in regions(block, operator.halo()):
            del part
            rows.append(operator.measure(number, picture.part(*outer), inner, known))
        known.append(united(np.array(rows), operator.unites_of(number)))
    return known


def regions(
    block: tuple[int, int], halo: int
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice], tuple[slice, slice]]]:
    """Blocks of the plane, with their halo clipped to it, and where they lie in that."""
    for top in range(0, SHAPE[0], block[0]):
        for left in range(0, SHAPE[1], block[1]):
            part, outer, inner = [], [], []
            for start, size, whole in ((top, block[0], SHAPE[0]), (left, block[1], SHAPE[1])):
                stop = min(start + size, whole)
                low = max(0, start - halo)
                part.append(slice(start, stop))
                outer.append(slice(low, min(whole, stop + halo)))
                inner.append(slice(start - low, stop - low))
            yield (part[0], part[1]), (outer[0], outer[1]), (inner[0], inner[1])


def test_operators_have_one_order_whichever_was_loaded_first() -> None:
    code = "import {}; from fusestack.operators import REGISTRY; print([*map(list, REGISTRY.values())])"
    for first in ("fusestack.operators.edges", "fusestack.operators.commands"):
        done = subprocess.run([sys.executable, "-c", code.format(first)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str([*map(list, REGISTRY.values())])


def test_every_operator_has_a_row() -> None:
    registered = {(kind, name) for kind, operators in REGISTRY.items() for name in operators}
    assert registered == set(TABLE)


@pytest.mark.parametrize(("kind", "name", "options"), LOCAL, ids=identity)
def test_blocks_do_not_matter(kind: str, name: str, options: dict[str, Any]) -> None:
    operator = REGISTRY[kind][name](**options)
    found = inputs(kind)
    apply = applied(operator)
    whole = apply(found, Place((0, 0), SHAPE))
    for block in BLOCKS[1:]:
        made = np.empty_like(whole)
        for part, outer, inner in regions(block, operator.halo()):
            place = Place((outer[0].start, outer[1].start), SHAPE)
            region = np.ascontiguousarray(found[(slice(None), *outer)])
            made[(slice(None), *part)] = apply(region, place)[(slice(None), *inner)]
        assert made.tobytes() == whole.tobytes(), block


def textures(kind: str) -> Iterator[NDArray[np.float32]]:
    """Inputs in which changes are seen far: with a bright stripe, even noise, and noise whose first plane is dark."""
    yield inputs(kind)
    noise = np.random.default_rng(5).random(inputs(kind).shape).astype(np.float32)
    yield noise
    yield np.concatenate([noise[:1] * np.float32(0.2), noise[1:]])


def reach(apply: Apply, found: NDArray[np.float32], seed: int) -> int:
    """How far from a row, or a column, that is changed the result changes."""
    rng = np.random.default_rng(seed)
    before = apply(found, Place((0, 0), SHAPE))
    farthest = 0
    for axis, line in ((1, 48), (2, 65)):
        changed = np.moveaxis(found.copy(), axis, 0)
        changed[line] = rng.random(changed[line].shape) if seed else 1 - changed[line]
        after = apply(np.ascontiguousarray(np.moveaxis(changed, 0, axis)), Place((0, 0), SHAPE))
        lines = np.flatnonzero((after != before).any(axis=(0, 3 - axis)))
        farthest = max(farthest, *np.abs(lines - line), 0)
    return farthest


UPPER_BOUNDS = {
    "resize": "how far it looks depends on where a pixel lies in the grid of the smaller image",
    "despeckle": "it walks on only while there are speckles",
    "sharpen": "three windows in a row, whose ends weigh next to nothing",
}


@pytest.mark.parametrize(("kind", "name", "options"), LOCAL, ids=identity)
def test_the_halo_is_enough_and_not_too_large(kind: str, name: str, options: dict[str, Any]) -> None:
    operator = REGISTRY[kind][name](**options)
    apply = applied(operator)
    farthest = max(reach(apply, found, seed) for found in textures(kind) for seed in range(3))
    assert farthest <= operator.halo()
    if name not in UPPER_BOUNDS or kind == "prepare":
        assert operator.halo() < max(1, 2 * farthest), "half of it would be enough"


@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for k, n, o in ROWS if k == "final" and REGISTRY[k][n](**o).measures], ids=identity
)
def test_statistics_of_pictures_do_not_depend_on_bands(name: str, options: dict[str, Any]) -> None:
    operator = REGISTRY["final"][name](**options)
    assert isinstance(operator, FinalOperator)
    picture = Picture.unpacked(inputs("final"))
    whole = statistics(operator, picture, BLOCKS[0])
    for block in BLOCKS[1:]:
        assert [v.tobytes() for v in statistics(operator, picture, block)] == [v.tobytes() for v in whole]


@pytest.mark.parametrize("kind", ["generator", "mask", "cut"])
def test_operators_of_whole_planes_say_so(kind: str) -> None:
    whole = {name for k, name, options in ROWS if k == kind and REGISTRY[k][name](**options).needs_whole_plane}
    assert whole == ({"fft", "cmd"} if kind in ("generator", "mask") else {"cmd"})
    command = REGISTRY[kind]["cmd"]
    assert command(command="a.b:c").needs_whole_plane
    assert not command(command="a.b:c", reach=3).needs_whole_plane


@pytest.mark.parametrize(("name", "options"), [(n, o) for k, n, o in LOCAL if k == "generator"], ids=identity)
def test_nothing_is_sharp_in_an_even_image(name: str, options: dict[str, Any]) -> None:
    operator = REGISTRY["generator"][name](**options)
    assert isinstance(operator, Generator)
    blends = options.get("combine") == "Screen" or options.get("method") == "Close"  # brighter, or the image itself
    if not operator.detail or name == "cmd" or blends:
        return
    flat = np.full((3, 40, 50), 0.37, np.float32)
    answer = operator.apply(flat, Place((0, 0), (40, 50)))
    if operator.compared:
        answer = np.abs(answer - flat)
    assert np.abs(answer).max() < 2e-5


@pytest.mark.parametrize(
    "name", ["dog", "log", "laplacian", "sobel", "prewitt", "roberts", "kirsch", "compass", "freichen"]
)
def test_dark_lines_are_as_sharp_as_bright_ones(name: str) -> None:
    operator = REGISTRY["generator"][name](**({"sigma": 1} if name in ("dog", "log") else {}))
    assert isinstance(operator, Generator)
    line = np.full((1, 31, 31), 0.5, np.float32)
    line[0, :16, 15] = 0.9  # some kernels see only where it ends
    bright = operator.apply(line, Place((0, 0), (31, 31)))
    dark = operator.apply(1 - line, Place((0, 0), (31, 31)))
    assert np.allclose(bright, dark, atol=1e-6)
    assert bright.max() > 0.05


@pytest.mark.parametrize("name", ["sobel", "prewitt", "kirsch", "freichen"])
def test_a_step_from_black_to_white_is_one(name: str) -> None:
    operator = REGISTRY["generator"][name]()
    assert isinstance(operator, Generator)
    step = np.zeros((1, 21, 21), np.float32)
    step[:, :, 10:] = 1
    assert operator.apply(step, Place((0, 0), (21, 21)))[0, 10].max() == pytest.approx(1, abs=1e-6)


def test_words_are_those_of_the_kernels() -> None:
    from fusestack.operators import choices

    assert set(choices.SPACES) == set(kernels.colour.SPACES)
    assert choices.ARITHMETIC == kernels.tones.ARITHMETIC
    assert choices.STATISTICS == kernels.window.STATISTICS
    assert choices.INTERPOLATIONS == kernels.resample.INTERPOLATIONS
    assert set(choices.KERNELS) == set(kernels.morphology.SHAPES)
    assert choices.METHOD_REACH == kernels.morphology.REACH
    assert choices.WAVELET_REACH == kernels.wavelet.REACH
    assert choices.DESPECKLE_REACH == kernels.cleaning.DESPECKLE_REACH
    assert choices.ENHANCE_REACH == kernels.cleaning.ENHANCE_REACH
    assert choices.SHAPES == kernels.fourier.SHAPES
    assert set(choices.MODES) == set(kernels.compose.MODES)


def test_a_guided_mask_follows_edges_of_the_slice() -> None:
    """Single sharp pixels decide about all that looks alike around them, and nothing beyond the edge."""
    rng = np.random.default_rng(0)
    guide = np.full((1, 60, 80), 0.3, np.float32)
    guide[..., 40:] = 0.7
    guide += rng.normal(0, 0.005, guide.shape).astype(np.float32)
    mask = np.zeros((1, 60, 80), np.float32)
    mask[..., :40] = rng.random((1, 60, 40)) < 0.3
    found = REGISTRY["mask"]["guided"](sigma=6, edge=5).apply(mask, Place((0, 0), (60, 80), guide=guide))[0]
    assert found[10:50, 10:39].std() < 0.08, "holes are filled"
    assert found[10:50, 10:39].min() > 0.1
    assert found[10:50, 44:].max() < 0.03
    blurred = kernels.smooth.blur(mask, 0, 6)[0]
    assert blurred[10:50, 44:].max() > 0.08, "a blur crosses the edge"


@pytest.mark.parametrize(("side", "wins"), [("near", 1), ("far", 4)])
def test_one_side_of_what_is_seen_through_wins(side: str, wins: int) -> None:
    """Two slices are sharp; on a slope, where one follows the other, both sides leave the sharpest."""
    gauze, slope = [0.1, 0.7, 0.2, 0.3, 0.8, 0.1], [0.3, 0.5, 0.7, 0.9, 0.6, 0.3]
    operator = REGISTRY["cut"]["less"](percent=20, side=side)
    shown = np.full((1, 2), -1)
    greatest, valley = np.zeros((2, 1, 2), np.float32)
    for k in reversed(range(6)):
        mask = np.array([[gauze[k], slope[k]]], np.float32)
        hard = kernels.paint.hard_cut(mask, greatest, TOLERANCE)
        step = Step(mask, hard, greatest, mask[None], np.zeros((1, 2), np.float32), valley)
        operator.apply(step)
        shown[step.cut > 0] = k
    assert shown.tolist() == [[wins, 3]]
    assert np.allclose(greatest, [[gauze[wins], 0.9]]), "the mask is that of the slice that is shown"
