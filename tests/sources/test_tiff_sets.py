"""OME-TIFF sets: images in several files, all of which describe all; every file counts, and none is opened twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.geometry import Box
from fusestack.project.readers import READERS
from fusestack.sources.base import open_source
from fusestack.sources.facts import FactsWanted, ImageFacts, all_facts, facts_of

WORLD = (100 + np.arange(6 * 20 * 70) * 7919 % 30011).astype(np.uint16).reshape(6, 20, 70)
TIFF = READERS[".tif"]


def uuid(number: int) -> str:
    return f"urn:uuid:00000000-0000-0000-0000-{number:012d}"


def described(path: Path, pixels: Any, text: str, number: int) -> None:
    """A file of a set: text without its beginning."""
    head = f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid(number)}">'
    tifffile.imwrite(path, pixels, description=f"{head}{text}</OME>".encode(), metadata=None, photometric="minisblack")


def image_of_files(folder: Path, sizes: dict[str, int], last: str = "") -> list[Path]:
    """One image of planes in a file each, numbered in the order XYCZT."""
    names = [f"p{n}.ome.tif" for n in range(int(np.prod(list(sizes.values()))))]
    names[-1] = last or names[-1]
    places = [(c, z, t) for t in range(sizes["T"]) for z in range(sizes["Z"]) for c in range(sizes["C"])]
    planes = "".join(
        f'<TiffData FirstC="{c}" FirstZ="{z}" FirstT="{t}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuid(n)}</UUID></TiffData>'
        for n, (name, (c, z, t)) in enumerate(zip(names, places, strict=True))
    )
    told = " ".join(f'Size{axis}="{n}"' for axis, n in sizes.items())
    text = (
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="70" SizeY="20" {told}'
        f' PhysicalSizeX="1" PhysicalSizeY="1">{planes}</Pixels></Image>'
    )
    for n, name in enumerate(names):
        described(folder / name, WORLD[n], text, n)
    return [folder / name for name in names]


def images_in_files(folder: Path, count: int) -> list[Path]:
    """As many images as files, one beside the other, each of two planes."""
    names = [f"t{n}.ome.tif" for n in range(count)]
    text = "".join(
        f'<Image ID="Image:{n}" Name="p{n}"><Pixels DimensionOrder="XYZCT" ID="Pixels:{n}" Type="uint16" SizeX="70" '
        'SizeY="20" SizeZ="2" SizeC="1" SizeT="1" PhysicalSizeX="1" PhysicalSizeY="1" PhysicalSizeZ="1"><Channel/>'
        f'<TiffData IFD="0" PlaneCount="2"><UUID FileName="{name}">{uuid(n)}</UUID></TiffData>'
        f'<Plane TheZ="0" TheC="0" TheT="0" PositionX="{60 * n}" PositionXUnit="µm"/></Pixels></Image>'
        for n, name in enumerate(names)
    )
    for n, name in enumerate(names):
        described(folder / name, WORLD[:2] + n, text, n)
    return [folder / name for name in names]


def facts(path: Path, series: int | None = None) -> ImageFacts:
    return facts_of(FactsWanted(TIFF, str(path), series))


def read(found: ImageFacts, t: int = 0, c: int = 0) -> np.ndarray:
    return open_source(found.source(t, c)).read(0, Box.of_shape(found.shape[2:]))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is opened by tifffile."""
    counted: Counter[str] = Counter()
    plain = tifffile.FileHandle.open

    def counting(self: Any) -> None:
        if self._fh is None and isinstance(self._file, str):
            counted[Path(self._file).name] += 1
        plain(self)

    monkeypatch.setattr(tifffile.FileHandle, "open", counting)
    return counted


def test_files_are_those_of_the_image(tmp_path: Path) -> None:
    paths = image_of_files(tmp_path, {"C": 1, "Z": 3, "T": 1})
    found = facts(paths[1])
    assert found.shape == (1, 1, 3, 20, 70)
    assert found.files == tuple(map(str, paths))
    assert set(found.source(0, 0).paths) == set(map(str, paths))
    np.testing.assert_array_equal(read(found), WORLD[:3])


def test_the_image_of_each_file(tmp_path: Path) -> None:
    paths = images_in_files(tmp_path, 3)
    for number, path in enumerate(paths):
        found = facts(path)
        assert (dict(found.options).get("series", 0), found.files) == (number, ())
        np.testing.assert_array_equal(read(found), WORLD[:2] + number)
    other = facts(paths[0], series=2)  # of another file than the one that is named
    assert other.files == (str(paths[2]),)
    np.testing.assert_array_equal(read(other), WORLD[:2] + 2)


