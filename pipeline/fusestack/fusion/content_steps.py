"""The steps that content-based weights are made of, each one array ``[view, 1, z, y, x]`` of nodes.

::

    LocalMean  ->  LocalContrast  ->  Weights
        |               |
      input           input

Nodes are a coarse grid over the pixels of a view (`fusestack.kernels.nodes`).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from fusestack import kernels
from fusestack.kernels.nodes import NodeAxis, node_kernel
from fusestack.model.fingerprint import arrays_of, facts_of
from fusestack.model.geometry import Box
from fusestack.model.graph_array import unite
from fusestack.model.stage import Along, Compute, StoredArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fusestack.fusion.placement import LevelPixels
    from fusestack.model.geometry import Float3
    from fusestack.model.graph_array import GraphArray
    from fusestack.model.stage import Reach

Axes: TypeAlias = tuple[NodeAxis, NodeAxis, NodeAxis]
_Kernels: TypeAlias = tuple[tuple[float, ...], ...]

_REMEMBERED = 64
_NODE = 4  # bytes
_COPIES_OF_OUTPUT = 2.5
_AROUND = 4  # nodes around the pixels of a box of nodes, and one of rounding


@dataclass(frozen=True)
class ContentRow:
    """What the weights of one view depend on.

    Parameters
    ----------
    pixels : LevelPixels
        Opened level of the source.
    axes : three NodeAxis
        Nodes of that level, z, y, x.
    sigma1, sigma2 : (float, float, float)
        Pixels of the level, z, y, x.
    needed : Box
        Nodes that the fusion reads, z, y, x.
    """

    pixels: LevelPixels
    axes: Axes
    sigma1: Float3
    sigma2: Float3
    needed: Box

    @property
    def kernels1(self) -> _Kernels:
        """Half kernels of the local mean."""
        return _kernels(self.axes, self.sigma1)

    @property
    def kernels2(self) -> _Kernels:
        """Half kernels that smooth the contrast."""
        return _kernels(self.axes, self.sigma2)

    @property
    def needed_contrast(self) -> Box:
        """Nodes of the contrast that the needed weights depend on."""
        return self._grown(self.needed, self.kernels2)

    @property
    def needed_means(self) -> Box:
        """Nodes of the local mean that the needed contrast depends on."""
        return self._grown(self.around(self.needed_contrast), self.kernels1)

    def around(self, nodes: Box) -> Box:
        """Nodes between which the pixels of some nodes lie."""
        if nodes.is_empty:
            return nodes
        ends = [a.around(*a.pixels(i, j)) for a, i, j in zip(self.axes, nodes.start, nodes.stop, strict=True)]
        return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))

    def _grown(self, box: Box, kernels: _Kernels) -> Box:
        if box.is_empty:
            return box
        reach = [len(kernel) - 1 for kernel in kernels]
        start = tuple(max(0, a - r) for a, r in zip(box.start, reach, strict=True))
        stops = zip(box.stop, reach, self.axes, strict=True)
        return Box(start, tuple(min(axis.count, b + r) for b, r, axis in stops))


def _kernels(axes: Axes, sigma: Float3) -> _Kernels:
    """An axis of one pixel is not smoothed."""
    return tuple(node_kernel(s, a.spacing) if a.count > 1 else (1.0,) for a, s in zip(axes, sigma, strict=True))


class Nodes(Protocol):
    """Boxes of an array of nodes ``[view, 1, z, y, x]``: a `StoredArray` or `ComputedNodes`."""

    def read(self, box: Box) -> NDArray[np.float32]:
        """Nodes of a box; what was not needed is 0."""
        ...


@dataclass(eq=False)
class ComputedNodes:
    """Nodes that are computed block by block when they are asked for; the last blocks are remembered."""

    compute: Compute
    block: tuple[int, ...]
    _known: OrderedDict[tuple[int, ...], NDArray[np.float32] | None] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def inputs(self, box: Box) -> Mapping[GraphArray, Box]:
        """See `Compute.inputs`: of the whole blocks that a box is read of, whichever of them are remembered."""
        if box.is_empty:
            return {}
        ranges = self._blocks(box)
        start = tuple(blocks.start * n for blocks, n in zip(ranges, self.block, strict=True))
        return self.compute.inputs(Box(start, tuple(r.stop * n for r, n in zip(ranges, self.block, strict=True))))

    def _blocks(self, box: Box) -> list[range]:
        return [range(a // n, -(-b // n)) for a, b, n in zip(box.start, box.stop, self.block, strict=True)]

    def read(self, box: Box) -> NDArray[np.float32]:
        """Nodes of a box."""
        out = np.zeros(box.shape, np.float32)
        for index in itertools.product(*self._blocks(box)):
            whole = Box(
                tuple(i * n for i, n in zip(index, self.block, strict=True)),
                tuple((i + 1) * n for i, n in zip(index, self.block, strict=True)),
            )
            nodes = self._block(index, whole)
            part = whole.intersect(box)
            if nodes is not None:
                inside = part.shift([-v for v in whole.start])
                out[part.shift([-v for v in box.start]).slices] = nodes[inside.slices]
        return out

    def _block(self, index: tuple[int, ...], whole: Box) -> NDArray[np.float32] | None:
        with self._lock:
            if index in self._known:
                self._known.move_to_end(index)
                return self._known[index]
        nodes = self.compute(whole)
        with self._lock:
            self._known[index] = nodes
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return nodes

    def facts(self) -> Any:
        """What they depend on."""
        return facts_of(self.compute)

    def __reduce__(self) -> tuple[Any, ...]:
        return ComputedNodes, (self.compute, self.block)


def inputs_of_nodes(nodes: Nodes, box: Box) -> Mapping[GraphArray, Box]:
    """What reading nodes reads of arrays of a dask graph: nothing where a stage has stored them."""
    return nodes.inputs(box) if isinstance(nodes, ComputedNodes) else {}


@dataclass(frozen=True)
class ContentStep(Compute):
    """One step for all views of an image; a `fusestack.model.stage.Compute` of nodes ``[view, 1, z, y, x]``."""

    rows: tuple[ContentRow, ...]

    def __call__(self, box: Box) -> NDArray[np.float32] | None:
        """Compute a region; None where no node of it is needed."""
        out: NDArray[np.float32] | None = None
        for number, row, nodes in self._computed(box):
            if out is None:
                out = np.zeros(box.shape, np.float32)
            inside = nodes.shift([-v for v in box.start[2:]]).slices
            out[number - box.start[0], 0][inside] = self.compute(number, row, nodes)
        return out

    def _computed(self, box: Box) -> Iterator[tuple[int, ContentRow, Box]]:
        """Views of a region, each with its number and its nodes; not those of which no node is needed."""
        wanted = Box(box.start[2:], box.stop[2:])
        for number in range(box.start[0], min(box.stop[0], len(self.rows))):
            row = self.rows[number]
            if not wanted.intersect(self.needed(row)).is_empty:
                yield number, row, wanted.intersect(Box.of_shape([axis.count for axis in row.axes]))

    def inputs(self, box: Box) -> dict[GraphArray, Box]:
        """See `Compute.inputs`: of tiles that are arrays of a dask graph, also for the nodes of the steps before."""
        found: dict[GraphArray, Box] = {}
        for number, row, nodes in self._computed(box):
            unite(found, self.inputs_of(number, row, nodes))
        return found

    def needed(self, row: ContentRow) -> Box:
        """Nodes of a view that a later step reads, z, y, x."""
        raise NotImplementedError

    def compute(self, number: int, row: ContentRow, nodes: Box) -> NDArray[np.float32]:
        """Compute a box of nodes of one view, z, y, x."""
        raise NotImplementedError

    def inputs_of(self, number: int, row: ContentRow, nodes: Box) -> dict[GraphArray, Box]:
        """What a box of nodes of one view reads of arrays of a dask graph."""
        raise NotImplementedError

    def reaches(self) -> dict[StoredArray, Reach]:
        """Of the step before, the nodes of the same view."""
        return dict.fromkeys(arrays_of(self), (Along(), None, None, None, None))

    def warm_up(self) -> None:
        """Compile the kernels for the pixel types of the views."""
        for dtype in {row.pixels.dtype for row in self.rows}:
            kernels.contrast.warm_up(dtype)

    def work_bytes(self, row: ContentRow, count: NDArray[np.int64]) -> int:
        """Memory for a box of so many nodes of one view, z, y, x."""
        raise NotImplementedError

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory that a block needs at most: work, output and its encoded copy."""
        counts = [np.minimum(block[2:], [axis.count for axis in row.axes]) for row in self.rows]
        most = max(self.work_bytes(row, count) for row, count in zip(self.rows, counts, strict=True))
        return int(_COPIES_OF_OUTPUT * np.prod(block)) * _NODE + most


