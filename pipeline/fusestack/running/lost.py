"""Blocks that are not there any more as they were written; by listing, nothing is read."""

from __future__ import annotations

import functools
import itertools
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.amounts import counted
from fusestack.model.errors import OutputError
from fusestack.running.finished import change
from fusestack.storage import identity_of, is_address
from fusestack.storage.folder import is_on_network
from fusestack.storage.look import is_looking
from fusestack.storage.together import each
from fusestack.taskgraph.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    from fusestack.model.stage import Target

    _Bools: TypeAlias = NDArray[np.bool_]

MOST_NAMED = 3
_PAUSES = (2, 8, 30, 30)
"""Seconds after which files are looked for again; NFS believes what it knows of a folder for a minute at most."""


def foresee(records: Iterable[tuple[str, int, Target]], others: Iterable[Callable[[], Any]] = ()) -> None:
    """Ask for ledgers, listings and other things together, where they lie in a store and whoever calls is looking."""
    far = [one for one in records if is_address(one[2].image.path)]

    def ask(what: Callable[[], Any]) -> None:
        with suppress(OSError, OutputError):  # who needs it will say
            what()

    def asked() -> Iterator[Callable[[], Any]]:
        for path, count, target in far:
            yield functools.partial(Ledger, path, count)
            yield functools.partial(target.open().stored, target.level)

    if is_looking():
        each(ask, itertools.chain(others if far else (), asked()), far=True)


def lost_blocks(ledger: Ledger, target: Target) -> _Bools:
    """Finished blocks whose files have not as many bytes as were written."""
    if not ledger.finished:
        return np.zeros_like(ledger.done)
    writer = target.open()
    found, recorded = writer.stored(target.level), ledger.stored["bytes"]
    lost: _Bools = (recorded >= 0) & (found >= 0) & (recorded != found)
    if not found.any() and writer.missing():  # a level that was deleted, recorded without bytes by an earlier version
        lost |= recorded < 0
    return np.logical_and(ledger.done, lost)


def lost_for_good(ledger: Ledger, target: Target) -> _Bools:
    """As `lost_blocks`, where other machines may just have written: a network file system shows their files late."""
    lost = lost_blocks(ledger, target)
    for pause in _PAUSES if lost.any() and is_on_network(target.image.path) else ():
        time.sleep(pause)
        lost = lost_blocks(ledger, target)
        if not lost.any():
            break
    return lost


def describe(ledger: Ledger, target: Target, lost: _Bools) -> str:
    """Blocks of a level that are lost, and some of their files."""
    numbers = np.flatnonzero(lost)
    image, level = target.image, target.level
    grid = image.levels[level].grid
    said = []
    for number in numbers[:MOST_NAMED].tolist():
        paths = target.open().files(level, grid.box(number))
        recorded = int(ledger.stored["bytes"][number])
        sizes = {path: _size(path) for path in paths}
        if len(paths) == 1:
            said.append(f"{_below(image.path, paths[0])} {change(recorded, sizes[paths[0]])}")
            continue
        empty = [_below(image.path, path) for path in paths if identity_of(path) and not sizes[path]]
        some = f"{named(empty)} {'is' if len(empty) == 1 else 'are'} empty, " if empty else ""
        among = f"{_below(image.path, paths[0])} to {_below(image.path, paths[-1])}"
        said.append(
            f"{some}{sum(sizes.values()):,} of {recorded:,} bytes of the {len(paths):,} files {among} are there"
        )
    more = f" and {len(numbers) - len(said):,} more" if len(numbers) > len(said) else ""
    which = f"{counted(len(numbers), 'block')} of {grid.count:,} of level {level}"
    return f"{image.path}: {which} changed since they were written ({'; '.join(said)}{more})"


def named(paths: list[str]) -> str:
    """Some of many paths."""
    more = f" and {len(paths) - MOST_NAMED:,} more" if len(paths) > MOST_NAMED else ""
    return f"{', '.join(paths[:MOST_NAMED])}{more}"


def _below(image: str, path: str) -> str:
    return path.removeprefix(f"{image}/")


def _size(path: str) -> int:
    identity = identity_of(path)
    return 0 if identity is None else int(identity.split()[0])
