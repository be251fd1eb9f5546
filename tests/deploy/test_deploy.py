"""The local cluster really starts, fuses and stops; the profile makes the job that it says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
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
    del profile["driver"], profile["system"]  # of jobs that start others, and which system it is for
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


def documents(name: str) -> list[Any]:
    return list(YAML(typ="safe").load_all(ROOT / "deploy" / "kubernetes" / name))


def options_of(*command: str) -> set[str]:
    """Options that a command has."""
    said = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"--[a-z][\w-]*", said))


def test_a_dask_cluster_of_the_operator() -> None:
    """Fields of `kubernetes.dask.org/v1`, and commands that there are."""
    (cluster,) = documents("cluster.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    assert set(cluster["spec"]) == {"worker", "scheduler"}
    worker, scheduler = cluster["spec"]["worker"], cluster["spec"]["scheduler"]
    assert set(worker) == {"replicas", "spec"}
    assert set(scheduler) == {"spec", "service"}
    (works,), (schedules,) = worker["spec"]["containers"], scheduler["spec"]["containers"]
    assert (works["name"], schedules["name"]) == ("worker", "scheduler")
    for container, what in ((works, "worker"), (schedules, "scheduler")):
        assert container["command"] == ["dask"]
        assert container["args"][0] == what
        given = {word for word in container["args"] if word.startswith("--")}
        assert given <= options_of("dask", what)
        assert all(isinstance(word, str) for word in container["args"])
    ports = {port["name"]: port["containerPort"] for port in schedules["ports"]}
    service = scheduler["service"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    assert service["selector"] == {
        "dask.org/cluster-name": cluster["metadata"]["name"],
        "dask.org/component": "scheduler",
    }
    assert schedules["readinessProbe"]["httpGet"]["port"] in ports


def test_a_job_of_kubernetes() -> None:
    from fusestack.cli.main import build_parser
    from fusestack.config.load import from_mapping
    from fusestack.model.errors import ConfigError, InputError, OutputError

    (cluster,) = documents("cluster.yaml")
    by_kind = {one["kind"]: one for file in ("claim.yaml", "job.yaml") for one in documents(file)}
    assert [one["kind"] for one in documents("claim.yaml")] == ["PersistentVolumeClaim"], (
        "data stay when a job is replaced"
    )
    claim, config, job = (by_kind[kind] for kind in ("PersistentVolumeClaim", "ConfigMap", "Job"))
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (name,) = config["data"]
    settings = from_mapping(YAML(typ="safe").load(config["data"][name])).config
    parsed = build_parser(container["args"]).parse_args(container["args"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(parsed.config) == f"{mounts['config']}/{name}"
    port = {one["name"]: one["port"] for one in cluster["spec"]["scheduler"]["service"]["ports"]}["tcp-comm"]
    assert parsed.overrides == [f"execution.scheduler=tcp://{cluster['metadata']['name']}-scheduler:{port}"]
    worker = cluster["spec"]["worker"]["spec"]
    images = {
        one["image"] for one in (container, *worker["containers"], *cluster["spec"]["scheduler"]["spec"]["containers"])
    }
    assert images == {f"fusestack:{fusestack.__version__}"}
    assert worker["volumes"][0] in spec["volumes"]
    assert worker["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert worker["containers"][0]["volumeMounts"][0]["mountPath"] == mounts["data"]
    arguments = worker["containers"][0]["args"]
    assert settings.execution.memory == 5 * 2**30
    assert arguments[arguments.index("--memory-limit") + 1] == "5GiB"
    assert settings.output is not None
    assert settings.output.path.startswith(f"{mounts['data']}/")
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert rule["onExitCodes"]["values"] == [error.exit_code for error in (ConfigError, InputError, OutputError)]


def test_containers_install_what_is_there() -> None:
    docker, apptainer = ((ROOT / "deploy" / name).read_text() for name in ("Dockerfile", "fusestack.def"))
    base = re.search(r"(?m)^FROM (\S+)$", docker)
    assert base is not None
    assert f"From: {base[1]}\n" in apptainer
    copied = re.findall(r"(?m)^COPY (.*) \S+$", docker)
    there = {source for line in copied for source in line.split()}
    assert there == set(re.findall(r"(?m)^    (\S+) /src/\S+$", apptainer))
    assert all((ROOT / source).exists() for source in there)
    install = 'pip install --no-cache-dir -c /src/constraints.txt "/src[cluster]"'
    assert install in docker
    assert install in apptainer
    for text in (docker, apptainer, *(path.read_text() for path in (ROOT / "deploy").glob("*.md"))):
        for version in re.findall(r"fusestack:(\d\S*?)[ `\"]|Version (\S+)", text):
            assert fusestack.__version__ in version


def test_constraints_pin_all_that_is_needed() -> None:
    """Every requirement of the package has one version, which it allows; and so on."""
    import tomllib
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    left = [Requirement(one) for one in (*project["dependencies"], *project["optional-dependencies"]["cluster"])]
    seen: set[str] = set()
    while left:
        one = left.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        extras = [{"extra": extra} for extra in one.extras] or [{"extra": ""}]
        assert one.specifier.contains(pinned[name], prereleases=True), f"{one}: {name} is pinned to {pinned[name]}"
        if f"{name}{sorted(one.extras)}" in seen:
            continue
        seen.add(f"{name}{sorted(one.extras)}")
        try:
            further = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:  # not in this environment
            continue
        here = {"python_version": "3.11", "python_full_version": "3.11.13"}  # of the images
        left += [two for two in further if two.marker is None or any(two.marker.evaluate(here | e) for e in extras)]
    assert {name.partition("[")[0] for name in seen} == pinned.keys()


def test_pages_name_files_that_there_are() -> None:
    for page in (ROOT / "deploy").glob("*.md"):
        for found in re.finditer(r"(deploy/[\w./-]*\w)|\]\((\w[\w./-]*)\)", page.read_text()):
            path = ROOT / found[1] if found[1] else ROOT / "deploy" / found[2]
            assert path.exists(), f"{page.name}: {found[0]}"