@dataclass(frozen=True)
class LocalMean(ContentStep):
    """Mean of the pixels around every node."""

    def needed(self, row: ContentRow) -> Box:
        """Nodes that the contrast reads."""
        return row.needed_means

    def compute(self, number: int, row: ContentRow, nodes: Box) -> NDArray[np.float32]:
        """Compute a box of nodes of one view."""
        return kernels.contrast.local_mean(_pixels(row, nodes), row.axes, nodes.start, nodes.stop)

    def inputs_of(self, number: int, row: ContentRow, nodes: Box) -> dict[GraphArray, Box]:
        """Pixels around the nodes."""
        return row.pixels.inputs(_pixel_box(row, nodes))

    def work_bytes(self, row: ContentRow, count: NDArray[np.int64]) -> int:
        """Pixels, and the nodes they are added to."""
        return _restrict_bytes(row, count)


@dataclass(frozen=True)
class LocalContrast(ContentStep):
    """Mean of the squared difference to the smoothed local mean around every node."""

    means: Nodes

    def needed(self, row: ContentRow) -> Box:
        """Nodes that the weights are smoothed from."""
        return row.needed_contrast

    def compute(self, number: int, row: ContentRow, nodes: Box) -> NDArray[np.float32]:
        """Compute a box of nodes of one view."""
        around = row.around(nodes)
        means = _smoothed(self.means, number, row.axes, row.kernels1, around)
        pixels = _pixels(row, nodes)
        return kernels.contrast.local_contrast(pixels, row.axes, nodes.start, nodes.stop, means, around.start)

    def inputs_of(self, number: int, row: ContentRow, nodes: Box) -> dict[GraphArray, Box]:
        """Pixels around the nodes, and what the local means around them read."""
        found = row.pixels.inputs(_pixel_box(row, nodes))
        around = _smoothed_from(number, row.axes, row.kernels1, row.around(nodes))
        unite(found, inputs_of_nodes(self.means, around))
        return found

    def work_bytes(self, row: ContentRow, count: NDArray[np.int64]) -> int:
        """First the local means and their surroundings, then the pixels beside the means."""
        around = count + _AROUND
        return max(_smooth_bytes(row.kernels1, around), _restrict_bytes(row, count) + _NODE * int(np.prod(around)))


