from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.model.geometry import Affine
from fusestack.model.view import ViewId
from fusestack.project.document import read_tree
from fusestack.project.model import Setup
from fusestack.project.write import FusedImage, write_project
from fusestack.project.xml import read_project

PLACE = Affine.from_xyz([2, 0, 0, -11, 0, 2, 0, 7.5, 0, 0, 6.25, 1e-7])
RED = Setup(0, "red & <blue>", (4, 6, 8), (1.5, 0.5, 0.25), "µm", channel=0, channel_name="Rhodamin „ä“ 561")
GREEN = Setup(1, "green", (4, 6, 8), (1.5, 0.5, 0.25), "µm", channel=1, channel_name="GFP")


def images_of(*timepoints: tuple[int, ...]) -> list[FusedImage]:
    return [FusedImage(setup, ids, PLACE) for setup, ids in zip((RED, GREEN), timepoints, strict=True)]


def test_project_has_all_blocks_in_order(tmp_path: Path) -> None:
    write_project(tmp_path / "f.xml", tmp_path / "f.h5", images_of((0,), (0,)))
    root = read_tree(tmp_path / "f.xml").getroot()
    assert (root.tag, root.get("version")) == ("SpimData", "0.2")
    assert [child.tag for child in root] == [
        "BasePath",
        "SequenceDescription",
        "ViewRegistrations",
        "ViewInterestPoints",
        "BoundingBoxes",
        "PointSpreadFunctions",
        "StitchingResults",
        "IntensityAdjustments",
    ]
    assert root.findtext("SequenceDescription/ViewSetups/ViewSetup/size") == "8 6 4"
    assert root.findtext("SequenceDescription/ViewSetups/ViewSetup/voxelSize/size") == "0.25 0.5 1.5"
    assert root.findtext("ViewRegistrations/ViewRegistration/ViewTransform/affine") == (
        "2.0 0.0 0.0 -11.0 0.0 2.0 0.0 7.5 0.0 0.0 6.25 1e-07"
    )
    assert not (tmp_path / "f.h5").exists()


@pytest.mark.parametrize(
    ("timepoints", "kind", "missing"),
    [
        (((0, 1, 2), (0, 1, 2)), "range", []),
        (((3, 4), (3, 4)), "range", []),
        (((7,), (7,)), "range", []),
        (((0, 2), (0, 2)), "list", []),
        (((0, 1), (1,)), "range", [(0, 1)]),
        (((5,), (9,)), "list", [(5, 1), (9, 0)]),
    ],
)
def test_timepoints_and_missing_views(
    tmp_path: Path, timepoints: tuple[tuple[int, ...], ...], kind: str, missing: list[tuple[int, int]]
) -> None:
    path = tmp_path / "f.xml"
    write_project(path, tmp_path / "f.h5", images_of(*timepoints))
    element = read_tree(path).getroot().find("SequenceDescription/Timepoints")
    assert element is not None
    assert element.get("type") == kind
    project = read_project(path)
    assert project.timepoints == tuple(sorted({t for ids in timepoints for t in ids}))
    assert sorted(project.missing) == [ViewId(*view) for view in missing]
    assert {view.id for view in project.views} == {ViewId(t, s) for s, ids in enumerate(timepoints) for t in ids}
    assert project.unregistered == frozenset()


def test_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    images = images_of((0, 1), (1,))
    write_project(tmp_path / "a.xml", tmp_path / "f.h5", images)
    write_project(tmp_path / "b.xml", tmp_path / "f.h5", images[::-1])
    assert (tmp_path / "a.xml").read_bytes() == (tmp_path / "b.xml").read_bytes()
    write_project(tmp_path / "a.xml", tmp_path / "f.h5", images)
    assert not (tmp_path / "a.xml~1").exists()


def test_image_file_is_named_relative_to_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "projects").mkdir()
    monkeypatch.chdir(tmp_path)
    write_project("projects/f.xml", "images/a b.h5", images_of((0,), (0,)))
    text = read_tree("projects/f.xml").getroot().findtext("SequenceDescription/ImageLoader/hdf5")
    assert text == "../images/a b.h5"
    source = read_project("projects/f.xml").views[0].source.path
    assert Path(source).resolve() == tmp_path / "images" / "a b.h5"


