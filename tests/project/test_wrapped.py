"""Loaders around loaders: split projects and flat fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef, ViewId
from fusestack.project.xml import read_project

from .example import HDF5, TIMEPOINTS, setup_xml, write
from .test_xml import problems_of


def definition(new: int, old: int, low: str, high: str) -> str:
    return (
        f"<SetupIdDefinition><NewId>{new}</NewId><OldId>{old}</OldId><min>{low}</min><max>{high}</max>"
        "</SetupIdDefinition>"
    )


LEFT, RIGHT = definition(0, 7, "0 0 0", "99 99 59"), definition(1, 7, "80 0 10", "179 99 69")
OLD = setup_xml(7).replace("100 100 60", "180 120 70")
SEQUENCE = f"<SequenceDescription><ViewSetups>{OLD}</ViewSetups>{TIMEPOINTS}<MissingViews/></SequenceDescription>"
FIELD = (
    "<FlatField Timepoint='0' ViewSetup='7'><BrightImg type='relative'>bright.tif</BrightImg>"
    "<DarkImg type='absolute'>/d/dark.tif</DarkImg></FlatField>"
)


def split_of(inner: str, *definitions: str, form: str = "split.viewerimgloader", sequence: str = SEQUENCE) -> str:
    return f"<ImageLoader format='{form}'>{inner}{sequence}<SetupIds>{''.join(definitions)}</SetupIds></ImageLoader>"


def flat_field_of(inner: str, fields: str, active: str = "true", form: str = "default") -> str:
    return (
        f"<ImageLoader format='spimreconstruction.wrapped.flatfield.{form}' Active='{active}' Cached='false'>"
        f"<WrappedImgLoader>{inner}</WrappedImgLoader><FlatFields>{fields}</FlatFields></ImageLoader>"
    )


def hdf5(folder: Path, setup: int) -> SourceRef:
    options = (("setup", setup), ("timepoint", 0))
    return SourceRef("fusestack.sources.bdv_hdf5:BdvHdf5Source", str(folder / "dataset.h5"), options)


def cropped(inner: SourceRef, box: Box) -> SourceRef:
    return SourceRef(
        "fusestack.sources.cropped:CroppedSource",
        inner.path,
        (("whole", inner), ("start", box.start), ("stop", box.stop)),
    )


LEFT_BOX, RIGHT_BOX = Box((0, 0, 0), (60, 100, 100)), Box((10, 0, 80), (70, 100, 180))


@pytest.mark.parametrize("form", ["split.viewerimgloader", "split.imgloader", "split.multiresolutionimgloader"])
def test_split(tmp_path: Path, form: str) -> None:
    project = read_project(
        write(tmp_path, (HDF5, split_of(HDF5, LEFT, RIGHT, definition(9, 7, "0 0 0", "1 1 1"), form=form)))
    )
    assert project.loader == form
    inner = hdf5(tmp_path, 7)
    assert [view.source for view in project.views] == [cropped(inner, LEFT_BOX), cropped(inner, RIGHT_BOX)]
    assert project.views[0].shape == (60, 100, 100)
    assert [view.name for view in project.views] == ["tile A", "tile B"]


@pytest.mark.parametrize("form", ["default", "multiresolution"])
def test_flat_field(tmp_path: Path, form: str) -> None:
    fields = FIELD.replace("'7'", "'0'") + "<FlatField Timepoint='0' ViewSetup='1'/>"
    project = read_project(write(tmp_path, (HDF5, flat_field_of(HDF5, fields, form=form))))
    corrected, plain = (view.source for view in project.views)
    assert corrected == SourceRef(
        "fusestack.sources.flat_field:FlatFieldSource",
        str(tmp_path / "dataset.h5"),
        (
            ("image", hdf5(tmp_path, 0)),
            ("bright", SourceRef("fusestack.sources.tiff:TiffSource", str(tmp_path / "bright.tif"))),
            ("dark", SourceRef("fusestack.sources.tiff:TiffSource", "/d/dark.tif")),
        ),
    )
    assert corrected.paths == (str(tmp_path / "dataset.h5"), str(tmp_path / "bright.tif"), "/d/dark.tif")
    assert plain == hdf5(tmp_path, 1)


@pytest.mark.parametrize("word", ["false", "False", "no", "0"])
def test_flat_field_that_is_switched_off(tmp_path: Path, word: str) -> None:
    fields = FIELD.replace("'7'", "'0'")
    project = read_project(write(tmp_path, (HDF5, flat_field_of(HDF5, fields, active=word))))
    assert [view.source for view in project.views] == [hdf5(tmp_path, 0), hdf5(tmp_path, 1)]


def test_split_of_a_flat_field(tmp_path: Path) -> None:
    project = read_project(write(tmp_path, (HDF5, split_of(flat_field_of(HDF5, FIELD), LEFT, RIGHT))))
    for view, box in zip(project.views, (LEFT_BOX, RIGHT_BOX), strict=True):
        assert view.source.reader.endswith("CroppedSource")
        options = dict(view.source.options)
        corrected = options["whole"]
        assert isinstance(corrected, SourceRef)
        assert corrected.reader.endswith("FlatFieldSource")
        assert dict(corrected.options)["image"] == hdf5(tmp_path, 7)
        assert (options["start"], options["stop"]) == (box.start, box.stop)
        assert len(view.source.paths) == 3


def test_flat_field_of_a_split_counts_by_its_own_setups(tmp_path: Path) -> None:
    loader = flat_field_of(split_of(HDF5, LEFT, RIGHT), FIELD.replace("'7'", "'1'"))
    first, second = (view.source for view in read_project(write(tmp_path, (HDF5, loader))).views)
    assert first == cropped(hdf5(tmp_path, 7), LEFT_BOX)
    assert dict(second.options)["image"] == cropped(hdf5(tmp_path, 7), RIGHT_BOX)


def test_split_of_a_split(tmp_path: Path) -> None:
    once = split_of(HDF5, definition(7, 3, "5 0 0", "184 119 69"), sequence=SEQUENCE.replace("<id>7<", "<id>3<", 1))
    once = once.replace("180 120 70", "200 120 70")
    project = read_project(write(tmp_path, (HDF5, split_of(once, LEFT, RIGHT))))
    middle = cropped(hdf5(tmp_path, 3), Box((0, 0, 5), (70, 120, 185)))
    assert [view.source for view in project.views] == [cropped(middle, LEFT_BOX), cropped(middle, RIGHT_BOX)]


def test_a_setup_of_unknown_size_is_checked_when_it_is_opened(tmp_path: Path) -> None:
    sequence = SEQUENCE.replace("<size>180 120 70</size>", "")
    far = definition(1, 7, "80 0 10", "99999 99 69")
    project = read_project(write(tmp_path, (HDF5, split_of(HDF5, LEFT, far, sequence=sequence))))
    assert project.views[1].source == cropped(hdf5(tmp_path, 7), Box((10, 0, 80), (70, 100, 100_000)))


def test_missing_views_are_those_of_the_new_project(tmp_path: Path) -> None:
    missing = "<MissingViews><MissingView timepoint='0' setup='1'/></MissingViews>"
    path = write(tmp_path, (HDF5, split_of(HDF5, LEFT, RIGHT)))
    before, _, after = path.read_text().rpartition("<MissingViews/>")
    path.write_text(before + missing + after)
    project = read_project(path)
    assert [view.id for view in project.views] == [ViewId(0, 0)]
    assert project.missing == {ViewId(0, 1)}


TWICE = SEQUENCE.replace("</ViewSetups>", f"{OLD}</ViewSetups>")
BAD = {
    "no loader inside": (split_of("", LEFT, RIGHT), "the loader 'split.viewerimgloader' has no ImageLoader"),
    "no sequence": (split_of(HDF5, LEFT, RIGHT, sequence=""), "has no SequenceDescription"),
    "no setups": (split_of(HDF5, LEFT, RIGHT, sequence=SEQUENCE.replace(OLD, "")), "has no ViewSetup"),
    "setup twice": (split_of(HDF5, LEFT, RIGHT, sequence=TWICE), "or two of one id"),
    "no timepoints": (split_of(HDF5, LEFT, RIGHT, sequence=SEQUENCE.replace(TIMEPOINTS, "")), "has no Timepoints"),
    "undefined": (split_of(HDF5, LEFT), "there is no SetupIdDefinition of setup 1"),
    "defined twice": (split_of(HDF5, LEFT, RIGHT, LEFT), "setup 0 has two SetupIdDefinitions"),
    "no new id": (split_of(HDF5, LEFT, RIGHT.replace("NewId", "Id")), "NewId of a SetupIdDefinition must be a whole"),
    "no old id": (split_of(HDF5, LEFT, RIGHT.replace("OldId", "Id")), "OldId in the SetupIdDefinition of setup 1 must"),
    "unknown old id": (
        split_of(HDF5, LEFT, RIGHT.replace(">7<", ">8<")),
        "setup 1 is 8, a setup that the project before",
    ),
    "two numbers": (split_of(HDF5, LEFT, RIGHT.replace("80 0 10", "80 0")), "min in the SetupIdDefinition of setup 1"),
    "upside down": (split_of(HDF5, LEFT, RIGHT.replace("80 0 10", "180 0 10")), "lies above max (179, 99, 69)"),
    "negative": (split_of(HDF5, LEFT, RIGHT.replace("80 0 10", "80 -1 10")), "must be between 0"),
    "outside": (
        split_of(HDF5, LEFT, RIGHT.replace("179", "180")),
        "reaches beyond the 180 x 120 x 70 pixels of setup 7",
    ),
    "unknown inside": (split_of(HDF5.replace("bdv.hdf5", "my.own"), LEFT, RIGHT), "the loader 'my.own' is unknown"),
    "no wrapped loader": (flat_field_of("", FIELD), "the element WrappedImgLoader has no ImageLoader"),
    "no wrapper": (flat_field_of("", FIELD).replace("WrappedImgLoader", "a"), "has no WrappedImgLoader"),
    "no switch": (flat_field_of(HDF5, FIELD, active=""), "must be true or false, not ''"),
    "odd switch": (flat_field_of(HDF5, FIELD, active="maybe"), "must be true or false, not 'maybe'"),
    "two fields": (flat_field_of(HDF5, FIELD * 2), "view (timepoint 0, setup 7) has two FlatFields"),
    "no view": (flat_field_of(HDF5, FIELD.replace("ViewSetup", "Setup")), "ViewSetup of a FlatField must be a whole"),
    "no path": (flat_field_of(HDF5, FIELD.replace("bright.tif", " ")), "BrightImg names no path"),
}


@pytest.mark.parametrize("kind", BAD)
def test_damaged_loaders(tmp_path: Path, kind: str) -> None:
    loader, says = BAD[kind]
    (problem,) = problems_of(write(tmp_path, (HDF5, loader)))
    assert says in problem
    assert "SequenceDescription/ImageLoader: " in problem
    assert problem.endswith("re-save the project as HDF5 in BigStitcher")


def test_nesting_without_end(tmp_path: Path) -> None:
    wrapper = "<ImageLoader format='spimreconstruction.wrapped.flatfield.default' Active='true'><WrappedImgLoader>"
    loader = wrapper * 20_000 + HDF5 + "</WrappedImgLoader></ImageLoader>" * 20_000
    (problem,) = problems_of(write(tmp_path, (HDF5, loader)))
    assert "wraps more than 100 loaders" in problem