def test_a_file_that_was_renamed_is_known_by_its_uuid(tmp_path: Path) -> None:
    paths = images_in_files(tmp_path, 2)
    paths[1].rename(tmp_path / "other.ome.tif")
    np.testing.assert_array_equal(read(facts(tmp_path / "other.ome.tif")), WORLD[:2] + 1)


def configured(folder: Path, path: Path) -> dict[str, Any]:
    return {"input": {"views": [{"path": str(path)}]}, "output": {"path": str(folder / "o.ome.zarr")}}


def test_a_changed_member_makes_a_run_new_and_none_may_be_an_output(tmp_path: Path) -> None:
    paths = image_of_files(tmp_path, {"C": 1, "Z": 3, "T": 1}, last="p2.ome.zarr")
    config = configured(tmp_path, paths[0])
    before = fusestack.plan(config).images[0].fingerprint
    tifffile.imwrite(paths[2], WORLD[5], description=tifffile.tiffcomment(paths[2]).encode(), metadata=None)
    assert fusestack.plan(config).images[0].fingerprint != before
    with pytest.raises(ConfigError, match=r"p2\.ome\.zarr is an input of this run"):
        fusestack.plan(config | {"output": {"path": str(paths[2]), "overwrite": True}})


def test_a_changed_member_of_a_stack_makes_a_run_new_and_none_may_be_an_output(tmp_path: Path) -> None:
    paths = image_of_files(tmp_path, {"C": 1, "Z": 3, "T": 1})
    config = {"focus": {"input": str(paths[0]), "output": {"path": str(tmp_path / "o.tif")}}}
    before = fusestack.plan(config).images[0].fingerprint
    tifffile.imwrite(paths[2], WORLD[5], description=tifffile.tiffcomment(paths[2]).encode(), metadata=None)
    assert fusestack.plan(config).images[0].fingerprint != before
    with pytest.raises(ConfigError, match=r"p1\.ome\.tif is an input of this run"):
        fusestack.plan({"focus": {"input": str(paths[0]), "output": {"path": str(paths[1])}}})


@pytest.mark.parametrize("trade", ["fusion", "focus"])
def test_a_missing_member_is_refused_by_name(tmp_path: Path, trade: str) -> None:
    paths = image_of_files(tmp_path, {"C": 1, "Z": 3, "T": 1})
    paths[1].unlink()
    config: dict[str, Any] = configured(tmp_path, paths[0])
    if trade == "focus":
        config = {"focus": {"input": str(paths[0]), "output": {"path": str(tmp_path / "o.tif")}}}
    with pytest.raises(InputError, match=r"in files that are missing \(p1\.ome\.tif\); restore them beside it"):
        fusestack.plan(config)


def test_images_of_a_set_that_no_view_names_are_said(tmp_path: Path) -> None:
    paths = images_in_files(tmp_path, 3)
    (warning,) = fusestack.plan(configured(tmp_path, paths[0])).warnings
    assert "2 of the 3 images that it describes are not used" in warning
    every = configured(tmp_path, paths[0])
    every["input"]["views"] = [{"path": str(path)} for path in paths]
    assert fusestack.plan(every).warnings == ()


def test_a_set_of_images_is_opened_file_by_file(tmp_path: Path, opened: Counter[str]) -> None:
    paths = images_in_files(tmp_path, 6)
    known = all_facts(FactsWanted(TIFF, str(path)) for path in paths)
    assert set(opened.values()) == {1}
    for found in known.values():
        assert isinstance(found, ImageFacts)
        read(found)
    assert max(opened.values()) <= 3


def test_planes_of_a_timepoint_and_channel_are_opened_alone(tmp_path: Path, opened: Counter[str]) -> None:
    paths = image_of_files(tmp_path, {"C": 3, "Z": 1, "T": 2})
    found = facts(paths[0])
    assert dict(opened) == {"p0.ome.tif": 1}
    for t in range(2):
        for c in range(3):
            np.testing.assert_array_equal(read(found, t, c)[0], WORLD[3 * t + c])
    others = [opened[path.name] for path in paths[1:]]
    assert max(others) <= 2  # its directories, and its pixels where they are not mapped


def test_a_stack_of_a_set_is_opened_file_by_file(tmp_path: Path, opened: Counter[str]) -> None:
    paths = image_of_files(tmp_path, {"C": 1, "Z": 6, "T": 1})
    plan = fusestack.plan(
        {"input": {"images": [str(path) for path in paths]}, "focus": {"output": {"path": str(tmp_path / "o.tif")}}}
    )
    assert plan.images[0].target.image.shape == (1, 1, 1, 20, 70)
    assert max(opened[path.name] for path in paths[1:]) <= 2
