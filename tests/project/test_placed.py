from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.view import SourceRef, ViewId
from fusestack.project.placed import PlacedFile, project_of_files


def place(path: str, affine: Affine | None = None, **more: Any) -> PlacedFile:
    return PlacedFile(path, affine or Affine.identity(), SourceRef("tests:None", f"/data/{path}"), **more)


def test_views_of_files(tmp_path: Path) -> None:
    shift = Affine.translation([1, 2, 3])
    entries = [
        place(
            "a.tif",
            shift,
            voxel_size=(1.5, 0.5, 0.5),
            unit="micrometer",
            timepoint=2,
            channel=1,
            illumination=3,
            angle=4,
            tile=5,
        ),
        place("b.TIFF", timepoint=2),
    ]
    project = project_of_files(entries, tmp_path)
    assert (project.path, project.loader, project.timepoints) == (str(tmp_path), "files", (2,))
    view = project.views[0]
    assert view.id == ViewId(2, 0)
    assert view.shape is None
    assert view.pixel_to_world == shift
    assert (view.voxel_size, view.unit) == ((1.5, 0.5, 0.5), "micrometer")
    assert (view.channel, view.illumination, view.angle, view.tile) == (1, 3, 4, 5)
    assert (view.name, view.channel_name) == ("a", "1")
    assert [view.source for view in project.views] == [entry.source for entry in entries]


def test_setups_are_combinations_of_attributes(tmp_path: Path) -> None:
    entries = [place("a.tif", timepoint=t, channel=c, tile=i) for t in (1, 0) for c in (0, 1) for i in (0, 1)]
    project = project_of_files(entries, tmp_path)
    assert [view.id for view in project.views] == [ViewId(t, s) for t in (0, 1) for s in range(4)]
    assert [(setup.channel, setup.tile) for setup in project.setups.values()] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert project.missing == frozenset()


def test_entries_without_ids_are_told_apart_by_their_order(tmp_path: Path) -> None:
    names = ["b.TIFF", "a.tif", "c.ome.tif"]
    project = project_of_files([place(name) for name in names], tmp_path)
    assert [view.id for view in project.views] == [ViewId(0, 0), ViewId(0, 1), ViewId(0, 2)]
    assert [Path(view.source.path).name for view in project.views] == names


def test_a_combination_may_be_absent_at_a_timepoint(tmp_path: Path) -> None:
    project = project_of_files([place("a.tif"), place("a.tif", timepoint=1, tile=1)], tmp_path)
    assert [view.id for view in project.views] == [ViewId(0, 0), ViewId(1, 1)]
    assert project.missing == project.unregistered == frozenset()


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (place("b.tif", Affine.scaling([0, 1, 1])), "singular"),
        (place("b.tif", Affine.translation([float("nan"), 0, 0])), "NaN"),
    ],
)
def test_impossible_entries_are_named(tmp_path: Path, entry: PlacedFile, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        project_of_files([place("a.tif"), entry], tmp_path)
    assert str(caught.value).startswith(f"input.views.1: {entry.path}: ")


def test_all_problems_at_once_and_no_entries(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        project_of_files([place(name, Affine.scaling([0, 1, 1])) for name in ("x.tif", "y.tif")], tmp_path)
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="list is empty"):
        project_of_files([], tmp_path)
