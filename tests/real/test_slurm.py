"""Jobs on a real Slurm."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import ConfigError
from fusestack.taskgraph.job_cluster import job_cluster
from tests.slurm import CORES, PARTITION, Slurm
from tests.small import config, tree
from tests.taskgraph.toys import drive, toy_stage

PROFILE = {"queue": PARTITION, "cores": 1, "processes": 1, "memory": "1GB", "walltime": "00:10:00", "interface": "lo"}


@pytest.fixture(autouse=True)
def workers_know_these_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]))


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "here.yaml"
    path.write_text(json.dumps(PROFILE))
    return path


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run on this machine writes."""
    folder = tmp_path_factory.mktemp("threads")
    fusestack.run(config(folder))
    return tree(folder / "fused.ome.zarr")


def configured(folder: Path, profile: Path, **output: Any) -> Path:
    """Configuration for two jobs."""
    found = config(folder, **output)
    found["execution"] = {"scheduler": "slurm", "workers": 2, "profile": str(profile), "memory": "900MB"}
    path = folder / "fuse.yaml"
    path.write_text(json.dumps(found))
    return path


def test_slurm_fuses_what_threads_fuse(slurm: Slurm, profile: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    fusestack.run(configured(tmp_path, profile))
    assert tree(tmp_path / "fused.ome.zarr") == expected
    slurm.wait_until_empty()


def status_of(output: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["status", str(output), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def logs(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*.fusestack/logs/*"))


@pytest.mark.parametrize("mode", ["array", "dask"])
def test_a_submitted_job_ends_with_the_bytes_of_a_local_run(
    mode: str,
    slurm: Slurm,
    profile: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = configured(tmp_path, profile)
    assert run(["submit", str(path), "--mode", mode]) == 0
    assert "submitted to slurm: " in capsys.readouterr().out
    assert run(["run", str(path)]) == 5
    assert "was submitted to slurm (job" in capsys.readouterr().err
    assert run(["submit", str(path), "--mode", mode]) == 5
    status = status_of(tmp_path / "fused.ome.zarr", capsys)
    assert status["submission"]["jobs"]
    slurm.wait_until_empty(120)
    assert tree(tmp_path / "fused.ome.zarr") == expected, logs(tmp_path)
    assert status_of(tmp_path / "fused.ome.zarr", capsys)["status"]["state"] == "done"
    assert (tmp_path / "fused.ome.zarr.report.html").exists()
    assert not list((tmp_path / "fused.ome.zarr.fusestack").glob("graphs/*"))
    assert run(["submit", str(path), "--mode", mode]) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"memory": "64GB"}, "slurm would not accept the job: allocation failure: Requested node configuration"),
        ({"cores": 9, "processes": 9}, "slurm would not accept the job: .*Requested node configuration"),
        ({"queue": "general"}, "slurm would not accept the job: .*invalid partition specified: general"),
        ({"walltime": "99:00:00"}, r"slurm would never start the jobs: job \d+ pending \(PartitionTimeLimit\)"),
    ],
)
def test_the_impossible_is_answered_in_the_words_of_slurm(
    change: dict[str, Any], words: str, slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=words):
        job_cluster("slurm", 1, PROFILE | change)
    assert time.monotonic() - begun < 10
    slurm.wait_until_empty()
    assert not list(tmp_path.iterdir()), "no certificates, no logs stay"


def test_why_jobs_wait_is_said(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    full = slurm.said("sbatch", "--parsable", f"--cpus-per-task={CORES}", "--output=/dev/null", "--wrap=sleep 60")
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        slurm.said("scancel", full)

    with job_cluster("slurm", 2, PROFILE, say=say) as backend:
        assert drive([toy_stage(tmp_path, 4)], backend)[0]["toy"].computed == 4
        assert backend.client.scheduler.address.startswith("tls://")  # type: ignore[attr-defined]
    assert "waiting for slurm: job" in said[0]
    assert "pending (Resources)" in said[0] or "pending (Priority)" in said[0]
    slurm.wait_until_empty()


def test_jobs_that_end_at_once_show_what_they_printed(slurm: Slurm, tmp_path: Path) -> None:
    profile = PROFILE | {"job_script_prologue": ["echo no such environment >&2; exit 1"]}
    with pytest.raises(ConfigError, match=r"(?s)jobs, and all ended before they were workers.*no such environment"):
        job_cluster("slurm", 1, profile, logs=str(tmp_path / "logs"))
    slurm.wait_until_empty()


def test_nobody_without_the_certificates_of_the_run_is_listened_to(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    monkeypatch.chdir(tmp_path)
    with job_cluster("slurm", 1, PROFILE) as backend:
        address = backend.client.scheduler.address  # type: ignore[attr-defined]
        with pytest.raises((OSError, TypeError)):
            Client(address.replace("tls://", "tcp://"), timeout=2)
        with pytest.raises((OSError, TypeError)):
            Client(address, timeout=2)
    slurm.wait_until_empty()


def slow_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every read of a source wait a little, in all jobs: there is time to interfere."""
    (folder / "sitecustomize.py").write_text(
        "import time\nimport fusestack.sources.tiff as tiff\nread = tiff.TiffSource.read\n"
        "def slow(*given):\n    time.sleep(0.15)\n    return read(*given)\ntiff.TiffSource.read = slow\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))


def wait_for_blocks(folder: Path, count: int) -> None:
    until = time.monotonic() + 60
    found = 0
    while found < count:
        ticks = [p.read_bytes() for p in folder.glob("*.fusestack/ledger/fuse-*/[!.]*")]
        found = sum(len(range(*map(int, line.split()[:2]))) for tick in ticks for line in tick.splitlines())
        assert time.monotonic() < until, logs(folder)
        time.sleep(0.1)


@pytest.mark.parametrize("mode", ["array", "dask"])
def test_a_job_is_called_back_in_the_middle_and_continued(
    mode: str,
    slurm: Slurm,
    profile: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, output = configured(tmp_path, profile), tmp_path / "fused.ome.zarr"
    with monkeypatch.context() as slow:
        slow_sources(tmp_path, slow)
        assert run(["submit", str(path), "--mode", mode]) == 0
    wait_for_blocks(tmp_path, 3)
    capsys.readouterr()
    status = status_of(output, capsys)
    assert status["status"]["state"] in ("running", "submitted")
    # a driver tells of batches that came back, an array of what is ticked off
    assert (0 if mode == "dask" else 1) <= status["status"]["done"] < status["status"]["blocks"]
    assert run(["cancel", str(output)]) == 0
    assert "cancelled (slurm: " in capsys.readouterr().out
    slurm.wait_until_empty(60)
    status = status_of(output, capsys)
    assert status["status"]["state"] == "cancelled"
    assert 0 < status["status"]["done"] < status["status"]["blocks"], logs(tmp_path)
    assert fusestack.run(path, ["execution.scheduler=threads"]).stages[0].action == "continued"
    assert tree(output) == expected
    assert run(["cancel", str(output)]) == 0
    assert "nothing to cancel" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["array", "dask"])
def test_a_job_that_loses_a_part_ends_with_the_same_bytes(
    mode: str,
    slurm: Slurm,
    profile: Path,
    tmp_path: Path,
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = configured(tmp_path, profile)
    with monkeypatch.context() as slow:
        slow_sources(tmp_path, slow)
        assert run(["submit", str(path), "--mode", mode]) == 0
    wait_for_blocks(tmp_path, 2)
    lines = slurm.said("squeue", "--noheader", "--array", "--format=%i %j %T").splitlines()
    jobs = dict(line.split()[:2] for line in lines if line.endswith("RUNNING"))
    worker = next(number for number, name in jobs.items() if name in ("fusestack-part", "dask-worker"))
    slurm.said("scancel", "--full", "--signal=KILL", worker)
    slurm.wait_until_empty(180)
    assert tree(tmp_path / "fused.ome.zarr") == expected, logs(tmp_path)
