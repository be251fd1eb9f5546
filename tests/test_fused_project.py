"""The project beside a fused image shows it exactly where the inputs were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import npy2bdv
import numpy as np
import pytest
import tensorstore
import tifffile

import fusestack
from fusestack.model.errors import OutputError
from fusestack.project.document import read_tree

TILE = (24, 40, 50)


FORMATS = {
    "fused.h5": {},
    "fused.n5": {},
    "fused v4.ome.zarr": {"ome_zarr_version": "0.4"},
    "fused.ome.zarr": {},
    "fused.tif": {"format": "bdv-tiff"},
}


@pytest.fixture(params=FORMATS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    views = []
    for c in range(2):
        for i in range(2):
            path = tmp_path / f"c{c}t{i}.tif"
            tifffile.imwrite(path, rng.integers(1, 60000, TILE, dtype=np.uint16))
            # z is three times as coarse; world pixels are those of x
            affine = [1, 0, 0, 31 * i - 7, 0, 1, 0, 5, 0, 0, 3, -12]
            place = {"affine": affine, "voxel_size": {"x": 0.5, "y": 0.5, "z": 1.5}, "unit": "um"}
            views.append({"path": str(path), "channel": c, "tile": i, **place})
    return {
        "version": 1,
        "input": {"views": views},
        "fusion": {"preserve_anisotropy": True},
        "output": {
            "path": str(tmp_path / request.param),
            "project": str(tmp_path / "fused.xml"),
            **FORMATS[request.param],
        },
    }


def test_registration_and_voxel_size(config: dict[str, Any], tmp_path: Path) -> None:
    fusestack.run(config, ["fusion.downsampling=2"])
    project = fusestack.open_project(tmp_path / "fused.xml")
    assert [(v.id.setup, v.channel) for v in project.views] == [(0, 0), (1, 1)]
    view = project.views[0]
    # box x: -7..73 -> round(-3.5) = -3; y: 5 -> round(2.5) = 3; z: -12/3 = -4 -> -2
    assert view.pixel_to_world.to_xyz() == (2, 0, 0, -6, 0, 2, 0, 6, 0, 0, 6, -12)
    assert view.voxel_size == (3.0, 1.0, 1.0)
    assert view.unit == "micrometer"


def test_fusing_the_fused_project_again_changes_nothing(config: dict[str, Any], tmp_path: Path) -> None:
    """Nor the colours of its channels, which BigDataViewer finds beside it."""
    for view in config["input"]["views"]:
        view["channel"] += 3
    fusestack.run(config)
    recolored = (tmp_path / "fused.settings.xml").read_text().replace("-16711936", "-32768")  # green to orange
    (tmp_path / "fused.settings.xml").write_text(recolored)
    again = {
        "version": 1,
        "input": {"project": str(tmp_path / "fused.xml")},
        "fusion": {"preserve_anisotropy": 3},
        "output": {"path": str(tmp_path / "again.h5"), "project": str(tmp_path / "second.xml")},
    }
    fusestack.run(again)
    colors = [view.channel_color for view in fusestack.open_project(tmp_path / "second.xml").views]
    assert colors == ["FF8000", "FF00FF"]
    expected = fusestack.fuse(fusestack.plan(config).inputs.views, preserve_anisotropy=True)
    with h5py.File(tmp_path / "again.h5") as second:
        for c in range(2):
            pixels = expected.isel(t=0, c=c).compute()
            assert pixels.max() > 32767
            np.testing.assert_array_equal(second[f"t00000/s{c:02d}/0/cells"][:], pixels)
            assert second[f"s{c:02d}"].attrs["dataType"] == b"uint16"
    first_place, second_place = (
        fusestack.open_project(tmp_path / name).views[0].pixel_to_world for name in ("fused.xml", "second.xml")
    )
    assert first_place == second_place


@pytest.mark.parametrize("config", ["fused.h5"], indirect=True)
def test_another_reader_sees_the_same_pixels_and_place(config: dict[str, Any], tmp_path: Path) -> None:
    fusestack.run(config)
    expected = fusestack.fuse(fusestack.plan(config).inputs.views, preserve_anisotropy=True)
    editor = npy2bdv.BdvEditor(str(tmp_path / "fused.h5"))
    assert (editor.ntimes, editor.nchannels) == (1, 2)
    for c in range(2):
        pixels = editor.read_view(time=0, channel=c).view(np.uint16)
        np.testing.assert_array_equal(pixels, expected.isel(t=0, c=c).compute())
        np.testing.assert_allclose(editor.read_affine(time=0, channel=c), [[1, 0, 0, -7], [0, 1, 0, 5], [0, 0, 3, -12]])
    editor.finalize()
    np.testing.assert_allclose(expected.coords["x"][:2], [-3.5, -3.0])
    np.testing.assert_allclose(expected.coords["z"][:2], [-6.0, -4.5])


def test_a_project_that_is_asked_for_later_is_written_without_fusing_again(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full(TILE, 5, np.uint16))
    config: dict[str, Any] = {
        "version": 1,
        "input": {"views": [{"path": str(tmp_path / "a.tif"), "voxel_size": 1, "unit": "um"}]},
        "output": {"path": str(tmp_path / "fused.ome.zarr")},
    }
    fusestack.run(config)
    config["output"]["project"] = str(tmp_path / "later.xml")
    report = fusestack.run(config)
    assert {stage.computed for stage in report.stages} <= {0}
    assert len(fusestack.open_project(tmp_path / "later.xml").views) == 1


def test_several_images_behind_an_address_are_named_there(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones(TILE, np.uint16))
    views = [{"path": str(tmp_path / "a.tif"), "channel": c, "voxel_size": 1, "unit": "um"} for c in range(2)]
    output = {"path": "memory://bucket/fused.ome.zarr"}
    plan = fusestack.plan({"version": 1, "input": {"views": views}, "fusion": {"group_by": "view"}, "output": output})
    paths = [image.target.image.path for image in plan.images]
    assert paths == [f"memory://bucket/fused_fused_tp_0_vs_{n}.ome.zarr" for n in range(2)]


@pytest.mark.parametrize("name", ["fused.n5", "fused.ome.zarr"])
def test_the_last_image_behind_an_address_writes_the_project(name: str, tmp_path: Path) -> None:
    output = {"path": f"memory://{tmp_path.name}/{name}", "project": str(tmp_path / "made.xml")}
    views = _four_views(tmp_path)
    config = {"version": 1, "input": {"views": views}, "fusion": {"group_by": "view"}, "output": output}
    fusestack.run(config)
    _check_four(fusestack.open_project(tmp_path / "made.xml"))
    assert fusestack.run(config).reused_all


def _tile(tmp_path: Path, **output: Any) -> dict[str, Any]:
    if not (tmp_path / "a.tif").exists():
        tifffile.imwrite(tmp_path / "a.tif", np.full(TILE, 5, np.uint16))
    views = [{"path": str(tmp_path / "a.tif"), "voxel_size": 1, "unit": "um"}]
    output = {name: value if name == "overwrite" else str(tmp_path / value) for name, value in output.items()}
    return {"version": 1, "input": {"views": views}, "output": output}


@pytest.mark.parametrize("name", ["fused.h5", "fused.n5", "fused.ome.zarr"])
@pytest.mark.parametrize("content", ["<SpimData version='0.2'><Notes>mine</Notes></SpimData>", "no XML"])
def test_a_project_of_somebody_else_is_left_alone(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "mine.xml").write_text(content)
    config = _tile(tmp_path, path=name, project="mine.xml")
    with pytest.raises(fusestack.OutputError, match=r"mine\.xml: exists and is not one of ours; choose another"):
        fusestack.run(config)
    assert (tmp_path / "mine.xml").read_text() == content
    assert not (tmp_path / name).exists()
    fusestack.run(config, ["output.overwrite=true"])
    assert (tmp_path / "mine.xml~1").read_text() == content
    assert len(fusestack.open_project(tmp_path / "mine.xml").views) == 1
    assert fusestack.run(config).reused_all


def test_two_outputs_do_not_share_a_project(tmp_path: Path) -> None:
    fusestack.run(_tile(tmp_path, path="g.h5"))
    with pytest.raises(
        fusestack.OutputError, match=r"g\.xml: exists and names .*g\.h5; choose another output\.project"
    ):
        fusestack.run(_tile(tmp_path, path="g.n5"))
    fusestack.run(_tile(tmp_path, path="g.n5", overwrite=True))
    assert fusestack.open_project(tmp_path / "g.xml").loader == "bdv.n5"
    with pytest.raises(fusestack.OutputError, match=r"g\.xml: exists and names .*g\.n5"):
        fusestack.run(_tile(tmp_path, path="g.h5"))
    assert fusestack.run(_tile(tmp_path, path="g.n5")).reused_all


def test_a_project_that_was_changed_is_still_ours(tmp_path: Path) -> None:
    config = _tile(tmp_path, path="g.h5")
    fusestack.run(config)
    text = (tmp_path / "g.xml").read_text().replace("</SpimData>", "<Notes>mine</Notes></SpimData>")
    (tmp_path / "g.xml").write_text(text)
    assert fusestack.run(config).reused_all
    assert (tmp_path / "g.xml").read_text() == text
    (tmp_path / "g.xml").unlink()
    fusestack.run(config)
    assert "mine" not in (tmp_path / "g.xml").read_text()


def _four_views(tmp_path: Path) -> list[dict[str, Any]]:
    """Views of two timepoints and setups, each of a grey of its own; the second setup is missing at the second time."""
    views = []
    for t, setup in [(0, 0), (0, 1), (1, 0)]:
        path = tmp_path / f"{t}{setup}.tif"
        tifffile.imwrite(path, np.full(TILE, 10 * t + setup + 1, np.uint16))
        place = {"translation": {"x": 3, "y": 4, "z": 5}, "voxel_size": 1, "unit": "um"}
        views.append({"path": str(path), "timepoint": t, "channel": 3, "tile": setup * 7, **place})
    return views


def _check_four(project: Any) -> None:
    found = {(v.id.timepoint, v.id.setup): v for v in project.views}
    assert {at: (v.channel, v.tile) for at, v in found.items()} == {(0, 0): (3, 0), (0, 1): (3, 7), (1, 0): (3, 0)}
    for (t, setup), view in found.items():
        assert (fusestack.fuse([view]) == 10 * t + setup + 1).all()
        assert view.pixel_to_world.to_xyz()[3::4] == (3, 4, 5)


@pytest.mark.parametrize("name", ["fused.h5", "fused.n5"])
@pytest.mark.parametrize("project", [None, "made.xml"])
def test_one_project_has_all_images_of_a_run(name: str, project: str | None, tmp_path: Path) -> None:
    output = {"path": str(tmp_path / name)} | ({} if project is None else {"project": str(tmp_path / project)})
    config = {"version": 1, "input": {"views": _four_views(tmp_path)}, "fusion": {"group_by": "view"}, "output": output}
    fusestack.run(config)
    (xml,) = tmp_path.glob("*.xml")
    assert xml.name == (project or "fused.xml")
    _check_four(fusestack.open_project(xml))
    assert fusestack.run(config).reused_all
    if name == "fused.h5":
        with h5py.File(tmp_path / name) as file:  # links, as BigDataViewer follows them
            assert {(t, s): int(file[f"t{t:05d}/s{s:02d}/0/cells"][0, 0, 0]) for t, s in [(0, 0), (0, 1), (1, 0)]} == {
                (0, 0): 1,
                (0, 1): 2,
                (1, 0): 11,
            }
            assert "s01" not in file["t00001"]
            assert file["s01/resolutions"].shape[1] == 3
    else:
        spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{tmp_path / name}/setup1/timepoint0/s0"}}
        assert (tensorstore.open(spec).result().read().result() == 2).all()
    # a lost project, or file of links, is made again without fusing
    for lost in [xml, *([tmp_path / name] if name == "fused.h5" else [])]:
        lost.unlink()
        report = fusestack.run(config)
        assert {stage.computed for stage in report.stages} == {0}
        assert lost.exists()
        _check_four(fusestack.open_project(xml))


@pytest.mark.parametrize("name", ["fused.h5", "fused.n5"])
def test_another_grouping_replaces_all_of_it_where_that_is_asked_for(name: str, tmp_path: Path) -> None:
    views = _four_views(tmp_path)
    each = {"version": 1, "input": {"views": views}, "fusion": {"group_by": "view"}}
    each["output"] = {"path": str(tmp_path / name)}
    together = {**each, "fusion": {"group_by": "timepoint_channel"}}
    first = {}
    for number, config in enumerate((together, each, together, each)):
        if number:
            with pytest.raises(OutputError, match=r"fused\.\w+.* exists.*choose another output"):
                fusestack.run(config)
        fusestack.run({**config, "output": {**config["output"], "overwrite": number > 0}})
        project = fusestack.open_project(tmp_path / "fused.xml")
        kind = "each" if config is each else "together"
        pixels = [fusestack.fuse([view]).values.tobytes() for view in project.views]
        assert first.setdefault(kind, pixels) == pixels
        assert len(project.views) == (3 if config is each else 2)
        assert fusestack.run(config).reused_all


def test_links_leave_what_somebody_else_made(tmp_path: Path) -> None:
    output = {"path": str(tmp_path / "fused.h5")}
    config = {"version": 1, "input": {"views": _four_views(tmp_path)}, "fusion": {"group_by": "view"}, "output": output}
    (tmp_path / "fused.h5").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is not a BigDataViewer file, and is left alone"):
            fusestack.run({**config, "output": {**output, "overwrite": overwrite}})
    assert (tmp_path / "fused.h5").read_text() == "mine"
    assert not list(tmp_path.glob("fused_*")), "nothing is fused before"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_one_project_names_several_zarr_images(tmp_path: Path, version: str) -> None:
    views = []
    for t, setup in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        path = tmp_path / f"{t}{setup}.tif"
        tifffile.imwrite(path, np.full(TILE, 10 * t + setup + 1, np.uint16))
        place = {"translation": {"x": 3, "y": 4, "z": 5}, "voxel_size": 1, "unit": "um"}
        views.append({"path": str(path), "timepoint": t, "channel": 3, "tile": setup * 7, **place})
    output = {"path": str(tmp_path / "out" / "fused.ome.zarr"), "project": str(tmp_path / "fused.xml")}
    config = {"version": 1, "input": {"views": views}, "fusion": {"group_by": "view"}, "output": output}
    fusestack.run(config, [f"output.ome_zarr_version='{version}'"])
    assert sorted(path.name for path in (tmp_path / "out").glob("*.zarr")) == [
        f"fused_fused_tp_{t}_vs_{setup}.ome.zarr" for t in range(2) for setup in range(2)
    ]
    project = fusestack.open_project(tmp_path / "fused.xml")
    assert [(v.id.timepoint, v.id.setup, v.channel, v.tile) for v in project.views] == [
        (t, setup, 3, 7 * setup) for t in range(2) for setup in range(2)
    ]
    for view in project.views:
        assert (fusestack.fuse([view]) == 10 * view.id.timepoint + view.id.setup + 1).all()
        assert view.pixel_to_world.to_xyz()[3::4] == (3, 4, 5)
    assert fusestack.run(config, [f"output.ome_zarr_version='{version}'"]).reused_all


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:output.compression.codec. blosc:fusestack.FusestackWarning")
@pytest.mark.parametrize("options", [{}, {"compression": {"codec": "none"}}, {"compression": {"codec": "blosc"}}])
def test_a_split_hdf5_is_read_by_others(tmp_path: Path, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    views = []
    for t, c in np.ndindex(2, 2):
        path = tmp_path / f"{t}{c}.tif"
        tifffile.imwrite(path, rng.integers(1, 30000, TILE, dtype=np.uint16), photometric="minisblack")
        views.append({"path": str(path), "timepoint": t, "channel": c, "voxel_size": 1, "unit": "um"})
    pyramid = [1, {"x": 2, "y": 2, "z": 1}, {"x": 4, "y": 4, "z": 2}]
    chunks = [{"x": 32, "y": 16, "z": 8}, {"x": 16, "y": 16, "z": 4}]
    output = {"path": str(tmp_path / "fused.h5"), "partitions": {"timepoints": 1}, "pyramid": pyramid, "chunks": chunks}
    config = {"version": 1, "input": {"views": views}, "output": output | options}
    fusestack.run(config)
    expected = fusestack.fuse({**config, "output": None}).to_numpy()
    root = read_tree(tmp_path / "fused.xml").getroot()
    parts = root.findall("SequenceDescription/ImageLoader/partition")
    assert [(one.findtext("path"), one.findtext("timepoints"), one.findtext("setups")) for one in parts] == [
        ("fused-00-00.h5", "0", "0 1"),
        ("fused-01-00.h5", "1", "0 1"),
    ]
    editor = npy2bdv.BdvEditor(str(tmp_path / "fused.h5"), mode="r")
    assert (editor.ntimes, editor.nchannels) == (2, 2)
    with h5py.File(tmp_path / "fused.h5") as file:
        assert file["s01/resolutions"][:].tolist() == [[1, 1, 1], [2, 2, 1], [4, 4, 2]]
        assert file["s01/subdivisions"][:].tolist() == [[32, 16, 8], [16, 16, 4], [12, 10, 4]]
        for t, c in np.ndindex(2, 2):
            np.testing.assert_array_equal(file[f"t{t:05d}/s{c:02d}/0/cells"][:], expected[t, c])
            np.testing.assert_array_equal(editor.read_view(time=t, channel=c), expected[t, c])
    editor.finalize()
    for view in fusestack.open_project(tmp_path / "fused.xml").views:
        assert Path(view.source.path).name == f"fused-{view.id.timepoint:02d}-00.h5"
        np.testing.assert_array_equal(fusestack.fuse([view])[0, 0], expected[view.id.timepoint, view.channel])
    assert fusestack.run(config).reused_all
    with pytest.raises(
        fusestack.OutputError, match=r"made with other settings \(output\.partitions: \[1, 0\] -> \[0, 1\]"
    ):
        fusestack.run(config, ["output.partitions={setups: 1}"])
    fusestack.run(config, ["output.partitions={setups: 1}", "output.overwrite=true"])
    names = sorted(path.name for path in tmp_path.glob("*.h5"))
    assert names == ["fused-00-00.h5", "fused-00-01.h5", "fused.h5"]


@pytest.mark.parametrize(
    ("path", "first"),
    {
        "fused.tif": "fused_tp_0_vs_0.tif",
        "fused.ome.tif": "fused_tp_0_vs_0.ome.tif",
        "my_fused.h5": "my_fused_tp_0_vs_0.h5",
        "new.tif": "new_fused_tp_0_vs_0.tif",
        "new.ome.zarr": "new_fused_tp_0_vs_0.ome.zarr",
        "fused.ome.zarr": "fused_fused_tp_0_vs_0.ome.zarr",  # as the contract says
    }.items(),
)
def test_names_of_several_images(path: str, first: str, tmp_path: Path) -> None:
    """Their titles are those of BigStitcher, which begin with a word that outputs often have, too."""
    config = {"version": 1, "input": {"views": _four_views(tmp_path)}, "fusion": {"group_by": "view"}}
    plan = fusestack.plan({**config, "output": {"path": str(tmp_path / path)}})
    assert Path(plan.images[0].target.image.path).name == first


@pytest.mark.parametrize("path", ["new.xml", "new.tif", "new", "new.ome.tif"])
def test_a_project_of_tiff_files_names_them(tmp_path: Path, path: str) -> None:
    views = []
    for t, c in np.ndindex(2, 2):
        name = tmp_path / f"{t}{c}.tif"
        tifffile.imwrite(name, np.full(TILE, 10 * t + c + 1, np.uint16), photometric="minisblack")
        place = {"translation": {"x": 3, "y": 4, "z": 5}, "voxel_size": 0.5, "unit": "um"}
        views.append({"path": str(name), "timepoint": t, "channel": c, **place})
    output = {"path": str(tmp_path / "out" / path), "format": "bdv-tiff"}
    config = {"version": 1, "input": {"views": views}, "output": output}
    fusestack.run(config)
    suffix = ".ome.tif" if "ome" in path else ".tif"
    names = {f"new_fused_tp_{t}_ch_{c}{suffix}" for t in range(2) for c in range(2)}
    assert {one.name for one in (tmp_path / "out").glob("*.tif")} == names
    project = fusestack.open_project(tmp_path / "out" / "new.xml")
    assert project.loader == "spimreconstruction.filelist"
    assert [(v.id.timepoint, v.id.setup, v.channel) for v in project.views] == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, 0),
        (1, 1, 1),
    ]
    for view in project.views:
        assert (view.voxel_size, view.unit, view.pixel_to_world.to_xyz()[3::4]) == ((0.5,) * 3, "micrometer", (3, 4, 5))
        assert (tifffile.imread(view.source.path) == 10 * view.id.timepoint + view.channel + 1).all()
        assert (fusestack.fuse([view]) == 10 * view.id.timepoint + view.channel + 1).all()
    assert fusestack.run(config).reused_all
