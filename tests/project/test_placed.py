from __future__ import annotations

from pathlib import Path

import pytest

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.view import SourceRef, ViewId
from fusestack.project.placed import PlacedFile, project_of_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ["a.tif", "b.TIFF", "c.ome.tif", "notes.txt", "plain"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.ome.zarr").mkdir()
    return tmp_path


def place(path: str, **more: int) -> PlacedFile:
    return PlacedFile(path, Affine.identity(), **more)


def test_views_of_files(folder: Path) -> None:
    shift = Affine.translation([1, 2, 3])
    entries = [
        PlacedFile(
            "a.tif", shift, (1.5, 0.5, 0.5), "micrometer", timepoint=2, channel=1, illumination=3, angle=4, tile=5
        ),
        place(str(folder / "b.TIFF"), timepoint=2),
    ]
    project = project_of_files(entries, folder)
    assert (project.path, project.loader, project.timepoints) == (str(folder), "files", (2,))
    view = project.views[0]
    assert view.id == ViewId(2, 0)
    assert view.shape is None
    assert view.pixel_to_world == shift
    assert (view.voxel_size, view.unit) == ((1.5, 0.5, 0.5), "micrometer")
    assert (view.channel, view.illumination, view.angle, view.tile) == (1, 3, 4, 5)
    assert (view.name, view.channel_name) == ("a", "1")
    assert view.source == SourceRef(
        "fusestack.sources.tiff:TiffSource", str(folder / "a.tif"), (("timepoint", 2), ("channel", 1))
    )
    assert project.views[1].source.path == str(folder / "b.TIFF")


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("b.TIFF", "fusestack.sources.tiff:TiffSource"),
        ("c.ome.tif", "fusestack.sources.tiff:TiffSource"),
        ("d.ome.zarr", "fusestack.sources.ome_zarr:OmeZarrSource"),
        ("d.ome.zarr/", "fusestack.sources.ome_zarr:OmeZarrSource"),
    ],
)
def test_suffix_chooses_the_reader(folder: Path, name: str, reader: str) -> None:
    assert project_of_files([place(name)], folder).views[0].source.reader == reader


def test_setups_are_combinations_of_attributes(folder: Path) -> None:
    entries = [place("a.tif", timepoint=t, channel=c, tile=i) for t in (1, 0) for c in (0, 1) for i in (0, 1)]
    project = project_of_files(entries, folder)
    assert [view.id for view in project.views] == [ViewId(t, s) for t in (0, 1) for s in range(4)]
    assert [(setup.channel, setup.tile) for setup in project.setups.values()] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert project.missing == frozenset()


def test_entries_without_ids_are_told_apart_by_their_order(folder: Path) -> None:
    names = ["b.TIFF", "a.tif", "c.ome.tif"]
    project = project_of_files([place(name) for name in names], folder)
    assert [view.id for view in project.views] == [ViewId(0, 0), ViewId(0, 1), ViewId(0, 2)]
    assert [Path(view.source.path).name for view in project.views] == names


def test_a_combination_may_be_absent_at_a_timepoint(folder: Path) -> None:
    project = project_of_files([place("a.tif"), place("a.tif", timepoint=1, tile=1)], folder)
    assert [view.id for view in project.views] == [ViewId(0, 0), ViewId(1, 1)]
    assert project.missing == project.unregistered == frozenset()


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (place("none.tif"), "no such file"),
        (place("notes.txt"), r"suffix '.txt' are not read; known are .tif, .tiff, .zarr"),
        (place("plain"), "suffix '' are not read"),
        (PlacedFile("a.tif", Affine.scaling([0, 1, 1])), "singular"),
        (PlacedFile("a.tif", Affine.translation([float("nan"), 0, 0])), "NaN"),
    ],
)
def test_impossible_entries_are_named(folder: Path, entry: PlacedFile, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        project_of_files([place("a.tif"), entry], folder)
    assert str(caught.value).startswith(f"input.views.1: {entry.path}: ")


def test_all_problems_at_once_and_no_entries(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        project_of_files([place("x.tif"), place("a.tif"), place("y.tif")], folder)
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="list is empty"):
        project_of_files([], folder)
