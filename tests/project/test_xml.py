from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine, Box
from fusestack.model.view import SourceRef, ViewId
from fusestack.project import xml
from fusestack.project.document import read_tree, write_tree
from fusestack.project.select import Selection, select_views
from fusestack.project.xml import read_project

from .example import BOXES, CALIBRATION, EXAMPLE, HDF5, TIMEPOINTS, setup_xml, write


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read_project(path)
    assert caught.value.exit_code == 3
    for problem in caught.value.problems:
        assert problem.startswith(str(path))
    return caught.value.problems


def flaws_of(path: Path) -> list[str]:
    """What is wrong with a part of a project, which does not matter where that is not used."""
    project = read_project(path)
    found = [*project.flaws.values(), *project.flawed_boxes.values(), *project.flawed_intensity.values()]
    for problem in found:
        assert problem.startswith(str(path))
    assert not project.flaws.keys() & {view.id for view in project.views}
    for view in project.flaws:
        with pytest.raises(InputError, match="leave out view"):
            select_views(project, Selection(views=frozenset([view])))
    if project.views:
        good = frozenset(view.id for view in project.views)
        assert select_views(project, Selection(views=good)) == project.views
    return found


def test_example(tmp_path: Path) -> None:
    path = write(tmp_path)
    project = read_project(path)
    assert project.path == str(path)
    assert project.loader == "bdv.hdf5"
    assert project.timepoints == (0,)
    assert [view.id for view in project.views] == [ViewId(0, 0), ViewId(0, 1)]
    assert project.missing == project.unregistered == frozenset()
    assert project.bounding_boxes == {"embryo": Box((0, 10, 10), (121, 90, 150))}
    view = project.views[1]
    np.testing.assert_allclose(view.pixel_to_world.apply([10, 0, 0]), [30, -0.5, 81.25])
    assert view.shape == (60, 100, 100)
    assert view.voxel_size == (1.5, 0.5, 0.5)
    assert (view.unit, view.name, view.channel_name) == ("micrometer", "tile B", "488")
    assert (view.channel, view.illumination, view.angle, view.tile) == (0, 0, 0, 1)
    assert view.source == SourceRef(
        "fusestack.sources.bdv_hdf5:BdvHdf5Source",
        str(tmp_path / "dataset.h5"),
        (("setup", 1), ("timepoint", 0)),
    )


def test_project_is_picklable(tmp_path: Path) -> None:
    project = read_project(write(tmp_path))
    assert pickle.loads(pickle.dumps(project)) == project


def test_relative_path_of_the_project_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    project = read_project("dataset.xml")
    assert project.path == str(tmp_path / "dataset.xml")
    assert project.views[0].source.path == str(tmp_path / "dataset.h5")


@pytest.mark.parametrize(
    ("form", "ids"),
    [
        ("<Timepoints type='pattern'><integerpattern>0-6:3,9</integerpattern></Timepoints>", (0, 3, 6, 9)),
        ("<Timepoints type='pattern'><integerpattern>4-2</integerpattern></Timepoints>", (2, 3, 4)),
        ("<Timepoints type='pattern'><integerpattern/></Timepoints>", (0,)),
        ("<Timepoints type='pattern'/>", (0,)),
        ("<Timepoints type='range'><first>3</first><last>5</last></Timepoints>", (3, 4, 5)),
        (
            "<Timepoints type='list'><Timepoint><id>9</id></Timepoint><Timepoint><id>5</id></Timepoint></Timepoints>",
            (5, 9),
        ),
    ],
)
def test_forms_of_timepoints(tmp_path: Path, form: str, ids: tuple[int, ...]) -> None:
    project = read_project(write(tmp_path, (TIMEPOINTS, form)))
    assert project.timepoints == ids
    every = {ViewId(timepoint, setup) for timepoint in ids for setup in (0, 1)}
    assert {view.id for view in project.views} | project.unregistered == every


def test_missing_views_are_no_views_and_need_no_registration(tmp_path: Path) -> None:
    missing = (
        "<MissingViews><MissingView timepoint='0' setup='1'/><MissingView timepoint='7' setup='1'/></MissingViews>"
    )
    project = read_project(write(tmp_path, ("<MissingViews/>", missing), ("1 0 0 80 0", "0 0 0 nan 0")))
    assert [view.id for view in project.views] == [ViewId(0, 0)]
    assert project.missing == {ViewId(0, 1)}
    assert project.unregistered == frozenset()


