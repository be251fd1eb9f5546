"""Blocks of a task that are under way at a time: one, or several where each waits for a store."""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Made = TypeVar("Made")


class Ahead(Generic[Made]):
    """Makes blocks before they are asked for, in the order in which they will be.

    Parameters
    ----------
    make : callable
        Makes a block; safe to be called from several threads.
    most : int
        Blocks that are under way or wait to be asked for; 1 makes each when it is asked for, in the same thread.
    """

    def __init__(self, make: Callable[[int], Made], most: int) -> None:
        self._make, self._most = make, most
        self._pool: ThreadPoolExecutor | None = None
        self._left: Iterator[int] = iter(())
        self._begun: deque[tuple[int, Future[Made]]] = deque()

    @contextmanager
    def of(self, blocks: Iterable[int]) -> Iterator[None]:
        """Make these; those that nobody asks for any more are over when it ends."""
        if self._most < 2:
            yield
            return
        with ThreadPoolExecutor(self._most, thread_name_prefix="fusestack-ahead") as self._pool:
            self._left = iter(blocks)
            try:
                yield
            finally:
                self._left = iter(())
                for _, future in self._begun:
                    future.cancel()
                self._begun.clear()

    def result(self, block: int) -> Made:
        """A block; those before it that nobody has asked for are passed over."""
        if self._pool is None:
            return self._make(block)
        while True:
            self._begin()
            if not self._begun:
                return self._make(block)
            number, future = self._begun.popleft()
            if number == block:
                return future.result()

    def _begin(self) -> None:
        assert self._pool is not None
        for block in itertools.islice(self._left, self._most - len(self._begun)):
            self._begun.append((block, self._pool.submit(self._make, block)))
