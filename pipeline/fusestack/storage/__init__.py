"""Folders of whole files, on a disk or behind an address: every file is there completely or not at all.

Addresses are ``s3://``, ``gs://``, ``az://``, ``http://`` and ``https://`` (these two are only read) and ``memory://``,
which lasts as long as the process. Keys, regions and endpoints come from where the tools of the store look for them:
``AWS_*``, ``~/.aws/credentials``, ``GOOGLE_*``, ``AZURE_*``. A store without keys is asked without them.
"""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.storage.folder import SCRATCH, Folder, LocalFolder
from fusestack.storage.look import is_looking
from fusestack.storage.paths import absolute, is_address, relative, slashed

if TYPE_CHECKING:
    from typing import BinaryIO

    from fusestack.storage.store import StoreFolder

__all__ = [
    "SCRATCH",
    "Folder",
    "LocalFolder",
    "absolute",
    "folder_of",
    "identity_of",
    "is_address",
    "is_container",
    "open_file",
    "open_folder",
    "open_store",
    "relative",
    "slashed",
]

_IDENTITY_LIVES = 5.0


def is_container(address: str) -> bool:
    """Whether an address is of a Zarr or an N5, or of a level in one: no object, so that its identity is not asked."""
    *above, name = address.rstrip("/").lower().split("/")
    suffixes = (".zarr", ".n5")
    return name.endswith(suffixes) or ("." not in name and any(part.endswith(suffixes) for part in above))


def open_folder(path: str | Path, scratch: str = SCRATCH) -> Folder:
    """Open a local path or an address; nothing is created."""
    text = str(path)
    return open_store(text) if is_address(text) else LocalFolder(Path(text), scratch)


def open_store(address: str) -> StoreFolder:
    """Open a folder behind an address; nothing is asked yet."""
    from fusestack.storage.store import StoreFolder

    return StoreFolder(address)


def folder_of(path: str) -> tuple[Folder, str]:
    """Folder of a file or an object, and its name there."""
    folder, _, name = slashed(path).rpartition("/")
    return open_folder(folder, scratch="") if folder else LocalFolder(Path(), scratch=""), name


def open_file(path: str) -> BinaryIO:
    """Open a local file or an object to read parts of it.

    Raises
    ------
    OSError
        If it does not exist or cannot be reached.
    """
    if not is_address(path):
        return Path(path).open("rb")
    folder, _, name = path.rpartition("/")
    return open_store(folder).open(name)


def identity_of(path: str) -> str | None:
    """Size and time of change or ETag of a file or an object; None if there is none.

    Of an object that is there it is remembered for some seconds.
    """
    if not is_address(path):
        above, name = os.path.split(path)
        return LocalFolder(Path(above)).identity(name)
    if is_looking():
        place, name = folder_of(path)
        return place.identity(name)
    try:
        return _remote_identity(path, int(time.monotonic() / _IDENTITY_LIVES))
    except FileNotFoundError:  # what is raised is not remembered: it may be there in a moment
        return None


@functools.lru_cache(maxsize=4096)
def _remote_identity(path: str, period: int) -> str:
    folder, _, name = path.rstrip("/").rpartition("/")
    found = open_store(folder).identity(name)
    if found is None:
        raise FileNotFoundError(path)
    return found
