"""A dask cluster that is not ours: reached by address, lost on the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusestack.model.errors import BlockError, ConfigError
from fusestack.taskgraph.clusters import Cluster, at_address
from fusestack.taskgraph.ledger import ledger_of
from tests.taskgraph.toys import drive, toy_stage, written

ROOT = str(Path(__file__).parents[2])
SERVE = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address='127.0.0.1:0', processes=True) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusestack.taskgraph.clusters._ANSWER_SECONDS", 2)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([ROOT, *filter(None, sys.path)]))
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, str(script)], **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
        process.kill()


def test_workers_of_a_running_cluster(cluster: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    address, _ = cluster
    with at_address(address) as backend:
        assert backend.workers == 2
        outcomes, _, _ = drive([toy_stage(tmp_path, 30, {3: ("fail", "ok")})], backend)
    assert not outcomes["toy"].failed
    assert written(tmp_path) == {b: b for b in range(30)}


def test_a_lost_scheduler_ends_the_run_and_keeps_what_is_done(
    cluster: tuple[str, subprocess.Popen[str]], tmp_path: Path
) -> None:
    address, process = cluster
    stage = toy_stage(tmp_path, 2000, seconds=0.05)

    def kill_it_amidst() -> None:
        until = time.monotonic() + 60
        while not ledger_of(stage).finished and time.monotonic() < until:
            time.sleep(0.1)
        process.kill()

    threading.Thread(target=kill_it_amidst).start()
    with at_address(address) as backend, pytest.raises(BlockError, match="scheduler is lost"):
        drive([stage], backend)
    ledger = ledger_of(stage)
    assert 0 < ledger.finished < 2000
    assert set(written(tmp_path)) >= {b for b in range(2000) if ledger.done[b]}


def test_nobody_at_the_address() -> None:
    with pytest.raises(ConfigError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        at_address("tcp://127.0.0.1:9")


SCRIPT = """
from fusestack.taskgraph.clusters import local_cluster
GUARD
    with local_cluster(1, 1, 2**30) as backend:
        print("workers:", backend.workers)
"""


def test_a_script_that_every_process_would_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("GUARD", "if True:"))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"ConfigError: {script}: every worker process imports this script" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr
    script.write_text(SCRIPT.replace("GUARD", 'if __name__ == "__main__":'))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "workers: 1\n"


@pytest.mark.parametrize("states", [("pending", "error"), ("pending", "finished"), ("finished", "pending")])
def test_no_future_is_lost_whose_state_changes_while_it_is_looked_at(states: tuple[str, ...]) -> None:
    """One that was given up, and came back in between, was in no list: the run waited for it for ever."""

    class Future:
        key = ("toy-0", "0")

        def __init__(self) -> None:
            self.states = list(states)

        @property
        def status(self) -> str:
            return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    class Client:
        status = "running"

        def gather(self, futures: list[Future]) -> list[str]:
            return ["result" for _ in futures]

    backend = Cluster.__new__(Cluster)
    backend.client = Client()
    future = Future()
    results, failed, again = backend._fetched([future], persisted=False)
    assert [one for one, *_ in (*results, *failed)] + again == [future]
