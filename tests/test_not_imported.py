"""Plans and checks run no code of modules that a configuration names; runs do."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import ConfigError
from fusestack.model.function import Function, _facts
from tests.small import config

MODULE = """
from pathlib import Path
import numpy as np
from scipy import ndimage
Path({mark!r}).touch()

WEIGHT = 2.0

def helper(plane, by=WEIGHT_OF_HELPER):
    return plane * by

def edges(planes, strength: float = 1.5, *, sign=1):
    '''With a text.'''
    inner = [helper(plane) for plane in planes]
    return ndimage.sobel(np.asarray(inner) * WEIGHT * strength * sign, axis=1)  # not the last line

edges.reach = 2

def weight(views, masks):
    return masks * WEIGHT
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """Name of a module, and the file that it leaves where it is run."""
    folder, mark = tmp_path / "code" / "lab_code", tmp_path / "mark"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    text = MODULE.replace("WEIGHT_OF_HELPER", "3").replace("{mark!r}", repr(str(mark)))
    (folder / "masks.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it tells files apart by whole seconds and their size
    importlib.invalidate_caches()
    yield "lab_code.masks", mark
    for name in [name for name in sys.modules if name.startswith("lab_code")]:
        del sys.modules[name]


def focus(folder: Path, module: str) -> dict[str, Any]:
    tifffile.imwrite(
        folder / "a.tif", np.random.default_rng(0).integers(0, 255, (3, 20, 30), np.uint8), photometric="minisblack"
    )
    command = {"cmd": {"command": f"{module}:edges"}}
    return {
        "version": 1,
        "focus": {"input": str(folder / "a.tif"), "masks": [command], "output": {"path": str(folder / "sharp.tif")}},
    }


def fusion(folder: Path, module: str) -> dict[str, Any]:
    return config(folder) | {"fusion": {"weights": f"{module}:weight"}}


@pytest.mark.parametrize("made", [focus, fusion])
def test_only_a_run_runs_code_of_the_configuration(tmp_path: Path, module: tuple[str, Path], made: Any) -> None:
    name, mark = module
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(made(tmp_path, name)))
    for command in (["validate"], ["plan"], ["run", "--dry-run"]):
        assert run([command[0], str(path), *command[1:], "--quiet"]) == 0
    assert not mark.exists()
    assert run(["run", str(path), "--quiet"]) == 0
    assert mark.exists()
    assert fusestack.run(path, progress=False).reused_all


def test_the_text_says_what_the_function_is(module: tuple[str, Path], tmp_path: Path) -> None:
    name, mark = module
    found = Function.of(f"{name}:edges")
    assert found.declared("reach", 0) == 2
    found.check_arguments(("planes",), {"sign": -1})
    with pytest.raises(ConfigError, match=r"takes \(planes, strength=1.5, \*, sign=1\)"):
        found.check_arguments(("planes",), {"wrong": 1})
    there_and_back = pickle.loads(pickle.dumps(found))
    assert there_and_back == found
    assert not mark.exists()
    live = importlib.import_module(name).edges
    assert found.call.text.facts == _facts(live, ())  # type: ignore[attr-defined]
    assert Function.of(live).source == found.source == Function.of(f"{name}:edges").source
    assert found(np.ones((1, 4, 5))).shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("old", "new", "other"),
    [
        ("WEIGHT = 2.0", "WEIGHT = 2.5", True),
        ("by=3", "by=4", True),
        ("not the last line", "nor the first", True),
        ("return masks * WEIGHT", "return masks", False),
    ],
)
def test_what_a_change_changes(module: tuple[str, Path], tmp_path: Path, old: str, new: str, other: bool) -> None:
    name, _ = module
    before = Function.of(f"{name}:edges").source
    file = tmp_path / "code" / "lab_code" / "masks.py"
    file.write_text(file.read_text().replace(old, new))
    assert (Function.of(f"{name}:edges").source != before) == other


@pytest.mark.parametrize(
    "text",
    [
        "def same(made):\n    return made\n@same\ndef edges(planes):\n    return planes\n",
        "import numpy as np\nKERNEL = np.ones(3)\ndef edges(planes):\n    return planes * KERNEL[0]\n",
        "if True:\n    def edges(planes):\n        return planes\n",
        "edges = lambda planes: planes\n",
        "class Edges:\n    def __call__(self, planes):\n        return planes\nedges = Edges()\n",
        "N = 1\nfor N in range(3): pass\ndef edges(planes):\n    return planes * N\n",
        "from lab_code import VALUE\ndef edges(planes):\n    return planes * VALUE\n",
    ],
)
def test_what_the_text_does_not_tell_is_imported(module: tuple[str, Path], tmp_path: Path, text: str) -> None:
    name, mark = module
    folder = tmp_path / "code" / "lab_code"
    (folder / "masks.py").write_text(text)
    with (folder / "__init__.py").open("a") as file:
        file.write("VALUE = 4\n")
    found = Function.of(f"{name}:edges")
    assert mark.exists()
    assert found(np.ones(2)).shape == (2,)


def test_a_module_that_changed_between_plan_and_run(module: tuple[str, Path], tmp_path: Path) -> None:
    name, _ = module
    found = Function.of(f"{name}:edges")
    file = tmp_path / "code" / "lab_code" / "masks.py"
    file.write_text(file.read_text().replace("2.0", "2.5"))
    with pytest.raises(ConfigError, match=r"masks\.py has changed meanwhile"):
        found(np.ones((1, 4, 5)))
