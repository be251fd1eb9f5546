"""Content-based weights of all views of an image, as the fusion reads them.

Every view is filtered once, however many output blocks it touches: a run stores the steps (`content_steps`) as stages
of their own. The preview and the Python API compute them when they are asked for and remember the last ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.fusion.content_steps import (
    ComputedNodes,
    ContentRow,
    ContentStep,
    LocalContrast,
    LocalMean,
    Weights,
    inputs_of_nodes,
)
from fusestack.kernels.nodes import NodeAxis
from fusestack.model.fingerprint import facts_of
from fusestack.model.geometry import Box, float3
from fusestack.model.graph_array import unite
from fusestack.model.image import Level
from fusestack.planning.stages import make_cached_stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.content_steps import Axes, Nodes
    from fusestack.fusion.view_table import ViewTable
    from fusestack.model.geometry import Int3
    from fusestack.model.graph_array import GraphArray
    from fusestack.model.stage import Stage
    from fusestack.planning.resources import Resources

_NODES_PER_SIGMA = 5.0  # weights are then within 0.02 % of the formula
_BLOCK_PIXELS = 256
_LARGEST_BLOCK, _SMALLEST_BLOCK = 128, 16
# Rounding must not make a box of nodes smaller than what the kernel reads.
_SLACK = 1e-3


@dataclass(frozen=True, eq=False)
class ContentWeights:
    """Weights of all views of an image, as the fusion reads them.

    Parameters
    ----------
    rows : tuple of ContentRow
        Views of all places of the image, one behind another.
    first : mapping of (int, int) to int
        Number of the first row of a place (t, c).
    tables : mapping of (int, int) to VIEW[n]
        What the kernel must know of the nodes of the views of a place.
    weights : Nodes
    """

    rows: tuple[ContentRow, ...]
    first: Mapping[tuple[int, int], int]
    tables: Mapping[tuple[int, int], NDArray[np.void]]
    weights: Nodes

    def facts(self) -> Any:
        """What a result depends on: the weights; where their nodes lie follows from them and the views."""
        return facts_of(self.weights)

    def facts_at(self, place: tuple[int, int]) -> Any:
        """What the weights of one place depend on: its views, and how they are filtered."""
        first = self.first[place]
        versions = [step.VERSION for step in (LocalMean, LocalContrast, Weights)]
        return [versions, facts_of(self.rows[first : first + len(self.tables[place])])]

    @cached_property
    def density(self) -> float:
        """Nodes for every pixel of the view that has most."""
        return max(1 / float(np.prod([axis.spacing for axis in row.axes])) for row in self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes of the steps: view, 1, z, y, x."""
        counts = np.max([[axis.count for axis in row.axes] for row in self.rows], axis=0)
        return (len(self.rows), 1, *(int(n) for n in counts))

    @property
    def block(self) -> tuple[int, ...]:
        """Nodes of one view that are computed at a time: about 256 pixels along every axis."""
        return _block(self.rows)

    def read(
        self, place: tuple[int, int], views: NDArray[np.int64], origin: Sequence[int], shape: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.void]]:
        """Weights of some views of a place for a block of the fused image, as `kernels.fuse.fuse_block` takes them."""
        table = self.tables[place][views]
        boxes = kernels.views.source_boxes(table, origin, shape)
        placed, length = kernels.views.place_views(table, boxes)
        weights = np.empty(length, np.float32)
        for nodes, view in zip(self._nodes(place, views, boxes), placed, strict=True):
            kernels.views.source_part(weights, view)[...] = self.weights.read(nodes)[0, 0]
        return weights, placed

    def inputs(
        self, place: tuple[int, int], views: NDArray[np.int64], origin: Sequence[int], shape: Sequence[int]
    ) -> dict[GraphArray, Box]:
        """What `read` reads of arrays of a dask graph, in whole blocks of nodes."""
        boxes = kernels.views.source_boxes(self.tables[place][views], origin, shape)
        found: dict[GraphArray, Box] = {}
        for nodes in self._nodes(place, views, boxes):
            unite(found, inputs_of_nodes(self.weights, nodes))
        return found

    def _nodes(self, place: tuple[int, int], views: NDArray[np.int64], boxes: NDArray[np.int64]) -> Iterator[Box]:
        """Boxes of nodes of some views of a place, view, 1, z, y, x."""
        for number, (low, high) in zip((views + self.first[place]).tolist(), boxes.tolist(), strict=True):
            yield Box((number, 0, *low), (number + 1, 1, *high))


