"""Stages: one step of a plan with outputs on one grid; picklable, and ignorant of what it computes."""

from __future__ import annotations

import functools
import importlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from fusestack.model.amounts import counted, size, span_xyz
from fusestack.model.clock import reading
from fusestack.model.geometry import Box
from fusestack.model.recent import read_back

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fusestack.model.graph_array import GraphArray
    from fusestack.model.grid import Grid
    from fusestack.model.image import ImageSpec


_AT_ONCE = 256
"""Blocks whose inputs are looked at together."""


class Compute:
    """The pixels of a stage: a frozen dataclass that reads storage and never writes.

    Its fields are all that its pixels depend on. Where it reads what other stages wrote, a field (at any depth) is a
    `StoredArray`: from these come the stages it needs, and its edges in the graph. Its class, its `VERSION` and its
    fields make its fingerprint (`fusestack.model.fingerprint.facts_of`).
    """

    VERSION: ClassVar[int] = 1
    """Raised whenever the class computes something else than before."""

    def __call__(self, box: Box) -> NDArray[Any] | None:
        """Compute the pixels of a region t, c, z, y, x; None where there is nothing but the fill value."""
        raise NotImplementedError

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory that a block of this shape needs at most, beside what is held for it: inputs, work, encoded output."""
        raise NotImplementedError

    @property
    def paths(self) -> Sequence[str]:
        """Files and containers that it reads, beside stored arrays; blocks wait for those behind addresses."""
        return ()

    def reaches(self) -> Mapping[StoredArray, Reach]:
        """What a block reads of the arrays among its fields; one that is not named is read whole."""
        return {}

    @property
    def shares(self) -> Hashable:
        """Stages of the same value: tasks make blocks of one place together, as threads remember what is shared."""
        return None

    def inputs(self, box: Box) -> Mapping[GraphArray, Box]:
        """What a box reads of arrays that tasks of a dask graph make (tiles that are dask arrays, for example)."""
        return {}

    def inputs_of_boxes(self, boxes: Sequence[Box]) -> Sequence[Mapping[GraphArray, Box]]:
        """`inputs` of each of many boxes; computes that can look at all of them at once do."""
        return [self.inputs(box) for box in boxes]

    def held_bytes(self, grid: Grid) -> int:
        """Memory of the chunks of `inputs` that are held for a block of a grid, at most."""
        if not self.inputs(Box.of_shape(grid.shape)):
            return 0
        most = 0
        for first in range(0, grid.count, _AT_ONCE):
            boxes = [grid.box(number) for number in range(first, min(first + _AT_ONCE, grid.count))]
            held = (sum(array.held_bytes(box) for array, box in read.items()) for read in self.inputs_of_boxes(boxes))
            most = max(most, *held)
        return most

    def facts_at(self, t: int, c: int) -> Any:
        """What the pixels of one place along t and c depend on, whatever else there is; None where nobody can say."""
        return None

    def warm_up(self) -> None:
        """Compile what the calls need, before the clock runs."""
        return


class Reduction(Compute):
    """A compute whose blocks can be put together from blocks of the array below it while these are in memory."""

    below: StoredArray
    factors: tuple[int, int, int]
    """Pixels of the array below in one pixel, z, y, x."""

    def part(self, pixels: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """The part that pixels of the array below become, as the call would have it; None where it is blank.

        Parameters
        ----------
        pixels : array[t, c, z, y, x] or None
            Begin at a multiple of the factors; None where they are blank.
        shape : tuple of int
            Of the part, t, c, z, y, x; pixels beyond it are not used.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Written:
    """What was stored of a block: bytes, and one number that the bytes of its files and their names give.

    Sums do not depend on the order of the files.
    """

    bytes: int = 0
    digest: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(self.bytes + other.bytes, self.digest ^ other.digest)


