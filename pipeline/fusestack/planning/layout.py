"""How the levels of an image are cut into chunks, shards and blocks; integers only.

The cut depends on the image and the options alone, never on the machine: the same configuration makes the same files
everywhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fusestack.model.image import Level
from fusestack.planning.pyramid import level_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fusestack.model.geometry import Int3

# About 32 MiB of 16-bit pixels: large enough that files are few, small enough that a laptop holds several.
_BLOCK_PIXELS = 2**24
_HDF5_CHUNKS_PER_BLOCK = 4


def cut_levels(
    shape: tuple[int, ...],
    factors: Sequence[Int3],
    chunks: Int3,
    shards: Int3 | None,
    *,
    sharded: bool,
    chunks_per_block: int | None = None,
    coarser: Sequence[Int3] = (),
) -> tuple[Level, ...]:
    """Cut every level of an image.

    Parameters
    ----------
    shape : tuple of int
        t, c, z, y, x of level 0.
    factors : sequence of (int, int, int)
        Factors of the levels, z, y, x; each a multiple of the one before.
    chunks : (int, int, int)
        Wanted chunk, z, y, x.
    shards : (int, int, int) or None
        Wanted shard, a multiple of `chunks`; None chooses one.
    sharded : bool
        Whether the format stores shards; otherwise `shards` is the block of a task.
    chunks_per_block : int, optional
        Chunks along each axis of a block, instead of a choice by size.
    coarser : sequence of (int, int, int)
        Wanted chunks of the levels after the first, where they are others; the last one is that of all further levels.
    """
    levels = []
    size = (shape[2], shape[3], shape[4])
    before = factors[0]
    for number, factor in enumerate(factors):
        relative = _each(factor, before, lambda f, b: f // b)
        size = level_shape(size, relative)
        if number and coarser:
            chunks = coarser[min(number, len(coarser)) - 1]
        chunk = _each(chunks, size, min)
        if shards is not None:
            block = shards
        elif chunks_per_block is not None:
            block = _each(chunk, chunk, lambda a, _: a * chunks_per_block)
        else:
            block = block_of_chunks(chunk, size)
        # whole chunks, and none beyond the image
        block = _each(_each(block, _whole(size, chunk), min), chunk, lambda b, c: max(c, b // c * c))
        levels.append(
            Level(
                factors=factor,
                shape=(*shape[:2], *size),
                chunks=(1, 1, *chunk),
                shards=(1, 1, *block) if sharded else None,
                block=(1, 1, *block),
            )
        )
        before = factor
    return tuple(levels)


def block_of_chunks(chunk: Int3, size: Int3) -> Int3:
    """Chunks grouped into a nearly cubic block of about 16 million pixels (z, y, x)."""
    block = list(chunk)
    limit = _whole(size, chunk)
    while True:
        growing = [i for i in range(3) if block[i] < limit[i]]
        if not growing:
            break
        axis = min(growing, key=lambda i: block[i])
        grown = [*block]
        grown[axis] = min(2 * block[axis], limit[axis])
        if math.prod(grown) > _BLOCK_PIXELS:
            break
        block = grown
    return (block[0], block[1], block[2])


def _whole(size: Int3, chunk: Int3) -> Int3:
    return _each(size, chunk, lambda n, c: -(-n // c) * c)


def _each(a: Int3, b: Int3, f: Callable[[int, int], int]) -> Int3:
    z, y, x = (f(i, j) for i, j in zip(a, b, strict=True))
    return (z, y, x)
