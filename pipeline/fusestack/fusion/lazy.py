"""Fused images as dask arrays whose tasks are made when they are asked for."""

from __future__ import annotations

import itertools
import math
import pickle
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import cloudpickle
import dask.array
import numpy as np
from dask._task_spec import DataNode, Task, TaskRef
from dask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer

from fusestack.model.errors import InputError
from fusestack.model.fingerprint import digest, facts_of
from fusestack.model.geometry import Box
from fusestack.model.graph_array import GraphArray, holding
from fusestack.model.image import Codec, ImageSpec
from fusestack.model.stage import Compute
from fusestack.planning.layout import cut_levels
from fusestack.planning.levels import int3
from fusestack.planning.pyramid import block_means, propose_factors, source_box

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence, Set

    from numpy.typing import NDArray

    from fusestack.fusion.design import DesignedImage
    from fusestack.model.geometry import Int3

_Key: TypeAlias = tuple[Any, ...]
_Place: TypeAlias = tuple[str, tuple[int, ...]]
"""Name of an array, and the first pixel of a chunk of it."""

_MADE_BY = "compute"
_NAME = "fused"


@dataclass(frozen=True)
class ChunkCompute:
    """What makes the chunks of a lazy array: a result of one task, which all others are given.

    Parameters
    ----------
    compute : Compute
    dtype : str
    fill : float
        Value of blocks that the compute leaves blank.
    """

    compute: Compute
    dtype: str
    fill: float

    def __call__(self, box: Box, places: Sequence[_Place], *held: NDArray[Any]) -> NDArray[Any]:
        """Compute a chunk.

        Parameters
        ----------
        box : Box
            t, c, z, y, x.
        places : sequence of (str, tuple of int)
            Array and first pixel of each of `held`.
        *held : array
            Chunks of the arrays that the compute reads.
        """
        arrays: dict[str, list[tuple[tuple[int, ...], NDArray[Any]]]] = {}
        for (name, start), pixels in zip(places, held, strict=True):
            arrays.setdefault(name, []).append((start, pixels))
        with holding(arrays):
            found = self.compute(box)
        return np.full(box.shape, self.fill, self.dtype) if found is None else found


_Made: TypeAlias = "tuple[ChunkCompute, DesignedImage | None]"


