"""Masks of single generators beside the original, before any levelling: 43 of them."""

from __future__ import annotations

import json
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from fusestack import kernels
from fusestack.config.focus import Focus
from fusestack.focus.blocks import BlockWise
from fusestack.focus.channels import Resizing, Scale, SliceChannels
from fusestack.focus.images import Fold, StackImage
from fusestack.focus.masks import MaskInput, Masks, SliceMask
from fusestack.focus.region import Region
from fusestack.kernels import smooth, stencils
from fusestack.model.geometry import Box
from fusestack.operators import edges
from fusestack.operators.base import Place
from tests.conftest import SHARED

FOLDER = SHARED / "golden" / "imfuse"
pytestmark = pytest.mark.beside("golden/imfuse")

GOLDEN: dict[str, Any] = json.loads((FOLDER / "cases.json").read_text()) if FOLDER.exists() else {}
RAW: list[dict[str, Any]] = GOLDEN.get("raw_masks", [])
SLICE = 3
IMPROVED = {3, 12, *range(31, 44)}


class Array:
    """Pixels that are there."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels = pixels
        self.shape = pixels.shape

    def read(self, box: Box) -> NDArray[Any]:
        return self.pixels[box.slices]


@pytest.fixture(scope="module")
def stack() -> SliceChannels:
    files = GOLDEN["inputs"]["syn"]["files"]
    slices = np.stack([imagecodecs.png_decode((FOLDER / file).read_bytes()) for file in files])
    pixels = np.moveaxis(slices, -1, 0)[None]
    return SliceChannels(Array(pixels), Scale("uint16"), ((0, 1, 2),))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def colours(stack: SliceChannels) -> NDArray[np.float32]:
    return stack.read(0, 0, SLICE, Region(0, stack.plane[0], 0, stack.plane[1]))


def golden(number: int) -> NDArray[np.float64]:
    found = tifffile.imread(FOLDER / RAW[number - 1]["file"]).astype(np.float64)
    return found[..., 0] if found.ndim == 3 else found


def words(number: int) -> str:
    case = RAW[number - 1]
    said = [word for word in case["arguments"].split(",") if not word.startswith(("mask", "level"))]
    if case["generator"] in ("max", "min", "mean", "median", "enfuse", "compose", "chroma", "darkness", "lightness"):
        said = []  # their own defaults
    said = [word.partition("=")[2] if word[:2] in ("W1", "W2") else word for word in said]
    return f"--{case['generator']}" + (f"={','.join(said)}" if said else "")


@pytest.mark.parametrize("number", [n for n in range(1, 44) if n not in IMPROVED and n != 18])
def test_raw_masks(number: int, stack: SliceChannels) -> None:
    (generator,) = Focus.model_validate({"options": words(number)}).masks
    image = None
    if generator.image is not None:
        whole = Box((0, 0, 0, 0, 0), (1, 1, 3, *stack.plane))
        fold = Fold(generator.image, kernels.blend.levels_of(*stack.plane))
        image = Array(StackImage((stack.slices, *stack.plane), fold, stack)(whole))
    resizing = Resizing(stack.plane, stack.plane)
    source = MaskInput(stack, resizing, generator.colorspace, generator.channel, image)  # type: ignore[arg-type]
    expected = golden(number)
    height, width = expected.shape
    box = Box((0, 0, SLICE, 0, 0), (1, 1, SLICE + 1, *stack.plane))
    masks = Masks((stack.slices, *stack.plane), SliceMask(generator, source.one_channel), source)
    made = BlockWise.__call__(masks, box)[0, 0, 0, :height, :width]
    error = np.abs(made - expected)
    if generator.name == "enfuse":
        assert error.mean() < 2e-3  # levels of the pyramid are a fixed number here
    elif generator.name == "median":
        assert np.mean(error > 1e-6) < 1e-3  # among colours of equal sums
    else:
        assert error.max() < 1e-6


def near(made: NDArray[Any], number: int) -> bool:
    """Equal, but for biases that the original takes 65536/65535 times."""
    expected = golden(number)
    return bool(np.abs(made[: expected.shape[0], : expected.shape[1]] - expected).max() < 3e-5)


def test_the_original_without_its_difference(colours: NDArray[np.float32]) -> None:
    # blur with S0 shows the blurred slice, statistic with R compares twice
    assert near(smooth.blur(colours, 0, 1).sum(axis=0) / 4, 3)
    both = np.abs(kernels.window.statistic(colours, "Mean", 3) - kernels.window.statistic(colours, "Mean", 5))
    assert near(np.abs(both - colours).sum(axis=0) / 4, 12)


@pytest.mark.parametrize(
    ("number", "kernel"),
    [
        (31, stencils.difference_of_gaussians(0, 1, 1.6)),
        (32, stencils.difference_of_gaussians(0, 0.3, 0.48)),
        (37, stencils.laplacian(3)),
        (38, stencils.laplacian(0)),
        (39, stencils.laplacian_of_gaussian(0, 0.2)),
        (40, stencils.laplacian_of_gaussian(0, 0.8)),
    ],
)
def test_signed_responses(number: int, kernel: NDArray[np.float64], colours: NDArray[np.float32]) -> None:
    # the original adds one half to each colour; ours takes the size of the same response
    assert near((smooth.convolve(colours, kernel) + 0.5).sum(axis=0) / 4, number)


@pytest.mark.parametrize(
    ("number", "name", "scale", "bias"),
    [
        (33, "sobel", 1.0, 0.1),
        (34, "prewitt", 1.0, 0.1),
        (36, "kirsch", 0.5, 0.5),
        (42, "compass", 0.5, 0.5),
        (43, "freichen", 1.0, 0.1),
    ],
)
def test_biased_edges(number: int, name: str, scale: float, bias: float, colours: NDArray[np.float32]) -> None:
    # the original screens, or takes the greatest of, biased responses in four directions; ours the size of the gradient
    responses = [smooth.convolve(colours, k * scale) + np.float32(bias) for k in edges.directions(name, 4)]
    united = np.max(responses, axis=0) if name == "compass" else screened(responses)
    check_biased(united, number, exact=bias == 0.5)


def test_roberts(colours: NDArray[np.float32]) -> None:
    responses = []
    for neighbour in (0, 1, 2, 3, 5, 6, 7, 8):
        kernel = np.zeros((3, 3))
        kernel[1, 1], kernel[neighbour // 3, neighbour % 3] = -1, 1
        responses.append(smooth.convolve(colours, kernel) + np.float32(0.1))
    check_biased(screened(responses), 35, exact=False)


def screened(responses: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return 1 - np.prod([1 - response for response in responses], axis=0)


def check_biased(united: NDArray[np.float32], number: int, *, exact: bool) -> None:
    """Where responses are below black, the original clips now and then, in an order that nobody has found."""
    made = np.clip(united, 0, 1).sum(axis=0) / 4
    expected = golden(number)
    error = np.abs(made[: expected.shape[0], : expected.shape[1]] - expected)
    assert error.mean() < (1e-5 if exact else 5e-3)
    assert np.median(error) < 2e-5


def test_comet(colours: NDArray[np.float32]) -> None:
    answer = edges.Comet(sigma=1).apply(colours, Place((0, 0), (colours.shape[1], colours.shape[2])))
    assert near(np.abs(answer - colours).sum(axis=0) / 4, 41)


def test_cmddiff_of_a_blur(colours: NDArray[np.float32]) -> None:
    # the command of the golden case is ImageMagick's -blur 0x2
    assert near(np.abs(smooth.blur(colours, 0, 2) - colours).sum(axis=0) / 4, 18)
