"""Recipes of workflow managers, run by them where they are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

import fusestack
from tests.conftest import UNTESTED
from tests.small import tiles, tree

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "deploy" / "pipelines"
OUTPUT = {"path": "fused.ome.zarr", "pyramid": [1, 2]}


def project(folder: Path, seed: int) -> None:
    """A project of fused tiles, which can be fused as any other."""
    views = tiles(folder / "tiles", "uint16", seed)
    output = {"path": str(folder / "a.ome.zarr"), "project": str(folder / "dataset.xml"), "pyramid": [1]}
    fusestack.run({"version": 1, "input": {"views": views}, "output": output})


def environment() -> dict[str, str]:
    """Where `fusestack` is the one that is tested."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "pipeline")}


def test_snakemake(tmp_path: Path) -> None:
    program = shutil.which("snakemake")
    if program is None:
        pytest.skip(
            f"{UNTESTED}WITH SNAKEMAKE: it is not installed; pip install snakemake, in an environment of its own"
        )
    for seed, sample in enumerate(["one", "two"]):
        project(tmp_path / "data" / sample, seed)
    config = {"version": 1, "input": {"project": "data/one/dataset.xml"}, "output": OUTPUT}
    YAML(typ="safe").dump(config, tmp_path / "fuse.yaml")
    call = [program, "--snakefile", str(RECIPES / "Snakefile"), "--directory", str(tmp_path), "--cores", "2"]

    def ran() -> str:
        answer = subprocess.run(call, env=environment(), capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    ran()
    for sample in ("one", "two"):
        assert (tmp_path / "results" / f"{sample}.png").stat().st_size > 100
        alone = tmp_path / f"{sample}.ome.zarr"
        mapping = {
            **config,
            "input": {"project": f"data/{sample}/dataset.xml"},
            "output": {**OUTPUT, "path": str(alone)},
        }
        YAML(typ="safe").dump(mapping, tmp_path / "alone.yaml")
        fusestack.run(tmp_path / "alone.yaml")
        assert tree(alone) == tree(tmp_path / "results" / f"{sample}.ome.zarr")
    assert "Nothing to be done" in ran()


@pytest.fixture
def fractal() -> None:
    if importlib.util.find_spec("fractal_task_tools") is None:
        pytest.skip(f"{UNTESTED}AS A TASK OF FRACTAL: fractal-task-tools is not installed")


@pytest.mark.usefixtures("fractal")
def test_fractal_runs_the_task(tmp_path: Path) -> None:
    """As its server does: arguments in a file, what was made in another."""
    config = {"version": 1, "input": {"views": tiles(tmp_path)}, "output": {"path": "elsewhere.h5", "pyramid": [1, 2]}}
    (tmp_path / "fuse.yaml").write_text(json.dumps(config), encoding="utf-8")
    manifest = json.loads((RECIPES / "fractal" / "fusestack_fractal" / "__FRACTAL_MANIFEST__.json").read_bytes())
    (task,) = manifest["task_list"]
    given = {"zarr_dir": str(tmp_path / "dataset"), "configuration": str(tmp_path / "fuse.yaml"), "name": "mosaic"}
    jsonschema.validate(given, task["args_schema_non_parallel"])
    (tmp_path / "args.json").write_text(json.dumps(given), encoding="utf-8")
    program = RECIPES / "fractal" / "fusestack_fractal" / task["executable_non_parallel"]
    out = tmp_path / "out.json"
    call = [sys.executable, str(program), "--args-json", str(tmp_path / "args.json"), "--out-json", str(out)]
    answer = subprocess.run(call, env=environment(), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    (update,) = json.loads(out.read_bytes())["image_list_updates"]
    assert update == {"zarr_url": str(tmp_path / "dataset" / "mosaic.ome.zarr"), "types": {"is_3D": True}}
    fusestack.run({**config, "output": {"path": str(tmp_path / "alone.ome.zarr"), "pyramid": [1, 2]}})
    assert tree(Path(update["zarr_url"])) == tree(tmp_path / "alone.ome.zarr")
    assert not (tmp_path / "elsewhere.h5").exists()


@pytest.mark.usefixtures("fractal")
def test_the_manifest_is_what_fractal_makes(tmp_path: Path) -> None:
    shutil.copytree(RECIPES / "fractal", tmp_path / "fractal", ignore=shutil.ignore_patterns("__pycache__"))
    made = tmp_path / "fractal" / "fusestack_fractal" / "__FRACTAL_MANIFEST__.json"
    before = json.loads(made.read_bytes())
    code = "from fractal_task_tools._cli import main; main()"
    call = [sys.executable, "-c", code, "create", "--package", "fusestack_fractal"]
    paths = {**environment(), "PYTHONPATH": str(tmp_path / "fractal")}
    answer = subprocess.run(call, cwd=tmp_path / "fractal", env=paths, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(made.read_bytes()) == before
