"""Workers that come and go, and schedulers that are started anew, while a run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fusestack.model.errors import BlockError
from fusestack.taskgraph.clusters import Cluster, at_address, dask_settings
from fusestack.taskgraph.events import BlocksEnded, Event
from fusestack.taskgraph.ledger import ledger_of
from tests.taskgraph.toys import drive, toy_stage, written


def test_workers_come_and_go(tmp_path: Path) -> None:
    """One, four, one: every block is there, and what workers were at that left in an orderly way has not failed."""
    import dask
    from distributed import Client, LocalCluster

    seen: list[int] = []
    ended: list[BlocksEnded] = []
    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with (
        dask.config.set(dask_settings()),
        LocalCluster(n_workers=1, processes=False, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):

        def listen(event: Event) -> None:
            if isinstance(event, BlocksEnded):
                ended.append(event)
                seen.append(len(cluster.scheduler_info["workers"]))
                if len(ended) == 1:
                    cluster.scale(4)
                    client.wait_for_workers(4, timeout=60)
                elif len(ended) == 4:
                    cluster.scale(1)

        stage = toy_stage(tmp_path, 240, seconds=0.02)
        outcomes, _, _ = drive([stage], Cluster(client), listener=listen)
    assert max(seen) == 4
    assert not outcomes["toy"].failed
    assert not [one for event in ended for one in event.failed]
    assert outcomes["toy"].retries == 0
    assert written(tmp_path) == {block: block for block in range(240)}


SERVE = """
import sys
from distributed import LocalCluster
options = {"processes": False, "protocol": "tcp", "host": "127.0.0.1", "threads_per_worker": 1, "silence_logs": 50}
with LocalCluster(n_workers=1, scheduler_port=int(sys.argv[1]), dashboard_address=None, **options) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@contextmanager
def served(port: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A scheduler with a worker, at a port."""
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", SERVE, str(port)], env=environment, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def test_a_scheduler_that_is_started_anew_at_its_port(tmp_path: Path) -> None:
    """Its run ends with the true cause; the next one, on the new scheduler, continues."""
    stage = toy_stage(tmp_path, 200, seconds=0.02)
    with ExitStack() as stack:
        address, process = stack.enter_context(served(0))
        backend = stack.enter_context(at_address(address))
        begun: list[str] = []

        def restart(event: Event) -> None:
            if isinstance(event, BlocksEnded) and not begun:
                process.kill()
                process.wait()
                begun.append(stack.enter_context(served(int(address.rpartition(":")[2])))[0])

        with pytest.raises(BlockError, match="what is done is kept, running again continues") as caught:
            drive([stage], backend, listener=restart)
        assert "memory" not in str(caught.value)
        assert begun == [address]
        done = ledger_of(stage).finished
        assert 0 < done < 200
        with at_address(address) as other:
            outcomes, _, _ = drive([stage], other)
    assert outcomes["toy"].computed <= 200 - done
    assert not outcomes["toy"].failed
    assert written(tmp_path) == {block: block for block in range(200)}
