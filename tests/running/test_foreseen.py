"""Outputs that cannot be written or replaced are found before anything is computed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.cli.plan import refusals
from fusestack.model.errors import OutputError
from fusestack.running.inspection import inspect
from fusestack.running.places import check_places
from fusestack.storage import open_folder
from tests import small

if TYPE_CHECKING:
    from collections.abc import Callable


def folder_of_notes(path: str) -> None:
    """A folder that is no image; behind an address, too."""
    open_folder(path).put("notes.txt", [b"mine"])


def text(path: str) -> None:
    """A file that is no image."""
    Path(path).write_text("mine")


def zarr_with_notes(path: str) -> None:
    """An image beside which somebody keeps something."""
    zarr.open_group(path, mode="w").create_array("0", data=np.zeros((2, 2), np.uint8))
    folder_of_notes(path)


def other_hdf5(path: str) -> None:
    """HDF5 of another program."""
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)


FOREIGN: dict[str, tuple[str, Callable[[str], None]]] = {
    "a folder": ("o.ome.zarr", folder_of_notes),
    "a file": ("o.ome.zarr", text),
    "a Zarr image with notes": ("o.ome.zarr", zarr_with_notes),
    "a folder at an address": ("memory://foreign/o.ome.zarr", folder_of_notes),
    "a folder for N5": ("o.n5", folder_of_notes),
    "a file for N5": ("o.n5", text),
    "a text for HDF5": ("o.h5", text),
    "HDF5 of another program": ("o.h5", other_hdf5),
    "a folder for HDF5": ("o.h5", folder_of_notes),
    "a text for TIFF": ("o.tif", text),
    "a folder for TIFF": ("o.tif", folder_of_notes),
    "a folder for OME-TIFF": ("o.ome.tif", folder_of_notes),
}


def content(path: str) -> Any:
    if "://" in path:
        return open_folder(path).get("notes.txt")
    return small.tree(Path(path)) if Path(path).is_dir() else Path(path).read_bytes()


def refused(config: dict[str, Any], *, force: bool = False) -> list[str]:
    """What `plan` and `validate` say that a run refuses, which it does."""
    plan = fusestack.plan(config)
    try:
        check_places(plan)
        said = refusals(plan, inspect(plan))
    except OutputError as error:
        said = list(error.problems)
    with pytest.raises(OutputError) as raised:
        fusestack.run(plan, force=force, progress=False)
    if not force:
        assert [problem.removeprefix("a run would refuse: ") for problem in said] == list(raised.value.problems)
    return list(raised.value.problems)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("what", FOREIGN)
def test_what_somebody_else_made_is_left_alone_and_foreseen(tmp_path: Path, what: str, force: bool) -> None:
    name, make = FOREIGN[what]
    path = name if "://" in name else str(tmp_path / name)
    make(path)
    before = content(path)
    config = small.config(tmp_path / "in")
    config["output"] = {"path": path, "overwrite": not force}
    (problem,) = refused(config, force=force)
    assert problem.startswith(path)
    assert "choose another output.path" in problem
    assert content(path) == before


@pytest.mark.parametrize("make", [folder_of_notes, text])
@pytest.mark.parametrize("name", ["o.png", "o.tif", "o.jpg", "o.ome.zarr"])
def test_pictures_too(tmp_path: Path, name: str, make: Callable[[str], None]) -> None:
    path = str(tmp_path / name)
    make(path)
    small.tiles(tmp_path / "in", dtype="uint8")
    focus = {"input": str(tmp_path / "in/tile0.tif"), "output": {"path": path, "overwrite": True}}
    (problem,) = refused({"version": 1, "focus": focus})
    assert problem.startswith(path)


def test_what_is_ours_may_be_replaced(tmp_path: Path) -> None:
    config = small.config(tmp_path, overwrite=True)
    fusestack.run(config, progress=False)
    config["fusion"] = {"method": "max"}
    plan = fusestack.plan(config)
    assert refusals(plan, inspect(plan)) == []
    fusestack.run(config, progress=False)


@pytest.mark.parametrize(
    ("where", "key"),
    [("fused.ome.zarr.fusestack", "output.path"), ("fused.xml", "output.project")],
)
def test_what_stands_in_the_way_beside_an_output_is_named(tmp_path: Path, where: str, key: str) -> None:
    config = small.config(tmp_path, project=str(tmp_path / "fused.xml"))
    if key == "output.path":
        text(str(tmp_path / where))
    else:
        folder_of_notes(str(tmp_path / where))
    with pytest.raises(OutputError, match=f"cannot be written: .*choose another {re.escape(key)}"):
        check_places(fusestack.plan(config))


@pytest.mark.parametrize("made", [True, False])
def test_many_images_of_which_the_same_is_said(tmp_path: Path, made: bool) -> None:
    config = small.config(tmp_path)
    for number, view in enumerate(config["input"]["views"]):
        view["channel"] = number
    config["output"] = {"path": str(tmp_path / "o.tif")}
    paths = [image.target.image.path for image in fusestack.plan(config).images]
    assert len(paths) == 3
    if made:
        fusestack.run(config, progress=False)
        config["fusion"] = {"dtype": "float32"}
    else:
        for path in paths:
            text(path)
    (problem,) = refused(config)
    names = ", ".join(Path(path).name for path in paths[1:])
    said = (
        "exists, made with other settings (fusion.dtype" if made else "exists, and this configuration did not make it"
    )
    assert problem.startswith(f"{paths[0]} and 2 more ({names}): {said}")


def test_origins_at_zero_are_no_negative_zeros(tmp_path: Path) -> None:
    config = small.config(tmp_path)
    config["input"]["views"] = config["input"]["views"][:1]
    config["output"] = {"path": str(tmp_path / "o.tif")}
    (path,) = fusestack.run(config, progress=False).outputs
    with tifffile.TiffFile(path) as file:
        assert "-0" not in file.pages.first.description
        assert file.imagej_metadata["xorigin"] == 0
