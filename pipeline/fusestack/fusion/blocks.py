"""The pixels of a fused image: any region, from any thread, process or machine, always the same."""

from __future__ import annotations

import itertools
import math
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from fusestack import kernels
from fusestack.fusion.data_borders import data_weights, surroundings, work_bytes
from fusestack.fusion.statistics import BlockStatistics, block_statistics
from fusestack.model.clock import reading
from fusestack.model.fingerprint import facts_of
from fusestack.model.geometry import Box
from fusestack.model.graph_array import unite
from fusestack.model.stage import Compute
from fusestack.planning.levels import int3
from fusestack.sources.graph import graph_array
from fusestack.storage import is_address
from fusestack.storage.kept import keeping
from fusestack.storage.together import AHEAD_BYTES, MOST, each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.content import ContentWeights
    from fusestack.fusion.view_table import ViewTable
    from fusestack.kernels.fuse import Interpolation, Method, Rounding
    from fusestack.kernels.views import Numerics
    from fusestack.model.graph_array import GraphArray

_CHUNKS_IN_FLIGHT = 8
_VIEWS_AT_ONCE = 4
SMALLEST_SIDE = 32
"""No part of a block is longer than this where it is cut for its memory."""
# Output, its encoded copy, and what the codec needs beside them.
_COPIES_OF_OUTPUT = 2.5
SMALLEST_PART = 16 * 2**20
"""Bytes for the input of a part of a block, at least."""
_LARGEST_PART = 512 * 2**20
_MOST_KEPT = 128 * 2**20
_BY_PLACE = ("tables", "content")


@dataclass(frozen=True)
class PixelRule:
    """How the values of several views become one pixel.

    Parameters
    ----------
    method : {"average", "max", "lowest_view", "highest_view", "closest_pixel", "mask"}
    interpolation : {"linear", "nearest"}
    numerics : {"exact", "bigstitcher"}
    dtype : str
        Pixel type of the output.
    rounding : {"half_up", "down"}
        Of integers.
    intensity_range : (float, float) or None
        Minimum and maximum that become 0 and the greatest integer of the output; None keeps grey values as they are.
    fill : float
        Output value where no view covers.
    """

    method: Method | Literal["mask"]
    interpolation: Interpolation
    numerics: Numerics
    dtype: str
    rounding: Rounding
    intensity_range: tuple[float, float] | None
    fill: float