def test_view_without_registration_is_remembered(tmp_path: Path) -> None:
    project = read_project(
        write(
            tmp_path,
            ('<ViewRegistration timepoint="0" setup="0">', "<Foo>"),
            (f"{CALIBRATION}</ViewRegistration>\n    <View", f"{CALIBRATION}</Foo>\n    <View"),
        )
    )
    assert [view.id for view in project.views] == [ViewId(0, 1)]
    assert project.unregistered == {ViewId(0, 0)}


def test_registration_without_transforms_is_the_identity(tmp_path: Path) -> None:
    project = read_project(write(tmp_path, (f'setup="0">{CALIBRATION}<', 'setup="0"><')))
    assert project.views[0].pixel_to_world == Affine.identity()


def test_optional_parts_may_be_absent(tmp_path: Path) -> None:
    text = f"""<SpimData><SequenceDescription>{HDF5}<ViewSetups>
        <ViewSetup><id>4</id><attributes><channel>7</channel></attributes></ViewSetup><ViewSetup><id>2</id></ViewSetup>
        </ViewSetups>{TIMEPOINTS}</SequenceDescription><ViewRegistrations>
        <ViewRegistration timepoint="0" setup="4"/><ViewRegistration timepoint="0" setup="2"/></ViewRegistrations>
        </SpimData>"""
    project = read_project(write(tmp_path, text=text))
    assert list(project.setups) == [2, 4]
    view = project.views[1]
    assert (view.shape, view.voxel_size, view.unit, view.name) == (None, None, None, "")
    assert (view.channel, view.channel_name) == (7, "7")
    assert view.source.path == str(tmp_path / "dataset.h5")
    assert project.bounding_boxes == {}


def test_boxes_keep_the_order_of_the_file(tmp_path: Path) -> None:
    names = ["z", "a", "ü & <m>"]
    boxes = "".join(
        f"<BoundingBoxDefinition name='{name.replace('&', '&amp;').replace('<', '&lt;')}'>"
        f"<min>-{i} 0 0</min><max>1 2 3</max></BoundingBoxDefinition>"
        for i, name in enumerate(names)
    )
    project = read_project(write(tmp_path, (BOXES, f"<BoundingBoxes>{boxes}</BoundingBoxes>")))
    assert list(project.bounding_boxes) == names
    assert project.bounding_boxes["ü & <m>"] == Box((0, 0, -2), (4, 3, 2))


@pytest.mark.parametrize(
    ("base", "file", "expected"),
    [
        ("<BasePath type='relative'>.</BasePath>", "<hdf5 type='relative'>a b.h5</hdf5>", "{xml}/a b.h5"),
        ("", "<hdf5 type='relative'>sub/x.h5</hdf5>", "{xml}/sub/x.h5"),
        ("<BasePath type='relative'>data</BasePath>", "<hdf5 type='relative'>x.h5</hdf5>", "{xml}/data/x.h5"),
        ("<BasePath type='relative'/>", "<hdf5 type='relative'>x.h5</hdf5>", "{xml}/x.h5"),
        ("<BasePath type='absolute'>/d</BasePath>", "<hdf5 type='relative'>x.h5</hdf5>", "/d/x.h5"),
        ("<BasePath>/d</BasePath>", "<hdf5 type='relative'>x.h5</hdf5>", "/d/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5>/d/x.h5</hdf5>", "/d/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5 type='absolute'>/d/x.h5</hdf5>", "/d/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5 type='relative'>/x.h5</hdf5>", "{xml}/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5 type='relative'>sub\\x.h5</hdf5>", "{xml}/sub/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5>C:\\d\\x.h5</hdf5>", "C:/d/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5>\\\\host\\share\\x.h5</hdf5>", "//host/share/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5>file:/d/a%20b.h5</hdf5>", "/d/a b.h5"),
        ("<BasePath>file:///d/</BasePath>", "<hdf5 type='relative'>x.h5</hdf5>", "/d/x.h5"),
        ("<BasePath>file:///C:/d</BasePath>", "<hdf5 type='relative'>x.h5</hdf5>", "C:/d/x.h5"),
        ("<BasePath type='relative'>.</BasePath>", "<hdf5>x.h5</hdf5>", "{xml}/x.h5"),
    ],
)
def test_paths(tmp_path: Path, base: str, file: str, expected: str) -> None:
    path = write(
        tmp_path,
        ('<BasePath type="relative">.</BasePath>', base),
        ("<hdf5 type='relative'>dataset.h5</hdf5>", file),
    )
    assert read_project(path).views[0].source.path == expected.format(xml=tmp_path)


