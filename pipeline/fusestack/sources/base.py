"""What every pixel source is, and the one way to open one."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias

import numpy as np

from fusestack.model.amounts import counted
from fusestack.model.errors import FusestackError, InputError
from fusestack.model.geometry import Box
from fusestack.model.stage import resolve
from fusestack.model.view import SourceLevel as SourceLevel  # noqa: TC001 -- all sources have it from here
from fusestack.storage import identity_of, is_address, is_container, open_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from fusestack.model.view import SourceRef

PIXEL_TYPES = ("uint8", "uint16", "int16", "uint32", "float32")
"""Pixel types that are read; others are refused when a source is opened."""


class PixelSource(Protocol):
    """Pixels in: reads boxes of levels of one 3-D image. Opening reads metadata only."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order: uint8, uint16, int16, uint32 or float32."""
        ...

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions, full resolution first."""
        ...

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) that lies inside the level: a C-contiguous array of `dtype`.

        Raises
        ------
        InputError
            If the pixels cannot be read; names the file and the dataset.
        """
        ...

    def stored_chunk(self, level: int) -> Box | None:
        """Part of a level that is decoded in one piece and is stored; None if nothing of the level is.

        Raises
        ------
        InputError
            If that cannot be told.
        """
        ...


def files_of(source: PixelSource) -> tuple[str, ...]:
    """Files that a source reads beside the one that it was opened with: members of a set."""
    found: tuple[str, ...] = getattr(source, "files", ())
    return found


def pixel_dtype(dtype: DTypeLike, where: str) -> np.dtype[Any]:
    """Pixel type of a source in native byte order.

    Parameters
    ----------
    dtype : dtype or str
        As stored, in any byte order.
    where : str
        File and dataset, for the message.

    Raises
    ------
    InputError
        If it is none of `PIXEL_TYPES`.
    """
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in PIXEL_TYPES:
        raise InputError(
            f"{where}: pixels of type {name} are not read; convert them to one of {', '.join(PIXEL_TYPES)}"
        )
    return np.dtype(name)


def check_exists(path: str) -> None:
    """Make sure that a local file or folder is there; addresses are asked when they are opened.

    Raises
    ------
    InputError
        If nothing is there.
    """
    if not is_address(path) and not Path(path).exists():
        raise InputError(f"{path}: no such file or folder; check the path, or restore what was moved")


def opened_file(path: str) -> BinaryIO:
    """Open a local file or an object to read parts of it.

    Raises
    ------
    InputError
        If it is not there or cannot be reached.
    """
    check_exists(path)
    with input_errors(path, "cannot be opened", "check the address and the credentials"):
        return open_file(path)


def select_index(where: str, axis: str, length: int, index: int) -> int:
    """Index along an axis of a file that may hold one image only: 0 where it does, whatever was asked for.

    Raises
    ------
    InputError
        If the file holds several images along `axis` and `index` is none of them.
    """
    if length == 1:
        return 0
    if not 0 <= index < length:
        raise InputError(f"{where}: has {length} {axis}s, 0 to {length - 1}, and no {axis} {index}; correct the {axis}")
    return index