@dataclass(frozen=True)
class Weights(ContentStep):
    """Content-based weight at every node: smoothed contrast over BigStitcher's 2048."""

    contrast: Nodes

    def needed(self, row: ContentRow) -> Box:
        """Nodes that the fusion reads."""
        return row.needed

    def compute(self, number: int, row: ContentRow, nodes: Box) -> NDArray[np.float32]:
        """Compute a box of nodes of one view."""
        smooth = _smoothed(self.contrast, number, row.axes, row.kernels2, nodes)
        weights: NDArray[np.float32] = np.nan_to_num(smooth / np.float32(kernels.contrast.SCALE), copy=False)
        return weights

    def inputs_of(self, number: int, row: ContentRow, nodes: Box) -> dict[GraphArray, Box]:
        """What the contrast around the nodes reads."""
        around = _smoothed_from(number, row.axes, row.kernels2, nodes)
        return dict(inputs_of_nodes(self.contrast, around))

    def work_bytes(self, row: ContentRow, count: NDArray[np.int64]) -> int:
        """The contrast and its surroundings."""
        return _smooth_bytes(row.kernels2, count)


def _restrict_bytes(row: ContentRow, count: NDArray[np.int64]) -> int:
    """Pixels, once more while they are decoded, which of them are no data, and five arrays of nodes."""
    spacing = np.array([axis.spacing for axis in row.axes])
    pixels = int(np.prod(np.minimum((count + 2) * spacing, row.pixels.shape)))
    itemsize = row.pixels.dtype.itemsize
    return (2 * itemsize + 1) * pixels + row.pixels.chunk_bytes + 5 * _NODE * int(np.prod(count + 2))


def _smooth_bytes(halves: _Kernels, count: NDArray[np.int64]) -> int:
    """Seven arrays of nodes with their surroundings: as read, mirrored, masses, products, sums."""
    return 7 * _NODE * int(np.prod(count + [2 * (len(half) - 1) for half in halves]))


def _pixels(row: ContentRow, nodes: Box) -> NDArray[Any]:
    """Pixels that a box of nodes is made of."""
    return row.pixels.read(_pixel_box(row, nodes))


def _pixel_box(row: ContentRow, nodes: Box) -> Box:
    ends = [a.pixels(i, j) for a, i, j in zip(row.axes, nodes.start, nodes.stop, strict=True)]
    return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))


def _smoothed(nodes: Nodes, number: int, axes: Axes, halves: _Kernels, box: Box) -> NDArray[np.float32]:
    """Nodes of one view, convolved; beyond the ends of the image they are mirrored."""
    at = _mirrored(axes, halves, box)
    read = _smoothed_from(number, axes, halves, box)
    found = nodes.read(read)[0, 0]
    padded = found[np.ix_(*(i - a for i, a in zip(at, read.start[2:], strict=True)))]
    masses = [axis.masses()[i] for axis, i in zip(axes, at, strict=True)]
    return kernels.contrast.smooth(padded, halves, masses)


def _smoothed_from(number: int, axes: Axes, halves: _Kernels, box: Box) -> Box:
    """Nodes that `_smoothed` reads, view, 1, z, y, x."""
    at = _mirrored(axes, halves, box)
    low, high = [int(i.min()) for i in at], [int(i.max()) + 1 for i in at]
    return Box((number, 0, *low), (number + 1, 1, *high))


def _mirrored(axes: Axes, halves: _Kernels, box: Box) -> list[NDArray[np.int64]]:
    """Nodes along every axis that a box is smoothed from, in order."""
    spans = zip(axes, box.start, box.stop, halves, strict=True)
    return [axis.mirrored(a + 1 - len(half), b - 1 + len(half)) for axis, a, b, half in spans]
