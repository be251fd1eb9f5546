"""Every format that is written, opened by a reader that is not ours: the same pixels at the same place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import npy2bdv
import numpy as np
import pytest
import tensorstore
import tifffile
import zarr
from numpy.typing import NDArray
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models import v04, v05

import fusestack
from tests.conftest import SHARED

PROJECTS = ("kidney-tiles", "kidney-angles")
Images = Iterator[tuple[int, int, NDArray[Any]]]
Pairs = list[tuple[int, int]]


def zarr_images(path: Path, pairs: Pairs) -> Images:
    """Images t, c of an OME-Zarr, by zarr-python."""
    array = zarr.open_group(path, mode="r")["0"]
    yield from ((t, c, array[t, c]) for t, c in pairs)


def tensorstore_zarr(path: Path, pairs: Pairs) -> Images:
    """The same by tensorstore."""
    driver = "zarr3" if (path / "zarr.json").exists() else "zarr"
    store = {"driver": "file", "path": str(path / "0")}
    array = tensorstore.open({"driver": driver, "kvstore": store}).result()
    yield from ((t, c, np.asarray(array[t, c].read().result())) for t, c in pairs)


def ome_zarr_py(path: Path, pairs: Pairs) -> Images:
    """The same by ome-zarr-py, if ome-zarr-models finds the metadata good."""
    group = zarr.open_group(path, mode="r")
    if group.metadata.zarr_format == 3:
        found = v05.Image.from_zarr(group).ome_attributes.multiscales
    else:
        found = v04.Image.from_zarr(group).attributes.multiscales
    assert [axis.name for axis in found[0].axes] == [*"tczyx"]
    location = parse_url(path)
    assert location is not None
    (node,) = Reader(location)()
    yield from ((t, c, np.asarray(node.data[0][t, c])) for t, c in pairs)


def tensorstore_n5(path: Path, pairs: Pairs) -> Images:
    """Images of an N5 container, whose axes are x, y, z there."""
    for t, c in pairs:
        store = f"file://{path}/setup{c}/timepoint{t}/s0"
        yield t, c, np.asarray(tensorstore.open({"driver": "n5", "kvstore": store}).result().read().result()).T


def h5py_images(path: Path, pairs: Pairs) -> Images:
    """Images of a BigDataViewer HDF5."""
    with h5py.File(path) as file:
        yield from ((t, c, file[f"t{t:05d}/s{c:02d}/0/cells"][:]) for t, c in pairs)


def npy2bdv_images(path: Path, pairs: Pairs) -> Images:
    """The same by npy2bdv, which reads the XML."""
    editor = npy2bdv.BdvEditor(str(path), mode="r")
    yield from ((t, c, editor.read_view(time=t, channel=c)) for t, c in pairs)
    editor.finalize()


def tifffile_images(path: Path, pairs: Pairs) -> Images:
    """Stacks of the groups, one file each where there are several."""
    suffix = ".ome.tif" if path.name.endswith(".ome.tif") else ".tif"
    for t, c in pairs:
        yield t, c, tifffile.imread(path if path.exists() else path.with_name(f"fused_tp_{t}_ch_{c}{suffix}"))


FORMATS = [
    ("fused.ome.zarr", {}, (zarr_images, tensorstore_zarr, ome_zarr_py)),
    ("fused.ome.zarr", {"ome_zarr_version": "0.4"}, (zarr_images, tensorstore_zarr, ome_zarr_py)),
    ("fused.h5", {}, (h5py_images, npy2bdv_images)),
    ("fused.h5", {"partitions": {"timepoints": 1, "setups": 1}}, (h5py_images, npy2bdv_images)),
    ("fused.n5", {}, (tensorstore_n5,)),
    ("fused.n5", {"compression": {"codec": "gzip"}}, (tensorstore_n5,)),
    ("fused.tif", {}, (tifffile_images,)),
    ("fused.tif", {"compression": {"codec": "gzip"}, "format": "bdv-tiff"}, (tifffile_images,)),
    ("fused.ome.tif", {"compression": {"codec": "zstd"}}, (tifffile_images,)),
]


@pytest.fixture(scope="module", params=PROJECTS)
def expected(request: pytest.FixtureRequest) -> tuple[str, NDArray[Any]]:
    path = str(SHARED / "data" / request.param / "dataset.xml")
    return path, fusestack.fuse(path).to_numpy()


@pytest.mark.beside("data/kidney-tiles")
@pytest.mark.beside("data/kidney-angles")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:npy2bdv")
@pytest.mark.filterwarnings("ignore:the size of a pixel and the place of the image:fusestack.FusestackWarning")
@pytest.mark.parametrize(("name", "options", "readers"), FORMATS)
def test_others_read_the_pixels(
    tmp_path: Path, expected: tuple[str, NDArray[Any]], name: str, options: Any, readers: Any
) -> None:
    project, image = expected
    output = {"path": str(tmp_path / name), **options}
    fusestack.run({"version": 1, "input": {"project": project}, "output": output})
    pairs = list(np.ndindex(image.shape[:2]))
    assert len(pairs) in (1, 4)
    for read in readers:
        seen = []
        for t, c, pixels in read(tmp_path / name, pairs):
            assert pixels.max() > 1000
            np.testing.assert_array_equal(pixels, image[t, c])
            seen.append((t, c))
        assert seen == pairs


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_xarray_names_the_axes(tmp_path: Path, version: str) -> None:
    import xarray

    image = np.arange(3 * 4 * 5, dtype="uint16").reshape(3, 4, 5)
    fusestack.write(image, tmp_path / "a.ome.zarr", ome_zarr_version=version)
    arrays = xarray.open_datatree(tmp_path / "a.ome.zarr", engine="zarr", consolidated=False)
    assert arrays["0"].dims == ("t", "c", "z", "y", "x")


BLOB = np.array([10.3, 21.7, 34.1])  # of the first tile, z, y, x
VOXEL = np.array([1.5, 0.5, 0.5])


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("blob")
    z, y, x = np.ogrid[:24, :48, :80]
    distance = ((z - BLOB[0]) / 2.5) ** 2 + ((y - BLOB[1]) / 5) ** 2 + ((x - BLOB[2]) / 5) ** 2
    pixels = (30000 * np.exp(-distance)).astype("uint16")
    views = []
    for i in range(2):
        tifffile.imwrite(folder / f"{i}.tif", np.roll(pixels, -20 * i, axis=2))
        voxel = dict(zip("zyx", VOXEL.tolist(), strict=True))
        affine = [1, 0, 0, 20 * i + 7, 0, 1, 0, -9, 0, 0, 3, 12]
        views.append({"path": str(folder / f"{i}.tif"), "affine": affine, "voxel_size": voxel, "unit": "um", "tile": i})
    return views


def place_of(pixels: NDArray[Any], to_place: Any) -> NDArray[Any]:
    """Centroid of what is bright, physical."""
    weights = np.where(pixels > 300, pixels, 0).astype(float)
    index = np.stack(np.indices(weights.shape), axis=-1)
    return np.asarray(to_place((index * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()))


def zarr_levels(path: Path) -> Iterator[tuple[NDArray[Any], Any]]:
    """Pixels of every level, and the place of an index, by the metadata of the image."""
    document = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    for level in document["datasets"]:
        scale, move = (np.array(step[step["type"]][2:]) for step in level["coordinateTransformations"])
        array = zarr.open_group(path, mode="r")[level["path"]]
        yield array[0, 0], lambda index, scale=scale, move=move: index * scale + move


def bdv_levels(path: Path) -> Iterator[tuple[NDArray[Any], Any]]:
    """The same of a BigDataViewer project: level pixel i is pixel f * i + (f - 1) / 2; a world pixel is 0.5 um."""
    (view,) = fusestack.open_project(path.with_suffix(".xml")).views
    affine = np.array(view.pixel_to_world.to_xyz()).reshape(3, 4)
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            rows = file["s00/resolutions"][:]
            levels = [file[f"t00000/s00/{number}/cells"][:] for number in range(len(rows))]
    else:
        rows = json.loads((path / "setup0" / "attributes.json").read_text())["downsamplingFactors"]
        stores = [f"file://{path}/setup0/timepoint0/s{number}" for number in range(len(rows))]
        opened = [tensorstore.open({"driver": "n5", "kvstore": store}).result() for store in stores]
        levels = [np.asarray(array.read().result()).T for array in opened]
    for pixels, row in zip(levels, rows, strict=True):
        factors = np.array(row)[::-1]

        def place(index: NDArray[Any], factors: NDArray[Any] = factors) -> NDArray[Any]:
            world = affine[:, :3] @ (factors * index + (factors - 1) / 2)[::-1] + affine[:, 3]
            return world[::-1] * 0.5

        yield pixels, place


def tiff_levels(path: Path) -> Iterator[tuple[NDArray[Any], Any]]:
    """The same of a stack, as ImageJ counts: (index - origin) * size."""
    with tifffile.TiffFile(path) as tiff:
        facts, page = tiff.imagej_metadata, tiff.pages[0]
        sizes = [facts["spacing"]]
        for axis in "YX":
            numerator, denominator = page.tags[f"{axis}Resolution"].value
            sizes.append(denominator / numerator)
        origin = np.array([facts[f"{axis}origin"] for axis in "zyx"])
        yield tiff.asarray(), lambda index: (index - origin) * sizes


def ome_levels(path: Path) -> Iterator[tuple[NDArray[Any], Any]]:
    """The same of an OME-TIFF, whose levels cover the same field."""
    with tifffile.TiffFile(path) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        size = np.array([pixels[f"PhysicalSize{axis}"] for axis in "ZYX"])
        origin = np.array([pixels["Plane"][0][f"Position{axis}"] for axis in "ZYX"])
        whole = np.array(tiff.series[0].levels[0].shape)
        for level in tiff.series[0].levels:
            factors = whole // level.shape
            yield (
                level.asarray(),
                lambda index, factors=factors: origin + size * (factors * index + (factors - 1) / 2),
            )


PLACES = {
    "a.ome.zarr": (zarr_levels, [1, 2, 4]),
    "a.h5": (bdv_levels, [1, 2, 4]),
    "a.n5": (bdv_levels, [1, 2, 4]),
    "a.tif": (tiff_levels, None),
    "a.ome.tif": (ome_levels, [1, 2, 4]),
}
BOX = {"min": {"x": 12, "y": -3, "z": 16}, "max": {"x": 80, "y": 36, "z": 80}}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"downsampling": 2},
        {"preserve_anisotropy": True},
        {"bounding_box": BOX},
        {"bounding_box": BOX, "downsampling": 1.5},
    ],
    ids=["plain", "downsampled", "anisotropic", "box", "box-downsampled"],
)
def test_a_blob_is_at_its_place(tmp_path: Path, blob: list[dict[str, Any]], name: str, options: Any) -> None:
    read, factors = PLACES[name]
    output: dict[str, Any] = {"path": str(tmp_path / name)}
    if factors:
        output["pyramid"] = [{"x": f, "y": f, "z": 1} for f in factors]
    fusestack.run({"version": 1, "input": {"views": blob}, "fusion": options, "output": output})
    expected = np.array([3 * BLOB[0] + 12, BLOB[1] - 9, BLOB[2] + 7]) * 0.5
    levels = list(read(tmp_path / name))
    assert len(levels) == len(factors or [1])
    size = 0.5 * options.get("downsampling", 1) * np.array([3 if options.get("preserve_anisotropy") else 1, 1, 1])
    for pixels, to_place in levels:
        assert np.abs((place_of(pixels, to_place) - expected) / size).max() < 0.05


def test_what_a_format_does_not_hold_is_said(tmp_path: Path) -> None:
    metadata = {"axes": "TZYX", "TimeIncrement": 3, "TimeIncrementUnit": "s", "PhysicalSizeX": 1, "PhysicalSizeY": 1}
    pixels = np.ones((2, 3, 8, 9), "uint16")
    tifffile.imwrite(tmp_path / "t.ome.tif", pixels, ome=True, photometric="minisblack", metadata=metadata)
    tifffile.imwrite(tmp_path / "no unit.tif", pixels[0], photometric="minisblack")

    def told(view: dict[str, Any], name: str, **output: Any) -> str:
        place = {"translation": {"x": 3, "y": 4, "z": 5}}
        views = [{**view, **place, "path": str(tmp_path / view["path"])}]
        output = {"path": str(tmp_path / name), **output}
        return "\n".join(fusestack.plan({"version": 1, "input": {"views": views}, "output": output}).warnings)

    for name in ("a.h5", "a.n5", "a.tif", "a.ome.tif"):
        assert "the time step of 3 second is not written" in told({"path": "t.ome.tif"}, name)
    assert "time step" not in told({"path": "t.ome.tif"}, "a.ome.zarr")
    assert "the place of the image are not written" in told({"path": "no unit.tif"}, "a.ome.tif")
    for name in ("a.tif", "a.ome.zarr"):
        assert "are not written" not in told({"path": "no unit.tif"}, name)
    metadata = {"axes": "ZYX", "Channel": {"Name": ["GFP"]}}
    tifffile.imwrite(tmp_path / "n.ome.tif", pixels[0], ome=True, photometric="minisblack", metadata=metadata)
    assert "names of channels (GFP) are not written" in told({"path": "n.ome.tif"}, "a.tif")


@pytest.mark.parametrize("project", ["a.n5/p.xml", "a.n5"])
def test_a_project_within_its_container_is_refused(tmp_path: Path, project: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 8, 9), "uint16"), photometric="minisblack")
    output = {"path": str(tmp_path / "a.n5"), "project": str(tmp_path / project)}
    views = [{"path": str(tmp_path / "a.tif")}]
    with pytest.raises(fusestack.ConfigError, match=r"output\.project: .* lies in .*; name a file beside it"):
        fusestack.plan({"version": 1, "input": {"views": views}, "output": output})
