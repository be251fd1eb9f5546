"""Projects as other programs published them."""

from __future__ import annotations

import numpy as np
import pytest

from fusestack.model.geometry import Box
from fusestack.model.view import ViewId
from fusestack.project.model import Project
from fusestack.project.select import Selection, select_views
from fusestack.project.xml import read_project
from tests.conftest import SHARED

DATA = SHARED / "data"
pytestmark = pytest.mark.beside("data")


def project_of(name: str) -> Project:
    return read_project(DATA / name)


def test_kidney() -> None:
    project = project_of("kidney/kidney.xml")
    assert [view.id for view in project.views] == [ViewId(0, 0), ViewId(0, 1), ViewId(0, 2)]
    assert [view.channel for view in project.views] == [0, 1, 2]
    view = project.views[0]
    assert view.shape == (32, 172, 111)
    assert view.unit == "µm"
    assert view.voxel_size == (160.00000000000003, 65.603883749918, 65.62110374696502)
    np.testing.assert_allclose(np.diag(view.pixel_to_world.linear), [2.43888, 1, 1.0002624844149877])
    assert view.source.path == str(DATA / "kidney" / "kidney.h5")


def test_tiles_with_a_missing_view() -> None:
    project = project_of("kidney-tiles/dataset.xml")
    assert len(project.views) == 15
    assert project.missing == {ViewId(1, 7)}
    assert project.timepoints == (0, 1)
    assert {view.tile for view in project.views} == {0, 1, 2, 3}
    tile = next(view for view in project.views if view.id == ViewId(1, 3))
    np.testing.assert_allclose(tile.pixel_to_world.apply([1, 0, 0]), [2.44, 72, 45])
    assert len(select_views(project, Selection(timepoints=frozenset({1}), channels=frozenset({1})))) == 3


def test_angles_with_a_bounding_box() -> None:
    project = project_of("kidney-angles/dataset.xml")
    assert [view.angle for view in project.views] == [0, 1, 2]
    assert [view.shape for view in project.views] == [(78, 130, 100), (100, 130, 100), (100, 130, 100)]
    assert project.bounding_boxes == {"core": Box((8, 20, 10), (70, 110, 90))}
    for view in project.views:
        assert np.linalg.det(view.pixel_to_world.linear) == pytest.approx(1, abs=1e-5)
