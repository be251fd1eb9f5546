"""Saying what holds anyway changes nothing: every key of a configuration, with the value that it has unsaid."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.config.load import from_mapping
from fusestack.model.errors import FusestackError
from fusestack.planner import make_plan
from fusestack.planning.plan import Plan
from fusestack.project.select import select_views

SECTIONS = ("version", "input", "fusion", "output", "execution", "cache")
SIZE = {"voxel_size": {"x": 0.5, "y": 0.5, "z": 2}, "unit": "micrometer"}
VIEWS: list[dict[str, Any]] = [
    {"path": "t0.tif", **SIZE},
    {"path": "t1.tif", **SIZE, "tile": 1, "affine": [1, 0, 0, 50, 0, 1, 0, 0.5, 0, 0, 1, 0]},
    {"path": "t2.tif", **SIZE, "channel": 1, "translation": {"x": 20, "y": 0, "z": 0}},
]
BASES: dict[str, dict[str, Any]] = {
    "views": {"input": {"views": VIEWS}, "output": {"path": "out.ome.zarr"}},
    "hdf5": {"input": {"views": VIEWS}, "output": {"path": "out.h5"}},
    "version 0.4": {"input": {"views": VIEWS}, "output": {"path": "out.ome.zarr", "ome_zarr_version": "0.4"}},
    "options": {
        "input": {"views": VIEWS},
        "fusion": {"blending": {"range": 20}, "content_based": {"sigma2": 9}, "group_by": "view", "dtype": "float32"},
        "output": {"path": "out.ome.zarr", "compression": {"codec": "zstd"}, "pyramid": [1, 2]},
    },
    "mask": {"input": {"views": VIEWS}, "fusion": {"method": "mask"}, "output": {"path": "out.ome.zarr"}},
    "closest": {"input": {"views": VIEWS}, "fusion": {"method": "closest_pixel"}, "output": {"path": "out.ome.zarr"}},
    "project": {"input": {"project": "made.xml"}, "output": {"path": "out.ome.zarr"}},
    "images": {"input": {"images": "p*.tif"}, "output": {"path": "sharp.tif"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("defaults")
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 999, (8, 40, 60)).astype(np.uint16)
        tifffile.imwrite(place / f"t{number}.tif", pixels, metadata={"axes": "ZYX"})
        tifffile.imwrite(place / f"p{number}.tif", pixels[0])
    views = [{**view, "path": str(place / view["path"])} for view in VIEWS[::2]]
    fusestack.run({"version": 1, "input": {"views": views}, "output": {"path": str(place / "made.h5")}})
    return place


def values(said: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every key below a value, with what it holds: sections as a whole, and what is in them."""
    if path:
        yield path, said
    if isinstance(said, dict) and said.keys() != {"x", "y", "z"}:  # these are one value
        for key, inner in said.items():
            yield from values(inner, (*path, key))
    elif isinstance(said, list) and said and isinstance(said[0], dict):
        for number, inner in enumerate(said):
            yield from values(inner, (*path, number))


def with_value(said: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy with one more key."""
    if not path:
        return value
    made = copy.copy(said) if isinstance(said, dict | list) else {}
    inner = made[path[0]] if isinstance(made, list) else made.get(path[0])
    made[path[0]] = with_value(inner, path[1:], value)
    return made


def facts(plan: Plan) -> Any:
    """What a plan makes, of what, and what it says."""
    stages = [(stage.key, stage.grid, stage.target, stage.peak_bytes) for stage in plan.stages]
    images = [(image.fingerprint, image.target, image.project, image.overwrite, image.notes) for image in plan.images]
    return stages, images, plan.resources, plan.warnings, plan.cache, plan.cache_limit, plan.facts, plan.config


@pytest.mark.parametrize("base", BASES)
def test_a_default_that_is_said(base: str, folder: Path) -> None:
    said = BASES[base]
    unsaid = from_mapping(said, folder)
    plan = make_plan(unsaid)
    known = {section: value for section, value in plan.config.items() if section in SECTIONS and value is not None}
    every = list(values(known))
    assert len(every) > 40
    wrong = {}
    for path, value in every:
        try:
            again = make_plan(from_mapping(with_value(said, path, value), folder))
        except FusestackError as error:
            wrong[".".join(map(str, path))] = str(error)
            continue
        if facts(again) != facts(plan):
            wrong[".".join(map(str, path))] = "is another plan"
    assert wrong == {}


@pytest.mark.parametrize("base", BASES)
def test_all_defaults_that_are_said(base: str, folder: Path) -> None:
    plan = make_plan(from_mapping(BASES[base], folder))
    known = {section: value for section, value in plan.config.items() if section in SECTIONS and value is not None}
    assert facts(make_plan(from_mapping(known, folder))) == facts(plan)


def test_selecting_all_is_selecting_nothing(folder: Path) -> None:
    project = fusestack.open_project(folder / "made.xml")
    assert select_views(project) == project.views
