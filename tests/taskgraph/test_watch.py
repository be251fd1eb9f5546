"""Workers that are silent, blocks that never return, workers without the package, a scheduler that is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fusestack.model.errors import BlockError, ConfigError
from fusestack.taskgraph import clusters, watch
from fusestack.taskgraph.clusters import at_address, local_cluster
from tests.taskgraph.test_clusters import cluster
from tests.taskgraph.toys import drive, toy_stage, tries_of, written

__all__ = ["cluster"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_LOOK_SECONDS", 0.3)
    monkeypatch.setattr(clusters, "_LONGEST_BLOCK", 2)
    monkeypatch.setattr(watch, "ANSWER_SECONDS", 3.0)
    monkeypatch.setattr(watch, "SILENT_SECONDS", 2.0)
    monkeypatch.setattr(watch, "GIVEN_UP_SECONDS", 4.0)


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_that_is_stopped_is_named_and_its_batch_given_to_another(tmp_path: Path) -> None:
    said: list[str] = []
    stopped: list[int] = []
    with local_cluster(2, 1, 2**30) as backend:
        backend.watch.say = said.append
        processes = backend.client.run(os.getpid)

        def stop() -> None:
            wait_for(lambda: len(written(tmp_path)) > 4)
            stopped.append(next(iter(processes.values())))
            os.kill(stopped[0], signal.SIGSTOP)

        threading.Thread(target=stop).start()
        try:
            outcomes, _, _ = drive([toy_stage(tmp_path, 60, seconds=0.1)], backend)
        finally:
            with suppress(ProcessLookupError):
                os.kill(stopped[0], signal.SIGCONT)
    assert not outcomes["toy"].failed
    assert written(tmp_path) == {b: b for b in range(60)}
    (address,) = [address for address, process in processes.items() if process == stopped[0]]
    assert f"({address}), at toy batch " in said[0]
    assert "has been silent for 2" in said[0]
    assert "what it was at is given to another one" in said[1]


def _ten_minutes_later(dask_scheduler: Any) -> None:
    """What a scheduler finds whose machine slept: its clock went on, and no worker said anything."""
    for worker in dask_scheduler.workers.values():
        worker.last_seen -= 600
    if "worker-ttl" in dask_scheduler.periodic_callbacks:
        asyncio.get_running_loop().create_task(dask_scheduler.check_worker_ttl())


def test_a_machine_that_slept_loses_no_worker(tmp_path: Path) -> None:
    with local_cluster(2, 1, 2**30) as backend:
        processes = backend.client.run(os.getpid)

        def wake_up() -> None:
            wait_for(lambda: len(written(tmp_path)) > 4)
            backend.client.run_on_scheduler(_ten_minutes_later)

        waking = threading.Thread(target=wake_up)
        waking.start()
        outcomes, _, _ = drive([toy_stage(tmp_path, 40, seconds=0.1)], backend)
        waking.join()
        assert backend.client.run(os.getpid) == processes
    assert not outcomes["toy"].failed
    assert outcomes["toy"].retries == 0


def test_a_block_that_does_not_return_is_ended_and_tried_again_alone(tmp_path: Path) -> None:
    said: list[str] = []
    with local_cluster(2, 1, 2**30) as backend:
        backend.watch.say, backend.watch.block_timeout = said.append, 3
        outcomes, _, _ = drive([toy_stage(tmp_path, 12, {5: ("hang",) * 9})], backend, retries=0)
    assert written(tmp_path) == {b: b for b in range(12) if b != 5}
    (failure,) = outcomes["toy"].failed.values()
    assert failure.block == 5
    assert "a block did not return within " in failure.error
    assert "out of memory" not in failure.error
    assert tries_of(str(tmp_path / "tries"), 5) == 2, "once among others, once alone"
    assert any("it is ended, and the batch is given to another one" in text for text in said)


@pytest.fixture
def stranger(tmp_path: Path, cluster: tuple[str, subprocess.Popen[str]]) -> Iterator[str]:
    """A scheduler whose third worker has another environment."""
    address, _ = cluster
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "fusestack.py").write_text("raise ModuleNotFoundError(\"No module named 'fusestack'\")\n")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "bare")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
        yield address
        process.terminate()


def test_workers_without_the_package_are_named_and_sent_away(stranger: str, tmp_path: Path) -> None:
    said: list[str] = []
    with at_address(stranger) as backend:
        backend.watch.say, backend.watch.block_bytes = said.append, 2**60
        backend.client.wait_for_workers(3, timeout=30)
        outcomes, _, _ = drive([toy_stage(tmp_path, 30, seconds=0.02)], backend)
    assert not outcomes["toy"].failed
    assert outcomes["toy"].retries == 0
    assert "3 workers may run out of memory: worker " in said[0]
    assert "for 1 thread, and a block needs" in said[0]
    assert "1 of 3 workers cannot take part: tcp://" in said[1]
    assert "has no fusestack (No module named 'fusestack'); they are sent away: install fusestack" in said[1]


def test_where_no_worker_has_the_package_nothing_begins(
    stranger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusestack.__version__", "9.9")
    with (
        at_address(stranger) as backend,
        pytest.raises(ConfigError, match=r"workers cannot take part: .*install fusestack 9\.9 in the environment"),
    ):
        drive([toy_stage(tmp_path, 3)], backend)


def test_a_scheduler_that_is_stopped_is_told_of(
    cluster: tuple[str, subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, process = cluster
    monkeypatch.setattr(watch, "LOST_SECONDS", 5.0)
    monkeypatch.setattr(watch, "ANSWER_SECONDS", 1.0)
    said: list[str] = []
    threading.Timer(3, process.send_signal, [signal.SIGSTOP]).start()
    with at_address(address) as backend:
        backend.watch.say = said.append
        with pytest.raises(BlockError, match=r"the dask scheduler has not answered for .*; what is done is kept"):
            drive([toy_stage(tmp_path, 2000, seconds=0.05)], backend)
        process.send_signal(signal.SIGCONT)
    assert said
    assert said[-1].endswith("it is stopped, or cut off")
