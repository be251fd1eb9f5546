"""Requests side by side: in order, never more than were allowed, and none where nothing is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from fusestack.storage.together import AHEAD_BYTES, MOST, chunks_ahead, each, in_turn
from fusestack.taskgraph.ahead import Ahead


class Requests:
    """Requests that take a while; how many there were at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.begun: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, number: int) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.begun.append(number)
        time.sleep(0.01 * (number % 3))
        with self._lock:
            self.now -= 1
        if number == 13:
            raise OSError("the store refuses")
        return -number


def test_results_come_in_order_and_no_more_than_allowed_are_under_way() -> None:
    ask = Requests()
    assert each(ask, range(12), far=True, most=4) == [-n for n in range(12)]
    assert 1 < ask.most <= 4
    near = Requests()
    assert each(near, range(12), far=False) == [-n for n in range(12)]
    assert near.most == 1


def test_what_is_asked_for_is_bounded_by_what_was_taken() -> None:
    ask = Requests()

    def numbers() -> Iterator[int]:
        for number in range(12):
            assert number - taken <= 4
            yield number

    taken = 0
    for found in in_turn(ask, numbers(), far=True, most=4):
        assert found == -taken
        taken += 1
    assert taken == 12


def test_the_first_error_is_raised_when_all_is_over() -> None:
    ask = Requests()
    with pytest.raises(OSError, match="refuses"):
        each(ask, range(10, 40), far=True, most=4)
    assert ask.now == 0
    assert len(ask.begun) < 10


def test_chunks_that_are_ahead_fit_what_is_declared() -> None:
    for size in (1, 1000, 2**16, 2**20, 2**26):
        assert 7 <= chunks_ahead(size) <= MOST
        assert chunks_ahead(size) * size <= max(7 * size, AHEAD_BYTES)


def test_blocks_are_made_ahead_in_the_order_in_which_they_are_asked_for() -> None:
    make = Requests()
    ahead = Ahead(make, 3)
    with ahead.of(range(12)):
        assert [ahead.result(n) for n in (0, 1, 2, 5, 6)] == [0, -1, -2, -5, -6]  # some are passed over
        assert 1 < make.most <= 3
        assert ahead.result(99) == -99  # and one that nobody has announced
    assert make.now == 0
    alone = Requests()
    one = Ahead(alone, 1)
    with one.of(range(12)):
        assert one.result(7) == -7
    assert alone.begun == [7]