@pytest.mark.parametrize(
    ("loader", "says"),
    [
        ("ims", "microscope or server"),
        ("bigstitcher.smartspim", "microscope or server"),
        ("my.own", "unknown"),
    ],
)
def test_other_loaders_say_their_status_and_the_way_out(tmp_path: Path, loader: str, says: str) -> None:
    (problem,) = problems_of(write(tmp_path, ("bdv.hdf5", loader)))
    assert f"'{loader}'" in problem
    assert says in problem
    assert problem.endswith("re-save the project as HDF5 in BigStitcher")


BAD = [
    pytest.param((HDF5, ""), ["ImageLoader: the element is missing", "re-save"], id="no loader"),
    pytest.param((HDF5, "<ImageLoader/>"), ["loader has no format"], id="loader without format"),
    pytest.param((HDF5, "<ImageLoader format='bdv.hdf5'/>"), ["no hdf5 element"], id="loader without file"),
    pytest.param(("dataset.h5", " "), ["hdf5 names no path"], id="empty path"),
    pytest.param((TIMEPOINTS, ""), ["Timepoints: the element is missing"], id="no timepoints"),
    pytest.param(("type='pattern'", "type='odd'"), ["type must be pattern, range or list, not 'odd'"], id="odd type"),
    pytest.param(("<integerpattern>0<", "<integerpattern>0-x<"), ["'0-x' is not a pattern"], id="bad pattern"),
    pytest.param(("<integerpattern>0<", "<integerpattern>0-9999999<"), ["more than 1,000,000"], id="huge pattern"),
    pytest.param(
        (TIMEPOINTS, "<Timepoints type='range'><first>0</first><last>2000000000</last></Timepoints>"),
        ["more than 1,000,000"],
        id="huge range",
    ),
    pytest.param(
        (TIMEPOINTS, "<Timepoints type='range'><first>3</first><last>2</last></Timepoints>"),
        ["last timepoint must be between 3"],
        id="backward range",
    ),
    pytest.param((TIMEPOINTS, "<Timepoints type='list'/>"), ["no Timepoint"], id="empty list"),
    pytest.param(("<id>1</id><name>tile B", "<name>tile B"), ["id must be a whole number, not ''"], id="no id"),
    pytest.param(("<id>1</id><name>tile B", "<id>-1</id><name>tile B"), ["id must be between 0"], id="negative id"),
    pytest.param(('timepoint="0" setup="1"', 'setup="1"'), ["timepoint of a ViewRegistration"], id="no timepoint"),
    pytest.param(
        ("<MissingViews/>", "<MissingViews><MissingView timepoint='0'/></MissingViews>"),
        ["MissingViews", "setup of a MissingView"],
        id="missing view without setup",
    ),
]
FLAWED = [
    pytest.param(("100 100 60", "100 0 60"), ["ViewSetup 0", "size must be between 1", "not 0"], id="size 0"),
    pytest.param(("100 100 60", "100 -5 60"), ["size must be between 1", "not -5"], id="negative size"),
    pytest.param(("100 100 60", "100 100"), ["size must be 3 whole numbers (x y z), not '100 100'"], id="two sizes"),
    pytest.param(("100 100 60", "100 100 6e1"), ["size must be a whole number, not '6e1'"], id="float size"),
    pytest.param(("100 100 60", "100 99999999999 60"), ["not 99999999999"], id="absurd size"),
    pytest.param(("100 100 60", "100 " + "9" * 5000 + " 60"), ["must be a whole number"], id="endless size"),
    pytest.param(("0.5 0.5 1.5", "0.5 0 1.5"), ["voxelSize must be above 0"], id="voxel size 0"),
    pytest.param(("0.5 0.5 1.5", "0.5 NaN 1.5"), ["voxelSize has numbers that are NaN"], id="voxel size NaN"),
    pytest.param(("<channel>0</channel>", "<channel>red</channel>"), ["channel must be a whole"], id="attribute"),
    pytest.param(("0 80 0", "0 80,0"), ["view (timepoint 0, setup 1)", "transform 2 'Translation to"], id="12 numbers"),
    pytest.param(("0 80 0", "0 8o 0"), ["affine of transform 2", "must be 12 numbers, not '1 0 0 8o"], id="a word"),
    pytest.param(("0 80 0", "0 inf 0"), ["setup 1", "NaN or infinite"], id="infinite"),
    pytest.param(("1 0 0 80 0 1", "1 0 0 80 0 0"), ["setup 1", "singular"], id="singular"),
    pytest.param(("1 0 0 80 0 1 0", "1e300 0 0 80 0 1e300 0"), ["setup 1", "singular"], id="overflow of determinant"),
    pytest.param(("type='affine'", "type='generic'"), ["of type 'generic', only affine"], id="generic"),
    pytest.param(
        ('"0" setup="1">', '"0" setup="0">'),
        ["view (timepoint 0, setup 0)", "two different ViewReg"],
        id="two registrations",
    ),
    pytest.param(("<min>10 10 0<", "<min>10 10<"), ["bounding box 'embryo'", "min must be 3"], id="box"),
    pytest.param(("<min>10 10 0<", "<min>200 10 0<"), ["box 'embryo'", "lies above max"], id="upside-down box"),
    pytest.param(
        (
            BOXES,
            BOXES.replace("</BoundingBoxes>", "") + BOXES.replace("<BoundingBoxes>", "").replace("10 10 0", "0 0 0"),
        ),
        ["two different boxes"],
        id="two boxes of a name",
    ),
    pytest.param(
        ("<id>1</id><name>tile B", "<id>0</id><name>tile B"), ["ViewSetup 0", "two different setups"], id="same id"
    ),
]


