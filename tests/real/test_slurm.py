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


def test_slurm_fuses_what_threads_fuse(slurm: Slurm, profile: Path, tmp_path: Path) -> None:
    whole = config(tmp_path / "threads")
    fusestack.run(whole)
    jobs = config(tmp_path / "slurm")
    jobs["execution"] = {"scheduler": "slurm", "workers": 2, "profile": str(profile), "memory": "900MB"}
    fusestack.run(jobs)
    assert tree(tmp_path / "threads" / "fused.ome.zarr") == tree(tmp_path / "slurm" / "fused.ome.zarr")
    slurm.wait_until_empty()


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
