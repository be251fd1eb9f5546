"""The public face: names, their docs and types, the examples in them, and how long the import takes."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import fusestack
from fusestack.simulate import simulate_acquisition

NAMES = [name for name in fusestack.__all__ if not name.startswith("__")]
FUNCTIONS = [name for name in NAMES if name.islower()]
PLACES: dict[str, tuple[str, ...]] = fusestack.__dict__["_PLACES"]
STONES = ("fusestack.model.geometry", "fusestack.model.amounts", "fusestack.model.summary")
HEAVY = ("numpy", "dask", "pydantic", "xarray", "numba", "zarr", "fusestack.api", "fusestack.model")


def test_dir_shows_what_there_is() -> None:
    assert [name for name in dir(fusestack) if not name.startswith("__")] == sorted(NAMES)
    assert len(set(fusestack.__all__)) == len(fusestack.__all__)
    assert set(fusestack.__all__) <= set(dir(fusestack))
    assert sorted(NAMES) == sorted(name for names in PLACES.values() for name in names)


def test_type_checkers_see_every_name() -> None:
    (block,) = (node for node in ast.parse(Path(fusestack.__file__).read_text()).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {name: place for place, names in PLACES.items() for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_names_say_what_they_are(name: str) -> None:
    found = getattr(fusestack, name)
    summary = (inspect.getdoc(found) or "").partition("\n\n")[0]
    assert summary
    assert summary.endswith((".", ";")), summary
    assert "\n" not in summary
    if inspect.isclass(found):
        (place,) = (place for place, names in PLACES.items() if name in names)
        assert found.__module__ == place


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_take(name: str) -> None:
    function = getattr(fusestack, name)
    doc = inspect.getdoc(function) or ""
    for section in ("Parameters", "Raises", "Examples"):
        assert f"{section}\n{'-' * len(section)}" in doc, section
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        assert parameter.name in doc
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            assert parameter.annotation not in ("Any", inspect.Parameter.empty), parameter
    assert signature.return_annotation not in ("Any", "None", inspect.Signature.empty)


def test_a_wrong_name_is_told_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'focus_stak' \(did you mean 'focus_stack'\?\)"):
        _ = fusestack.focus_stak
    with pytest.raises(AttributeError, match=r"it has BlockError, .*, write$"):
        _ = fusestack.zzz
    assert not hasattr(fusestack, "__wrapped__")


def test_the_import_is_quick() -> None:
    code = f"import sys, fusestack; dir(fusestack); print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(place) for place in (*PLACES, *STONES)]
    context = {"fusestack": fusestack, "np": np, "dask": dask}
    return [test for module in modules for test in finder.find(module, extraglobs=context) if test.examples]


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small tiles as a project, for examples that read files."""
    folder = tmp_path_factory.mktemp("acquisition")
    simulate_acquisition(folder, tile_shape=(16, 24, 24), channels=1)
    return folder


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_examples_do_what_they_show(
    example: doctest.DocTest, acquisition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in acquisition.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "fuse.yaml").write_text(
        "version: 1\ninput: {project: dataset.xml}\noutput: {path: fused.ome.zarr, pyramid: none}\n"
    )
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    ran = doctest.DocTestRunner().run(example, out=said.append)
    assert ran.failed == 0, "".join(said)
    assert ran.attempted > 0


def test_every_public_function_has_an_example_that_runs() -> None:
    run = {
        test.name.rpartition(".")[2]
        for test in examples()
        if any(not one.options.get(doctest.SKIP) for one in test.examples)
    }
    assert {*FUNCTIONS, "Job", "Affine", "Box"} <= run


def test_what_people_hold_is_picklable(acquisition: Path) -> None:
    project = fusestack.open_project(acquisition / "dataset.xml")
    again: Any = pickle.loads(pickle.dumps(project))
    assert again == project
    assert again.views == tuple(project.views)
    assert repr(again.views) == repr(project.views)
