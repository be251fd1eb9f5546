"""What the writers share: errors with a way out, padded chunks of a block, checks of alignment."""

from __future__ import annotations

import errno
import glob
import os
import re
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import FusestackError, OutputError
from fusestack.model.grid import Grid
from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.image import ImageSpec

_UNFINISHED = re.compile(r"(?:[0-9a-f]{8}\.)?partial")
_WAY_OUT = {
    errno.ENOSPC: "free some space and run again: finished blocks are kept",
    errno.EFBIG: "the file system holds no files of this size: choose another output.path",
    errno.EDQUOT: "free some space and run again: finished blocks are kept",
    errno.EACCES: "give write permission or choose another output.path",
    errno.EPERM: "give write permission or choose another output.path",
    errno.EROFS: "choose an output.path on a file system that can be written",
    errno.ENOTDIR: "a file stands where a folder is needed: choose another output.path",
    errno.EEXIST: "a file stands where a folder is needed: choose another output.path",
    errno.ELOOP: "put a folder in its place, or choose another output.path",
    errno.EISDIR: "a folder stands where a file is needed: choose another output.path",
}


@contextmanager
def output_errors(path: object, doing: str = "cannot be written") -> Iterator[None]:
    """Turn errors of the operating system, also those that HDF5 wraps, into `OutputError` with path and way out."""
    try:
        yield
    except FusestackError:
        raise
    except (OSError, RuntimeError) as error:
        wrapped = re.search(r"errno = (\d+)", str(error))  # HDF5 has it only in its text
        number = getattr(error, "errno", None) or (int(wrapped[1]) if wrapped else 0)
        way_out = getattr(error, "way_out", None) or _WAY_OUT.get(number, "check the path and run again")
        cause = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: {doing}: {cause}; {way_out}") from error


def refuse_link(path: Path, key: str = "output.path") -> None:
    """Refuse a symbolic link in the place of what is to be written.

    Raises
    ------
    OutputError
    """
    if path.is_symlink():
        raise OutputError(link_refused(path, key))


def link_refused(path: object, key: str = "output.path") -> str:
    """What is said of a symbolic link in the place of what is to be written."""
    return (
        f"{path}: is a symbolic link, which is neither followed nor replaced, and is left alone: choose another {key}, "
        "such as the place it leads to, or remove the link"
    )


def appear(path: Path, make: Callable[[Path], None], check: Callable[[], None]) -> None:
    """Let a file that cannot be written in one step appear in one, by a rename.

    Parameters
    ----------
    path : Path
    make : callable
        Makes it at a hidden path beside, which nobody else uses.
    check : callable
        Called when it is whole; may refuse.

    Raises
    ------
    OutputError
        If the disk refuses; what was made is deleted.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    with output_errors(path):
        forget_unfinished(path)
        try:
            make(partial)
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
            check()
            take_place(partial, path)
        except (OSError, RuntimeError):
            partial.unlink(missing_ok=True)
            raise


def forget_unfinished(path: Path) -> None:
    """Delete what kills have left of `appear`."""
    hidden = f".{path.name}."
    for left in path.parent.glob(f"{glob.escape(hidden)}*partial"):
        if _UNFINISHED.fullmatch(left.name.removeprefix(hidden)):
            left.unlink(missing_ok=True)


def unchecked() -> None:
    """Nothing is to be checked before a finished image appears."""


def settings_differ(path: object, what: str) -> OutputError:
    """Error for an output that exists and was made with other settings."""
    return OutputError(
        f"{path}: exists with another {what}: set output.overwrite to true or choose another output.path"
    )


def check_block(spec: ImageSpec, level: int, box: Box, pixels: NDArray[Any]) -> None:
    """Refuse pixels that are not whole shards (or chunks): two tasks would then write the same file.

    Raises
    ------
    ValueError
        If the box is not aligned, or the pixels do not have its shape and the type of the image.
    """
    grid = spec.levels[level]
    unit = grid.shards or grid.chunks
    for start, stop, step, size in zip(box.start, box.stop, unit, grid.shape, strict=True):
        if start % step or not (stop % step == 0 or stop == size) or not 0 <= start < stop <= size:
            raise ValueError(f"{spec.path}: level {level}: {box} is not made of whole shards {unit} of {grid.shape}")
    if pixels.shape != box.shape or pixels.dtype != np.dtype(spec.dtype):
        raise ValueError(
            f"{spec.path}: level {level}: got {pixels.dtype}{pixels.shape}, expected {spec.dtype}{box.shape}"
        )


def parts_of(box: Box, unit: Sequence[int], pixels: NDArray[Any]) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Cut a block into shards (or chunks).

    Parameters
    ----------
    box : Box
        The block; starts at a border of `unit`.
    unit : sequence of int
    pixels : array
        Of the block.

    Yields
    ------
    tuple of int, array
        Index of the part in its image, and its pixels.
    """
    cut = Grid(box.shape, tuple(unit))
    for number in range(cut.count):
        part = cut.box(number)
        yield tuple((a + b) // n for a, b, n in zip(box.start, part.start, unit, strict=True)), pixels[part.slices]


class KeepsNoLevels:
    """A writer whose levels cannot be kept where others are exchanged, and whose images do not grow."""

    spec: ImageSpec

    def adapts(self) -> bool:
        """Whether an earlier image can become another one: no."""
        return False

    def adapt(self, before: ImageSpec) -> None:
        """Refuse: see `adapts`."""
        raise ValueError(f"{self.spec.path}: images of this format are not made of {before.path}")

    def levels_kept(self, levels: int) -> int:
        """Levels that could be kept: none."""
        return 0

    def keep(self, levels: int) -> None:
        """Refuse: see `levels_kept`."""
        raise ValueError(f"{self.spec.path}: levels of this format are not kept")


def padded_chunks(pixels: NDArray[Any], chunk: Sequence[int], fill: float) -> Iterator[NDArray[Any] | None]:
    """Cut pixels into chunks, the last axis fastest.

    Yields
    ------
    array[chunk] or None
        Contiguous, little-endian, padded with `fill` at the far edges; None where every bit is that of `fill`.
    """
    dtype = pixels.dtype.newbyteorder("<")
    blank = np.full(1, fill, dtype)
    bits = f"<u{dtype.itemsize}"
    grid = Grid(pixels.shape, tuple(chunk))
    for number in range(grid.count):
        part = pixels[grid.box(number).slices]
        if part.shape == grid.block:
            padded = np.ascontiguousarray(part, dtype=dtype)
        else:
            padded = np.full(grid.block, fill, dtype)
            padded[tuple(slice(n) for n in part.shape)] = part
        # Bits, not values: -0.0 and 0.0 must not depend on what else is in the chunk.
        same = padded.flat[0].tobytes() == blank.tobytes() and bool((padded.view(bits) == blank.view(bits)).all())
        yield None if same else padded
