"""Requests to stores, several under way at a time: each waits for an answer, which says nothing about the others."""

from __future__ import annotations

import contextvars
import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST = 32
"""Requests of one thread that are under way at a time."""
FEW = 8
"""The same, where each of them asks for several things."""
AHEAD_BYTES = 4 * 2**20
_CHUNKS_AHEAD = 7


def chunks_ahead(chunk_bytes: int) -> int:
    """How many chunks are asked for at a time: 7, more only where they are small (`AHEAD_BYTES`)."""
    return min(MOST, max(_CHUNKS_AHEAD, AHEAD_BYTES // max(1, chunk_bytes)))


def each(function: Callable[[Item], Result], items: Iterable[Item], *, far: bool, most: int = MOST) -> list[Result]:
    """Results of a function of some items, in their order.

    Parameters
    ----------
    function : callable
        Safe to be called from several threads; what it raises first is raised, when all that began are over.
    items : iterable
    far : bool
        Whether it waits for a store. On a disk they are taken one after another, in this thread.
    most : int
        Under way at a time.
    """
    return list(in_turn(function, items, far=far, most=most))


def in_turn(
    function: Callable[[Item], Result], items: Iterable[Item], *, far: bool, most: int = MOST
) -> Iterator[Result]:
    """As `each`, one result after another; no more than `most` are there or under way."""
    left = iter(items)
    first = list(itertools.islice(left, 2))
    if not far or most < 2 or len(first) < 2:
        yield from map(function, itertools.chain(first, left))
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(most, thread_name_prefix="fusestack-store") as pool:

        def begin(item: Item) -> None:
            waiting.append(pool.submit(contextvars.copy_context().run, function, item))

        try:
            for item in itertools.islice(itertools.chain(first, left), most):
                begin(item)
            while waiting:
                found = waiting.popleft().result()
                for item in itertools.islice(left, 1):
                    begin(item)
                yield found
        finally:
            for one in waiting:
                one.cancel()
