"""A folder of whole files, on a disk or behind a URL: every file is there completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fusestack.errors import FusestackError, OutputError
from fusestack.writers.base import output_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCRATCH = ".partial"
"""Name of the folder for files that are not complete yet; a kill leaves them there, and nobody reads them."""


class Folder(Protocol):
    """Whole files named by keys such as ``0/c/0/0/1/2/3``; safe to use from many threads, processes and machines."""

    def get(self, key: str) -> bytes | None:
        """Content of a file; None if it does not exist."""
        ...

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write a file in one atomic step; returns its bytes."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file; does nothing if it does not exist."""
        ...

    def entries(self, key: str = "") -> list[str]:
        """Names directly in the folder, sorted; empty if it does not exist."""
        ...

    def delete_tree(self, key: str) -> None:
        """Delete a file or a folder and everything in it."""
        ...


class LocalFolder:
    """Files below `root`; unfinished ones live in `root` / `scratch`, so that a rename is enough to publish them."""

    def __init__(self, root: Path, scratch: str = SCRATCH) -> None:
        self.root = root
        self.scratch = scratch

    def get(self, key: str) -> bytes | None:
        """Content of a file; None if it does not exist."""
        path = self.root / key
        with output_errors(path, "cannot be read"):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write a file in one atomic step; returns its bytes."""
        path = self.root / key
        partial = self.root / self.scratch / uuid.uuid4().hex
        with output_errors(path):
            try:
                partial.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("xb") as file:
                    file.writelines(parts)
                try:
                    partial.replace(path)
                except FileNotFoundError:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    partial.replace(path)
            except OSError:
                _forget(partial)
                raise
        return sum(map(len, parts))

    def delete(self, key: str) -> None:
        """Delete a file; does nothing if it does not exist."""
        with output_errors(self.root / key, "cannot be deleted"):
            (self.root / key).unlink(missing_ok=True)

    def entries(self, key: str = "") -> list[str]:
        """Names directly in the folder, sorted; empty if it does not exist or is a file below the root."""
        path = self.root / key
        with output_errors(path, "cannot be used"):
            if path.is_dir():
                return sorted(p.name for p in path.iterdir())
            if path == self.root and path.exists():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            return []

    def delete_tree(self, key: str) -> None:
        """Delete a file or a folder and everything in it."""
        path = self.root / key
        with output_errors(path, "cannot be deleted"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


class RemoteFolder:
    """Objects below a URL that fsspec understands (s3://, gs://, memory:// ...); object stores put whole objects."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with _remote_errors(self.url):
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            # A listing that fsspec remembers would hide what other processes write.
            self._fs, self._root = url_to_fs(self.url, use_listings_cache=False)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}".rstrip("/")

    def get(self, key: str) -> bytes | None:
        """Content of an object; None if it does not exist."""
        with _remote_errors(f"{self.url}/{key}", "cannot be read"):
            try:
                return bytes(self._fs.cat_file(self._path(key)))
            except FileNotFoundError:
                return None

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write an object in one atomic step; returns its bytes."""
        data = b"".join(parts)
        with _remote_errors(f"{self.url}/{key}"):
            self._fs.pipe_file(self._path(key), data)
        return len(data)

    def delete(self, key: str) -> None:
        """Delete an object; does nothing if it does not exist."""
        with _remote_errors(f"{self.url}/{key}", "cannot be deleted"):
            if self._fs.exists(self._path(key)):
                self._fs.rm_file(self._path(key))

    def entries(self, key: str = "") -> list[str]:
        """Names directly below a prefix, sorted; empty if there are none."""
        with _remote_errors(f"{self.url}/{key}", "cannot be read"):
            try:
                found = self._fs.ls(self._path(key), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in found)

    def delete_tree(self, key: str) -> None:
        """Delete an object or everything below a prefix."""
        with _remote_errors(f"{self.url}/{key}", "cannot be deleted"):
            if self._fs.exists(self._path(key)):
                self._fs.rm(self._path(key), recursive=True)


def is_url(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


def open_folder(path: str, scratch: str = SCRATCH) -> Folder:
    """Open a local path or a URL; nothing is created."""
    return RemoteFolder(path) if is_url(path) else LocalFolder(Path(path), scratch)


@contextmanager
def _remote_errors(url: str, doing: str = "cannot be written") -> Iterator[None]:
    try:
        yield
    except FusestackError:
        raise
    except ImportError as error:
        raise OutputError(f"{url}: {doing}: {error}; install the package that it names") from error
    except Exception as error:  # every back end has exceptions of its own
        problem = str(error) or type(error).__name__
        raise OutputError(f"{url}: {doing}: {problem}; check the address, the bucket and the credentials") from error


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