class ImageWriter(Protocol):
    """Pixels out: one image of one format; resolved from ``Target.writer``, opened where it is used."""

    def create(self) -> None:
        """Make the container and its metadata; does nothing where they are already there."""
        ...

    def write(self, level: int, box: Box, pixels: NDArray[Any]) -> Written:
        """Store one whole block; returns what was handed to the store. Safe to repeat."""
        ...

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read back any region of a level, also before `finish`."""
        ...

    def finish(self, options: Mapping[str, Any], check: Callable[[], None] = ...) -> None:
        """Complete the image once every block of every level is written; safe to repeat.

        `check` is called before anything appears in the place of what is there, and may refuse.
        """
        ...

    def remove(self) -> None:
        """Delete what this writer makes: the files that it can name, no others, none through a link."""
        ...

    def check_removable(self) -> None:
        """Refuse what `remove` would refuse, since somebody else made it; changes nothing."""
        ...

    def is_marked(self) -> bool:
        """Whether what is there says itself that fusestack made it."""
        ...

    def keep(self, levels: int) -> None:
        """Keep the first levels of an earlier image that `levels_kept` allows, and delete the rest."""
        ...

    def levels_kept(self, levels: int) -> int:
        """How many of the first levels of an earlier image could be kept."""
        ...

    def adapts(self) -> bool:
        """Whether `adapt` can make an image of an earlier one."""
        ...

    def adapt(self, before: ImageSpec) -> None:
        """Make metadata anew of an image whose blocks stay: it has more timepoints or channels, or other names."""
        ...

    def exists(self) -> bool:
        """Whether anything is there of what this writer makes, finished or not."""
        ...

    def stored(self, level: int) -> NDArray[np.int64]:
        """Bytes that are there of every block, by listing; -1 where blocks have no files of their own (any more)."""
        ...

    def files(self, level: int, box: Box) -> list[str]:
        """Paths of the files that a block may have, or of the one that it lies in."""
        ...

    def digest(self, level: int, box: Box) -> Written | None:
        """What is there of a block, read: as `write` gave it; None where that cannot be known any more."""
        ...

    def erase(self, level: int, box: Box) -> None:
        """Delete the files of a block, where it has some of its own; it is to be written anew."""
        ...

    def whole(self) -> dict[str, int]:
        """Bytes of the finished files, where blocks have none of their own; 0 for one that is not there."""
        ...

    def missing(self) -> list[str]:
        """Paths of metadata that are gone, damaged or of other pixels, and that `create` can make again."""
        ...


@dataclass(frozen=True)
class Target:
    """Where a stage writes: ``"module:Class"`` of the writer, the image, the level, and room for its own files.

    Parameters
    ----------
    writer : str
        Called as ``Class(spec, work)``; resolved when a block is written.
    image : ImageSpec
    level : int
    work : str
        Folder for files that are not the product (ledgers, unfinished HDF5 blocks).
    """

    writer: str
    image: ImageSpec
    level: int
    work: str

    def open(self) -> ImageWriter:
        """Resolve and construct the writer, once per process."""
        return _open_writer(self.writer, self.image, self.work)


@dataclass(frozen=True)
class Along:
    """What a block reads along one axis of an array: its own span times `factor`, and a halo.

    Parameters
    ----------
    factor : float
        Pixels of the array in one pixel of the block.
    low, high : int
        Pixels of the array before and behind.
    """

    factor: float = 1
    low: int = 0
    high: int = 0

    def span(self, start: int, stop: int, size: int) -> tuple[int, int]:
        """First and last (exclusive) pixel that is read of an axis of `size` pixels; at least one."""
        first = min(max(0, math.floor(start * self.factor) - self.low), size - 1)
        return first, max(first + 1, min(size, math.ceil(stop * self.factor) + self.high))


Reach: TypeAlias = "tuple[Along | None, ...]"
"""What a block reads of an array along t, c, z, y, x; None is the whole axis."""


@dataclass(frozen=True, repr=False)
class StoredArray:
    """An array ``[t, c, z, y, x]`` that a stage writes, as others read it: the one handle of stored pixels.

    Parameters
    ----------
    target : Target
    key : str
        Of the stage that writes it.
    fingerprint : str
        Of that stage.
    """

    target: Target
    key: str
    fingerprint: str

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        place = f"level {self.target.level} of {self.target.image.path.rpartition('/')[2]}"
        return f"<StoredArray {self.key}: {self.dtype} {self.shape}, {place}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along t, c, z, y, x."""
        return self.target.image.levels[self.target.level].shape

    @property
    def dtype(self) -> str:
        """Type of its pixels."""
        return self.target.image.dtype

    def read(self, box: Box) -> NDArray[Any]:
        """Pixels of a box t, c, z, y, x.

        Raises
        ------
        OutputError
            If the store is not there or damaged.
        """
        with reading():
            return read_back(self.target, box)


@dataclass(frozen=True, repr=False)
class Stage:
    """One step of a plan.

    Parameters
    ----------
    name : str
        ``fuse`` or ``pyramid/1``; unique together with the target's path.
    grid : Grid
        Blocks of the target level, t, c, z, y, x.
    compute : Compute
    target : Target
    fingerprint : str
        Hash of options, algorithm version, inputs and the stages before it.
    peak_bytes : int
        Memory that one block needs at most: inputs, also those that are held for it, work, output and encoded output.
    needs : tuple of str
        Keys of the stages whose targets it reads.
    held_bytes : int
        How much of `peak_bytes` are chunks of arrays of a dask graph; 0 where none is read.
    """

    name: str
    grid: Grid
    compute: Compute
    target: Target
    fingerprint: str
    peak_bytes: int
    needs: tuple[str, ...] = ()
    held_bytes: int = 0

    def __repr__(self) -> str:
        blocks, what = counted(self.grid.count, "block"), f"{self.target.image.dtype} {self.grid.shape}"
        return f"<Stage {self.key}: {blocks} of {what}, {size(self.peak_bytes)} of memory each>"

    @property
    def nbytes(self) -> int:
        """Bytes of what it writes, uncompressed."""
        return math.prod(self.grid.shape) * self.target.image.itemsize

    @property
    def key(self) -> str:
        """Name of the stage for ledgers and logs, safe as a file name."""
        return f"{self.name.replace('/', '-')}-{self.fingerprint[:12]}"

    def place(self, block: int) -> str:
        """A block for people: ``stage fuse, block 3 (x 0..63, ...)``."""
        return f"stage {self.name}, block {block} ({span_xyz(self.grid.box(block))})"

    @property
    def array(self) -> StoredArray:
        """What it writes, for the stages that read it."""
        return StoredArray(self.target, self.key, self.fingerprint)


@dataclass(frozen=True)
class BlockFailure:
    """What went wrong with a block: a value, not an exception that crosses machines.

    Parameters
    ----------
    block : int
    place : str
        Stage, block and region, for people.
    error : str
        In one sentence.
    details : str
        Traceback.
    hopeless : bool
        The store refuses (full disk, no permission): other blocks will fail alike.
    exhausted : bool
        There was not memory enough.
    """

    block: int
    place: str
    error: str
    details: str = field(default="", repr=False)
    hopeless: bool = False
    exhausted: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.error}"


@functools.lru_cache(maxsize=64)
def _open_writer(writer: str, image: ImageSpec, work: str) -> ImageWriter:
    made: ImageWriter = resolve(writer)(image, work)
    return made


def forget_writers() -> None:
    """Have writers opened anew."""
    _open_writer.cache_clear()


def resolve(name: str) -> Any:
    """Import the object that ``"module:attribute"`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