@pytest.mark.parametrize(("change", "says"), BAD)
def test_bad_structure_names_file_place_and_way_out(tmp_path: Path, change: tuple[str, str], says: list[str]) -> None:
    problem = problems_of(write(tmp_path, change))[0]
    for words in says:
        assert words in problem
    assert problem.endswith(("from BigStitcher", "in BigStitcher"))


@pytest.mark.parametrize(("change", "says"), FLAWED)
def test_what_is_wrong_with_a_part_matters_where_it_is_used(
    tmp_path: Path, change: tuple[str, str], says: list[str]
) -> None:
    problem = flaws_of(write(tmp_path, change))[0]
    for words in says:
        assert words in problem
    assert problem.endswith("from BigStitcher")


def test_what_is_said_twice(tmp_path: Path) -> None:
    """The same setup, registration or box twice is no contradiction."""
    registration = f'<ViewRegistration timepoint="0" setup="0">{CALIBRATION}</ViewRegistration>'
    twice = [(text, text + text) for text in (setup_xml(0, tile=0), registration)]
    box = BOXES.removeprefix("<BoundingBoxes>").removesuffix("</BoundingBoxes>")
    project = read_project(write(tmp_path, *twice, (BOXES, f"<BoundingBoxes>{box}{box}</BoundingBoxes>")))
    assert project == read_project(write(tmp_path))


def test_what_other_programs_add(tmp_path: Path) -> None:
    """Elements that nobody knows, attributes of ids that no setup can have, views that are missing twice."""
    found = read_project(
        write(
            tmp_path,
            (
                "<ViewInterestPoints/>",
                "<Extra version='9'><id>x</id></Extra><ViewInterestPoints>?</ViewInterestPoints>",
            ),
            ("<Channel><id>0<", "<Channel><id>none</id></Channel><Channel><id>0<"),
            ("<MissingViews/>", "<MissingViews>" + "<MissingView timepoint='9' setup='0'/>" * 2 + "</MissingViews>"),
        )
    )
    assert found == read_project(write(tmp_path))


