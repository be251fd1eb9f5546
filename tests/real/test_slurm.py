"""Jobs on a real Slurm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fusestack
from tests.slurm import PARTITION, Slurm
from tests.small import config, tree

PROFILE = {"queue": PARTITION, "cores": 1, "processes": 1, "memory": "1GB", "walltime": "00:10:00", "interface": "lo"}


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
