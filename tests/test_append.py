"""Fused images are added to the project that they were made from, of which everything else stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import npy2bdv
import numpy as np
import pytest
import tensorstore
import tifffile
from numpy.typing import NDArray

import fusestack
from fusestack.model.errors import FusestackWarning
from fusestack.project import document
from fusestack.project.document import read_tree
from tests.project.test_settings import restored

TILE = (12, 30, 40)
NAMES = {"h5": ("dataset.h5", "fused.h5"), "n5": ("dataset.n5", "dataset.n5"), "zarr": ("d.ome.zarr", "fused.ome.zarr")}
UNKNOWN = '<MyNotes level="1"><!-- mine --><Deep a="b">text <b>bold</b> tail</Deep></MyNotes>'
PLACE = {"translation": {"x": 4, "y": -6, "z": 8}, "voxel_size": {"x": 0.5, "y": 0.5, "z": 0.5}, "unit": "um"}


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A project of two channels at two timepoints, with things in it that nobody but its owner knows."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(1)
    views = []
    for t, c in np.ndindex(2, 2):
        path = folder / f"{t}{c}.tif"
        tifffile.imwrite(path, rng.integers(1, 60000, TILE, dtype=np.uint16), photometric="minisblack")
        views.append({"path": str(path), "timepoint": t, "channel": c, **PLACE})
    output = {"path": str(folder / NAMES[request.param][0]), "project": str(folder / "dataset.xml"), "pyramid": "none"}
    fusestack.run({"version": 1, "input": {"views": views}, "output": output})
    text = (folder / "dataset.xml").read_text()
    box = '<BoundingBoxDefinition name="mine"><min>5 0 9</min><max>30 20 15</max></BoundingBoxDefinition>'
    text = text.replace("<BoundingBoxes />", f"<BoundingBoxes>{box}</BoundingBoxes>")
    (folder / "dataset.xml").write_text(text.replace("</SpimData>", f"{UNKNOWN}</SpimData>"))
    return request.param, folder


@pytest.fixture
def project(made: tuple[str, Path], tmp_path: Path) -> tuple[str, Path]:
    kind, folder = made
    return kind, Path(shutil.copytree(folder, tmp_path / "work", copy_function=shutil.copy2)) / "dataset.xml"


def config(kind: str, xml: Path, name: str = "", **fusion: Any) -> dict[str, Any]:
    output = {"path": str(xml.parent / (name or NAMES[kind][1])), "append": True}
    return {"version": 1, "input": {"project": str(xml)}, "fusion": fusion, "output": output}


def pixels_of(kind: str, xml: Path, setup: int, timepoint: int) -> NDArray[Any]:
    """Pixels of a view by a reader that is not ours."""
    root = ElementTree.parse(xml).getroot()
    loader = root.find("SequenceDescription/ImageLoader")
    assert loader is not None
    if kind == "h5":
        with h5py.File(xml.parent / (loader.findtext("hdf5") or "")) as file:
            found: NDArray[Any] = file[f"t{timepoint:05d}/s{setup:02d}/0/cells"][:]
            return found
    if kind == "n5":
        store = f"file://{xml.parent}/dataset.n5/setup{setup}/timepoint{timepoint}/s0"
        return np.asarray(tensorstore.open({"driver": "n5", "kvstore": store}).result().read().result()).T
    (group,) = loader.findall(f"zgroups/zgroup[@setup='{setup}'][@tp='{timepoint}']")
    place = xml.parent / (loader.findtext("zarr") or "") / group.attrib["path"].strip("/") / "0"
    channel, time = map(int, group.attrib["indicies"].split())
    store = {"driver": "file", "path": str(place)}
    return np.asarray(tensorstore.open({"driver": "zarr3", "kvstore": store}).result()[time, channel].read().result())


def test_images_are_added_and_all_else_is_kept(project: tuple[str, Path]) -> None:
    kind, xml = project
    before = fusestack.open_project(xml)
    expected = fusestack.fuse(before, downsampling=2, bounding_box="mine").to_numpy()
    old = {view.id: fusestack.fuse([view]).to_numpy() for view in before.views}
    text = xml.read_bytes()
    fusestack.run(config(kind, xml, downsampling=2, bounding_box="mine"))

    assert xml.with_name("dataset.xml~1").read_bytes() == text
    after = fusestack.open_project(xml)
    assert after.setups.keys() == {0, 1, 2, 3}
    assert after.bounding_boxes == before.bounding_boxes
    for view in before.views:
        (same,) = (one for one in after.views if one.id == view.id)
        assert same.pixel_to_world == view.pixel_to_world
        np.testing.assert_array_equal(fusestack.fuse([same]).to_numpy(), old[view.id])
        np.testing.assert_array_equal(pixels_of(kind, xml, *view.id[::-1]), old[view.id][0, 0])
    found = [view for view in after.views if view.id.setup > 1]
    assert len(found) == 4
    for view in found:
        np.testing.assert_array_equal(
            pixels_of(kind, xml, view.id.setup, view.id.timepoint), expected[view.id.timepoint, view.channel]
        )
        # box 5..30, 0..20, 9..15 -> 3.., 0.., 5..
        assert view.pixel_to_world.to_xyz() == (2, 0, 0, 6, 0, 2, 0, 0, 0, 0, 2, 10)
        assert (view.voxel_size, view.unit) == ((1, 1, 1), "micrometer")
        assert (view.channel_name, view.tile, view.angle) == (str(view.channel), 1, 1)
    unknown = ElementTree.parse(xml, ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True)))
    (note,) = unknown.getroot().findall("MyNotes")
    given = ElementTree.XML(UNKNOWN, ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True)))
    note.tail = None
    assert ElementTree.canonicalize(ElementTree.tostring(note), strip_text=True) == ElementTree.canonicalize(
        ElementTree.tostring(given), strip_text=True
    )


@pytest.mark.filterwarnings("ignore:setups 2, 3.* of the project. added:fusestack.FusestackWarning")
def test_a_second_run_has_nothing_to_do_and_another_fusion_is_added(project: tuple[str, Path]) -> None:
    kind, xml = project
    first = config(kind, xml, downsampling=2)
    fusestack.run(first)
    text = xml.read_bytes()
    assert fusestack.run(first).reused_all
    assert xml.read_bytes() == text
    second = config(kind, xml, "" if kind == "n5" else f"again.{'ome.zarr' if kind == 'zarr' else 'h5'}")
    expected = fusestack.fuse(xml).to_numpy()
    fusestack.run(second)
    after = fusestack.open_project(xml)
    assert after.setups.keys() == set(range(6))
    assert [after.setups[n].tile for n in range(6)] == [0, 0, 1, 1, 2, 2]
    assert xml.with_name("dataset.xml~1").read_bytes() == text
    assert xml.with_name("dataset.xml~2").exists()
    for t, c in np.ndindex(2, 2):
        np.testing.assert_array_equal(pixels_of(kind, xml, 4 + c, t), expected[t, c])
        assert pixels_of(kind, xml, 2 + c, t).shape < expected.shape[2:]
    for done in (first, second):
        assert fusestack.run(done).reused_all
    if kind == "h5":
        shutil.copy(xml, xml.with_name("dataset-m1.xml"))  # this reader takes the name of one for that of the other
        editor = npy2bdv.BdvEditor(str(xml.with_name("dataset-m1.h5")), mode="r")
        assert (editor.ntimes, editor.nchannels, editor.ntiles) == (2, 2, 3)
        np.testing.assert_array_equal(editor.read_view(time=1, channel=0, tile=0), pixels_of(kind, xml, 0, 1))
        editor.finalize()


@pytest.mark.filterwarnings("ignore:setups 2, 3.* of the project. added:fusestack.FusestackWarning")
def test_colours_and_contrast_of_the_project_get_those_of_what_is_added(
    project: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, xml = project
    file = xml.with_name("dataset.settings.xml")
    old = restored(read_tree(file).getroot(), [0, 1])
    first = config(kind, xml, downsampling=2)

    def dies(*_: Any) -> None:
        raise fusestack.OutputError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("fusestack.project.more_settings.write_document", dies)
        with pytest.raises(Exception, match="killed"):
            fusestack.run(first)
    assert len(fusestack.open_project(xml).setups) == 4
    assert restored(read_tree(file).getroot(), [0, 1]) == old
    fusestack.run(first)
    found = restored(read_tree(file).getroot(), [0, 1, 2, 3])
    assert {one: found[one] for one in old} == old
    assert [found[one][2] for one in (2, 3)] == [old[one][2] for one in (0, 1)], "colours of the channels"
    assert restored(read_tree(f"{file}~1").getroot(), [0, 1]) == old
    assert fusestack.run(first).reused_all
    file.write_text(file.read_text().replace("if nobody changed it", "or not"))  # somebody has
    text = file.read_bytes()
    fusestack.run(config(kind, xml, "" if kind == "n5" else f"again.{'ome.zarr' if kind == 'zarr' else 'h5'}"))
    more = restored(read_tree(file).getroot(), list(range(6)))
    assert {one: more[one] for one in found} == found
    assert Path(f"{file}~1").read_bytes() == text
    assert {view.channel_color for view in fusestack.open_project(xml).views} == {"00FF00", "FF00FF"}


@pytest.mark.parametrize("group_by", ["timepoint_channel_illumination", "view", "all"])
def test_other_groups_are_added_with_their_attributes(project: tuple[str, Path], group_by: str) -> None:
    kind, xml = project
    settings = config(kind, xml, group_by=group_by)
    fusestack.run(settings)
    after = fusestack.open_project(xml)
    names = {"view": ["0", "1"], "all": ["Fused"]}
    assert [after.setups[n].name for n in range(2, len(after.setups))] == names.get(group_by, ["0_0", "1_0"])
    alike = [(one.channel, one.illumination, one.tile, one.angle) for one in after.setups.values()]
    assert len(set(alike)) == len(alike)
    assert fusestack.run(settings).reused_all
    chosen = fusestack.fuse({"version": 1, "input": {"project": str(xml), "select": {"setups": [2]}}})
    assert chosen.shape[2:] == TILE
    if group_by == "all":
        assert {view for view in after.missing if view.setup == 2} == {(1, 2)}


def test_a_crash_before_the_xml_leaves_the_project_as_it_was(
    project: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, xml = project
    whole = Path(shutil.copytree(xml.parent, xml.parent.with_name("whole"), copy_function=shutil.copy2))
    text = xml.read_bytes()

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("fusestack.project.append.write_tree", killed)
        with pytest.raises(Killed):
            fusestack.run(config(kind, xml))
    assert xml.read_bytes() == text
    assert len(fusestack.open_project(xml).views) == 4
    with monkeypatch.context() as patch:
        patch.setattr(document.Path, "replace", killed)
        with pytest.raises(Killed):
            fusestack.run(config(kind, xml))
    assert xml.read_bytes() == text
    fusestack.run(config(kind, xml))
    fusestack.run(config(kind, whole / "dataset.xml"))
    assert xml.read_text().replace(str(xml.parent), str(whole)) == (whole / "dataset.xml").read_text()
    if kind == "h5":
        assert sorted(path.name for path in xml.parent.glob("*.h5")) == ["dataset-m0.h5", "dataset.h5", "fused.h5"]


@pytest.mark.parametrize("project", [("h5"), ("zarr")], indirect=False)
def test_an_output_with_other_settings_takes_the_place_of_the_first(
    project: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(1, 1 + 8 * 9 * 10, dtype=np.uint16).reshape(8, 9, 10))
    xml = tmp_path / "dataset.xml"
    output = {"path": str(tmp_path / NAMES[project][0]), "project": str(xml)}
    fusestack.run({"version": 1, "input": {"views": [{"path": str(tmp_path / "a.tif"), **PLACE}]}, "output": output})
    fusestack.run(config(project, xml))
    with pytest.raises(fusestack.OutputError, match="made with other settings"):
        fusestack.run(config(project, xml, downsampling=2))
    fusestack.run(config(project, xml, downsampling=2), ["output.overwrite=true"])
    after = fusestack.open_project(xml)
    assert after.setups.keys() == {0, 1}
    assert after.setups[1].tile == 1
    assert pixels_of(project, xml, 1, 0).shape == after.setups[1].shape == (4, 5, 5)
    assert pixels_of(project, xml, 0, 0).shape == (8, 9, 10)


def test_the_same_fusion_under_another_name_takes_the_place_of_the_first(project: tuple[str, Path]) -> None:
    kind, xml = project
    if kind == "n5":
        pytest.skip("an N5 holds what is added to it: there is one name")
    first, suffix = NAMES[kind][1], NAMES[kind][1].partition(".")[2]
    fusestack.run(config(kind, xml, downsampling=2))
    setups = len(fusestack.open_project(xml).setups)
    expected = pixels_of(kind, xml, 2, 1)
    gone = xml.parent / first
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.warns(FusestackWarning, match="setups 2, 3 of the project: added by a fusion"):
        fusestack.run(config(kind, xml, f"other.{suffix}", downsampling=2))
    assert np.array_equal(pixels_of(kind, xml, 2, 1), expected)
    assert f"other.{suffix}" in xml.read_text()
    assert f'"{first}"' not in xml.read_text()
    assert len(fusestack.open_project(xml).setups) == setups
    assert fusestack.run(config(kind, xml, f"other.{suffix}", downsampling=2)).reused_all


def test_what_cannot_be_added_is_refused(project: tuple[str, Path]) -> None:
    kind, xml = project
    text = xml.read_bytes()
    wrong = {"h5": "fused.ome.zarr", "n5": "fused.n5", "zarr": "fused.h5"}[kind]
    with pytest.raises(
        fusestack.ConfigError, match=r"output\.append: .*set output\.path to .*or write a project of its"
    ):
        fusestack.run(config(kind, xml, wrong))
    with pytest.raises(fusestack.ConfigError, match=r"output\.project: append adds to input\.project"):
        fusestack.run(config(kind, xml), [f"output.project={xml.parent}/other.xml"])
    with pytest.raises(fusestack.ConfigError, match=r"output\.append: tiff is not added to a project"):
        fusestack.run(config(kind, xml, "fused.tif"))
    if kind == "zarr":
        with pytest.raises(fusestack.ConfigError, match="lies in the image"):
            fusestack.run(config(kind, xml, "d.ome.zarr/fused.ome.zarr"))
    assert xml.read_bytes() == text


def test_projects_of_other_files_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 9, 10), np.uint16))
    xml = tmp_path / "dataset.xml"
    output = {"path": str(tmp_path / "a.h5"), "project": str(xml)}
    fusestack.run({"version": 1, "input": {"views": [{"path": str(tmp_path / "a.tif"), **PLACE}]}, "output": output})
    files = (
        '<ImageLoader format="spimreconstruction.filelist"><files><FileMapping view_setup="0" timepoint="0" series="0" '
        'channel="0"><file type="relative">a.tif</file></FileMapping></files></ImageLoader>'
    )
    start, _, rest = xml.read_text().partition("<ImageLoader")
    xml.write_text(start + files + rest.partition("</ImageLoader>")[2])
    with pytest.raises(
        fusestack.ConfigError, match=r"nothing can be added to a project of 'spimreconstruction\.filelist'"
    ):
        fusestack.run(config("h5", xml))


def test_the_version_of_ome_zarr_is_that_of_the_project(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.arange(1, 1 + 8 * 9 * 10, dtype=np.uint16).reshape(8, 9, 10))
    xml = tmp_path / "dataset.xml"
    output = {"path": str(tmp_path / "d.ome.zarr"), "project": str(xml), "ome_zarr_version": "0.4"}
    fusestack.run({"version": 1, "input": {"views": [{"path": str(tmp_path / "a.tif"), **PLACE}]}, "output": output})
    told = "\n".join(fusestack.plan(config("zarr", xml), ["output.ome_zarr_version='0.5'"]).warnings)
    assert "0.5 is added to a project of 0.4" in told
    fusestack.run(config("zarr", xml))
    assert (tmp_path / "fused.ome.zarr" / ".zgroup").exists()
    first, second = fusestack.open_project(xml).views
    np.testing.assert_array_equal(fusestack.fuse([first]).to_numpy(), fusestack.fuse([second]).to_numpy())
    assert fusestack.run(config("zarr", xml)).reused_all