def test_what_cannot_be_a_project_is_refused(tmp_path: Path) -> None:
    good = FusedImage(RED, (0,), PLACE)
    for images in [
        [],
        [good, good],
        [replace(good, timepoints=())],
        [replace(good, setup=replace(RED, shape=None))],
        [replace(good, pixel_to_world=Affine.scaling([1, 0, 1]))],
    ]:
        with pytest.raises(ValueError, match=r"fused image|singular"):
            write_project(tmp_path / "f.xml", tmp_path / "f.h5", images)
    assert list(tmp_path.iterdir()) == []


def test_characters_that_xml_cannot_hold_are_replaced(tmp_path: Path) -> None:
    write_project(tmp_path / "f.xml", tmp_path / "f.h5", [FusedImage(replace(RED, name="a\x00b\ud800"), (0,), PLACE)])
    assert read_project(tmp_path / "f.xml").views[0].name == "a\ufffdb\ufffd"


NAMES = (
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=20).map(str.strip).filter(bool)
)
SIZES = st.tuples(*[st.integers(1, 10**6)] * 3)
VOXELS = st.tuples(*[st.floats(1e-9, 1e9)] * 3)
AFFINES = st.lists(st.floats(-0.3, 0.3), min_size=12, max_size=12).map(
    lambda noise: Affine.from_xyz((np.reshape(noise, (3, 4)) * [1, 1, 1, 1e5] + np.eye(3, 4)).ravel())
)


@st.composite
def fused_images(draw: st.DrawFn) -> list[FusedImage]:
    ids = draw(st.lists(st.integers(0, 500), min_size=1, max_size=4, unique=True))
    attribute = st.integers(0, 40)
    return [
        FusedImage(
            Setup(
                number,
                draw(NAMES),
                draw(SIZES),
                draw(VOXELS),
                draw(NAMES),
                channel=number,
                illumination=draw(attribute),
                angle=draw(attribute),
                tile=draw(attribute),
                channel_name=draw(NAMES),
            ),
            tuple(draw(st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True))),
            draw(AFFINES),
        )
        for number in ids
    ]


@settings(max_examples=60, deadline=None)
@given(fused_images())
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, images: list[FusedImage]) -> None:
    path = tmp_path_factory.mktemp("round") / "f.xml"
    write_project(path, path.with_suffix(".h5"), images)
    project = read_project(path)
    assert project.setups == {image.setup.id: image.setup for image in images}
    assert {view.id for view in project.views} == {ViewId(t, i.setup.id) for i in images for t in i.timepoints}
    places = {image.setup.id: image.pixel_to_world for image in images}
    for view in project.views:
        assert view.pixel_to_world == places[view.id.setup]
        assert view.source.path == str(path.with_suffix(".h5"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_opens_in_npy2bdv(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    npy2bdv = pytest.importorskip("npy2bdv")
    rng = np.random.default_rng(0)
    pixels = {(t, s): rng.integers(0, 65536, (4, 6, 8), dtype=np.uint16) for t, s in [(0, 0), (1, 0), (1, 1)]}
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for number in (0, 1):
            group = file.create_group(f"s{number:02d}")
            group.attrs["dataType"] = "uint16"
            group["resolutions"] = np.ones((1, 3))
            group["subdivisions"] = np.full((1, 3), 4, dtype=np.int32)
        for (t, s), stack in pixels.items():
            file.create_dataset(f"t{t:05d}/s{s:02d}/0/cells", data=stack, chunks=(4, 4, 4))
    path = tmp_path / "f.xml"
    write_project(path, tmp_path / "f.h5", images_of((0, 1), (1,)))

    editor = npy2bdv.BdvEditor(str(path), mode="r")
    assert (editor.ntimes, editor.nilluminations, editor.nchannels, editor.ntiles, editor.nangles) == (2, 1, 2, 1, 1)
    for (t, s), stack in pixels.items():
        np.testing.assert_array_equal(editor.read_view(time=t, channel=s), stack)
        np.testing.assert_allclose(editor.read_affine(time=t, channel=s).ravel(), PLACE.to_xyz())
    assert editor.get_view_property("voxel_size", channel=1) == (0.25, 0.5, 1.5)
    assert editor.get_view_property("view_shape") == (8, 6, 4)
    with pytest.raises(KeyError):
        editor.read_view(time=0, channel=1)
    editor.finalize()
    assert read_project(path).missing == {ViewId(0, 1)}
