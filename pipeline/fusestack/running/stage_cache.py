"""The cache of stages: one folder each, with its pixels, its ledger, and what it is; listed, freed, kept small."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusestack.model.errors import OutputError
from fusestack.running.lock import output_lock, shared_lock
from fusestack.storage import is_address, open_folder
from fusestack.taskgraph.ledger import forget_ledger, ledger_path
from fusestack.writers.folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fusestack.model.stage import Stage, Target

ENTRY = "entry.json"
_FACTS = frozenset({"stage", "title", "used"})
_NAME = re.compile(r"(?P<stage>.+)-[0-9a-f]{12}")
_FILE = re.compile(
    r"entry\.json|transforms\.json|lock|\.\w+\.tmp|(?:ledger|parts|runs|stop)/[^/]+(?:/[^/]+)?"
    r"|data\.ome\.zarr/(?:zarr\.json|0/(?:zarr\.json|c(?:/\d+){5}|\.partial/\w+))"
)
"""What is in the folder of a stage."""
_DISK_SHARE = 10
"""A cache keeps a tenth of its disk where nobody says how much."""
LOCK = "lock"
"""In the folder of a cache: shared by the runs that use it, alone with whoever deletes from it."""


@dataclass(frozen=True)
class CacheEntry:
    """One stage in a cache: its folder, what it is, its bytes on the disk, when it was used last (UNIX time)."""

    folder: str
    stage: str
    title: str
    size: int
    used: float


@contextmanager
def cache_entry(stage: Stage) -> Iterator[None]:
    """Work on a stage of the cache, alone: a run that finds another one at it waits until it has finished.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    work = stage.target.work
    with output_lock(f"{work}/{LOCK}", work, wait=True):
        yield


def make_entry(stage: str, key: str, target: Target) -> None:
    """Make the folder of a stage, where it is not there, and note that it is used.

    Parameters
    ----------
    stage, key : str
        Its name and its key.
    target : Target

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    writer = target.open()
    if not writer.exists():
        forget_ledger(ledger_path(target.work, key))
        writer.remove()  # also where so much is missing that it is no image any more
    put_entry(target.work, {ENTRY: entry_facts(stage, target.image.name)})
    writer.create()


def entry_facts(stage: str, title: str) -> bytes:
    """What the folder of a stage says of itself."""
    used = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"stage": stage, "title": title, "used": used}).encode()


def put_entry(folder: str, files: Mapping[str, bytes]) -> None:
    """Write small files of a stage, in their order.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    for name, content in files.items():
        try:
            open_folder(folder).put(name, [content])
        except OSError as error:
            raise OutputError(f"{folder}/{name}: cannot be written: {error.strerror or error}") from error


def cache_entries(cache: str) -> list[CacheEntry]:
    """Stages of a cache on a disk, the least recently used first; empty where there is no cache.

    Raises
    ------
    OutputError
        If the cache is in an object store: list it with the tools of the store.
    """
    if is_address(cache):
        raise OutputError(f"{cache}: caches in object stores are listed with the tools of the store")
    found = []
    for path in Path(cache).glob(f"*/{ENTRY}"):
        facts = _facts(path)
        if facts is None:
            continue
        try:
            used = path.stat().st_mtime
        except OSError:  # deleted meanwhile
            continue
        found.append(CacheEntry(str(path.parent), facts["stage"], facts["title"], _bytes(path.parent), used))
    return sorted(found, key=lambda entry: (entry.used, entry.folder))


@contextmanager
def cache_in_use(cache: str) -> Iterator[None]:
    """Keep a cache on a disk as it is while a run reads it: nothing is deleted meanwhile."""
    if is_address(cache):
        yield
        return
    with shared_lock(Path(cache, LOCK), cache):
        yield


def left_alone(entry: CacheEntry) -> str | None:
    """Why the folder of a stage is not deleted: somebody keeps something else in it."""
    foreign = OutputFolder(entry.folder, scratch="").foreign(_is_ours)
    return None if foreign is None else f"{entry.folder}: holds {foreign!r}, which is not ours, and is left alone"


def remove_entries(cache: str, entries: Sequence[CacheEntry]) -> int:
    """Delete stages of a cache, but for those that are `left_alone`; returns the bytes that are free now.

    Raises
    ------
    OutputError
        If a run uses the cache.
    """
    if not entries:
        return 0
    freed = 0
    with output_lock(Path(cache, LOCK), cache):
        for entry in entries:
            if left_alone(entry) is None:
                OutputFolder(entry.folder, scratch="").remove_ours(_is_ours, _rank)
                freed += entry.size
    return freed


def trim_cache(cache: str, limit: int | Literal["auto"] | None) -> tuple[int, int]:
    """Delete the least recently used stages until a cache is no larger than `limit`; auto is a tenth of its disk.

    Returns
    -------
    (int, int)
        Bytes of the cache now, bytes that were deleted; 0, 0 for caches in object stores. Nothing is deleted while
        another run uses the cache: that one will.
    """
    if is_address(cache):
        return 0, 0
    entries = cache_entries(cache)
    size = sum(entry.size for entry in entries)
    if limit == "auto":
        limit = shutil.disk_usage(cache).total // _DISK_SHARE if entries else None
    entries = [entry for entry in entries if limit is not None and size > limit and left_alone(entry) is None]
    chosen: list[CacheEntry] = []
    freed = 0
    while limit is not None and size - freed > limit and entries:
        chosen.append(entries.pop(0))
        freed += chosen[-1].size
    try:
        freed = remove_entries(cache, chosen)
    except OutputError:
        freed = 0
    return size - freed, freed


def _is_ours(key: str) -> bool:
    return _FILE.fullmatch(key) is not None


def _rank(key: str) -> int:
    """The ledger first: pixels without it are computed again, a ledger without pixels would be a lie."""
    return 0 if key.startswith("ledger/") else 2 if key == ENTRY else 1


def _facts(path: Path) -> dict[str, Any] | None:
    """What an entry says of its stage, after which its folder is named; None where it is none of ours."""
    if path.is_symlink() or path.parent.is_symlink():
        return None
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    name = _NAME.fullmatch(path.parent.name)
    if name is None or not isinstance(found, dict) or not found.keys() >= _FACTS:
        return None
    return found if str(found["stage"]).replace("/", "-") == name["stage"] else None


def is_cache(folder: Path) -> bool:
    """Whether there is a stage in a folder."""
    return any(_facts(path) is not None for path in folder.glob(f"*/{ENTRY}"))


def _bytes(folder: Path) -> int:
    """Bytes of a tree; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
