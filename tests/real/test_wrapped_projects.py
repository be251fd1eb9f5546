"""A real project split in halves, and behind flat fields: the same fused bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from tests.conftest import SHARED
from tests.small import tree

PROJECT = SHARED / "data" / "kidney-tiles" / "dataset.xml"
pytestmark = pytest.mark.beside("data/kidney-tiles")

HALVES = ((0, 32), (33, 65))  # along x, of 66


def child(parent: Element, tag: str, text: object = None, **attributes: object) -> Element:
    element = SubElement(parent, tag, {key: str(value) for key, value in attributes.items()})
    element.text = None if text is None else str(text)
    return element


def absolute_loader(root: Element) -> Element:
    """Image loader of the original project, seen from anywhere."""
    loader = root.find("SequenceDescription/ImageLoader")
    assert loader is not None
    loader.remove(loader[0])
    child(loader, "hdf5", PROJECT.with_name("dataset.h5"))
    return loader


def plain(root: Element, folder: Path) -> None:
    absolute_loader(root)


def in_halves(root: Element, folder: Path) -> None:
    sequence, registrations = root.find("SequenceDescription"), root.find("ViewRegistrations")
    assert sequence is not None
    assert registrations is not None
    loader = absolute_loader(root)
    old = copy.deepcopy(sequence)
    inner = copy.deepcopy(loader)
    loader.clear()
    loader.set("format", "split.viewerimgloader")
    loader.extend([inner, old])
    definitions, setups = child(loader, "SetupIds"), sequence.find("ViewSetups")
    assert setups is not None
    for setup in setups.findall("ViewSetup"):
        setups.remove(setup)
        number = int(setup.findtext("id") or "")
        for half, (first, last) in enumerate(HALVES):
            part = copy.deepcopy(setup)
            part.find("id").text = str(2 * number + half)  # type: ignore[union-attr]
            part.find("size").text = f"{last - first + 1} 100 32"  # type: ignore[union-attr]
            setups.insert(0, part)
            definition = child(definitions, "SetupIdDefinition")
            child(definition, "NewId", 2 * number + half)
            child(definition, "OldId", number)
            child(definition, "min", f"{first} 0 0")
            child(definition, "max", f"{last} 99 31")
    for registration in registrations.findall("ViewRegistration"):
        registrations.remove(registration)
        for half, (first, _) in enumerate(HALVES):
            moved = copy.deepcopy(registration)
            moved.set("setup", str(2 * int(registration.get("setup", "")) + half))
            child(child(moved, "ViewTransform", type="affine"), "affine", f"1 0 0 {first} 0 1 0 0 0 0 1 0")
            registrations.append(moved)
    missing = sequence.find("MissingViews")
    assert missing is not None
    for view in missing.findall("MissingView"):
        missing.remove(view)
        for half in range(2):
            setup_id = 2 * int(view.get("setup", "")) + half
            child(missing, "MissingView", timepoint=view.get("timepoint"), setup=setup_id)


def behind_flat_fields(root: Element, folder: Path) -> None:
    tifffile.imwrite(folder / "bright.tif", np.full((100, 66), 1234, np.uint16), photometric="minisblack")
    tifffile.imwrite(folder / "dark.tif", np.zeros((100, 66), np.uint16), photometric="minisblack")
    loader = absolute_loader(root)
    inner = copy.deepcopy(loader)
    loader.clear()
    loader.attrib.update(format="spimreconstruction.wrapped.flatfield.multiresolution", Active="true", Cached="false")
    child(loader, "WrappedImgLoader").append(inner)
    fields = child(loader, "FlatFields")
    for timepoint in range(2):
        for setup in range(8):
            field = child(fields, "FlatField", Timepoint=timepoint, ViewSetup=setup)
            child(field, "BrightImg", "bright.tif", type="relative")
            child(field, "DarkImg", "dark.tif", type="relative")


def fuse(folder: Path, change: Callable[[Element, Path], None], **fusion: Any) -> dict[str, bytes]:
    folder.mkdir()
    document = ElementTree.parse(PROJECT)
    change(document.getroot(), folder)
    document.write(folder / "dataset.xml")
    output = {"path": str(folder / "fused.ome.zarr"), "pyramid": [1, {"x": 2, "y": 2, "z": 1}]}
    project = {"project": str(folder / "dataset.xml")}
    fusestack.run({"version": 1, "input": project, "fusion": fusion, "output": output})
    # levels with their metadata; the calibration in the image's own is a mean over views, whose last bit may differ
    return {name: content for name, content in tree(folder / "fused.ome.zarr").items() if name != "zarr.json"}


def test_halves_fuse_to_the_bytes_of_the_whole(tmp_path: Path) -> None:
    options = {"blending": False, "preserve_anisotropy": 2.44}
    whole = fuse(tmp_path / "whole", plain, **options)
    assert len(fusestack.open_project(tmp_path / "whole" / "dataset.xml").views) == 15
    assert fuse(tmp_path / "halves", in_halves, **options) == whole
    project = fusestack.open_project(tmp_path / "halves" / "dataset.xml")
    assert len(project.views) == 30
    assert project.views[0].shape == (32, 100, 33)
    pixels = np.asarray(zarr.open_array(tmp_path / "halves" / "fused.ome.zarr" / "0", mode="r")[:])
    truth = np.load(PROJECT.with_name("truth.npz"))["volume"]
    np.testing.assert_array_equal(pixels[0], truth)


def test_an_even_flat_field_changes_no_byte(tmp_path: Path) -> None:
    whole = fuse(tmp_path / "whole", plain, downsampling=1.5)
    assert fuse(tmp_path / "flat", behind_flat_fields, downsampling=1.5) == whole


def test_other_flat_fields_are_fused_anew(tmp_path: Path) -> None:
    """Bright and dark images are inputs: their change changes the fingerprint."""
    fuse(tmp_path / "flat", behind_flat_fields)
    config = {
        "version": 1,
        "input": {"project": str(tmp_path / "flat" / "dataset.xml")},
        "output": {"path": str(tmp_path / "again.ome.zarr"), "pyramid": "none"},
    }
    assert not fusestack.run(config).reused_all
    assert fusestack.run(config).reused_all
    bright = np.full((100, 66), 1234, np.uint16)
    bright[:, :33] = 2468
    tifffile.imwrite(tmp_path / "flat" / "bright.tif", bright, photometric="minisblack")
    plan = fusestack.plan(config)
    assert str(tmp_path / "flat" / "bright.tif") in plan.images[0].components["inputs"]
    assert fusestack.run(config, force=True).stages[0].action == "computed"
    pixels = np.asarray(zarr.open_array(tmp_path / "again.ome.zarr" / "0", mode="r")[0, 0])
    truth = np.load(PROJECT.with_name("truth.npz"))["volume"][0]
    mean = 1.5 * 1234
    np.testing.assert_array_equal(pixels[0, :50, :30], np.floor(truth[0, :50, :30] * mean / 2468 + 0.5))
