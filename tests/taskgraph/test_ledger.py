"""The record of finished blocks survives a kill at any byte."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusestack.model.errors import OutputError
from fusestack.model.stage import Stage
from fusestack.taskgraph.ledger import Ledger, Ticks, forget_ledger, ledger_of, runs_of
from tests.taskgraph.toys import missing, toy_stage


def tick(stage: Stage, name: str, blocks: list[int]) -> None:
    ticks = Ticks(stage, name)
    for block in blocks:
        ticks.add(block)
    ticks.flush()


def test_new_ledger_misses_everything_and_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a", 5)
    assert missing(ledger) == [range(5)]
    assert not ledger.complete
    assert not list(tmp_path.iterdir())


def test_blocks_are_remembered_across_processes_and_tasks(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 10)
    tick(stage, "one", [3, 2, 4])
    tick(stage, "two", [9])
    again = ledger_of(stage)
    assert missing(again) == [range(2), range(5, 9)]
    assert again.finished == 4
    again.merge()
    assert sorted(path.name for path in Path(again.path).iterdir()) == ["all", "stored"]
    assert missing(ledger_of(stage)) == missing(again)
    tick(stage, "three", [0, 1, 5, 6, 7, 8])
    assert ledger_of(stage).complete
    forget_ledger(again.path)
    assert ledger_of(stage).finished == 0


def test_a_task_that_is_repeated_finds_what_it_and_earlier_runs_have_done(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 10)
    tick(stage, "one", [1, 2])
    tick(stage, "two", [5])
    assert [block for block in range(10) if block in Ticks(stage, "one")] == [1, 2]
    ledger_of(stage).merge()
    assert [block for block in range(10) if block in Ticks(stage, "one")] == [1, 2, 5]


def test_a_tick_is_in_the_file_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = toy_stage(tmp_path, 10)
    ticks = Ticks(stage, "one")
    ticks.add(1)
    assert ledger_of(stage).finished == 0
    monkeypatch.setattr("fusestack.taskgraph.ledger._TICK_SECONDS", 0)
    ticks = Ticks(stage, "one")
    ticks.add(1)
    assert ledger_of(stage).finished == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=6), st.integers(0, 60))
def test_a_torn_file_never_claims_a_block_that_was_not_done(tmp_path: Path, records: list[list[int]], cut: int) -> None:
    stage = toy_stage(tmp_path, 100)
    forget_ledger(ledger_of(stage).path)
    for number, blocks in enumerate(records):
        tick(stage, str(number), blocks)
    for path in Path(ledger_of(stage).path).glob("*"):
        path.write_bytes(path.read_bytes()[:cut])
    assert set(np.flatnonzero(ledger_of(stage).done)) <= {b for blocks in records for b in blocks}


@given(st.sets(st.integers(0, 50)))
def test_runs_are_the_numbers(numbers: set[int]) -> None:
    runs = runs_of(sorted(numbers))
    assert [block for run in runs for block in run] == sorted(numbers)
    assert all(b.start > a.stop for a, b in itertools.pairwise(runs))


def test_records_are_runs_not_blocks(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 10)
    tick(stage, "one", list(range(10)))
    assert (Path(ledger_of(stage).path) / "one").read_text() == "0 10\n"


def test_a_folder_that_cannot_be_written_or_read_is_an_output_error(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 3)
    ticks = Ticks(stage, "one")
    (tmp_path / "work").write_text("")
    ticks.add(0)
    with pytest.raises(OutputError, match="cannot record finished blocks"):
        ticks.flush()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot read the record"):
        Ledger(tmp_path / "file", 3)
