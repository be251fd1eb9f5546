"""Profiles of clusters are found by name, and say what workers have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusestack.cli.main import run
from fusestack.config.execution import Execution
from fusestack.config.load import load_config
from fusestack.model.errors import ConfigError
from fusestack.planning.cluster_profiles import load_profile, packaged_profile, user_profiles
from fusestack.planning.resources import resolve_resources
from fusestack.taskgraph.job_systems import SYSTEMS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "fusestack" / "profiles"


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_profile_of_every_system_comes_with_the_program(system: str, tmp_path: Path) -> None:
    assert load_profile(system, tmp_path / "far" / "away")["cores"] == 1


def test_the_users_own_goes_before_and_that_beside_the_configuration_first(home: Path, tmp_path: Path) -> None:
    home.mkdir(parents=True)
    assert user_profiles() == home
    (home / "slurm.yaml").write_text("queue: mine")
    assert load_profile("slurm", tmp_path) == {"queue": "mine"}
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "slurm.yaml").write_text("queue: here")
    assert load_profile("slurm", tmp_path) == {"queue": "here"}


def test_an_unknown_name_says_where_it_was_looked_for(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no profile 'mill'; .*{home}/mill.yaml.*come with fusestack are htcondor"):
        load_profile("mill", tmp_path)


def test_init_writes_a_profile_to_adapt(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--profile", "pbs"]) == 0
    assert (home / "pbs.yaml").read_text() == packaged_profile("pbs")
    assert "fusestack submit CONFIG --profile pbs" in capsys.readouterr().out
    assert run(["init", "--profile", "pbs"]) == 5
    assert run(["init", "--profile", "loadleveler"]) == 2
    assert "there are htcondor, lsf, pbs, sge, slurm" in capsys.readouterr().err
    assert run(["init"]) == 2


def test_init_of_images_for_a_cluster(tmp_path: Path) -> None:
    import numpy as np
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 40, 40), np.uint16), photometric="minisblack")
    assert run(["init", "a.tif", "--profile", "slurm"]) == 0
    execution = load_config(tmp_path / "fuse.yaml").config.execution
    assert (execution.scheduler, execution.profile, execution.workers) == ("slurm", "slurm", 4)


def resources(tmp_path: Path, profile: dict[str, Any], **execution: Any) -> Any:
    import json

    (tmp_path / "p.yaml").write_text(json.dumps(profile))
    return resolve_resources(Execution(scheduler="slurm", profile="p.yaml", **execution), tmp_path)


def test_workers_of_jobs_have_what_the_profile_asks_for(tmp_path: Path) -> None:
    found = resources(tmp_path, {"cores": 8, "processes": 2, "memory": "16GB"})
    assert (found.threads_per_worker, found.memory) == (4, int(8e9 * 0.9))
    with pytest.raises(ConfigError, match=r"execution.memory: .*, but a worker of the profile has 7.5 GiB"):
        resources(tmp_path, {"cores": 8, "processes": 2, "memory": "16GB"}, memory=int(9e9))
    with pytest.raises(ConfigError, match=r"execution\.threads_per_worker: 2, but cores / processes"):
        resources(tmp_path, {"cores": 8, "processes": 2, "memory": "16GB"}, threads_per_worker=2)


def test_a_copy_under_any_name_says_its_system(tmp_path: Path) -> None:
    """`init --profile slurm -o mine.yaml`, then `submit --profile mine.yaml`."""
    from fusestack.config.models import Execution
    from fusestack.running.submission import system_of
    from fusestack.taskgraph.job_systems import SYSTEMS

    for system in SYSTEMS:
        (tmp_path / "mine.yaml").write_text(packaged_profile(system))
        assert system_of(Execution(profile="mine.yaml"), tmp_path) == system
