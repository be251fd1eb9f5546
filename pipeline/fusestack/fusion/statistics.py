"""How many views and how much input the blocks of an image have, without looking at every pair of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack.planning.levels import int3

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from numpy.typing import NDArray

    from fusestack.fusion.view_table import ViewTable
    from fusestack.model.geometry import Int3

    _Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class BlockStatistics:
    """Views and input of the blocks of an image.

    Parameters
    ----------
    blocks : int
        All blocks.
    touched : int
        Blocks that at least one view reaches.
    pairs : int
        Pairs of a block and a view that reaches it.
    most_views : int
        Views of the block that has most.
    most_input : int
        Bytes of input of the block that has most, as they lie in memory; an upper bound.
    """

    blocks: int
    touched: int
    pairs: int
    most_views: int
    most_input: int

    @property
    def mean_views(self) -> float:
        """Mean number of views of the blocks that have any."""
        return self.pairs / max(1, self.touched)


def block_statistics(
    tables: Iterable[ViewTable], shape: Int3, block: Int3, itemsize: int, depth: Int3 = (0, 0, 0)
) -> BlockStatistics:
    """Count over all groups of an image.

    A view adds to a range of blocks, which is eight corners of a running sum: the effort is that of views plus
    blocks, not of their product. Blocks that no view begins or ends in are counted together, so that a box that is
    nearly empty takes no more than its views.

    Parameters
    ----------
    tables : iterable of ViewTable
    shape, block : (int, int, int)
        Pixels of the image and of a block, z, y, x.
    itemsize : int
        Bytes of an input pixel in memory.
    depth : (int, int, int)
        Pixels around a block that it needs as well.
    """
    found: dict[tuple[bytes, ...], list[ViewTable]] = {}
    for table in tables:  # those of a time lapse are often alike
        found.setdefault((table.bounds.tobytes(), table.views.tobytes()), []).append(table)
    of_each = [
        (len(alike), _statistics(alike[0], np.array(shape), np.array(block), itemsize, depth))
        for alike in found.values()
    ]
    return BlockStatistics(
        blocks=sum(many * one.blocks for many, one in of_each),
        touched=sum(many * one.touched for many, one in of_each),
        pairs=sum(many * one.pairs for many, one in of_each),
        most_views=max((one.most_views for _, one in of_each), default=0),
        most_input=max((one.most_input for _, one in of_each), default=0),
    )


def _statistics(table: ViewTable, shape: _Ints, block: _Ints, itemsize: int, depth: Int3) -> BlockStatistics:
    """Count over one group."""
    counts = -(-shape // block)
    start, stop = np.clip(table.bounds[:, 0] - depth, 0, shape), np.clip(table.bounds[:, 1] + depth, 0, shape)
    inside = (stop > start).all(axis=1)
    first, last = start // block, -(-stop // block)
    sizes = input_bytes(table, int3(n + 2 * d for n, d in zip(block.tolist(), depth, strict=True)), itemsize)
    first, last, sizes = first[inside], last[inside], sizes[inside]
    if len(sizes) == 1:
        touched = int((last - first).prod())
        return BlockStatistics(int(counts.prod()), touched, touched, 1, int(sizes[0]))
    touched = pairs = most_views = most_input = 0
    many = []
    for axis in range(3):
        cuts = np.unique(np.concatenate([[0], first[:, axis], last[:, axis], [counts[axis]]]))
        first[:, axis], last[:, axis] = np.searchsorted(cuts, first[:, axis]), np.searchsorted(cuts, last[:, axis])
        many.append(np.diff(cuts))
    plane = many[1][:, None] * many[2]
    layers = _layers(first, last, sizes, np.array([len(n) for n in many]))
    for deep, (views, size) in zip(many[0].tolist(), layers, strict=True):
        touched += deep * int(plane[views > 0].sum())
        pairs += deep * int((plane * views).sum())
        most_views = max(most_views, int(views.max()))
        most_input = max(most_input, int(size.max()))
    return BlockStatistics(int(counts.prod()), touched, pairs, most_views, most_input)


def input_bytes(table: ViewTable, block: Int3, itemsize: int) -> _Ints:
    """Bytes of every view's pixels that a block needs, at most: int64[n]."""
    reach = np.abs(table.views["affine"][:, :, :3]) @ (np.array(block) - 1.0)
    extent = np.minimum(np.ceil(reach) + 3, table.views["size"])
    result: _Ints = (extent.prod(axis=1) * itemsize).astype(np.int64)
    return result


def _layers(first: _Ints, last: _Ints, sizes: _Ints, counts: _Ints) -> Iterator[tuple[_Ints, _Ints]]:
    """Yield for every layer of blocks along z the number of views and the bytes of each block, [y, x]."""
    change = np.zeros((2, counts[1] + 1, counts[2] + 1), dtype=np.int64)
    begins, ends = np.argsort(first[:, 0], kind="stable"), np.argsort(last[:, 0], kind="stable")
    begin, end = 0, 0
    total = change[:, :-1, :-1]
    for z in range(counts[0]):
        begin_to = int(np.searchsorted(first[begins, 0], z, side="right"))
        end_to = int(np.searchsorted(last[ends, 0], z, side="right"))
        for rows, sign in ((begins[begin:begin_to], 1), (ends[end:end_to], -1)):
            for y, ys in ((first[rows, 1], 1), (last[rows, 1], -1)):
                for x, xs in ((first[rows, 2], 1), (last[rows, 2], -1)):
                    np.add.at(change[0], (y, x), sign * ys * xs)
                    np.add.at(change[1], (y, x), sign * ys * xs * sizes[rows])
        if z == 0 or begin_to > begin or end_to > end:
            total = change.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1]
        begin, end = begin_to, end_to
        yield total[0], total[1]
