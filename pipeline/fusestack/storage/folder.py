"""Folders of whole files, and those on this machine."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

SCRATCH = ".partial"
"""Name of the folder for files that are not complete yet; a kill leaves them there, and nobody reads them."""


class Parts(Protocol):
    """Places of a file that is open."""

    def tail(self, count: int) -> bytes:
        """The last bytes; fewer where the file is shorter."""
        ...

    def spans(self, spans: Sequence[tuple[int, int]], most: int) -> Iterator[bytes]:
        """What is at some places, each given by its first byte and its bytes; of a store, `most` at a time."""
        ...


class Folder(Protocol):
    """Whole files named by keys such as ``0/c/0/0/1/2/3``; safe to use from many threads, processes and machines.

    Every method raises OSError where the disk or the store refuses.
    """

    @property
    def where(self) -> str:
        """Path or address."""
        ...

    def get(self, key: str) -> bytes | None:
        """Content of a file; None if it does not exist."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open a file to read parts of it; FileNotFoundError if it does not exist."""
        ...

    def parts(self, key: str) -> AbstractContextManager[Parts]:
        """Open a file of which some places are read; FileNotFoundError if it does not exist, at the latest then."""
        ...

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write a file in one atomic step; returns its bytes."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write a file only if there is none; returns whether it did."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file; does nothing if it does not exist."""
        ...

    def entries(self, key: str = "") -> list[str]:
        """Names directly in the folder, sorted; empty if it does not exist."""
        ...

    def tree(self, key: str = "") -> Iterator[tuple[str, bool]]:
        """Keys of all files below a folder, in no order, and whether each is a plain file: links are not followed."""
        ...

    def delete_files(self, keys: Iterable[str], key: str = "") -> None:
        """Delete files below a folder, and all that is empty then, itself too; everything else stays."""
        ...

    def files(self, key: str = "") -> Iterator[tuple[str, int]]:
        """Every file below a folder: its key from there on, and its bytes; none if it does not exist."""
        ...

    def delete_tree(self, key: str) -> None:
        """Delete a file or a folder and everything in it."""
        ...

    def identity(self, key: str) -> str | None:
        """Size and time of change or ETag of a file; None if it does not exist."""
        ...


_TRIES = 5


class LocalFolder:
    """Files below `root`; unfinished ones live in `root` / `scratch`, so that a rename is enough to publish them.

    Without a `scratch` they are hidden files of `root`. Nothing is written or deleted through a symbolic link below
    `root`: it leads to what is somebody else's.
    """

    def __init__(self, root: Path, scratch: str = SCRATCH) -> None:
        self.root = root
        self.scratch = scratch

    @property
    def where(self) -> str:
        """Absolute or relative path, as it was given."""
        return str(self.root)

    def get(self, key: str) -> bytes | None:
        """Content of a file; None if it does not exist."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def open(self, key: str) -> BinaryIO:
        """Open a file to read parts of it; FileNotFoundError if it does not exist."""
        return (self.root / key).open("rb")

    @contextmanager
    def parts(self, key: str) -> Iterator[Parts]:
        """Open a file of which some places are read; FileNotFoundError if it does not exist."""
        with (self.root / key).open("rb") as file:
            yield _FileParts(file)

    def _own(self, key: str) -> Path:
        """Path of what is to be written or deleted.

        Raises
        ------
        OSError
            If a link stands where a folder on the way should be.
        """
        path = self.root / key
        place = path.parent
        while place != self.root and self.root in place.parents:
            if place.is_symlink():
                raise OSError(errno.ELOOP, f"{place} is a symbolic link, which is not followed")
            place = place.parent
        return path

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write a file in one atomic step; returns its bytes."""
        path = self._own(key)
        for left in reversed(range(_TRIES)):
            try:
                self._publish(path, parts)
                break
            except FileNotFoundError:  # the scratch folder was deleted by somebody who has finished with it
                if not left:
                    raise
        return sum(map(len, parts))

    def _publish(self, path: Path, parts: Sequence[bytes]) -> None:
        partial = self._partial(parts)
        try:
            try:
                take_place(partial, path)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                take_place(partial, path)
        except OSError:
            _forget(partial)
            raise

    def create(self, key: str, data: bytes) -> bool:
        """Write a file only if there is none; returns whether it did."""
        path = self._own(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._partial([data])
        try:
            os.link(partial, path)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links: exFAT, some shares of SMB
            return _created(path, data)
        finally:
            _forget(partial)
        return True

    def _partial(self, parts: Sequence[bytes]) -> Path:
        name = uuid.uuid4().hex
        partial = self._own(f"{self.scratch}/{name}" if self.scratch else f".{name}.tmp")
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                file.writelines(parts)
        except OSError:
            _forget(partial)
            raise
        return partial

    def delete(self, key: str) -> None:
        """Delete a file; does nothing if it does not exist."""
        self._own(key).unlink(missing_ok=True)

    def entries(self, key: str = "") -> list[str]:
        """Names directly in the folder, sorted; empty if it does not exist or is a file below the root."""
        path = self.root / key
        if path.is_dir():
            return sorted(p.name for p in path.iterdir())
        if path == self.root and path.exists():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return []

    def tree(self, key: str = "") -> Iterator[tuple[str, bool]]:
        """Keys of all files below a folder, in no order, and whether each is a plain file: links are not followed."""
        left = [key]
        while left:
            folder = left.pop()
            try:
                found = list(os.scandir(self.root / folder))
            except (FileNotFoundError, NotADirectoryError):
                if os.path.lexists(self.root / folder) and folder == "":
                    raise
                continue
            for entry in found:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    left.append(name)
                else:
                    yield name, entry.is_file(follow_symlinks=False)

    def delete_files(self, keys: Iterable[str], key: str = "") -> None:
        """Delete files below a folder, and all that is empty then, itself too; everything else stays."""
        for name in keys:
            self.delete(name)
        for folder, _, _ in os.walk(self._own(key), topdown=False):
            with suppress(OSError):  # it holds something, or is gone
                os.rmdir(folder)  # noqa: PTH106 -- a text, as it was found

    def files(self, key: str = "") -> Iterator[tuple[str, int]]:
        """Every file below a folder: its key from there on, and its bytes; none if it does not exist."""
        folders = [(self.root / key, "")]
        while folders:
            folder, before = folders.pop()
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append((folder / entry.name, f"{before}{entry.name}/"))
                        continue
                    with suppress(FileNotFoundError):  # deleted meanwhile, or a link to nothing
                        yield before + entry.name, entry.stat().st_size

    def delete_tree(self, key: str) -> None:
        """Delete a file or a folder and everything in it."""
        path = self._own(key)
        while os.path.lexists(path):
            with suppress(FileNotFoundError, IsADirectoryError):  # somebody else deletes it, too, or makes it anew
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def identity(self, key: str) -> str | None:
        """Size and time of change of a file; None if it does not exist."""
        try:
            found = (self.root / key).stat()
        except OSError:
            return None
        return f"{found.st_size} bytes, changed {found.st_mtime_ns}"


class _FileParts:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def tail(self, count: int) -> bytes:
        self._file.seek(max(0, self._file.seek(0, 2) - count))
        return self._file.read()

    def spans(self, spans: Sequence[tuple[int, int]], most: int) -> Iterator[bytes]:
        for start, count in spans:
            self._file.seek(start)
            yield self._file.read(count)


def _created(path: Path, data: bytes) -> bool:
    """Write a file only if there is none; for a moment it is there and not whole."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def is_on_network(path: str, mounts: str = "/proc/mounts") -> bool:
    """Whether a file system shows late what other machines have written: NFS, SMB and what programs provide."""
    try:
        said = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    lines = [line.split() for line in said.splitlines()]
    place = os.path.realpath(path)
    above = [(words[1], words[2]) for words in lines if f"{place}/".startswith(f"{words[1].rstrip('/')}/")]
    _, kind = max(above, key=lambda one: len(one[0]), default=("", ""))
    return kind.startswith(("nfs", "cifs", "smb", "fuse"))
