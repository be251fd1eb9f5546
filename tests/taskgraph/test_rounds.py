"""Every scheduler: complete results, counted tries, dead workers, resuming."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusestack.model.errors import BlockError
from fusestack.model.geometry import Box
from fusestack.model.stage import Along, Reach, Stage, StoredArray, Target
from fusestack.storage.kept import decoded, keeping
from fusestack.taskgraph.batches import towers
from fusestack.taskgraph.clusters import Backend, Threads, local_cluster
from fusestack.taskgraph.events import BlocksEnded, Event, StageEnded
from fusestack.taskgraph.ledger import ledger_of
from fusestack.taskgraph.rounds import Refused, run_units
from fusestack.taskgraph.stop import forget_stops, is_stopped, stop
from fusestack.taskgraph.tasks import run_batch
from tests.taskgraph.toys import ToyCompute, drive, missing, toy_stage, toy_unit, tries_of, written

SCHEDULERS: dict[str, Callable[[], Backend]] = {
    "threads": lambda: Threads(3),
    "distributed": lambda: local_cluster(2, 1, 2**30),
}


@pytest.fixture(params=list(SCHEDULERS), scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    # spawned workers import the toys of this folder
    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        patch.setattr(sys, "path", [root, *sys.path])
        with SCHEDULERS[request.param]() as made:
            yield made


def test_faults_are_retried_and_counted_and_the_result_is_complete(backend: Backend, tmp_path: Path) -> None:
    faults = {2: ("fail", "fail", "ok"), 5: ("fail",), 7: ("empty",)}
    stage = toy_stage(tmp_path, 20, faults)
    outcomes, events, ended = drive([stage], backend)
    assert not outcomes["toy"].failed
    assert outcomes["toy"].retries == 3
    assert written(tmp_path) == {b: b for b in range(20) if b != 7}
    tries = {b: tries_of(str(tmp_path / "tries"), b) for b in range(20)}
    assert tries == {b: {2: 3, 5: 2}.get(b, 1) for b in range(20)}
    assert ledger_of(stage).complete
    done = [block for e in events if isinstance(e, BlocksEnded) for run in e.done for block in run]
    assert sorted(done) == list(range(20))
    assert isinstance(events[-1], StageEnded)
    assert [one.complete for one in ended] == [True]
    assert len(list((tmp_path / "work" / "ends").iterdir())) == 1

    # a block that never succeeds is reported, the others are kept, and running again tries only that one
    stage = toy_stage(tmp_path / "again", 9, {4: ("fail",) * 3})
    outcomes, _, ended = drive([stage], backend, retries=2)
    assert set(outcomes["toy"].failed) == {4}
    failure = outcomes["toy"].failed[4]
    assert failure.error == "fault in block 4"
    assert str(failure).startswith("stage toy, block 4 (x 16..19, ")
    assert 'raise ValueError(f"fault in block {block}")' in failure.details
    assert not ended[0].complete
    assert missing(ledger_of(stage)) == [range(4, 5)]
    outcomes, _, _ = drive([stage], backend)
    assert not outcomes["toy"].failed
    assert sum(tries_of(str(tmp_path / "again" / "tries"), b) for b in range(9)) == 9 + 3


def test_a_block_that_kills_its_worker_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]))
    before = dict(os.environ)
    with local_cluster(2, 1, 2**30) as backend:
        outcomes, _, _ = drive([toy_stage(tmp_path, 8, {3: ("die",) * 9, 5: ("die", "ok")})], backend, retries=2)
    assert dict(os.environ) == before, "workers start anew meanwhile, and dask sets variables for them"
    assert set(outcomes["toy"].failed) == {3}
    assert "the worker died" in outcomes["toy"].failed[3].error
    assert "execution.memory" in outcomes["toy"].failed[3].error
    assert written(tmp_path) == {b: b for b in range(8) if b != 3}
    tries = [tries_of(str(tmp_path / "tries"), b) for b in range(8)]
    assert 3 <= tries[3] <= 4  # where others were under way, its first death is no proof
    assert sum(tries) <= 8 + tries[3] + 1 + 4  # bystanders that were under way on the worker, once each


def test_a_store_that_refuses_ends_the_run_at_once(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 50, dict.fromkeys(range(10, 50), ("refuse",) * 9))
    with Threads(2) as backend, pytest.raises(Refused, match="disk full"):
        drive([stage], backend)
    assert sum(tries_of(str(tmp_path / "tries"), b) for b in range(10, 50)) < 10  # few others were under way
    done = ledger_of(stage).done
    assert not done[10:].any()


@dataclass(frozen=True)
class Copy(ToyCompute):
    """Reads the same block of another toy, which has to be there."""

    below: StoredArray | None = None

    def __call__(self, box: Box) -> np.ndarray[Any, Any] | None:
        assert self.below is not None
        path = Path(self.below.target.image.path, "-".join(map(str, box.start)) + ".json")
        assert path.exists(), f"{path.name} is read before it is written"
        return super().__call__(box)

    def reaches(self) -> dict[StoredArray, Reach]:
        assert self.below is not None
        return {self.below: (Along(),) * 5}


def copy_stage(folder: Path, below: Stage, faults: dict[int, tuple[str, ...]] | None = None) -> Stage:
    stage = toy_stage(folder, below.grid.count, faults)
    compute = Copy(str(folder / "tries"), stage.grid, faults or {}, below=below.array)
    return replace(stage, name="copy", compute=compute, fingerprint="c" * 64, needs=(below.key,))


def test_what_stands_on_a_failed_block_is_left_out_and_everything_else_is_made(
    backend: Backend, tmp_path: Path
) -> None:
    first = toy_stage(tmp_path / "a", 12, {3: ("fail",) * 9, 8: ("fail", "ok")}, seconds=0.01)
    second = copy_stage(tmp_path / "b", first, {5: ("fail", "ok")})
    outcomes, _, ended = drive([first, second], backend, retries=1)
    assert set(outcomes["toy"].failed) == {3}
    assert not outcomes["copy"].failed
    assert set(written(tmp_path / "b")) == set(range(12)) - {3}
    assert tries_of(str(tmp_path / "b" / "tries"), 3) == 0
    assert [one.complete for one in ended] == [False, False]
    first.target.open()
    for path in (tmp_path / "a" / "tries").glob("3.*"):
        path.unlink()
    healthy = replace(first, compute=ToyCompute(str(tmp_path / "a" / "tries"), first.grid, {}))
    _, _, ended = drive([healthy, second], backend)
    assert [one.complete for one in ended] == [True, True]
    assert sum(tries_of(str(tmp_path / "b" / "tries"), b) for b in range(12)) == 12 + 1


def test_a_block_begins_when_those_that_it_reads_are_there(tmp_path: Path) -> None:
    """Not when the stage before it is over: the last blocks of the first stage are slow."""
    first = toy_stage(tmp_path / "a", 40)
    slow = ToyCompute(str(tmp_path / "a" / "tries"), first.grid, {}, 0.02)
    first = replace(first, compute=slow)
    second = copy_stage(tmp_path / "b", first)
    with Threads(2) as backend:
        drive([first, second], backend)
    last = max(p.stat().st_mtime_ns for p in (tmp_path / "a" / "out").iterdir())
    early = [p for p in (tmp_path / "b" / "out").iterdir() if p.stat().st_mtime_ns < last]
    assert early


def test_an_interrupt_ends_between_two_blocks(backend: Backend, tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 400, seconds=0.02)

    def interrupt(event: Event) -> None:
        if isinstance(event, BlocksEnded) and event.count > 1:
            raise KeyboardInterrupt

    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        drive([stage], backend, listener=interrupt)
    assert time.perf_counter() - start < 10
    there = len(written(tmp_path))
    done = ledger_of(stage).finished
    assert 0 < done <= there < 300
    time.sleep(1.5)
    assert len(written(tmp_path)) == there  # nothing goes on behind our back
    _, _, ended = drive([stage], backend)
    assert ended[0].complete
    assert sum(tries_of(str(tmp_path / "tries"), b) for b in range(400)) <= 400 + there - done


def die_once(work: str) -> str:
    """An end that kills its worker the first time."""
    mark = Path(work, "died")
    mark.parent.mkdir(parents=True, exist_ok=True)
    if not mark.exists():
        mark.touch()
        os._exit(9)
    return work


def test_an_end_whose_worker_dies_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    stage = toy_stage(tmp_path, 8)
    unit = replace(toy_unit(stage), end=partial(die_once, stage.target.work))
    options: dict[str, Any] = {"memory": 2**40, "listener": lambda event: None}
    with local_cluster(2, 1, 2**30) as backend:
        with pytest.raises(BlockError, match=r"end.*: the worker died"):
            run_units([unit], backend, retries=0, **options)
        ended, _ = run_units([unit], backend, retries=0, **options)
        assert ended[0].complete
        (Path(stage.target.work) / "died").unlink()
        ended, _ = run_units([unit], backend, retries=1, **options)
    assert ended[0].complete
    assert all(tries_of(str(tmp_path / "tries"), b) == 1 for b in range(8))


def test_a_folder_that_cannot_be_ticked_off_is_a_refusal(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 3)
    (tmp_path / "file").write_text("")
    target = Target(stage.target.writer, stage.target.image, 0, str(tmp_path / "file"))
    with Threads(1) as backend, pytest.raises(Refused, match="cannot record finished blocks"):
        drive([replace(stage, target=target)], backend)


def test_marks_of_old_runs_are_deleted_and_stop_no_other_run(tmp_path: Path) -> None:
    now, old = f"{int(time.time()):x}aaaaaa", f"{int(time.time()) - 8 * 86400:x}bbbbbb"
    for run in (now, old):
        stop(str(tmp_path), run)
        assert is_stopped(str(tmp_path), run)
    assert not is_stopped(str(tmp_path), f"{int(time.time()):x}cccccc")
    forget_stops(str(tmp_path))
    assert [path.name for path in (tmp_path / "stop").iterdir()] == [now]


def test_what_a_thread_keeps_goes_with_its_stage(tmp_path: Path) -> None:
    entry = np.zeros(10)
    with keeping(1000):
        assert decoded("a", b"x", lambda _: entry, again=True) is entry
    for number in range(2):
        (tower,) = towers([replace(toy_stage(tmp_path, 2), fingerprint=str(number) * 64)], workers=1, memory=0)
        with keeping(1000):
            assert decoded("a", b"x", lambda _: np.ones(10), again=True) is entry
        run_batch(tower, [0], "run", "0", 0)
        run_batch(tower, [1], "run", "1", 0)
        with keeping(1000):
            entry = np.zeros(10)
            assert decoded("a", b"x", lambda _, made=entry: made, again=True) is entry
