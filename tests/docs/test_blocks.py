"""Every command, configuration and Python block of README and documentation, tried as a reader would.

A page is a session: its blocks run one after another in one folder, where the data lie that pages speak of. A YAML
block that begins with a comment ``# name.yaml`` is that file; others are checked. ``fusestack`` runs in this process.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr
from PIL import Image
from ruamel.yaml import YAML

import fusestack
from fusestack.cli.main import COMMANDS, build_parser, run
from fusestack.config.load import from_mapping, unsupported
from fusestack.simulate import simulate_acquisition, simulate_macro
from tests.docs.blocks import ROOT, SHOWN, TRIED, Block, blocks, commands, pages

SHELL = re.compile(r"[|&;<>$()?~]|^(?!fusestack |ls |cat )|^[A-Z_]+=")
"""What asks for a shell; other lines are words."""
NOT_RUN = {  # why, and how many blocks: one more is a decision
    "installs": 2,
    "needs Apptainer": 2,
    "needs Kubernetes": 1,
    "needs Snakemake; the tests of pipelines run the recipe": 1,
    "needs Slurm; the tests of jobs start a real one": 2,
    "needs a bucket; an S3 server stands for one in the tests of buckets": 1,
    "needs a cluster, and graphviz": 1,
    "needs conda": 1,
    "needs dask-gateway": 1,
    "needs docker": 2,
    "needs the job": 1,
    "opens a browser": 1,
    "opens a window": 1,
    "runs until Ctrl-C": 1,
    "serves until Ctrl-C": 1,
    "starts servers until Ctrl-C; the tests of deployment start the script": 1,
}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of: a project, tiles that know their place, photographs, folders of them."""
    folder = tmp_path_factory.mktemp("documented")
    simulate_acquisition(folder, tile_shape=(16, 64, 64), channels=1)
    (folder / "tiles").mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        facts = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
        units = {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}
        plane = {"PositionX": [25.0 * number] * 12, "PositionY": [0.0] * 12, "PositionZ": [2.0 * z for z in range(12)]}
        pixels = rng.integers(0, 4000, (12, 64, 64), dtype=np.uint16)
        tifffile.imwrite(
            folder / "tiles" / f"tile{number}.ome.tif", pixels, metadata={**facts, **units, "Plane": plane}
        )
    stack = simulate_macro("hairs", size=128)
    photographs = [Image.fromarray(np.asarray(one * 255 + 0.5, np.uint8)) for one in stack.slices]
    for name, count in (("moss", 9), ("stacks/a", 3), ("stacks/b", 3)):
        (folder / name).mkdir(parents=True)
        for k, one in enumerate(photographs[:count], 1):
            one.save(folder / name / f"img{k}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `fusestack demo` made for a page before, by its options: the same for all of them."""
    return {"keep": tmp_path_factory.mktemp("demos")}


@pytest.fixture
def session(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, my_module: None) -> Path:
    """A folder with the data, in which a page is followed."""
    shutil.copytree(data, tmp_path / "page", copy_function=os.link)
    monkeypatch.chdir(tmp_path / "page")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "page"


def sims() -> list[Any]:
    """Two images as multiview-stitcher keeps them: transforms by name among the attributes."""
    found = []
    for number in range(2):
        pixels = np.full((1, 1, 8, 32, 32), 100 * (number + 1), np.uint16)
        coords = {"t": [0], "c": [0], "z": np.arange(8) * 2.0, "y": np.arange(32) * 0.5, "x": np.arange(32) * 0.5}
        moved, names = np.eye(4), list("zyx1")
        moved[2, 3] = 12 * number
        affines = {
            key: xr.DataArray(matrix, dims=("x_in", "x_out"), coords={"x_in": names, "x_out": names})
            for key, matrix in (("affine_metadata", np.eye(4)), ("registered", moved))
        }
        attrs = {"transforms": affines}
        found.append(xr.DataArray(pixels, dims=("t", "c", "z", "y", "x"), coords=coords, attrs=attrs))
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_says_can_be_done(
    page: Path, session: Path, demos: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": "page", "fusestack": fusestack}
    for block in blocks(page):
        assert block.kind in TRIED | SHOWN, f"{block}: what is {block.kind}?"
        if block.kind == "yaml":
            check_yaml(block)
        elif block.kind == "sh":
            check_commands(block)
            if not block.not_run:
                run_commands(block, demos)
        elif block.kind == "python":
            code = compile(block.text, str(block), "exec")
            if not block.not_run:
                if block.given:
                    names[block.given] = {"sims": sims}[block.given]()
                follow_python(block, code, names)
        capfd.readouterr()


def check_yaml(block: Block) -> None:
    """Write a file that has a name; check what is a configuration, or a part of one."""
    found = YAML(typ="safe").load(block.text)
    named = re.match(r"# (\S+\.ya?ml)$", block.text.partition("\n")[0])
    if named:
        Path(named[1]).write_text(block.text)
    if named and named[1] == "environment.yml":
        return
    if "version" not in found:  # a part
        begin: dict[str, Any] = {"version": 1, "input": {"project": "a.xml"}, "output": {"path": "a.ome.zarr"}}
        if "focus" in found:
            begin = {"version": 1, "input": {"images": "*.jpg"}}
        found = begin | found
    config = from_mapping(found)
    assert unsupported(config) == [], block
    assert config.config.output is not None or config.config.focus is not None


def check_commands(block: Block) -> None:
    """What begins with fusestack is a command line that the program takes, whether it runs here or not."""
    for line in commands(block.text):
        for part in re.split(r"&&|\|", line):
            words = shlex.split(part)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words[:1] == ["fusestack"] and words[1:] != ["--version"]:
                assert words[1] in COMMANDS, f"{block}: {line}"
                build_parser(words[1:]).parse_args(words[1:])


def run_commands(block: Block, demos: dict[str, Path]) -> None:
    """Run them one after another; what is more than words, in a shell."""
    lines = commands(block.text)
    if any(SHELL.search(line) for line in lines):
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        environment["PYTHONPATH"] = str(ROOT / "pipeline")
        words = ["bash", "-euo", "pipefail", "-c", block.text]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{block}: {done.stdout[-500:]}{done.stderr[-2000:]}"
        return
    for line in lines:
        program, *words = shlex.split(line)
        words = [one for word in words for one in expanded(word, line)]
        if program in ("ls", "cat"):
            assert all(Path(word).exists() for word in words), f"{block}: {line}"
        elif words[0] == "demo" and (kept := demos.get(" ".join(words[1:-1]))):
            shutil.copytree(kept, words[-1], copy_function=os.link)
        else:
            assert run(words) == 0, f"{block}: {line}"
            if words[0] == "demo":
                demos[" ".join(words[1:-1])] = demos["keep"] / str(len(demos))
                shutil.copytree(words[-1], demos[" ".join(words[1:-1])])


def expanded(word: str, line: str) -> list[str]:
    """Names that a pattern without quotes stands for, as a shell finds them."""
    if "*" not in word or f'"{word}' in line:
        return [word]
    return sorted(str(path) for path in Path().glob(word))


def follow_python(block: Block, code: Any, names: dict[str, Any]) -> None:
    """Run it with the names of the blocks before, as a file of the page."""
    before = sys.path[:]
    sys.path.insert(0, str(Path.cwd()))
    try:
        named = re.match(r"# (\w+\.py)$", block.text.partition("\n")[0])
        if named:
            Path(named[1]).write_text(block.text)
        exec(code, names)
    finally:
        sys.path[:] = before


def test_what_cannot_run_here_is_counted() -> None:
    found = Counter(block.not_run for page in pages() for block in blocks(page) if block.not_run)
    assert found == NOT_RUN


def test_no_block_is_passed_by() -> None:
    """Every fence of a page is a block that was found, or a directive."""
    for page in pages():
        fences = re.findall(r"^ *```(\S*)", page.read_text(), re.MULTILINE)
        opened = [kind for kind in fences if kind and not kind.startswith("{")]
        assert len(opened) == len(blocks(page)), page
        assert len(fences) % 2 == 0, page


def test_python_blocks_name_what_there_is() -> None:
    seen = 0
    for block in (block for page in pages() for block in blocks(page) if block.kind == "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fusestack":
                seen += 1
                assert node.attr in fusestack.__all__, f"{block}: fusestack.{node.attr}"
    assert seen > 20
