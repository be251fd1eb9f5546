"""The cache of stages: one folder each, with its pixels, its ledger, and what it is; listed, freed, kept small."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError
from fusestack.running.lock import output_lock, shared_lock
from fusestack.storage import is_address, open_folder
from fusestack.taskgraph.ledger import forget_ledger, ledger_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fusestack.model.stage import Stage, Target

ENTRY = "entry.json"
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
        # whatever is left there is ours, also where so much is missing that it is no image any more
        open_folder(target.work).delete_tree(target.image.path.rpartition("/")[2])
    facts = {"stage": stage, "title": target.image.name, "used": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        open_folder(target.work).put(ENTRY, [json.dumps(facts).encode()])
    except OSError as error:
        raise OutputError(f"{target.work}/{ENTRY}: cannot be written: {error.strerror or error}") from error
    writer.create()


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
        try:
            used = path.stat().st_mtime
        except OSError:  # deleted meanwhile
            continue
        found.append(
            CacheEntry(str(path.parent), facts.get("stage", "?"), facts.get("title", "?"), _bytes(path.parent), used)
        )
    return sorted(found, key=lambda entry: (entry.used, entry.folder))


@contextmanager
def cache_in_use(cache: str) -> Iterator[None]:
    """Keep a cache on a disk as it is while a run reads it: nothing is deleted meanwhile."""
    if is_address(cache):
        yield
        return
    with shared_lock(Path(cache, LOCK), cache):
        yield


def remove_entries(cache: str, entries: Sequence[CacheEntry]) -> int:
    """Delete stages of a cache; returns the bytes that are free now.

    Raises
    ------
    OutputError
        If a run uses the cache.
    """
    if not entries:
        return 0
    folder = open_folder(cache)
    with output_lock(Path(cache, LOCK), cache):
        for entry in entries:
            name = Path(entry.folder).name
            # the ledger first: pixels without it are computed again, a ledger without pixels would be a lie
            folder.delete_tree(f"{name}/ledger")
            folder.delete_tree(name)
    return sum(entry.size for entry in entries)


def trim_cache(cache: str, limit: int | None) -> tuple[int, int]:
    """Delete the least recently used stages until a cache is no larger than `limit`.

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


def _facts(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _bytes(folder: Path) -> int:
    """Bytes of a tree; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
