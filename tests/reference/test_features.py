"""The features of BigStitcher's fusion, one test for each, through the command's own path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.cli.main import run as command
from fusestack.model.errors import FusestackWarning
from fusestack.model.geometry import Box
from fusestack.model.view import ViewId
from fusestack.project.document import BACKUPS, read_tree, write_tree
from fusestack.sources.bdv_hdf5 import BdvHdf5Source
from fusestack.sources.tiff import TiffSource
from tests.project.example import BOXES, TIMEPOINTS, write

SHIFT = {"x": 3.5, "y": 0, "z": 0}  # of the view of the examples, 10 x 8 x 6 pixels (x, y, z)


def tile(folder: Path, pixels: np.ndarray[Any, Any], **place: Any) -> dict[str, Any]:
    """Write an image and return its entry of ``input.views``."""
    path = folder / f"tile{len(list(folder.glob('*.tif')))}.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return {"path": str(path), **place}


def example_view(folder: Path, **place: Any) -> dict[str, Any]:
    return tile(folder, np.ones((6, 8, 10), np.uint16), translation=SHIFT, **place)


def config(folder: Path, source: Any, output: dict[str, Any] | None = None, **fusion: Any) -> dict[str, Any]:
    """Configuration that fuses views, or a project with what is selected of it."""
    section = {"views": source} if isinstance(source, list) else source
    settings = {"path": str(folder / "fused.ome.zarr"), "pyramid": "none"} | (output or {})
    return {"version": 1, "input": section, "fusion": fusion, "output": settings}


def fused(configuration: dict[str, Any], level: int = 0) -> np.ndarray[Any, Any]:
    """Run, and read a level ``[t, c, z, y, x]`` with zarr."""
    report = fusestack.run(configuration)
    return np.asarray(zarr.open_array(f"{report.outputs[0]}/{level}", mode="r")[:])


def box(low_xyz: tuple[int, ...], high_xyz: tuple[int, ...]) -> dict[str, Any]:
    return {"min": dict(zip("xyz", low_xyz, strict=True)), "max": dict(zip("xyz", high_xyz, strict=True))}


def hdf5_project(folder: Path, levels: list[tuple[tuple[int, int, int], np.ndarray[Any, Any]]], *affines: str) -> Path:
    """Project of one view as legacy files have it: no ``dataType``, uint16 in int16, factors x, y, z."""
    with h5py.File(folder / "dataset.h5", "w") as file:
        file["s00/resolutions"] = np.array([factors for factors, _ in levels], dtype=float)
        for number, (_, pixels) in enumerate(levels):
            chunks = tuple(min(4, n) for n in pixels.shape)
            file.create_dataset(f"t00000/s00/{number}/cells", data=pixels.view(np.int16), chunks=chunks)
    z, y, x = levels[0][1].shape
    transforms = "".join(f"<ViewTransform type='affine'><affine>{a}</affine></ViewTransform>" for a in affines)
    (folder / "dataset.xml").write_text(
        "<SpimData version='0.2'><BasePath type='relative'>.</BasePath><SequenceDescription>"
        "<ImageLoader format='bdv.hdf5'><hdf5 type='relative'>dataset.h5</hdf5></ImageLoader>"
        f"<ViewSetups><ViewSetup><id>0</id><size>{x} {y} {z}</size></ViewSetup></ViewSetups>{TIMEPOINTS}"
        "<MissingViews/></SequenceDescription><ViewRegistrations><ViewRegistration timepoint='0' setup='0'>"
        f"{transforms}</ViewRegistration></ViewRegistrations>{BOXES}</SpimData>"
    )
    return folder / "dataset.xml"


def test_row_01_project_xml(tmp_path: Path) -> None:
    pattern = TIMEPOINTS.replace(">0<", ">0-6:3,9<")
    missing = "<MissingView timepoint='3' setup='1'/>"
    changes = (TIMEPOINTS, pattern), ("<MissingViews/>", f"<MissingViews>{missing}</MissingViews>")
    project = fusestack.open_project(write(tmp_path, *changes))
    assert project.timepoints == (0, 3, 6, 9)
    assert ViewId(3, 1) in project.missing
    assert len(project.views) == 2
    np.testing.assert_allclose(project.views[1].pixel_to_world.apply((10, 0, 0)), (30, -0.5, 81.25))


def test_row_02_rewrite_keeps_everything(tmp_path: Path) -> None:
    extra = (
        "<Foo bar='1'>kept<Deep/></Foo><PointSpreadFunctions><BoundingBoxDefinition timepoint='0' setup='0'>"
        "<File>psf.tif</File></BoundingBoxDefinition></PointSpreadFunctions>"
    )
    path = write(tmp_path, ("<PointSpreadFunctions/>", extra))
    before, project = ElementTree.canonicalize(path.read_text()), fusestack.open_project(path)
    for number in range(BACKUPS + 2):
        document = read_tree(path)
        document.getroot().set("generation", str(number))
        write_tree(document, path)
    after = path.read_text().replace(f' generation="{BACKUPS + 1}"', "")
    assert ElementTree.canonicalize(after) == before
    assert fusestack.open_project(path) == project
    assert sorted(p.name for p in tmp_path.glob("dataset.xml~*")) == [f"dataset.xml~{n}" for n in range(1, 6)]
    assert f'generation="{BACKUPS}"' in (tmp_path / "dataset.xml~1").read_text()


def test_row_03_transforms_concatenate_in_file_order(tmp_path: Path) -> None:
    pixels = np.arange(1, 6, dtype=np.uint16).reshape(1, 1, 5).repeat(2, axis=0)
    path = hdf5_project(tmp_path, [((1, 1, 1), pixels)], "1 0 0 5 0 1 0 0 0 0 1 0", "2 0 0 0 0 1 0 0 0 0 1 0")
    image = fusestack.fuse(path, numerics="exact", dtype="float32")
    assert image.coords["x"].values.tolist() == list(range(5, 14))  # 2 i + 5, not 2 (i + 5)
    assert image.values[0, 0, 0, 0].tolist() == [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]


def test_row_04_legacy_hdf5_holds_uint16_in_int16(tmp_path: Path) -> None:
    pixels = np.full((5, 6, 7), 40000, np.uint16)
    found = fused(config(tmp_path, {"project": str(hdf5_project(tmp_path, [((1, 1, 1), pixels)]))}))
    assert found.dtype == np.uint16
    assert (found == 40000).all()


def test_row_05_boxes(tmp_path: Path) -> None:
    views = [example_view(tmp_path), tile(tmp_path, np.ones((6, 8, 10), np.uint16), tile=1)]
    selected = {"views": views, "select": {"tiles": [0]}}

    def corners(source: Any, name: Any) -> Any:
        return fusestack.plan(config(tmp_path, source, bounding_box=name)).design.frame.box.inclusive()

    assert corners(selected, "selected_views") == ((3, 0, 0), (13, 7, 5))
    assert corners(selected, "all_views") == ((0, 0, 0), (13, 7, 5))
    assert corners(views, box((-2, 1, 3), (4, 5, 6))) == ((-2, 1, 3), (4, 5, 6))
    project = {"project": str(hdf5_project(tmp_path, [((1, 1, 1), np.ones((99, 60, 60), np.uint16))]))}
    assert corners(project, "embryo") == ((10, 10, 0), (149, 89, 120))


@pytest.mark.parametrize(("low", "high", "d", "count", "world"), [(0, 9, 2, 6, 0), (1, 10, 2, 5, 2), (3, 13, 4, 3, 4)])
def test_row_06_downsampling(low: int, high: int, d: float, count: int, world: float, tmp_path: Path) -> None:
    ramp = np.arange(20, dtype=np.float32).reshape(1, 1, 20).repeat(2, axis=0)
    view, region = tile(tmp_path, ramp), box((low, 0, 0), (high, 0, 0))
    found = fused(config(tmp_path, [view], bounding_box=region, downsampling=d, blending=False))
    assert found.shape == (1, 1, 1, 1, count)
    assert found[0, 0, 0, 0].tolist() == [world + d * i for i in range(count)]


def test_row_07_anisotropy(tmp_path: Path) -> None:
    voxels = {"voxel_size": {"x": 0.5, "y": 0.5, "z": 1.5}, "unit": "um"}
    view = tile(tmp_path, np.ones((20, 4, 4), np.uint16), affine=[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 3, 0], **voxels)
    plan = fusestack.plan(config(tmp_path, [view], preserve_anisotropy=True))
    assert plan.design.anisotropy == 3
    assert plan.images[0].target.image.shape == (1, 1, 20, 4, 4)
    region = box((0, 0, -7), (3, 3, 50))
    frame = fusestack.plan(config(tmp_path, [view], preserve_anisotropy=True, bounding_box=region)).design.frame
    assert frame.box.inclusive() == ((0, 0, -3), (3, 3, 17))


def test_row_08_best_level_of_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = np.full((16, 32, 32), 7, np.uint16)
    levels = [((f, f, f), full[::f, ::f, ::f].copy()) for f in (1, 2, 4)]
    path = hdf5_project(tmp_path, levels)
    seen = []
    read = BdvHdf5Source.read
    monkeypatch.setattr(BdvHdf5Source, "read", lambda *a: seen.append(a[1]) or read(*a))
    used = {}
    for d in (1, 1.5, 2, 3, 4, 16):
        fused(config(tmp_path, {"project": str(path)}, {"overwrite": True}, downsampling=d))
        used[d] = set(seen)
        seen.clear()
    assert used == {1: {0}, 1.5: {0}, 2: {1}, 3: {1}, 4: {2}, 16: {2}}


def test_row_09_interpolation(tmp_path: Path) -> None:
    ramp = np.broadcast_to(10 * np.arange(10, dtype=np.float32), (6, 8, 10))
    view = tile(tmp_path, ramp, translation=SHIFT)
    found = {}
    for kind in ("linear", "nearest"):
        found[kind] = fused(config(tmp_path, [view], {"overwrite": True}, interpolation=kind))[0, 0, 2, 3, 1]
    assert found == {"linear": 5, "nearest": 10}  # x = 4 lies at pixel 0.5, which is rounded up


@pytest.mark.parametrize(
    ("method", "overlap"), [("average", 150), ("max", 200), ("lowest_view", 100), ("highest_view", 200)]
)
@pytest.mark.parametrize("numerics", ["exact", "bigstitcher"])
def test_row_10_fusion_types(method: str, overlap: int, numerics: str, tmp_path: Path) -> None:
    views = [
        tile(tmp_path, np.full((9, 9, 40), value, np.uint16), translation={"x": x, "y": 0, "z": 0}, tile=number)
        for number, (value, x) in enumerate(((100, 0), (200, 20)))
    ]
    found = fused(config(tmp_path, views, method=method, blending=False, numerics=numerics))[0, 0, 4, 4]
    assert found[1:20].tolist() == [100] * 19
    assert found[22:38].tolist() == [overlap] * 16
    assert found[41:59].tolist() == [200] * 18


@pytest.mark.parametrize("numerics", ["exact", "bigstitcher"])
def test_row_10_closest_pixel(numerics: str, tmp_path: Path) -> None:
    views = [
        tile(tmp_path, np.full((9, 9, 40), value, np.uint16), translation={"x": x, "y": 0, "z": 0}, tile=number)
        for number, (value, x) in enumerate(((100, 0), (200, 20)))
    ]
    found = fused(config(tmp_path, views, method="closest_pixel", numerics=numerics))[0, 0, 4, 4]
    assert found[1:30].tolist() == [100] * 29
    assert found[30:59].tolist() == [200] * 29


def test_row_11_smooth_blending(tmp_path: Path) -> None:
    tiles = [
        tile(tmp_path, np.full((100, 100, 100), value, np.float32), translation={"x": x, "y": 0, "z": 0}, tile=x)
        for value, x in ((100, 0), (200, 80))
    ]
    row = {"bounding_box": box((0, 50, 50), (179, 50, 50))}
    expected = {
        "bigstitcher": {80: 100, 81: 100.484558, 90: 155.004700, 95: 192.658157, 99: 200},
        "exact": {80: 100, 81: 100.364102, 90: 155.004738, 95: 192.653997, 99: 200},
    }
    for numerics, values in expected.items():
        found = fused(config(tmp_path, tiles, {"overwrite": True}, numerics=numerics, **row))[0, 0, 0, 0]
        assert {x: found[x] for x in values} == pytest.approx(values, rel=1e-6)
        integers = config(tmp_path, tiles, {"overwrite": True}, numerics=numerics, dtype="uint16", **row)
        with pytest.warns(FusestackWarning, match="intensity_range: auto keeps the values of float32"):
            rounded = fused(integers)
        assert rounded[0, 0, 0, 0, [81, 95]].tolist() == [100, 193]


def test_row_12_content_based(tmp_path: Path) -> None:
    """Twice the contrast is four times the weight (the weights themselves: `test_worked_examples`)."""
    pixels = np.zeros((9, 9, 9), np.float32)
    pixels[4, 4, 4] = 1000
    place = {"x": 0, "y": 0, "z": 0}
    views = [tile(tmp_path, image, translation=place, tile=n) for n, image in enumerate((pixels, 2 * pixels))]
    sigmas = {"sigma1": 1, "sigma2": 2}
    found = fused(config(tmp_path, views, content_based=sigmas, blending=False))[0, 0]
    assert found[4, 4, 4] == pytest.approx((1000 + 4 * 2000) / 5, rel=1e-5)
    assert np.count_nonzero(found) == 1


@pytest.mark.parametrize(
    ("dtype", "limits", "values", "expected"),
    [
        ("uint16", [0, 65535], [1.4, 1.5, 2.5, 70000, -3], [1, 2, 3, 65535, 0]),
        ("uint16", [100, 1000], [100, 550, 1000], [0, 32768, 65535]),
        ("uint8", [100, 1100], [600], [128]),
        ("uint8", [0, 255], [12.5], [13]),
        ("float32", "auto", [1.25, -3, 7e4], [1.25, -3, 7e4]),
    ],
)
def test_row_13_pixel_types(dtype: str, limits: Any, values: Any, expected: Any, tmp_path: Path) -> None:
    view = tile(tmp_path, np.array(values, np.float32).reshape(1, 1, -1).repeat(2, axis=0))
    found = fused(config(tmp_path, [view], dtype=dtype, intensity_range=limits))
    assert found.dtype == dtype
    assert found[0, 0, 0, 0].tolist() == expected


def test_integers_are_rounded_down_where_that_is_said(tmp_path: Path) -> None:
    view = tile(tmp_path, np.array([1.99, 2.5, 3, 70000, -0.5], np.float32).reshape(1, 1, -1).repeat(2, axis=0))
    options = {"dtype": "uint16", "intensity_range": [0, 65535], "rounding": "down"}
    assert fused(config(tmp_path, [view], **options))[0, 0, 0, 0].tolist() == [1, 2, 3, 65535, 0]


def test_row_14_intensity_per_view(tmp_path: Path) -> None:
    path = hdf5_project(tmp_path, [((1, 1, 1), np.full((4, 4, 8), 10, np.uint16))])
    model = "<IntensityAdjustments timepoint='0' setup='0'><model>2.0 5.0</model></IntensityAdjustments>"
    adjustments = f"<IntensityAdjustments>{model}</IntensityAdjustments></SpimData>"
    path.write_text(path.read_text().replace("<IntensityAdjustments/>", "").replace("</SpimData>", adjustments))
    assert (fused(config(tmp_path, {"project": str(path)}, intensity_adjustment=True)) == 25).all()


def test_row_15_coefficient_maps(tmp_path: Path) -> None:
    """Along x: factors 1 and 3 on two cells over eight pixels."""
    coefficients = np.zeros((2, 1, 1, 2))
    coefficients[0, 0, 0] = 1, 3
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["setup0/timepoint0/intensity"] = coefficients
    views = [tile(tmp_path, np.full((3, 3, 8), 10, np.float32))]
    found = fused(config(tmp_path, views, intensity_adjustment={"coefficients": str(tmp_path / "maps.h5")}))
    np.testing.assert_allclose(found[0, 0, 1, 1], [10, 10, 10, 15, 20, 25, 30, 30], rtol=1e-6)


def test_row_16_grouping(tmp_path: Path) -> None:
    path = tile(tmp_path, np.ones((2, 3, 4), np.uint16))["path"]
    views = [
        {"path": path, "timepoint": t, "channel": c, "tile": i, "translation": {"x": i, "y": 0, "z": 0}}
        for t in range(2)
        for c in range(2)
        for i in range(2)
    ]
    titles = {}
    for rule in ("timepoint_channel", "timepoint_channel_illumination", "all", "view"):
        plan = fusestack.plan(config(tmp_path, views, group_by=rule))
        titles[rule] = [group.title for image in plan.images for group in image.fusion.image.groups]
        assert len({image.target.image.shape[2:] for image in plan.images}) == 1
    pairs = [(t, c) for t in range(2) for c in range(2)]
    assert titles["timepoint_channel"] == [f"fused_tp_{t}_ch_{c}" for t, c in pairs]
    assert titles["timepoint_channel_illumination"] == [f"fused_tp_{t}_ch_{c}_illum_0" for t, c in pairs]
    assert titles["all"] == ["fused"]
    assert len(titles["view"]) == 8
    assert titles["view"][0] == "fused_tp_0_vs_0"


def test_row_17_lazy_and_written_images_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(17)
    places = ({"x": 0, "y": 0, "z": 0}, {"x": 30.4, "y": 0.3, "z": 0.6})
    views = [
        tile(tmp_path, rng.integers(0, 60000, (130, 40, 50), np.uint16), translation=place, tile=i)
        for i, place in enumerate(places)
    ]
    written = config(tmp_path, views)
    precomputed = fused(written)
    image = fusestack.fuse(fusestack.plan(written).inputs.views)
    assert image.compute().values.tobytes() == precomputed.tobytes()
    assert image.persist().values.tobytes() == precomputed.tobytes()
    sizes = []
    read = TiffSource.read
    monkeypatch.setattr(TiffSource, "read", lambda *a: sizes.append(a[2].size) or read(*a))
    plane = image.isel(z=3).compute()
    assert np.array_equal(plane, precomputed[:, :, 3])
    assert sum(sizes) <= 2 * 66 * 40 * 50  # one row of blocks, not the volume


def test_row_20_multi_resolution_formats(tmp_path: Path) -> None:
    from ome_zarr_models import v05

    view = tile(tmp_path, np.full((100, 200, 257), 9, np.uint8))
    shapes = [(100, 200, 257), (50, 100, 128)]  # of levels 1,1,1 and 2,2,2, z, y, x
    fusestack.run(config(tmp_path, [view], {"pyramid": "auto"}))
    group = zarr.open_group(tmp_path / "fused.ome.zarr", mode="r")
    assert [group[name].shape[2:] for name in ("0", "1")] == shapes  # type: ignore[union-attr]
    assert sorted(group.array_keys()) == ["0", "1"]
    found = v05.Image.from_zarr(group).attributes.ome.multiscales[0]
    assert [dataset.path for dataset in found.datasets] == ["0", "1"]
    fusestack.run(config(tmp_path, [view], {"path": str(tmp_path / "fused.h5"), "pyramid": "auto"}))
    with h5py.File(tmp_path / "fused.h5") as file:
        assert [file[f"t00000/s00/{number}/cells"].shape for number in range(2)] == shapes
        assert file["s00/resolutions"][:].tolist() == [[1, 1, 1], [2, 2, 2]]
    assert fusestack.open_project(tmp_path / "fused.xml").views[0].shape == shapes[0]


@pytest.mark.parametrize(
    ("size_xyz", "anisotropy", "factors_xyz"),
    [
        ((2048, 2048, 300), 1, [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8)]),
        ((2048, 2048, 300), 3, [(1, 1, 1), (2, 2, 1), (4, 4, 2), (8, 8, 4)]),
        ((2048, 2048, 100), 4, [(1, 1, 1), (2, 2, 1), (4, 4, 2), (8, 8, 4)]),
        ((1000, 800, 60), 5.5, [(1, 1, 1), (2, 2, 1), (4, 4, 1)]),
        ((257, 200, 100), 1, [(1, 1, 1), (2, 2, 2)]),
        ((256, 256, 256), 1, [(1, 1, 1)]),
    ],
)
def test_row_21_automatic_pyramid(size_xyz: Any, anisotropy: float, factors_xyz: Any, tmp_path: Path) -> None:
    x, y, z = size_xyz
    region = box((0, 0, 0), (x - 1, y - 1, int((z - 1) * anisotropy)))
    preserve = {"preserve_anisotropy": anisotropy} if anisotropy != 1 else {}
    settings = config(tmp_path, [example_view(tmp_path)], {"pyramid": "auto"}, bounding_box=region, **preserve)
    image = fusestack.plan(settings).images[0].target.image
    assert image.shape[2:] == (z, y, x)
    assert [level.factors[::-1] for level in image.levels] == factors_xyz
    for level in image.levels:
        assert level.shape[2:] == tuple(n // f for n, f in zip((z, y, x), level.factors, strict=True))


def test_row_22_block_means(tmp_path: Path) -> None:
    rows = np.array([[1, 2, 2, 3, 1, 2, 9], [1, 2, 2, 3, 2, 2, 9]], np.uint16)
    view = tile(tmp_path, np.stack([rows, rows]))
    along_x = fused(config(tmp_path, [view], {"pyramid": [1, {"x": 2, "y": 1, "z": 1}]}), level=1)
    assert along_x[0, 0, 0].tolist() == [[2, 3, 2], [2, 3, 2]]
    in_planes = fused(config(tmp_path, [view], {"pyramid": [1, {"x": 2, "y": 2, "z": 1}], "overwrite": True}), level=1)
    assert in_planes[0, 0, 0].tolist() == [[2, 3, 2]]  # 1.5, 2.5 and 1.75


def test_row_23_preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    region = box((0, 0, 0), (2047, 2047, 299))
    found = {}
    for anisotropy in (False, 3):
        options = {"bounding_box": region, "downsampling": 2, "preserve_anisotropy": anisotropy, "dtype": "float32"}
        (tmp_path / "fuse.yaml").write_text(json.dumps(config(tmp_path, [example_view(tmp_path)], **options)))
        assert command(["plan", str(tmp_path / "fuse.yaml"), "--json"]) == 0
        (image,) = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
        assert image["bytes"] == 4 * np.prod(image["shape"])
        found[anisotropy] = image["shape"][2:], image["bytes"]
    # the size that is produced, up to one pixel more along each axis than BigStitcher's preview
    assert found[False][0] == [151, 1025, 1025]
    assert found[False][1] / 2**20 == pytest.approx(600, rel=0.01)
    assert found[3][0][1:] == [1025, 1025]
    assert found[3][1] / 2**20 == pytest.approx(200, rel=0.03)
    assert not (tmp_path / "fused.ome.zarr").exists()


def test_row_25_disjoint_blocks_of_many_workers(tmp_path: Path) -> None:
    rng = np.random.default_rng(25)
    turned = [0.97, -0.2, 0.05, 3.3, 0.21, 0.98, 0.0, 20.7, -0.04, 0.02, 1.1, 2.4]
    views = [tile(tmp_path, rng.integers(0, 60000, (20, 40, 50), np.uint16), tile=0)]
    views.append(tile(tmp_path, rng.integers(0, 60000, (20, 40, 50), np.uint16), affine=turned, tile=1))
    images = []
    for workers, chunks, shards in ((1, 200, "none"), (3, 16, 32), (4, {"x": 7, "y": 9, "z": 5}, "auto")):
        settings = config(tmp_path, views, {"chunks": chunks, "shards": shards, "overwrite": True})
        images.append(fused(settings | {"execution": {"workers": workers}}).tobytes())
    assert len(set(images)) == 1


def test_row_26_retries_and_report_of_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(26).integers(1, 60000, (8, 32, 32), np.uint16)
    settings = config(tmp_path, [tile(tmp_path, pixels)], {"chunks": 8, "shards": 8})
    settings["execution"] = {"retries": 2, "workers": 2}
    grid = fusestack.plan(settings).images[0].stages[0].grid
    assert grid.box(6).start == (0, 0, 0, 8, 16)
    (tmp_path / "fuse.yaml").write_text(json.dumps(settings))
    read, tries = TiffSource.read, []

    def failing(times: int) -> Any:
        def one_block_fails(self: TiffSource, level: int, region: Box) -> np.ndarray[Any, Any]:
            if region.start[1:] == (8, 16):
                tries.append(region)
                if len(tries) <= times:
                    raise OSError("the disk has a scratch")
            return read(self, level, region)

        return one_block_fails

    monkeypatch.setattr(TiffSource, "read", failing(1000))
    assert command(["run", str(tmp_path / "fuse.yaml"), "--quiet"]) == 4
    message = capsys.readouterr().err
    assert len(tries) == 3
    assert "the disk has a scratch" in message
    assert "stage fuse, block 6" in message
    tries.clear()
    monkeypatch.setattr(TiffSource, "read", failing(2))
    assert command(["run", str(tmp_path / "fuse.yaml"), "--quiet"]) == 0
    assert len(tries) == 3
    found = np.asarray(zarr.open_array(tmp_path / "fused.ome.zarr" / "0", mode="r")[0, 0])
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(("offset", "count"), [(0, 480), (1, 960)])
@pytest.mark.parametrize(("dtype", "on"), [("input", 65535), ("uint8", 255), ("float32", 1)])
def test_row_27_masks(offset: int, count: int, dtype: str, on: int, tmp_path: Path) -> None:
    views = [tile(tmp_path, np.zeros((6, 8, 10), np.uint16), translation={"x": 5, "y": 4, "z": 3})]
    around = box((0, 0, 0), (24, 19, 14))
    options = {"method": "mask", "mask_offset": offset, "bounding_box": around, "dtype": dtype}
    found = fused(config(tmp_path, views, {"chunks": 8, "shards": 8}, **options))
    assert (found == on).sum() == count
    assert np.count_nonzero(found) == count


FLAT_METHODS = ["average", "max", "lowest_view", "highest_view", "closest_pixel"]


@pytest.mark.parametrize("method", FLAT_METHODS)
@pytest.mark.parametrize("numerics", ["exact", "bigstitcher"])
@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("blending", [False, True])
def test_row_28_flat_data(method: str, numerics: str, interpolation: str, blending: bool, tmp_path: Path) -> None:
    """Places along z are not used, the result is one plane, and no weight is lost to the axis of one pixel."""
    rng = np.random.default_rng(0)
    image = rng.integers(1, 1000, (40, 90)).astype(np.uint16)
    views = [
        tile(tmp_path, image[:, x : x + 60], translation={"x": x, "y": 0, "z": z}, tile=number)
        for number, (x, z) in enumerate(((0, 7), (30, -3.5)))
    ]
    options = {"method": method, "numerics": numerics, "interpolation": interpolation, "blending": blending}
    data = config(tmp_path, views, preserve_anisotropy=3, **options)
    with pytest.warns(FusestackWarning, match="one plane each, beside one another"):
        found = fused(data)[0, 0]
    assert found.shape == (1, 40, 90)
    inside = np.s_[:, :] if numerics == "exact" else np.s_[1:-1, 1:-1]
    np.testing.assert_array_equal(found[0][inside], image[inside])


@pytest.mark.parametrize("shape", [(5, 1, 9), (5, 7, 1), (1, 1, 9), (1, 7, 1), (5, 1, 1)])
@pytest.mark.parametrize("method", FLAT_METHODS)
def test_row_28_views_of_one_row_or_column(method: str, shape: tuple[int, int, int], tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(1, 1000, shape).astype(np.uint16)
    path = hdf5_project(tmp_path, [((1, 1, 1), image)])
    found = fused(config(tmp_path, {"project": str(path)}, method=method))[0, 0]
    np.testing.assert_array_equal(found, image)


def test_row_30_missing_views_and_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hdf5_project(tmp_path, [((1, 1, 1), np.full((4, 4, 8), 5, np.uint16))])
    with h5py.File(tmp_path / "dataset.h5", "r+") as file:
        del file["t00000/s00/0/cells"]
        cells = file.create_dataset("t00000/s00/0/cells", (4, 4, 8), np.int16, chunks=(4, 4, 4))
        cells[:, :, 4:] = 5
    text = path.read_text().replace("<integerpattern>0<", "<integerpattern>0-1<")
    registration = "<ViewRegistration timepoint='1' setup='0'/></ViewRegistrations>"
    text = text.replace("</ViewRegistrations>", registration)
    text = text.replace("<MissingViews/>", "<MissingViews><MissingView timepoint='1' setup='0'/></MissingViews>")
    path.write_text(text)
    opened = []
    start = BdvHdf5Source.__init__
    monkeypatch.setattr(BdvHdf5Source, "__init__", lambda *a, **k: opened.append(k["timepoint"]) or start(*a, **k))
    found = fused(config(tmp_path, {"project": str(path)}))
    assert found.shape == (1, 1, 4, 4, 8)
    assert (found[..., :4] == 0).all()
    assert (found[..., 4:] == 5).all()
    assert set(opened) == {0}