def adjustment(view: str, model: str) -> str:
    return f"<IntensityAdjustments {view}>{model}</IntensityAdjustments>"


def adjustments(*entries: str) -> tuple[str, str]:
    return "<IntensityAdjustments/>", f"<IntensityAdjustments>{''.join(entries)}</IntensityAdjustments>"


FIRST, SECOND = "timepoint='0' setup='0'", "timepoint='0' setup='1'"
MODEL = "<model>2 5</model>"


def test_intensity_models(tmp_path: Path) -> None:
    assert read_project(write(tmp_path)).intensity == {}
    models = adjustments(
        adjustment(SECOND, "<model>1.5e-1\n -3</model>"), adjustment("timepoint='4' setup='0'", "<model/>")
    )
    assert read_project(write(tmp_path, models)).intensity == {ViewId(0, 1): (0.15, -3.0)}


def test_intensity_models_of_missing_views_are_not_looked_at(tmp_path: Path) -> None:
    missing = "<MissingViews><MissingView timepoint='0' setup='1'/></MissingViews>"
    models = adjustments(adjustment(FIRST, MODEL), adjustment(SECOND, "<model>x</model>"))
    assert read_project(write(tmp_path, models, ("<MissingViews/>", missing))).intensity == {ViewId(0, 0): (2.0, 5.0)}


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (
            [adjustment(FIRST, "")],
            ["intensity adjustment of view (timepoint 0, setup 0)", "must be 2 numbers, found 0"],
        ),
        ([adjustment(FIRST, "<model>2</model>")], ["must be 2 numbers, found 1"]),
        ([adjustment(FIRST, "<model>2 five</model>")], ["must be 2 numbers, not '2 five'"]),
        ([adjustment(FIRST, "<model>2 inf</model>")], ["NaN or infinite"]),
        ([adjustment(FIRST, MODEL), adjustment(FIRST, "<model>2 6</model>")], ["two different models of this view"]),
    ],
)
def test_damaged_intensity_models(tmp_path: Path, entries: list[str], says: list[str]) -> None:
    path = write(tmp_path, adjustments(*entries))
    (problem,) = flaws_of(path)
    for words in says:
        assert words in problem
    assert problem.endswith("from BigStitcher")
    assert read_project(path).intensity == {}


def test_an_intensity_model_of_nobody(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, adjustments(adjustment("setup='0'", MODEL))))
    assert "IntensityAdjustments: timepoint of a IntensityAdj" in problem
    assert "whole number" in problem


@settings(max_examples=30, deadline=None)
@given(a=st.floats(allow_nan=False, allow_infinity=False), b=st.floats(allow_nan=False, allow_infinity=False))
def test_intensity_models_survive_a_round_trip(tmp_path_factory: pytest.TempPathFactory, a: float, b: float) -> None:
    path = write(tmp_path_factory.mktemp("trip"), adjustments(adjustment(SECOND, f"<model>{a!r} {b!r}</model>")))
    before = read_project(path)
    write_tree(read_tree(path), path)
    assert read_project(path) == before
    assert before.intensity == {ViewId(0, 1): (a, b)}


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    problems = problems_of(
        write(tmp_path, ("bdv.hdf5", "ims"), ("100 100 60", "0 1 1"), ("type='pattern'", ""), ("<max>149", "<max>a"))
    )
    assert len(problems) == 2


def test_number_of_problems_shown_is_bounded(tmp_path: Path) -> None:
    views = "<MissingView/>" * 250
    problems = problems_of(write(tmp_path, ("<MissingViews/>", f"<MissingViews>{views}</MissingViews>")))
    assert len(problems) == xml.MAX_PROBLEMS + 1
    assert "150 more" in problems[-1]