def last_chunk(level: SourceLevel) -> Box:
    """Region (z, y, x) of the last chunk of a level: what a file that is cut has lost first."""
    z, y, x = ((n - 1) // c * c for n, c in zip(level.shape, level.chunks, strict=True))
    return Box((z, y, x), level.shape)


def check_box(where: str, levels: tuple[SourceLevel, ...], level: int, box: Box) -> None:
    """Refuse a read that does not lie inside the level.

    Raises
    ------
    ValueError
        It is a mistake of the caller, not of the file.
    """
    if not 0 <= level < len(levels):
        raise ValueError(f"{where}: level {level} of {len(levels)}")
    shape = levels[level].shape
    if len(box.start) != 3 or any(not 0 <= a <= b <= n for a, b, n in zip(box.start, box.stop, shape, strict=True)):
        raise ValueError(f"{where}: {box} is not inside level {level} of shape {shape}")


@contextmanager
def input_errors(where: str, what: str, way_out: str) -> Iterator[None]:
    """Turn whatever a library raises on damaged data into `InputError` with place, cause and way out.

    Libraries of formats raise nearly every class there is on a torn file; only lack of memory is passed on.
    """
    try:
        yield
    except (FusestackError, MemoryError):
        raise
    except Exception as error:
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        way_out = getattr(error, "way_out", way_out)  # of a store that refuses
        raise InputError(f"{where}: {what} ({' '.join(cause.split())}); {way_out}") from error


def excludable(found: Iterable[tuple[str, str]], count: int) -> list[str]:
    """Problems of views, each said once for all views that have it, and with the way to do without them.

    Parameters
    ----------
    found : iterable of (str, str)
        Name of a view, such as ``(timepoint 0, setup 3)``, or an empty one; and what is wrong with it.
    count : int
        Of all views: without all of them there is nothing left.

    Examples
    --------
    >>> excludable([("(timepoint 0, setup 0)", "a.h5: is gone"), ("(timepoint 0, setup 1)", "a.h5: is gone")], 2)
    ['2 views, (timepoint 0, setup 0) to (timepoint 0, setup 1): a.h5: is gone']
    """
    views: dict[str, list[str]] = {}
    for view, problem in found:
        views.setdefault(problem, []).extend([view] if view else [])
    return [_of_views(names, problem, count) for problem, names in views.items()]


def _of_views(names: Sequence[str], problem: str, count: int) -> str:
    if not names:
        return problem
    them = "it" if len(names) == 1 else "them"
    others = f", or leave {them} out: name the others in input.select.views (or its setups, tiles ...)"
    where = f"view {names[0]}" if len(names) == 1 else f"{counted(len(names), 'view')}, {names[0]} to {names[-1]}"
    return f"{where}: {problem}{'' if 'input.select' in problem or 1 < len(names) == count else others}"


Identity: TypeAlias = str | None

_OPEN: OrderedDict[SourceRef, tuple[tuple[Identity, ...], PixelSource]] = OrderedDict()
_OPEN_LIMIT = 512
_LOCK = Lock()


def file_identity(path: str) -> Identity:
    """Inode, size and time of change of a file or folder, ETag of an object; None where there is none."""
    if is_address(path):
        with input_errors(path, "cannot be reached", "check the address, the bucket and the credentials"):
            return None if is_container(path) else identity_of(path)
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def open_source(ref: SourceRef) -> PixelSource:
    """Open the pixel source of a reference, once per process; the least recently used ones are let go.

    A file that was replaced since is opened again: processes of clusters and notebooks live long.

    Raises
    ------
    InputError
        If the file is missing, truncated or not what its name says.
    """
    if not ref.paths:  # arrays are not kept alive for their own sake
        made: PixelSource = resolve(ref.reader)(ref.path, **dict(ref.options))
        return made
    with _LOCK:
        known, opened = _OPEN.get(ref, ((), None))
    if opened is not None and known == _identities(ref, opened):
        with _LOCK:
            if ref in _OPEN:
                _OPEN.move_to_end(ref)
        return opened
    before = tuple(file_identity(path) for path in ref.paths)
    source: PixelSource = resolve(ref.reader)(ref.path, **dict(ref.options))
    with _LOCK:
        _OPEN[ref] = ((*before, *_identities(ref, source)[len(before) :]), source)
        while len(_OPEN) > _OPEN_LIMIT:
            _OPEN.popitem(last=False)
    return source


def _identities(ref: SourceRef, source: PixelSource) -> tuple[Identity, ...]:
    """Of all files that a source reads, those of a set behind it, too."""
    return tuple(file_identity(path) for path in (*ref.paths, *files_of(source)))
