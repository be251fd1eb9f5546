"""Block functions are pure: under `dask.array.map_overlap`, without any stage, they make the same bytes."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from fusestack import kernels
from fusestack.config.focus import Focus
from fusestack.focus.finals import FinalChain
from fusestack.focus.images import Fold
from fusestack.focus.masks import SliceMask
from fusestack.focus.merge import MaskChain
from fusestack.focus.montage import Painting, SeenSlice
from fusestack.focus.recipe import PRESET, recipe_of
from fusestack.operators.base import Place
from tests.focus.stacks import scene

SHAPE = (128, 200)
CHAINS = {
    "preset": PRESET,
    "masks": "--statistic=r4 --dog=s1 --maskmorph=r2 --maskstat=r5 --maskkuwahara=r2 --finalthreshold=t20,s1",
    "guided": "--blur=s1 --maskguided=s2,t10 --cutless=p10,far",
    "cuts": "--laplacian --maskblur=s1 --cutless=p10 --cutblur=s1 --cutbg --finalblur=t50,s2,S1",
    "recursive": "--blur=s1 --cutblur=s0.5 --cuttest=t40 --cutbg=background",
}


class Chain:
    """Slices [k, c, y, x] to picture planes [1, plane, y, x], by the block functions of a recipe."""

    def __init__(self, options: str, slices: int) -> None:
        recipe = recipe_of(Focus.model_validate({"options": options}), photographs=True)
        self.masks = [SliceMask(generator, one_channel=False) for generator in recipe.generators]
        self.merge = MaskChain(recipe.mode, recipe.chain, clipped=True)
        self.painting = Painting(recipe.cuts, (0, slices), recipe.between, recipe.sharpen)
        self.final = FinalChain(recipe.finals, planes=7)
        functions = (self.merge, self.painting, self.final)
        self.depth = max(mask.depth or 0 for mask in self.masks) + sum(one.depth or 0 for one in functions)

    def __call__(self, stack: NDArray[np.float32]) -> NDArray[np.float32]:
        size: Any = stack.shape[1:]

        def seen(k: int) -> SeenSlice:
            place = Place((0, 0), SHAPE, k, len(stack))
            masks = (mask(stack[k], [], place) for mask in self.masks)
            merged = self.merge(np.zeros(size[1:], np.float32), masks, (), None, kernels.colour.luma(stack[k]), place)
            return SeenSlice(k, merged, stack[k], None)

        place = Place((0, 0), SHAPE, 0, len(stack))
        planes = self.painting((seen(k) for k in reversed(range(len(stack)))), size, place)
        return self.final(planes, [[] for _ in self.final.operators], place)[None]


def overlapped(function: Any, stack: NDArray[np.float32], depth: int, planes: int) -> NDArray[np.float32]:
    """As `dask.array.map_overlap` does it, with planes along another axis."""
    sides = {0: 0, 1: 0, 2: depth, 3: depth}
    array = da.from_array(stack, chunks=(*stack.shape[:2], 64, 66))
    around = da.overlap.overlap(array, sides, "none")
    chunks = ((1,), (planes,), *around.chunks[2:])
    made = da.overlap.trim_internal(around.map_blocks(function, chunks=chunks, dtype=np.float32), sides, "none")
    return np.asarray(made.compute(scheduler="synchronous"))


@pytest.fixture(scope="module")
def stack() -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(scene(SHAPE, 4)[0].astype(np.float32), -1, 1))


@pytest.mark.parametrize("name", CHAINS)
def test_map_overlap_makes_the_same_picture(name: str, stack: NDArray[np.float32]) -> None:
    before = stack.copy()
    chain = Chain(CHAINS[name], len(stack))
    assert 0 < chain.depth <= 64
    whole = chain(stack)
    assert overlapped(chain, stack, chain.depth, whole.shape[1]).tobytes() == whole.tobytes()
    assert np.array_equal(stack, before), "arrays that are given are left alone"


@pytest.mark.parametrize("name", ["Max", "Median", "RootMeanSquare", "SoftLight2"])
def test_map_overlap_makes_the_same_images(name: str, stack: NDArray[np.float32]) -> None:
    before = stack.copy()
    fold = Fold(name, 0)

    def image(slices: NDArray[np.float32]) -> NDArray[np.float32]:
        size: Any = slices.shape[1:]
        return fold(lambda k, rows=slice(None): slices[k][:, rows], len(slices), size, Place((0, 0), SHAPE))[None]

    whole = image(stack)
    assert overlapped(image, stack, fold.depth, 3).tobytes() == whole.tobytes()
    assert np.array_equal(stack, before), "arrays that are given are left alone"