def test_number_of_views_is_bounded(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, ("<integerpattern>0<", "<integerpattern>0-600000<")))
    assert "600001 timepoints of 2 setups are more than 1,000,000 views" in problem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<html></html>", "its root is <html>, not <SpimData>"),
        ("<SpimData/>", "Timepoints: the element is missing"),
        (f"<SpimData><SequenceDescription>{HDF5}{TIMEPOINTS}</SequenceDescription></SpimData>", "no ViewSetup"),
    ],
)
def test_other_documents(tmp_path: Path, text: str, says: str) -> None:
    assert says in "\n".join(problems_of(write(tmp_path, text=text)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_gives_a_project_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(EXAMPLE)))
    stop = data.draw(st.integers(start, min(len(EXAMPLE), start + 40)))
    text = EXAMPLE[:start] + data.draw(st.sampled_from(["", "0", "-", "nan", "1e999", "<a/>", "&x;"])) + EXAMPLE[stop:]
    path = tmp_path_factory.mktemp("damaged") / "dataset.xml"
    path.write_text(text, encoding="utf-8")
    try:
        project = read_project(path)
        good = [view.pixel_to_world.is_finite for view in project.views]
        good += [str(path) in text for text in project.flaws.values()]
    except InputError as error:
        good = [str(path) in str(error)]
    assert all(good)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(-9, 9), min_size=12, max_size=12), min_size=1, max_size=4))
def test_registration_is_the_product_in_the_order_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, noise: list[list[float]]
) -> None:
    rows = [np.reshape(numbers, (3, 4)) + 30 * np.eye(3, 4) for numbers in noise]
    transforms = "".join(
        f"<ViewTransform type='affine'><Name>n</Name><affine>{' '.join(map(repr, m.ravel().tolist()))}</affine>"
        "</ViewTransform>"
        for m in rows
    )
    folder = tmp_path_factory.mktemp("product")
    project = read_project(write(folder, (f'setup="0">{CALIBRATION}<', f'setup="0">{transforms}<')))
    product = np.eye(4)
    for m in rows:
        product = product @ np.vstack([m, [0, 0, 0, 1]])
    np.testing.assert_allclose(project.views[0].pixel_to_world.to_xyz(), product[:3].ravel(), rtol=1e-12, atol=1e-9)


def test_many_setups_keep_their_attributes(tmp_path: Path) -> None:
    more = "".join(setup_xml(number, channel=number % 3) for number in range(2, 8))
    project = read_project(
        write(tmp_path, ('<Attributes name="illumination">', more + '<Attributes name="illumination">'))
    )
    assert [setup.channel for setup in project.setups.values()] == [0, 0, 2, 0, 1, 2, 0, 1]
    assert [setup.channel_name for setup in project.setups.values()] == ["488", "488", "2", "488", "1", "2", "488", "1"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("<hdf5 type='relative'>", "<hdf5>s3://bucket/"), "s3://bucket/dataset.h5"),
        (('type="relative">.<', ">gs://bucket/folder/<"), "gs://bucket/folder/dataset.h5"),
    ],
    ids=["file", "base path"],
)
def test_addresses_are_kept(tmp_path: Path, change: tuple[str, str], path: str) -> None:
    project = read_project(write(tmp_path, change))
    assert {view.source.path for view in project.views} == {path}


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        ('<zgroup setup="0" tp="0" path="/a.zarr/" indicies="1 2"/>', ("dataset.h5/a.zarr", 2, 1)),
        ('<zgroup setup="0" tp="0" path="a.zarr" indicies="[0, 3]"/>', ("dataset.h5/a.zarr", 3, 0)),
        ('<zgroup setup="0" tp="0" path="" indicies="[]"/>', ("dataset.h5", 0, 0)),
        ('<zgroup setup="0" timepoint="0"><path>a/b</path></zgroup>', ("dataset.h5/a/b", 0, 0)),
        ('<zgroup setup="0" tp="0" path="a\\b"/>', ("dataset.h5/a/b", 0, 0)),
    ],
)
def test_images_of_a_zarr_project(tmp_path: Path, groups: str, wanted: tuple[str, int, int]) -> None:
    container = HDF5.replace("hdf5", "zarr").replace("bdv.zarr", "bdv.multimg.zarr")
    other = '<zgroup setup="1" tp="0" path="other"/></zgroups></ImageLoader>'
    loader = container.replace("</ImageLoader>", f"<zgroups>{groups}{other}")
    project = read_project(write(tmp_path, (HDF5, loader)))
    source = project.views[0].source
    options = dict(source.options)
    found = (str(Path(source.path).relative_to(tmp_path)), options["timepoint"], options["channel"])
    assert found == wanted