def content_weights(
    tables: Mapping[tuple[int, int], ViewTable],
    shape: Int3,
    sigmas: tuple[float, float],
    anisotropy: float,
) -> ContentWeights:
    """Weights of the views of an image, computed when they are read.

    Parameters
    ----------
    tables : mapping of (int, int) to ViewTable
    shape : (int, int, int)
        Pixels of the fused image, z, y, x; weights beyond it are not computed.
    sigmas : (float, float)
        Of the local mean and of the smoothed contrast, in pixels of the input at full resolution.
    anisotropy : float
        Factor that the fused image preserves: sigmas along z are divided by it.
    """
    rows: list[ContentRow] = []
    first, packed = {}, {}
    for place, table in tables.items():
        first[place] = len(rows)
        factors = np.array([view.pixels.factors for view in table.placed]).reshape(-1, 3)
        sigma = [np.float64(s) / (factors * np.array([anisotropy, 1.0, 1.0])) for s in sigmas]
        steps = np.maximum(1, np.floor(np.minimum(*sigma) / _NODES_PER_SIGMA + 1e-9)).astype(int)
        axes = [_axes(size, step) for size, step in zip(table.views["size"].tolist(), steps.tolist(), strict=True)]
        packed[place] = _pack(table.views, axes)
        boxes = kernels.views.source_boxes(packed[place], (0, 0, 0), shape)
        rows += [
            ContentRow(view.pixels, axis, float3(s1), float3(s2), Box(tuple(low), tuple(high)))
            for view, axis, s1, s2, (low, high) in zip(table.placed, axes, *sigma, boxes.tolist(), strict=True)
        ]
    done = tuple(rows)
    block = _block(done)
    means = ComputedNodes(LocalMean(done), block)
    contrast = ComputedNodes(LocalContrast(done, means), block)
    return ContentWeights(done, first, packed, ComputedNodes(Weights(done, contrast), block))


def _axes(size: Sequence[int], step: Sequence[int]) -> Axes:
    z, y, x = (NodeAxis.of(n, s) for n, s in zip(size, step, strict=True))
    return (z, y, x)


def _block(rows: Sequence[ContentRow]) -> tuple[int, ...]:
    sparsest = np.max([[axis.spacing for axis in row.axes] for row in rows], axis=0)
    nodes = np.clip(np.ceil(_BLOCK_PIXELS / sparsest), _SMALLEST_BLOCK, _LARGEST_BLOCK)
    return (1, 1, *(int(n) for n in nodes))


def _pack(views: NDArray[np.void], axes: Sequence[Axes]) -> NDArray[np.void]:
    """Views as the kernel sees their nodes: a level with fewer pixels, without borders of its own."""
    table = views.copy()
    spacing = np.array([[axis.spacing for axis in row] for row in axes]).reshape(-1, 3)
    table["size"] = np.array([[axis.count for axis in row] for row in axes]).reshape(-1, 3)
    table["affine"] /= spacing[:, :, None]
    table["low"], table["high"] = table["low"] / spacing - _SLACK, table["high"] / spacing + _SLACK
    table["reach"] /= spacing[:, None]
    table["alone"] /= spacing[:, None]
    table["ramp_low"], table["ramp_high"], table["ramp_scale"] = -np.inf, np.inf, 1.0
    return table


def prepare_content(
    content: ContentWeights, cache: str, resources: Resources
) -> tuple[ContentWeights, tuple[Stage, ...]]:
    """Have the content-based weights of an image computed by stages of their own, once for each view.

    Parameters
    ----------
    content : ContentWeights
    cache : str
        Folder where the weights are kept, under names made of all they depend on, so that other options of the fusion
        find them again.
    resources : Resources

    Returns
    -------
    ContentWeights
        Read from there.
    tuple of Stage
        What makes them.

    Raises
    ------
    ConfigError
        If a block does not fit the memory of a worker.
    """
    level = Level((1, 1, 1), content.shape, content.block, None, content.block)

    def stage(name: str, step: ContentStep) -> Stage:
        return make_cached_stage(f"content/{name}", f"content-based weights: {name}", step, cache, level, resources)

    means = stage("mean", LocalMean(content.rows))
    contrast = stage("contrast", LocalContrast(content.rows, means.array))
    weights = stage("weights", Weights(content.rows, contrast.array))
    return replace(content, weights=weights.array), (means, contrast, weights)