@dataclass(frozen=True)
class FuseBlocks(Compute):
    """Pixels of a fused image ``[t, c, z, y, x]``; a `fusestack.model.stage.Compute`.

    Parameters
    ----------
    tables : mapping of (int, int) to ViewTable
        Views of every place (t, c) of the image; a place without views is empty.
    rule : PixelRule
    input_dtype : str
        Pixel type that views are fused in: that of the sources, or float32 where intensities are corrected.
    part_bytes : int
        Input that may be in memory at once; a larger region is computed in parts, which changes no pixel.
    kept_bytes : int
        Decoded chunks across the border of a block that are kept for the next one, at most.
    content : ContentWeights or None
        Further weights by local contrast.
    """

    VERSION: ClassVar[int] = 4

    tables: Mapping[tuple[int, int], ViewTable]
    rule: PixelRule
    input_dtype: str
    part_bytes: int = field(default=2**28, metadata={"fingerprint": False})
    kept_bytes: int = field(default=0, metadata={"fingerprint": False})
    content: ContentWeights | None = None

    @property
    def input_itemsize(self) -> int:
        """Bytes of an input pixel in memory; a mask reads none."""
        return 0 if self.rule.method == "mask" else np.dtype(self.input_dtype).itemsize

    @property
    def paths(self) -> list[str]:
        """Files and containers that it reads pixels of."""
        return sorted({path for table in self.tables.values() for v in table.placed for path in v.pixels.source.paths})

    def __call__(self, box: Box) -> NDArray[Any] | None:
        """Compute a region t, c, z, y, x; None where no view reaches it."""
        volume = Box(box.start[2:], box.stop[2:])
        places = [(t, c) for t in range(box.start[0], box.stop[0]) for c in range(box.start[1], box.stop[1])]
        if not any(place in self.tables and self.tables[place].touching(volume).size for place in places):
            return None
        out = np.empty(box.shape, self.rule.dtype)
        for (t, c), part in zip(places, out.reshape(-1, *volume.shape), strict=True):
            self._fuse((t, c), volume, part)
        return out

    def inputs(self, box: Box) -> dict[GraphArray, Box]:
        """See `Compute.inputs`: of tiles that are arrays of a dask graph, what is read of them for a box."""
        return self.inputs_of_boxes([box])[0]

    def inputs_of_boxes(self, boxes: Sequence[Box]) -> list[dict[GraphArray, Box]]:
        """See `Compute.inputs_of_boxes`; pairs of boxes and views are looked at all at once."""
        found: list[dict[GraphArray, Box]] = [{} for _ in boxes]
        if not self._from_graph or self.rule.method == "mask":
            return found
        volumes = [self.region(Box(box.start[2:], box.stop[2:])) for box in boxes]
        regions = np.array([(volume.start, volume.stop) for volume in volumes])
        numbers: dict[tuple[int, int], list[int]] = {}
        for number, box in enumerate(boxes):
            for place in itertools.product(range(box.start[0], box.stop[0]), range(box.start[1], box.stop[1])):
                numbers.setdefault(place, []).append(number)
        for place in self.tables.keys() & numbers.keys():
            table, mine = self.tables[place], np.array(numbers[place])
            which, rows = table.touching_pairs(regions[mine])
            starts, stops = regions[mine[which]].swapaxes(0, 1)
            read = kernels.views.source_boxes(table.views[rows], starts, stops - starts)
            if table.edges.to_data:
                read = surroundings(table, rows, read)
            pairs = zip(mine[which].tolist(), rows.tolist(), read.tolist(), strict=True)
            for number, row, (low, high) in pairs:
                unite(found[number], table.placed[row].pixels.inputs(Box(tuple(low), tuple(high))))
            if self.content is not None:
                some = (read[:, 1] > read[:, 0]).all(axis=1)
                for one in np.unique(which[some]).tolist():
                    volume = volumes[numbers[place][one]]
                    views = rows[some & (which == one)]
                    more = self.content.inputs(place, views, volume.start, volume.shape)
                    unite(found[numbers[place][one]], more)
        return found

    @cached_property
    def _from_graph(self) -> bool:
        views = (view for table in self.tables.values() for view in table.placed)
        return any(graph_array(view.pixels.source, 0) is not None for view in views)

    def facts_at(self, t: int, c: int) -> Any:
        """See `Compute.facts_at`: views and weights of that place, and all that every place has in common."""
        common = [one for one in fields(self) if one.metadata.get("fingerprint", True)]
        rules = {one.name: facts_of(getattr(self, one.name)) for one in common if one.name not in _BY_PLACE}
        table = self.tables.get((t, c))
        content = None if self.content is None or table is None else self.content.facts_at((t, c))
        return [type(self).__name__, self.VERSION, rules, None if table is None else facts_of(table), content]

    def region(self, box: Box) -> Box:
        """The region z, y, x of the image that decides about a box."""
        return box

    def _fuse(self, place: tuple[int, int], box: Box, out: NDArray[Any]) -> None:
        """Fuse a box z, y, x of a place (t, c) into `out`, in parts where its input would not fit."""
        table, method, region = self.tables.get(place), self.rule.method, self.region(box)
        if table is None or not table.touching(box).size:
            out[...] = self.rule.fill
            return
        rows = table.touching(region)
        views = table.views[rows]
        if method == "mask":
            out[...] = self.rule.fill
            kernels.mask.mask_block(views, box.start, out, _greatest(out.dtype))
            return
        boxes = kernels.views.source_boxes(views, region.start, region.shape)
        longest, needed = int(np.argmax(box.shape)), self._input_bytes(table, rows, boxes)
        if box.shape[longest] > SMALLEST_SIDE and needed + self.work_bytes(len(rows), region.shape) > self.part_bytes:
            for part in _halves(box, longest):
                self._fuse(place, part, out[part.shift([-v for v in box.start]).slices])
            return
        placed, length = kernels.views.place_views(views, boxes)
        read = (boxes[:, 1] > boxes[:, 0]).all(axis=1)
        pixels = self._pixels(table, rows[read], placed, length)
        content = None
        if self.content is not None:
            content = self.content.read(place, rows[read], region.start, region.shape)
        elif table.edges.to_data:
            with keeping(self.kept_bytes):
                content = data_weights(table, rows[read].tolist(), placed, pixels)
        self.mix(pixels, placed, content, box, out)

    def mix(
        self,
        pixels: NDArray[Any],
        placed: NDArray[np.void],
        content: tuple[NDArray[np.float32], NDArray[np.void]] | None,
        box: Box,
        out: NDArray[Any],
    ) -> None:
        """Make one image of what was read of the views for ``region(box)``; see `kernels.fuse.fuse_block`."""
        rule = self.rule
        kernels.fuse.fuse_block(
            pixels,
            placed,
            box.start,
            out,
            method=cast("Method", rule.method),  # no pixel is read for a mask
            contrast=content,
            fill=rule.fill,
            intensity_range=rule.intensity_range,
            interpolation=rule.interpolation,
            numerics=rule.numerics,
            rounding=rule.rounding,
        )

    def _pixels(self, table: ViewTable, rows: NDArray[np.int64], placed: NDArray[np.void], length: int) -> NDArray[Any]:
        """Read the source boxes of placed views one behind another; a single one is not copied again."""

        def read(row: int, view: Any) -> NDArray[Any]:
            start, shape = view["start"].tolist(), view["shape"].tolist()
            with keeping(self.kept_bytes):
                return table.placed[row].read(
                    Box(tuple(start), tuple(a + n for a, n in zip(start, shape, strict=True)))
                )

        if len(placed) == 1:
            return read(int(rows[0]), placed[0]).astype(self.input_dtype, copy=False).reshape(-1)
        pixels = np.empty(length, dtype=self.input_dtype)

        def put(one: tuple[int, Any]) -> None:
            kernels.views.source_part(pixels, one[1])[...] = read(*one)

        views = zip(rows.tolist(), placed, strict=True)
        with reading() if self._views_at_once > 1 else nullcontext():
            each(put, views, far=self._views_at_once > 1, most=self._views_at_once)
        return pixels

    def _input_bytes(self, table: ViewTable, rows: NDArray[np.int64], boxes: NDArray[np.int64]) -> int:
        """Memory for the input of a region: all source boxes, and the one that is being read a second time."""
        sizes = (boxes[:, 1] - boxes[:, 0]).prod(axis=1) * self.input_itemsize
        decoding = sizes * (1 + self._content_share()) + np.array(
            [self._in_flight(table.placed[row].pixels.chunk_bytes) for row in rows]
        )
        weights = work_bytes(table, rows, boxes) if table.edges.to_data else 0
        most = np.sort(decoding)[-self._views_at_once :].sum()
        return int(sizes.sum() * (1 + self._content_share()) + most) + self._content_chunk() + weights

    def _content_share(self) -> float:
        """Bytes of content-based weights for every byte of input, at most."""
        if self.content is None:
            return 0.0
        return self.content.density * np.dtype(np.float32).itemsize / self.input_itemsize

    def _content_chunk(self) -> int:
        """Bytes of a chunk of the content-based weights, encoded and decoded."""
        return 0 if self.content is None else 2 * math.prod(self.content.block) * np.dtype(np.float32).itemsize

    def work_bytes(self, views: int, shape: tuple[int, ...]) -> int:
        """Memory for a region of that shape besides the input of its views."""
        return 0

    def smallest_part(self, block: tuple[int, ...]) -> int:
        """Memory without which no part of a block is computed."""
        return SMALLEST_PART

    def statistics(self, block: tuple[int, ...]) -> BlockStatistics:
        """Views and input of the blocks of the image, for blocks t, c, z, y, x."""
        frame = next(iter(self.tables.values())).frame
        return block_statistics(self.tables.values(), frame.shape, int3(block[2:]), self.input_itemsize)

    def fitted(self, block: tuple[int, ...], room: int) -> FuseBlocks | None:
        """The same pixels in no more than `room` bytes for a block; None where that cannot be.

        Parameters
        ----------
        block : tuple of int
            t, c, z, y, x.
        room : int
            Bytes for output and input.
        """
        smallest = self.smallest_part(block)
        part = min(max(_LARGEST_PART, smallest), room - self.output_bytes(block))
        if part < smallest:
            return None
        pixels = sum(int(table.views["size"].prod(axis=1).sum()) for table in self.tables.values())
        kept = min(_MOST_KEPT, part // 4, 2 * pixels * self.input_itemsize)
        return replace(self, part_bytes=part - kept, kept_bytes=kept)

    def least_bytes(self, block: tuple[int, ...]) -> int:
        """Memory without which no block is computed."""
        return self.output_bytes(block) + self.smallest_part(block)

    def output_bytes(self, block: tuple[int, ...]) -> int:
        """Memory for the pixels of a block, and for what becomes of them on their way out."""
        return int(_COPIES_OF_OUTPUT * math.prod(block) * np.dtype(self.rule.dtype).itemsize)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory that a block needs at most: output and its encoded copy, input, and chunks that are kept."""
        whole = self.reading_bytes(self.statistics(block).most_input)
        if any(table.edges.to_data for table in self.tables.values()):
            whole = self.part_bytes  # what is read around a block is cut to fit
        return self.output_bytes(block) + self.kept_bytes + min(self.part_bytes, whole)

    def reading_bytes(self, most_input: int) -> int:
        """Memory for input of that size: decoded, while it is put together, and chunks that are being read."""
        chunks = [view.pixels.chunk_bytes for table in self.tables.values() for view in table.placed]
        whole = 2 * (1 + self._content_share()) * most_input
        return int(whole) + self._views_at_once * self._in_flight(max(chunks, default=0)) + self._content_chunk()

    @cached_property
    def _views_at_once(self) -> int:
        """Views of a block that are read at the same time: some, where they are waited for."""
        return _VIEWS_AT_ONCE if any(map(is_address, self.paths)) else 1

    def _in_flight(self, chunk_bytes: int) -> int:
        """Memory for chunks of a view that are being read."""
        ahead = AHEAD_BYTES if self._views_at_once > 1 else 0
        return max(_CHUNKS_IN_FLIGHT * chunk_bytes, min(ahead, MOST * chunk_bytes))

    def warm_up(self) -> None:
        """Compile the kernel for the pixel types of input and output."""
        if self.rule.method != "mask":
            kernels.fuse.warm_up(self.input_dtype, self.rule.dtype)


def _greatest(dtype: np.dtype[Any]) -> float:
    """Value of a mask where a view covers: the greatest of the type, as BigStitcher's mask images have it."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def _halves(box: Box, axis: int) -> tuple[Box, Box]:
    middle = box.start[axis] + box.shape[axis] // 2
    stop, start = list(box.stop), list(box.start)
    stop[axis] = start[axis] = middle
    return Box(box.start, tuple(stop)), Box(tuple(start), box.stop)
