"""Workers that a job system starts: Slurm's commands, played by scripts that start jobs on this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fusestack.model.errors import ConfigError
from fusestack.planning.cluster_profiles import load_profile
from fusestack.taskgraph import job_cluster as job_clusters
from fusestack.taskgraph.job_cluster import job_cluster
from tests.taskgraph.toys import drive, toy_stage, written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

ROOT = Path(__file__).parents[2]
PROFILE: dict[str, Any] = load_profile("slurm", ROOT) | {
    "memory": "1GB",
    "interface": "lo",  # nothing outside this machine shall reach the scheduler
    "scheduler_options": {"dashboard_address": "127.0.0.1:0"},
}
RUNS = """#!/bin/sh
[ "$1" = --test-only ] && exit 0
# A job's number is that of its process, which leads a session.
cp "$1" "$QUEUE/$$.sh"
setsid sh "$QUEUE/$$.sh" > "$QUEUE/$$.log" 2>&1 < /dev/null &
echo $! >> "$QUEUE/submitted"
echo "Submitted batch job $!"
"""
ACCEPTS = """#!/bin/sh
[ "$1" = --test-only ] && exit 0
echo 4711 >> "$QUEUE/submitted"
echo "Submitted batch job 4711"
"""
CANCELS = """#!/bin/sh
echo $1 >> "$QUEUE/cancelled"
kill -- -$1 2> /dev/null
"""


class Slurm:
    """What the scripts have written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, sbatch: str) -> None:
        for name, text in (("sbatch", sbatch), ("scancel", CANCELS), ("squeue", "#!/bin/sh\nexit 1\n")):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    def jobs(self, kind: str) -> list[int]:
        path = self.folder / kind
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def scripts(self) -> list[str]:
        return [path.read_text() for path in self.folder.glob("*.sh")]

    def running(self) -> list[int]:
        return [job for job in self.jobs("submitted") if alive(job)]

    def wait(self, *, jobs: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.running()) != jobs and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(self.running()) == jobs


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    queue = tmp_path / "queue"
    queue.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUEUE", str(queue))
    monkeypatch.setenv("PATH", f"{queue}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), *sys.path))))
    yield (made := Slurm(queue))
    for job in made.running():
        os.killpg(job, signal.SIGKILL)


def test_jobs_of_our_profile_are_workers_and_end_with_the_run(slurm: Slurm, tmp_path: Path) -> None:
    slurm.install(RUNS)
    with job_cluster("slurm", 2, PROFILE) as backend:
        outcomes, _, _ = drive([toy_stage(tmp_path, 12, {3: ("fail", "ok")})], backend)
        submitted = slurm.jobs("submitted")
    assert not outcomes["toy"].failed
    assert written(tmp_path) == {b: b for b in range(12)}
    assert len(submitted) == 2, "a job for each worker"
    for script in slurm.scripts():
        for setting in ("#SBATCH -p general", "#SBATCH -t 02:00:00", "export OMP_NUM_THREADS=1", "--lifetime 110m"):
            assert setting in script
    slurm.wait(jobs=0)


@pytest.mark.slow
def test_a_job_that_the_system_ends_is_replaced(slurm: Slurm, tmp_path: Path) -> None:
    slurm.install(RUNS)
    with job_cluster("slurm", 1, PROFILE) as backend:
        (first,) = slurm.running()
        threading.Timer(1, os.killpg, (first, signal.SIGKILL)).start()
        outcomes, _, _ = drive([toy_stage(tmp_path, 12, seconds=0.3)], backend)
        assert first not in slurm.running()
    assert not outcomes["toy"].failed
    assert written(tmp_path) == {b: b for b in range(12)}
    slurm.wait(jobs=0)


def test_where_no_worker_comes_the_job_script_is_shown_and_nothing_stays(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.install(ACCEPTS)
    monkeypatch.setattr(job_clusters, "_START_SECONDS", 3)
    with pytest.raises(ConfigError, match="no slurm worker started within 3 s") as caught:
        job_cluster("slurm", 1, PROFILE)
    for line in ("#!/usr/bin/env bash", "#SBATCH -p general", "#SBATCH --mem=954M", "dask_worker tls://127.0.0.1:"):
        assert line in str(caught.value)
    assert set(slurm.jobs("submitted")) == set(slurm.jobs("cancelled")) == {4711}
    assert [path.name for path in slurm.folder.parent.iterdir()] == ["queue"]


# dask-jobqueue's half-made cluster trips over itself when it is thrown away
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"queue": "general"}, "execution.profile: .*cores and memory"),
        (PROFILE | {"partition": "general"}, "execution.profile: .*partition"),
    ],
)
def test_a_profile_that_does_not_fit(profile: dict[str, Any], message: str, slurm: Slurm) -> None:
    slurm.install(ACCEPTS)
    with pytest.raises(ConfigError, match=message):
        job_cluster("slurm", 1, profile)
    assert not slurm.jobs("submitted")