class LazyLayer(Layer):  # type: ignore[misc]
    """A layer of a dask graph that makes a task when it is asked for its key: one for each chunk of an array.

    It takes no time to make and no memory, however many chunks there are. Chunks are computed by one task each, from
    files, or from chunks of the arrays that `Compute.inputs` names; the compute itself is the result of one more task.

    Parameters
    ----------
    name : str
        Of the dask array.
    chunk : ChunkCompute
    shape : tuple of int
        t, c, z, y, x.
    block : tuple of int
        Chunk, t, c, z, y, x; the last ones along an axis are smaller.
    image : DesignedImage or None
        What is shown, where that is a whole fused image.
    reads : bool
        Whether the compute reads arrays of a dask graph.

    Notes
    -----
    Where it travels (to a scheduler, for every computation), what computes travels compressed, and is made again only
    by who needs it: of 20,000 tiles it is 1 MB instead of 14, and not 1 s of the scheduler.
    """

    has_legacy_tasks = False  # asking the base class makes all tasks

    def __init__(
        self,
        name: str,
        chunk: ChunkCompute,
        shape: tuple[int, ...],
        block: tuple[int, ...],
        image: DesignedImage | None = None,
        *,
        reads: bool,
    ) -> None:
        super().__init__()
        self.name, self.shape, self.block = name, shape, block
        self._reads = reads
        self._made: _Made | None = (chunk, image)
        self._packed = b""
        self._travelled = False

    def __getstate__(self) -> dict[str, Any]:
        if not self._packed:  # once, however often it is computed
            self._packed = zlib.compress(cloudpickle.dumps(self._made), 1)
        return {**self.__dict__, "_made": None, "_travelled": True}

    @property
    def _unpacked(self) -> _Made:
        if self._made is None:
            self._made = _unpack(self._packed)
        return self._made

    @property
    def chunk(self) -> ChunkCompute:
        """What makes the chunks."""
        return self._unpacked[0]

    @property
    def image(self) -> DesignedImage | None:
        """What is shown, where that is a whole fused image."""
        return self._unpacked[1]

    @property
    def _made_by(self) -> _Key:
        return (self.name, _MADE_BY)

    @property
    def _counts(self) -> tuple[int, ...]:
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    def is_materialized(self) -> bool:
        """Never: no task is kept."""
        return False

    def get_output_keys(self) -> Set[Any]:
        """Keys of all tasks, as a set that takes no memory."""
        keys: Set[Any] = self.keys()
        return keys

    def __len__(self) -> int:
        return math.prod(self._counts) + 1

    def __iter__(self) -> Iterator[_Key]:
        yield self._made_by
        for index in itertools.product(*map(range, self._counts)):
            yield (self.name, *index)

    def __contains__(self, key: object) -> bool:
        if key == self._made_by:
            return True
        if not isinstance(key, tuple) or len(key) != 1 + len(self.shape) or key[0] != self.name:
            return False
        return all(isinstance(i, int) and 0 <= i < n for i, n in zip(key[1:], self._counts, strict=True))

    def __getitem__(self, key: _Key) -> DataNode | Task:
        if key not in self:
            raise KeyError(key)
        if key == self._made_by:
            return Task(key, _unpack_chunk, self._packed) if self._travelled else DataNode(key, self.chunk)
        box = self.box(key[1:])
        read = self.chunk.compute.inputs(box) if self._reads else {}
        chunks = [found for array, part in read.items() for found in array.keys(part)]
        places = tuple((chunk[0], start) for chunk, start in chunks)
        return Task(key, _call, TaskRef(self._made_by), box, places, *(TaskRef(chunk) for chunk, _ in chunks))

    def box(self, index: Sequence[int]) -> Box:
        """Pixels of a chunk, t, c, z, y, x."""
        start = tuple(i * b for i, b in zip(index, self.block, strict=True))
        return Box(start, tuple(min(a + b, n) for a, b, n in zip(start, self.block, self.shape, strict=True)))

    def cull(self, keys: set[Any], all_hlg_keys: Collection[Any]) -> tuple[Layer, Mapping[Any, set[Any]]]:
        """Make the tasks of some keys, and say what they depend on."""
        wanted = [key for key in keys if key in self and key != self._made_by]
        if not wanted and self._made_by not in keys:
            return MaterializedLayer({}), {}
        # First, so that dask goes on looking for its key: when no key is left, it keeps all the layers that are left.
        tasks = {self._made_by: self[self._made_by], **{key: self[key] for key in wanted}}
        return MaterializedLayer(tasks, self.annotations), {key: set(task.dependencies) for key, task in tasks.items()}

    def __repr__(self) -> str:
        return f"<LazyLayer {self.name}: {' x '.join(map(str, self._counts))} chunks>"


def _unpack(packed: bytes) -> _Made:
    made: _Made = pickle.loads(zlib.decompress(packed))
    return made


def _unpack_chunk(packed: bytes) -> ChunkCompute:
    return _unpack(packed)[0]


def _call(chunk: ChunkCompute, box: Box, places: Sequence[_Place], *held: NDArray[Any]) -> NDArray[Any]:
    return chunk(box, places, *held)


def lazy_image(image: DesignedImage, chunks: Int3) -> dask.array.Array:
    """A fused image as a dask array; nothing is computed, and no task is made.

    Parameters
    ----------
    image : DesignedImage
    chunks : (int, int, int)
        Pixels of a chunk, z, y, x; one timepoint and channel each.

    Returns
    -------
    dask.array.Array
        ``[t, c, z, y, x]``. Its name is made of all that its pixels depend on.

    Raises
    ------
    InputError
        If tiles are arrays of a dask graph that stayed behind in another process.
    """
    compute = image.compute
    chunk = ChunkCompute(compute, image.dtype, compute.rule.fill)
    return _lazy_array(_NAME, chunk, image.shape, chunks, compute.paths, image)


