"""Focus stacking as dask arrays: the stages of a stored run, tile by tile.

Slices are cut into tiles that hold all slices, and overlapped once for the whole chain (`dask.array.overlap`, boundary
"none"). Every stage is then a blockwise function of a tile and what is needed around it: the very `Compute` that a
stored run calls, which finds what it reads in what its task was given (`holding`). What sees whole planes is made slice
by slice and cut into tiles after that; statistics are reductions over all tiles, made once.

::

    slices -> tiles, overlapped -> masks -> merge -> montage -> final -> image, mask, depth
                       |            | reduction ^
                       |            v           |
                       |         statistics ----+
                       +-> whole planes -> masks (transforms) -> tiles, overlapped
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.layers import ArrayBlockIdDep

from fusestack.focus.held import BlockTask, Given, MeasureTask, held, statistics_of
from fusestack.focus.statistics import BandStatistic, united
from fusestack.focus.tiling import Need, Spans, Tiling, depth_of, sizes, spans_needed, starts, widened
from fusestack.model.fingerprint import digest, facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.written import WrittenImage
    from fusestack.model.stage import Along, Compute, Reach, Stage, StoredArray

_AXES = "tmkyx"


@dataclass(frozen=True)
class _Node:
    """A stage, and how its blocks are cut: tiles of all planes, or whole planes."""

    name: str
    key: str
    compute: Compute
    shape: tuple[int, ...]
    dtype: str
    lead: tuple[int, int]
    """Of a block: along the second axis; along the third, where planes are whole."""

    @property
    def plane(self) -> tuple[int, int]:
        return self.shape[3], self.shape[4]

    @property
    def reads(self) -> dict[StoredArray, Reach]:
        return dict(self.compute.reaches())

    @property
    def whole(self) -> bool:
        """Whether whole planes are needed; what reads nothing that a stage writes is made in one piece, too.

        Not for a statistic, which is one of tiles.
        """
        reads = self.reads
        whole = not reads or any(None in reach[3:] for reach in reads.values())
        return whole and not isinstance(self.compute, BandStatistic)

    @property
    def need(self) -> Need:
        halo = self.compute.halo if isinstance(self.compute, BandStatistic) else None
        reads = {} if self.whole else {a.key: (reach, (a.shape[3], a.shape[4])) for a, reach in self.reads.items()}
        return Need(self.plane, reads, halo)


@dataclass(frozen=True)
class LazyStack:
    """A stack whose stages are dask arrays.

    Parameters
    ----------
    slices : dask.array.Array
        [t, c, k, y, x].
    stages : sequence of Stage
        In order; the first one would store the slices.
    tile : (int, int)
        Rows and columns of a tile, at least.
    by_channel : bool
        Whether channels are independent of one another.
    """

    slices: da.Array
    stages: Sequence[Stage]
    tile: tuple[int, int]
    by_channel: bool

    def written(self, outputs: Mapping[str, WrittenImage]) -> dict[str, da.Array]:
        """What would be written, by name: [t, c, 1, y, x]."""
        nodes = [_node(stage) for stage in self.stages[1:]]
        t, _, _, *plane = self.slices.shape
        for name, compute in outputs.items():
            shape = (t, len(compute.channels), 1, *plane)
            key = digest([name, facts_of(compute)])
            nodes.append(_Node(f"write/{name}", key, compute, shape, compute.dtype, (shape[1], 1)))
        chain = _Chain(self, nodes)
        return {node.name.removeprefix("write/"): chain.tiles(node.key) for node in nodes[-len(outputs) :]}


def _node(stage: Stage) -> _Node:
    level = stage.target.image.levels[stage.target.level]
    lead = (level.block[1], level.block[2])
    return _Node(stage.name, stage.key, stage.compute, level.shape, stage.target.image.dtype, lead)


class _Chain:
    """Makes the arrays of stages, each when it is asked for."""

    def __init__(self, stack: LazyStack, nodes: Sequence[_Node]) -> None:
        self._nodes = {node.key: node for node in nodes}
        self._source = stack.stages[0].key
        shape = stack.slices.shape
        chunks = {0: 1, 1: 1 if stack.by_channel else -1}
        self._slices = stack.slices.rechunk(chunks)
        needs = {self._source: Need((shape[3], shape[4]), {})} | {node.key: node.need for node in nodes}
        self._tiling, self._spans = _fitting(Tiling.of((shape[3], shape[4]), stack.tile), needs, self._source)
        self._token = digest([stack.slices.name, self._tiling.counts, stack.by_channel])
        self._made: dict[Any, da.Array] = {}

    def tiles(self, key: str) -> da.Array:
        """An array by tiles of all planes, each with what is needed around it."""
        return self._once(("tiles", key), self._make_tiles)

    def planes(self, key: str, depth: int) -> da.Array:
        """An array by whole planes, so many together."""
        return self._once(("planes", key, depth), self._make_planes)

    def statistic(self, key: str) -> da.Array:
        """A statistic [t, c, n]."""
        return self._once(("statistic", key), self._make_statistic)

    def _once(self, what: tuple[Any, ...], make: Any) -> da.Array:
        if what not in self._made:
            self._made[what] = make(*what[1:])
        return self._made[what]

    def _make_tiles(self, key: str) -> da.Array:
        if key in self._nodes and not self._nodes[key].whole:
            return self._stage(self._nodes[key])
        array = self._slices if key == self._source else self._stage(self._nodes[key])
        inner = self._tiling.spans((array.shape[3], array.shape[4]))
        cut = array.rechunk({2: -1, 3: sizes(inner[0]), 4: sizes(inner[1])})
        return _overlapped(cut, inner, self._spans[key])

    def _make_planes(self, key: str, depth: int) -> da.Array:
        array = self._slices
        if key in self._nodes:
            node = self._nodes[key]
            array = self._stage(node) if node.whole else self._trimmed(key)
        return array.rechunk({2: depth, 3: -1, 4: -1})

    def _trimmed(self, key: str) -> da.Array:
        """Tiles without what is around them."""
        array, plane = self.tiles(key), self._nodes[key].plane
        inner, outer = self._tiling.spans(plane), self._spans[key]
        if inner == outer:
            return array
        chunks = (*array.chunks[:3], sizes(inner[0]), sizes(inner[1]))
        cut = functools.partial(_inside, inner=inner, outer=outer)
        return da.blockwise(cut, _AXES, ArrayBlockIdDep(chunks), _AXES, array, _AXES, **_made_of(array.dtype, chunks))

    def _stage(self, node: _Node) -> da.Array:
        if node.whole:
            (y, x), depth = (_cut(node.plane[0], node.plane[0]), _cut(node.plane[1], node.plane[1])), node.lead[1]
        else:
            (y, x), depth = self._spans[node.key], node.shape[2]
        lead = [_cut(node.shape[0], 1), _cut(node.shape[1], node.lead[0]), _cut(node.shape[2], depth)]
        return self._blocks(node, (*lead, y, x), BlockTask)

    def _make_statistic(self, key: str) -> da.Array:
        node = self._nodes[key]
        compute: Any = node.compute
        (array,) = node.reads
        y, x = self._tiling.spans((array.shape[3], array.shape[4]))
        bands = compute.bands
        blocks = self._array(array, node).chunks[1]
        if bands.shape[1] != sum(blocks):
            blocks = (bands.shape[1],)  # of mask sets of several channels, which are never cut apart
        edges = np.concatenate([[0], np.cumsum(blocks)]).tolist()
        channels = tuple(itertools.pairwise(edges))
        slices = ((bands.first, bands.first + bands.shape[2]),)
        parts = self._blocks(node, (_cut(bands.shape[0], 1), channels, slices, y, x), MeasureTask, compute.NUMBERS)
        unite = functools.partial(_unite, how=compute.unites)
        whole = da.reduction(
            parts,
            chunk=_as_it_is,
            combine=functools.partial(unite, last=False),
            aggregate=functools.partial(unite, last=True),
            axis=(2, 3, 4),
            dtype=np.float64,
            concatenate=True,
            meta=np.empty((0, 0, 0)),
        )
        return whole.rechunk({1: -1})

    def _array(self, array: StoredArray, node: _Node) -> da.Array:
        if node.whole:
            return self.planes(array.key, -1 if node.reads[array][2] is None else node.lead[1])
        return self.tiles(array.key)

    def _blocks(
        self, node: _Node, spans: tuple[Spans, ...], task: type[BlockTask], numbers: int | None = None
    ) -> da.Array:
        """Blocks of a stage, or parts [t, c, 1, 1, 1, n] of a statistic."""
        begins, ends = tuple(map(starts, spans)), tuple(tuple(b for _, b in axis) for axis in spans)
        chunks: tuple[tuple[int, ...], ...] = tuple(map(sizes, spans))
        axes, dtype = _AXES, np.dtype(node.dtype)
        if numbers is not None:
            ones = tuple((1,) * len(axis) for axis in spans[2:])
            chunks, axes = (*chunks[:2], *ones, (numbers,)), f"{_AXES}n"
        arguments: list[Any] = [ArrayBlockIdDep(chunks), axes]
        given: list[Given] = []
        for array, reach in node.reads.items():
            found = self._array(array, node)
            index, own = _index(found, reach, chunks, len(given))
            arguments += [found, index]
            given.append(Given(array.key, self._begins(array.key, found, own, whole=node.whole)))
        for key in statistics_of(node.compute):
            found = self.statistic(key)
            same = found.numblocks[0] == len(chunks[0])
            index = ("t" if same else f"t{len(given)}", f"c{len(given)}", f"n{len(given)}")
            arguments += [found, index]
            given.append(Given(key, (begins[0] if same else (0,), (0,), (0,))))
        made = task(held(node.compute), tuple(given), begins, ends)
        name = f"{node.name.replace('/', '-')}-{digest([node.key, self._token, axes])[:32]}"
        return da.blockwise(made, axes, *arguments, name=name, **_made_of(dtype, chunks))

    def _begins(self, key: str, array: da.Array, own: Sequence[bool], *, whole: bool) -> tuple[tuple[int, ...], ...]:
        """First pixels of the parts of an array that tasks are given."""
        lead = tuple(
            tuple(np.concatenate([[0], np.cumsum(sizes)])[:-1].tolist()) if shared else (0,)
            for sizes, shared in zip(array.chunks[:3], own, strict=True)
        )
        if whole:
            return (*lead, (0,), (0,))
        y, x = self._spans[key]
        return (*lead, starts(y), starts(x))


def _index(
    array: da.Array, reach: Sequence[Along | None], chunks: Sequence[Sequence[int]], number: int
) -> tuple[tuple[str, ...], list[bool]]:
    """Names of the axes of an argument: those of the blocks where each needs its own, others where all are needed."""
    own = []
    for axis in range(3):
        count = len(chunks[axis])
        own.append(array.numblocks[axis] == count and (count == 1 or reach[axis] is not None))
    lead = tuple(name if mine else f"{name}{number}" for name, mine in zip(_AXES, own, strict=False))
    return (*lead, "y", "x"), own


def _fitting(tiling: Tiling, needs: Mapping[str, Need], source: str) -> tuple[Tiling, dict[str, tuple[Spans, Spans]]]:
    """Tiles that are no smaller than what is needed around them, and what of each array they need."""
    while True:
        spans = spans_needed(tiling, needs)
        inner = tiling.spans(tiling.plane)
        y, x = (depth_of(outer, own) for outer, own in zip(spans[source], inner, strict=True))
        larger = tiling.with_tiles_of(y, x)
        if larger.counts == tiling.counts:
            around = (widened(tiles, d, n) for tiles, d, n in zip(inner, (y, x), tiling.plane, strict=True))
            return tiling, spans | {source: (next(around), next(around))}
        tiling = larger


def _overlapped(array: da.Array, inner: tuple[Spans, Spans], outer: tuple[Spans, Spans]) -> da.Array:
    """Tiles of an array with what is around them."""
    depth = [depth_of(spans, tiles) for spans, tiles in zip(outer, inner, strict=True)]
    plane = (array.shape[3], array.shape[4])
    if all(widened(t, d, n) == o for t, d, n, o in zip(inner, depth, plane, outer, strict=True)) and all(
        d <= min(sizes(t)) for d, t in zip(depth, inner, strict=True)
    ):
        sides = {0: 0, 1: 0, 2: 0, 3: depth[0], 4: depth[1]}
        return da.overlap.overlap(array, sides, boundary="none", allow_rechunk=False)
    tiles = [[_one_chunk(array[..., a:b, c:d]) for c, d in outer[1]] for a, b in outer[0]]
    return da.concatenate([da.concatenate(row, axis=4) for row in tiles], axis=3)


def _one_chunk(array: da.Array) -> da.Array:
    return array.rechunk({3: -1, 4: -1})


def _inside(
    block: tuple[int, ...], pixels: NDArray[Any], inner: tuple[Spans, Spans], outer: tuple[Spans, Spans]
) -> NDArray[Any]:
    y, x = (
        slice(tiles[i][0] - spans[i][0], tiles[i][1] - spans[i][0])
        for tiles, spans, i in zip(inner, outer, block[3:], strict=True)
    )
    return pixels[..., y, x]


def _cut(size: int, part: int) -> Spans:
    return tuple((a, min(a + part, size)) for a in range(0, size, max(1, part)))


def _made_of(dtype: Any, chunks: Sequence[Any]) -> dict[str, Any]:
    """Options of blockwise functions that are told where they are."""
    meta = np.empty((0,) * len(chunks), dtype)
    return {"dtype": meta.dtype, "meta": meta, "align_arrays": False, "concatenate": True}


def _as_it_is(parts: NDArray[Any], axis: Any, keepdims: bool) -> NDArray[Any]:
    return parts


def _unite(parts: NDArray[Any], axis: Any, keepdims: bool, *, how: str, last: bool) -> NDArray[Any]:
    """Unite parts [t, c, 1, y, x, n] of a statistic: [t, c, n], or with axes of one entry until the last ones."""
    shape = parts.shape
    flat = parts.reshape(*shape[:2], -1, shape[-1])
    out = np.empty((*shape[:2], shape[-1]))
    for place in np.ndindex(shape[:2]):
        out[place] = united(flat[place], how) if last else _combined(flat[place], how)
    return out if last else out[:, :, None, None, None]


def _combined(entries: NDArray[Any], how: str) -> NDArray[Any]:
    """As `united`, of some of the parts: nothing may be all that is in them."""
    if how == "sum":
        return np.asarray(entries.sum(axis=0))
    return np.stack([entries[:, 0::2].min(axis=0), entries[:, 1::2].max(axis=0)], axis=1).ravel()
