"""Every executor: complete results, counted tries, dead workers, resuming."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fusestack.taskgraph.driver import StageOutcome, run_stage
from fusestack.taskgraph.executor import Executor, ProcessExecutor, ThreadExecutor

from fusestack.model.stage import Stage
from fusestack.taskgraph.events import BlocksEnded, Event, StageEnded
from fusestack.taskgraph.ledger import Ledger
from tests.taskgraph.toys import toy_stage, tries_of, written


def distributed() -> Executor:
    from fusestack.taskgraph.cluster import local_cluster

    return local_cluster(2, 1, 2**30)


EXECUTORS: dict[str, Callable[[], Executor]] = {
    "threads": lambda: ThreadExecutor(3),
    "processes": lambda: ProcessExecutor(2),
    "distributed": distributed,
}


@pytest.fixture(params=list(EXECUTORS))
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    # spawned workers import the toys of this folder
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    monkeypatch.setattr(sys, "path", [root, *sys.path])
    with EXECUTORS[request.param]() as made:
        yield made


def drive(stage: Stage, executor: Executor, folder: Path, retries: int = 3) -> tuple[StageOutcome, list[Event]]:
    events: list[Event] = []
    with Ledger(folder / "ledger.txt", stage.grid.count) as ledger:
        outcome = run_stage(stage, executor, ledger, retries=retries, listener=events.append)
    return outcome, events


def test_faults_are_retried_and_counted_and_the_result_is_complete(executor: Executor, tmp_path: Path) -> None:
    faults = {2: ("fail", "fail", "ok"), 5: ("fail",), 7: ("empty",)}
    outcome, events = drive(toy_stage(tmp_path, 20, faults), executor, tmp_path)
    assert not outcome.failed
    assert outcome.retries == 3
    assert written(tmp_path) == {b: b for b in range(20) if b != 7}
    tries = {b: tries_of(str(tmp_path / "tries"), b) for b in range(20)}
    assert tries == {b: {2: 3, 5: 2}.get(b, 1) for b in range(20)}
    assert Ledger(tmp_path / "ledger.txt", 20).complete
    done = [r.block for e in events if isinstance(e, BlocksEnded) for r in e.results if r.error is None]
    assert sorted(done) == list(range(20))
    assert isinstance(events[-1], StageEnded)

    # a block that never succeeds is reported, the others are kept, and running again tries only that one
    stage = toy_stage(tmp_path / "again", 9, {4: ("fail",) * 3})
    outcome, _ = drive(stage, executor, tmp_path / "again", retries=2)
    assert set(outcome.failed) == {4}
    assert "fault in block 4" in str(outcome.failed[4].error)
    assert Ledger(tmp_path / "again" / "ledger.txt", 9).missing() == [range(4, 5)]
    outcome, _ = drive(stage, executor, tmp_path / "again")
    assert not outcome.failed
    assert sum(tries_of(str(tmp_path / "again" / "tries"), b) for b in range(9)) == 9 + 3


@pytest.mark.parametrize("kind", ["processes", "distributed"])
def test_a_block_that_kills_its_worker_fails_alone(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    with EXECUTORS[kind]() as executor:
        outcome, _ = drive(toy_stage(tmp_path, 8, {3: ("die",) * 9, 5: ("die", "ok")}), executor, tmp_path, retries=2)
    assert set(outcome.failed) == {3}
    assert "the worker died" in str(outcome.failed[3].error)
    assert "execution.memory" in str(outcome.failed[3].error)
    assert written(tmp_path) == {b: b for b in range(8) if b != 3}


def test_a_store_that_refuses_ends_the_stage_at_once(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 50, dict.fromkeys(range(10, 50), ("refuse",) * 9))
    with ThreadExecutor(2) as executor:
        outcome, _ = drive(stage, executor, tmp_path)
    assert outcome.failed
    assert all(result.hopeless for result in outcome.failed.values())
    tried = sum(tries_of(str(tmp_path / "tries"), b) for b in range(10, 50))
    assert tried == len(outcome.failed) < 20  # no retries, and few others were under way
    assert Ledger(tmp_path / "ledger.txt", 50).finished == 10