def _lazy_array(
    prefix: str,
    chunk: ChunkCompute,
    shape: tuple[int, ...],
    chunks: Int3,
    files: Sequence[str] = (),
    image: DesignedImage | None = None,
) -> dask.array.Array:
    block = (1, 1, *(min(n, size) for n, size in zip(chunks, shape[2:], strict=True)))
    facts = [facts_of(chunk.compute), chunk.dtype, chunk.fill, shape, block, files]
    name = f"{prefix}-{digest(facts)[:32]}"
    read = list(chunk.compute.inputs(Box.of_shape(shape)))
    for array in read:
        if array.collection is None:
            raise InputError(
                f"array {array.name}: its dask graph stayed behind where the tile was made; "
                "make the tiles of arrays in the process that fuses them"
            )
    layer = LazyLayer(name, chunk, shape, block, image, reads=bool(read))
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[array.collection for array in read])
    cut = dask.array.core.normalize_chunks(block, shape, dtype=chunk.dtype)
    return dask.array.Array(graph, name, cut, dtype=chunk.dtype, meta=np.empty((0,) * 5, chunk.dtype))


def compute_of(array: dask.array.Array) -> DesignedImage | None:
    """What a dask array shows, if it is exactly a lazy image: not cut, not computed with, not persisted.

    Returns
    -------
    DesignedImage or None
        None also where the image reads arrays of a dask graph and comes from another process: it knows them by name
        only, and only the graph of `array` has them.
    """
    layer = array.dask.layers.get(array.name) if isinstance(array, dask.array.Array) else None
    if not isinstance(layer, LazyLayer) or layer.image is None:
        return None
    read = layer.image.compute.inputs(Box.of_shape(layer.shape))
    return None if any(one.collection is None for one in read) else layer.image


@dataclass(frozen=True)
class LevelMean(Compute):
    """Pixels of a level: rounded means of blocks of the lazy level below it, in the numbers of `BlockMean`.

    Parameters
    ----------
    below : GraphArray
        ``[t, c, z, y, x]``.
    factors : (int, int, int)
        Pixels of that level in one pixel of this one, z, y, x.
    """

    VERSION: ClassVar[int] = 1

    below: GraphArray
    factors: Int3

    def __call__(self, box: Box) -> NDArray[Any]:
        """Compute a region t, c, z, y, x."""
        (read,) = self.inputs(box).values()
        return block_means(self.below.read(read), self.factors, box.shape)

    def inputs(self, box: Box) -> dict[GraphArray, Box]:
        """Whole blocks of pixels of the level below."""
        return {self.below: source_box(box, self.factors, self.below.shape)}


def lazy_levels(
    level0: dask.array.Array, image: DesignedImage, chunks: Int3
) -> tuple[ImageSpec, tuple[dask.array.Array, ...]]:
    """An image and its coarser levels, each made lazily of the one below: those of ``pyramid: auto``, and their pixels.

    A chunk of a coarse level is computed from the full resolution; keep what is looked at often with ``persist``.

    Parameters
    ----------
    level0 : dask.array.Array
        Of `lazy_image`.
    image : DesignedImage
    chunks : (int, int, int)
        Pixels of a chunk of every level, z, y, x.

    Returns
    -------
    ImageSpec
        Where every level lies.
    tuple of dask.array.Array
        ``[t, c, z, y, x]``, level 0 first.
    """
    factors = propose_factors(image.frame.shape, image.anisotropy)
    spec = ImageSpec(
        path="",
        name=image.title,
        dtype=image.dtype,
        levels=cut_levels(image.shape, factors, chunks, None, sharded=False),
        codec=Codec(),
        pixel_size=image.pixel_size,
        origin=image.origin,
        unit=image.unit,
        timepoints=image.timepoints,
        channels=image.channels,
        fill=image.compute.rule.fill,
    )
    levels = [level0]
    for below, level in itertools.pairwise(spec.levels):
        relative = int3(f // b for f, b in zip(level.factors, below.factors, strict=True))
        mean = LevelMean(GraphArray.of(levels[-1]), relative)
        chunk = ChunkCompute(mean, image.dtype, spec.fill)
        levels.append(_lazy_array(f"{_NAME}-level{len(levels)}", chunk, level.shape, chunks))
    return spec, tuple(levels)
