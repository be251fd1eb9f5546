"""The local cluster really starts, fuses and stops; the profile makes the job that it says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from ruamel.yaml import YAML

import fusestack
from fusestack.config.load import load_config
from fusestack.planning.cluster_profiles import load_profile

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture
def cluster() -> Iterator[str]:
    settings = {**os.environ, "PORT": "0", "MEMORY": "1GiB"}
    script = [str(ROOT / "deploy" / "local-cluster.sh")]
    with subprocess.Popen(script, env=settings, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"tcp://127\.0\.0\.1:\d+", first)
        assert found, first
        assert re.match(r"dashboard: (http://127\.0\.0\.1:[1-9]\d*/status|needs bokeh)", process.stdout.readline())
        try:
            yield found[0]
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=40) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_local_cluster_fuses_what_threads_fuse(cluster: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", rng.integers(0, 999, (9, 40, 50), dtype=np.uint16))
    config: dict[str, Any] = {
        "version": 1,
        "input": {
            "views": [
                {"path": str(tmp_path / f"{i}.tif"), "translation": {"x": 30.3 * i, "y": 0, "z": 0}} for i in range(2)
            ]
        },
        "output": {"path": str(tmp_path / "threads.ome.zarr"), "chunks": 16, "shards": "none"},
    }
    fusestack.run(config)
    report = fusestack.run(config, [f"execution.scheduler={cluster}", f"output.path={tmp_path / 'cluster.ome.zarr'}"])
    assert not report.reused_all
    first, second = (
        zarr.open_array(tmp_path / f"{name}.ome.zarr" / "0", mode="r")[:] for name in ("threads", "cluster")
    )
    assert first.any()
    assert first.tobytes() == second.tobytes()


def test_slurm_profile_makes_the_job() -> None:
    from dask_jobqueue import SLURMCluster

    profile = load_profile("slurm", ROOT / "configs")
    del profile["driver"]  # of jobs that start others
    with SLURMCluster(**profile, scheduler_options={"dashboard_address": "127.0.0.1:0"}) as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p general", "#SBATCH --cpus-per-task=1", "#SBATCH -t 02:00:00", "export OMP_NUM_THREADS=1"):
        assert line in script.splitlines()
    assert re.search(r"#SBATCH --mem=6G", script)
    assert re.search(r"--nthreads 1\b.*--lifetime 110m --lifetime-stagger 5m", script)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_examples_are_valid_and_available(path: Path) -> None:
    from fusestack.config.load import unsupported

    loaded = load_config(path)
    assert unsupported(loaded) == []
    text = YAML(typ="safe").load(path)
    assert text["version"] == 1


def test_readme_shows_valid_configurations() -> None:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        from fusestack.config.load import from_mapping

        shown = YAML(typ="safe").load(block)
        if "version" not in shown:  # a part of one
            shown |= {"version": 1, "input": {"images": "*.jpg"}}
        config = from_mapping(shown).config
        assert config.output is not None or config.focus is not None
