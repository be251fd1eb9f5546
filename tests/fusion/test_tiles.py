"""What people hold in their hands: every kind gives the same fused image, at its coordinates; bad ones are refused."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore, ZipStore

import fusestack
from fusestack.config.models import Fusion
from fusestack.fusion.array_tiles import lazy_array
from fusestack.fusion.design import DesignedImage, design_images
from fusestack.fusion.tiles import project_of_tiles
from fusestack.model.errors import ConfigError, FusestackError, InputError
from fusestack.model.geometry import Affine, Box
from fusestack.project.model import Project
from fusestack.sources.graph import graph_array

SHAPE = (4, 21, 24)
VOXEL = {"z": 2.0, "y": 0.5, "x": 0.5}
PLACES = ((1.0, 0.3, 10.0), (1.7, 3.0, 15.9))


def pixels(number: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(number).integers(1, 250, SHAPE).astype(dtype)


def design(project: Project, **options: Any) -> DesignedImage:
    (image,) = design_images(project.views, project.views, {}, Fusion(**options)).images
    return image


def fused(project: Project, **options: Any) -> np.ndarray:
    image = design(project, **options)
    found = image.compute(Box.of_shape(image.shape))
    assert found is not None
    return found


def coordinates(image: DesignedImage) -> list[np.ndarray]:
    return [o + s * np.arange(n) for o, s, n in zip(image.origin, image.pixel_size, image.shape[2:], strict=True)]


def labelled(array: Any, place: tuple[float, ...], dims: str = "zyx", **coords: Any) -> xr.DataArray:
    lengths = dict(zip(dims, array.shape, strict=True))
    lines = {
        axis: (axis, start + VOXEL[axis] * np.arange(lengths[axis]), {"units": "um"})
        for axis, start in zip("zyx", place, strict=True)
        if axis in lengths
    }
    return xr.DataArray(array, dims=tuple(dims), coords={**lines, **coords})


# Every kind of tile


def plain(make: Callable[[np.ndarray], Any]) -> Callable[[Path], Project]:
    def project(folder: Path) -> Project:
        tiles = [make(pixels(number)) for number in range(2)]
        return project_of_tiles(tiles, positions=PLACES, voxel_size=VOXEL, unit="micrometer")

    return project


def placed(make: Callable[[Path, int, tuple[float, ...]], Any]) -> Callable[[Path], Project]:
    def project(folder: Path) -> Project:
        return project_of_tiles([make(folder, number, place) for number, place in enumerate(PLACES)])

    return project


def zarr_array(store: Any, array: np.ndarray, **options: Any) -> zarr.Array:
    made = zarr.create_array(store, shape=array.shape, dtype=array.dtype, chunks=(2, 8, 8)[: array.ndim], **options)
    made[:] = array
    return made


def stored(folder: Path) -> Project:
    tiles = [zarr_array(str(folder / f"{number}.zarr"), pixels(number)) for number in range(2)]
    project = project_of_tiles(tiles, positions=PLACES, voxel_size=VOXEL, unit="micrometer")
    assert all(view.source.path for view in project.views)  # read where it lies, not through the graph
    return project


def zipped(folder: Path) -> Project:
    tiles = []
    for number in range(2):
        with ZipStore(folder / f"{number}.zip", mode="w") as store:
            zarr_array(store, pixels(number))
        tiles.append(zarr.open_array(ZipStore(folder / f"{number}.zip", mode="r"), mode="r"))
    return project_of_tiles(tiles, positions=PLACES, voxel_size=VOXEL, unit="micrometer")


def mapped(folder: Path) -> Project:
    for number in range(2):
        np.save(folder / f"{number}.npy", pixels(number))
    tiles = [np.load(folder / f"{number}.npy", mmap_mode="r") for number in range(2)]
    return project_of_tiles(tiles, positions=PLACES, voxel_size=VOXEL, unit="micrometer")


def opened(folder: Path, number: int, place: tuple[float, ...]) -> xr.DataArray:
    """Not read yet, and not of dask."""
    path = folder / f"{number}.zarr"
    labelled(pixels(number), place).to_dataset(name="image").to_zarr(path, consolidated=False)
    found = xr.open_zarr(path, chunks=None, consolidated=False)["image"]
    assert not found._in_memory
    return found


def levelled(array: np.ndarray, place: tuple[float, ...]) -> dict[str, xr.DataArray]:
    full = labelled(array, place)
    reduced = full.coarsen(z=2, y=2, x=2, boundary="trim").mean().astype(array.dtype)
    for axis in "zyx":
        reduced[axis].attrs["units"] = "um"
    return {"scale0": full, "scale1": reduced}


def tree(folder: Path, number: int, place: tuple[float, ...]) -> xr.DataTree:
    levels = levelled(pixels(number), place)
    return xr.DataTree.from_dict({name: level.to_dataset(name="image") for name, level in levels.items()})


def shift(offset: tuple[float, ...]) -> xr.DataArray:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    names = list("zyx1")
    return xr.DataArray(matrix, dims=("x_in", "x_out"), coords={"x_in": names, "x_out": names})


def moved_tree(folder: Path, number: int, place: tuple[float, ...]) -> xr.DataTree:
    """As multiview-stitcher keeps it: coordinates, and a transform on top."""
    levels = {}
    for name, level in levelled(pixels(number), (0.0, 0.0, 0.0)).items():
        levels[name] = level.expand_dims({"t": [0], "c": [0]})
    return xr.DataTree.from_dict(
        {name: xr.Dataset({"image": level, "affine_registered": shift(place)}) for name, level in levels.items()}
    )


def spatial_image(folder: Path, number: int, place: tuple[float, ...]) -> xr.DataArray:
    start, rest = (place[0], 0.0, 0.0), (0.0, *place[1:])
    image = labelled(da.from_array(pixels(number), chunks=(3, 7, 24)), start).expand_dims({"t": [0], "c": [0]})
    image.attrs["transforms"] = {"affine_metadata": shift(rest).expand_dims({"t": [0]})}
    return image


def ome_zarr(folder: Path, number: int, place: tuple[float, ...]) -> Path:
    path = folder / f"{number}.ome.zarr"
    group = zarr.open_group(path, mode="w")
    array = group.create_array("0", shape=SHAPE, dtype="uint16", chunks=(2, 8, 8))
    array[:] = pixels(number)
    scale, translation = list(VOXEL.values()), list(place)
    transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def tiff(folder: Path) -> Project:
    for number in range(2):
        tifffile.imwrite(folder / f"{number}.tif", pixels(number), photometric="minisblack")
    tiles = [str(folder / f"{number}.tif") for number in range(2)]
    return project_of_tiles(tiles, positions=PLACES, voxel_size=VOXEL, unit="micrometer")


class Layer:
    """A layer of napari, as far as it is looked at."""

    def __init__(self, data: Any, metadata: Any, kind: str = "image") -> None:
        self.state = data, metadata, kind

    def as_layer_data_tuple(self) -> tuple[Any, Any, str]:
        return self.state


def layer(folder: Path, number: int, place: tuple[float, ...]) -> tuple[Any, dict[str, Any]]:
    return pixels(number), {"scale": tuple(VOXEL.values()), "translate": place, "units": ("um",) * 3, "name": "a"}


def moved_layer(folder: Path, number: int, place: tuple[float, ...]) -> Layer:
    """Half of the way by an affine, with coarser data."""
    affine = np.eye(4)
    affine[:3, 3] = np.array(place) / 2
    data = [pixels(number), pixels(number)[:, ::2, ::2][:, :10]]
    metadata = {"scale": list(VOXEL.values()), "translate": list(np.array(place) / 2), "affine": affine}
    metadata |= {
        "multiscale": True,
        "units": ["micrometer"] * 3,
        "axis_labels": ("-3", "-2", "-1"),
        "rotate": np.eye(3),
    }
    return Layer(data, {**metadata, "shear": [0.0, 0.0, 0.0], "colormap": "green", "rgb": False})


def affines(folder: Path) -> Project:
    matrices = [np.diag([*VOXEL.values(), 1.0]) for _ in PLACES]
    for matrix, place in zip(matrices, PLACES, strict=True):
        matrix[:3, 3] = place
    tiles = [pixels(0), pixels(1)]
    return project_of_tiles(tiles, affines=[matrices[0], matrices[1][:3]], unit="um")


KINDS: dict[str, Callable[[Path], Project]] = {
    "numpy": plain(lambda a: a),
    "numpy, other order in memory": plain(np.asfortranarray),
    "numpy, other byte order": plain(lambda a: a.astype(">u2")),
    "numpy, mapped from a file": mapped,
    "affines": affines,
    "dask": plain(lambda a: da.from_array(a, chunks=(3, 10, (5, 19)))),
    "zarr in a folder": stored,
    "zarr in memory": plain(lambda a: zarr_array(MemoryStore(), a, shards=(4, 16, 16))),
    "zarr in a zip file": zipped,
    "zarr with names": plain(
        lambda a: zarr_array(MemoryStore(), np.ascontiguousarray(a.T), dimension_names=("x", "y", "z"))
    ),
    "xarray": placed(lambda folder, number, place: labelled(pixels(number), place)),
    "xarray of dask, any order": placed(
        lambda folder, number, place: labelled(da.from_array(pixels(number), chunks=7), place).transpose("x", "z", "y")
    ),
    "xarray, long names": placed(
        lambda folder, number, place: labelled(pixels(number), place).rename(z="plane", y="row", x="col")
    ),
    "xarray, opened": placed(opened),
    "xarray, without coordinates": plain(lambda a: xr.DataArray(a, dims=("Z", "Y", "X"))),
    "multiscale tree": placed(tree),
    "multiview-stitcher's tree": placed(moved_tree),
    "multiview-stitcher's image": placed(spatial_image),
    "OME-Zarr": placed(ome_zarr),
    "OME-Zarr, opened": placed(lambda *tile: zarr.open_group(ome_zarr(*tile), mode="r")),
    "TIFF": tiff,
    "layer": placed(layer),
    "layer with its type": placed(lambda *tile: (*layer(*tile), "image")),
    "layer object": placed(moved_layer),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tile_gives_the_same_image(kind: str, tmp_path: Path) -> None:
    expected = design(KINDS["numpy"](tmp_path))
    image = design(KINDS[kind](tmp_path))
    assert image.shape == expected.shape
    assert (image.unit, image.channels) == (expected.unit, expected.channels)
    np.testing.assert_allclose(image.pixel_size, (2, 0.5, 0.5), rtol=1e-12)
    np.testing.assert_allclose(image.origin, PLACES[0], rtol=0, atol=1e-12)
    whole = Box.of_shape(image.shape)
    assert image.compute(whole).tobytes() == expected.compute(whole).tobytes()


def test_levels_are_read_where_they_serve(tmp_path: Path) -> None:
    for kind in ("multiscale tree", "multiview-stitcher's tree", "layer object"):
        sources = [view.source for view in KINDS[kind](tmp_path).views]
        assert [graph_array(source, 1) is not None for source in sources] == [True, True]
    full, reduced = np.full(SHAPE, 7, np.uint16), np.full((4, 10, 12), 9, np.uint16)
    image = fused(project_of_tiles(([full, reduced], {"multiscale": True})), downsampling=2, blending=False)
    assert 9 in image[..., 1:-1, 1:-1]


# Where they are


def ramp(z: Any, y: Any, x: Any) -> Any:
    return 1000 + 3 * z - 5 * y + 2 * x


SIZE = st.sampled_from([0.1, 0.25, 0.3, 1.0, 1.7])
PLACE = st.floats(-40, 40).map(lambda value: round(value, 3))
AXIS = st.tuples(st.integers(1, 7), PLACE, SIZE, st.booleans())
ANY_TILE = st.tuples(AXIS, AXIS, AXIS).filter(lambda axes: axes[0][0] > 1)


@settings(deadline=None, max_examples=60)
@given(st.lists(ANY_TILE, min_size=1, max_size=3))
def test_coordinates_say_where_pixels_are(tiles: list[Any]) -> None:
    """Each tile holds a function of the world; the fused image must hold it at its own coordinates."""
    lines = [
        [
            start + size * (np.arange(n)[::-1] if mirrored and n > 1 else np.arange(n))
            for n, start, size, mirrored in axes
        ]
        for axes in tiles
    ]
    images = [
        xr.DataArray(
            ramp(*np.meshgrid(*axes, indexing="ij")).astype("float32"),
            dims=("z", "y", "x"),
            coords=dict(zip("zyx", axes, strict=True)),
        )
        for axes in lines
    ]
    project = project_of_tiles(images)
    image = design(project, blending=False)
    z, y, x = np.meshgrid(*coordinates(image), indexing="ij")
    found = image.compute(Box.of_shape(image.shape))[0, 0]
    inside = np.zeros(z.shape, bool)
    for axes in lines:
        inside |= np.logical_and.reduce(
            [(w >= a.min() - 1e-9) & (w <= a.max() + 1e-9) for w, a in zip((z, y, x), axes, strict=True)]
        )
    np.testing.assert_allclose(found[inside], ramp(z, y, x)[inside], rtol=0, atol=2e-2)
    for axis, (line, step) in enumerate(zip(coordinates(image), image.pixel_size, strict=True)):
        low, high = (pick(pick(axes[axis]) for axes in lines) for pick in (min, max))
        assert low - step < line[0] <= low + 0.101 * step
        assert high - 0.101 * step <= line[-1] < high + step
        finest = min(abs(axes[axis][1] - axes[axis][0]) if len(axes[axis]) > 1 else 1.0 for axes in lines)
        assert step == pytest.approx(finest, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(ANY_TILE)
def test_a_tile_alone_comes_back_with_its_coordinates(axes: Any) -> None:
    shape = tuple(n for n, *_ in axes)
    tile = np.random.default_rng(0).integers(0, 2**16, shape).astype(np.uint16)
    place, size = [start for _, start, *_ in axes], [size for _, _, size, _ in axes]
    project = project_of_tiles(tile, positions=[place], voxel_size=size)
    image = design(project)
    assert image.compute(Box.of_shape(image.shape)).tobytes() == tile.tobytes()
    for line, n, start, step in zip(coordinates(image), shape, place, size, strict=True):
        np.testing.assert_allclose(line, start + step * np.arange(n), rtol=0, atol=1e-9)


def test_turned_and_anisotropic_tiles_lie_where_their_affines_say() -> None:
    angle = math.radians(30)
    turn = np.array([[math.cos(angle), 0, -math.sin(angle)], [0, 1, 0], [math.sin(angle), 0, math.cos(angle)]])
    affine = Affine(turn @ np.diag([2.0, 0.5, 0.4]), np.array([3.3, -7.0, 1.25]))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in (9, 12, 40)), indexing="ij"), axis=-1)
    tile = ramp(*np.moveaxis(affine.apply(index), -1, 0)).astype("float32")
    matrix = np.column_stack([affine.linear, affine.offset])
    image = design(project_of_tiles(tile, affines=[matrix]), blending=False)
    world = np.stack(np.meshgrid(*coordinates(image), indexing="ij"), axis=-1)
    pixel = affine.inverse().apply(world)
    inside = ((pixel > 1e-6) & (pixel < np.array(tile.shape) - 1 - 1e-6)).all(axis=-1)
    assert inside.sum() > 1000
    found = image.compute(Box.of_shape(image.shape))[0, 0]
    np.testing.assert_allclose(found[inside], ramp(*np.moveaxis(world[inside], -1, 0)), atol=1e-2)
    steps = 1 / np.linalg.norm(np.linalg.inv(affine.linear), axis=0)
    np.testing.assert_allclose(image.pixel_size, steps)


def test_tiles_of_several_voxel_sizes_are_fused_at_the_finest() -> None:
    coarse, fine = np.full((3, 8, 8), 5, np.uint16), np.full((3, 8, 8), 9, np.uint16)
    tiles = [
        xr.DataArray(
            a,
            dims=("z", "y", "x"),
            coords={x: start + s * np.arange(n) for x, n, start in zip("zyx", a.shape, o, strict=True)},
        )
        for a, s, o in ((coarse, 1.0, (0, 0, 0)), (fine, 0.25, (0, 0, 20)))
    ]
    image = design(project_of_tiles(tiles))
    assert image.pixel_size == (0.25, 0.25, 0.25)
    x = coordinates(image)[2]
    row = image.compute(Box.of_shape(image.shape))[0, 0, 0, 0]
    assert x[row == 5].tolist() == np.arange(0, 7.1, 0.25).tolist()
    assert x[row == 9].tolist() == (20 + np.arange(0, 1.8, 0.25)).tolist()


def test_planes_have_two_axes() -> None:
    tiles = [np.full((6, 7), number + 1, np.uint8) for number in range(2)]
    image = design(project_of_tiles(tiles, positions=[{"y": 0, "x": 0.5}, (0, 4)], voxel_size=(0.5, 0.5), unit="nm"))
    assert image.shape == (1, 1, 1, 6, 14)
    assert (image.origin, image.unit) == ((0, 0, 0.5), "nanometer")
    assert image.compute(Box.of_shape(image.shape))[0, 0, 0, 0].tolist() == [1] * 7 + [2] * 7
    matrices = [np.array([[0.5, 0, 0], [0, 0.5, 0.5]]), np.array([[0.5, 0, 0], [0, 0.5, 4], [0, 0, 1]])]
    assert (
        fused(project_of_tiles(tiles, affines=matrices)).tobytes() == image.compute(Box.of_shape(image.shape)).tobytes()
    )


def test_a_plane_keeps_its_z() -> None:
    stack = labelled(pixels(0), (3.0, 0, 0))
    image = design(project_of_tiles(stack.isel(z=2)))
    assert image.origin == (7.0, 0.0, 0.0)
    assert design(project_of_tiles(stack.isel(z=[2]), voxel_size=VOXEL)).origin == (7.0, 0.0, 0.0)


def test_what_files_say_of_pixels_and_channels_is_used(tmp_path: Path) -> None:
    image = np.zeros((2, 3, 5, 6), np.uint16)
    sizes = {"PhysicalSizeZ": 2, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm"}
    names = {"axes": "CZYX", **sizes, "Channel": {"Name": ["red", "green"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata=names)
    found = project_of_tiles(tmp_path / "a.ome.tif").views
    expected = [((2.0, 0.5, 0.25), "micrometer", "red"), ((2.0, 0.5, 0.25), "micrometer", "green")]
    assert [(view.voxel_size, view.unit, view.channel_name) for view in found] == expected
    metadata = {"axes": "ZYX", "spacing": 3.0, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", image[0], imagej=True, resolution=(4, 2), metadata=metadata)
    (view,) = project_of_tiles(str(tmp_path / "a.tif")).views
    assert (view.voxel_size, view.unit) == ((3.0, 0.5, 0.25), "micrometer")


def test_transforms_of_a_whole_ome_zarr_image_are_used(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path, 0, (1.0, 2.0, 3.0))
    group = zarr.open_group(path)
    image = group.attrs["ome"]
    image["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [10, 10, 10]}]
    group.attrs["ome"] = image
    assert design(project_of_tiles(path)).origin == (10, 20, 30)
    assert design(project_of_tiles(path)).pixel_size == (20, 5, 5)


# Timepoints and channels


def test_timepoints_channels_and_tiles_are_counted() -> None:
    image = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.uint16).reshape(2, 3, 4, 5, 6)
    tiles = [labelled(image, place, "tczyx", t=[3, 7], c=["red", "green", "blue"]) for place in PLACES]
    tiles[1] = tiles[1].isel(c=[2, 0])
    project = project_of_tiles(tiles)
    assert project.timepoints == (3, 7)
    found = [(v.id.timepoint, v.id.setup, v.tile, v.channel, v.channel_name) for v in project.views]
    setups = [(0, 0, 0, "red"), (1, 0, 1, "green"), (2, 0, 2, "blue"), (3, 1, 2, "blue"), (4, 1, 0, "red")]
    assert found == [(t, *setup) for t in (3, 7) for setup in setups]
    one = design(project_of_tiles(tiles[0]))
    assert (one.timepoints, [c.name for c in one.channels]) == ((3, 7), ["red", "green", "blue"])
    assert one.compute(Box.of_shape(one.shape)).tobytes() == image.tobytes()
    green = project_of_tiles(tiles[0].sel(c="green", t=7)).views[0]
    assert (green.channel_name, green.id.timepoint) == ("green", 7)


def test_channels_of_one_name_in_a_tile_are_refused() -> None:
    tile = xr.DataArray(np.zeros((3, 2, 4, 4), np.uint8), dims=("c", "z", "y", "x"), coords={"c": ["a", "b", "a"]})
    with pytest.raises(InputError, match="tile 0: 2 of its channels are called 'a'"):
        project_of_tiles([tile])


def test_a_size_without_a_unit_has_no_unit() -> None:
    tile = np.zeros((2, 4, 4), np.uint8)
    for unit in (None, "micrometer"):
        image = fusestack.fuse(tile, voxel_size=0.5, unit=unit)
        assert image.attrs.get("unit") == unit
        assert image.x.attrs.get("units") == unit
        assert float(image.x[1]) == 0.5


def test_channels_without_names_are_counted(tmp_path: Path) -> None:
    image = np.arange(2 * 4 * 5 * 6, dtype=np.uint16).reshape(2, 4, 5, 6)
    made = zarr.create_array(str(tmp_path / "a.zarr"), shape=image.shape, dtype="uint16", chunks=(1, 4, 5, 6))
    made[:] = image
    tifffile.imwrite(tmp_path / "a.tif", image.swapaxes(0, 1), imagej=True, metadata={"axes": "ZCYX"})
    layers = [(np.moveaxis(image, 0, 2), {"channel_axis": 2}), (image, {"axis_labels": ("c", "z", "y", "x")})]
    for tile in (made, str(tmp_path / "a.tif"), xr.DataArray(image, dims=("c", "z", "y", "x")), *layers):
        found = design(project_of_tiles([tile]))
        assert [channel.name for channel in found.channels] == ["0", "1"]
        assert found.compute(Box.of_shape(found.shape)).tobytes() == image.tobytes()
    named = project_of_tiles([(image, {"channel_axis": 0, "name": ["a", "b"], "scale": (1, 2, 3)})])
    assert [(view.channel_name, view.voxel_size) for view in named.views] == [("a", (1, 2, 3)), ("b", (1, 2, 3))]


def test_a_view_says_which_tile_it_is(tmp_path: Path) -> None:
    tiles = [pixels(0), labelled(pixels(1), PLACES[1]).rename("left"), (pixels(0), {"name": "right"})]
    project = project_of_tiles(tiles, positions=[(0, 0, 0), PLACES[1], (0, 30, 0)], voxel_size=VOXEL)
    assert [view.name for view in project.views] == ["tile 0", "left", "right"]
    assert project_of_tiles(ome_zarr(tmp_path, 0, PLACES[0])).views[0].name == "0"


# Arrays


def test_arrays_in_memory_are_named_by_their_pixels_and_not_copied() -> None:
    array = np.zeros((64, 512, 512), np.uint16)
    lazy = lazy_array("tile 0", array)
    assert lazy.name == lazy_array("tile 0", array.copy()).name
    chunks = lazy.__dask_graph__()
    assert len(chunks) > 1
    assert all(np.shares_memory(chunk, array) and not chunk.flags.writeable for chunk in chunks.values())
    assert math.prod(lazy.chunksize) * 2 <= 2**24
    array[0, 0, 0] = 1
    assert lazy.name != lazy_array("tile 0", array).name


def test_no_pixel_is_computed_before_it_is_asked_for() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    lazy = da.zeros(SHAPE, dtype="uint16", chunks=8).map_blocks(fail, dtype="uint16", meta=np.empty((0, 0, 0), "u2"))
    tiles = [labelled(lazy, place) for place in PLACES]
    image = design(project_of_tiles(tiles))
    with pytest.raises(AssertionError, match="computed"):
        image.compute(Box.of_shape(image.shape))


# What is said


def said(*tiles: Any, **arguments: Any) -> str:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        project_of_tiles(list(tiles), **arguments)
    (warning,) = found
    return str(warning.message)


def test_arguments_win_over_what_tiles_say_and_that_is_said() -> None:
    tiles = [labelled(pixels(number), place) for number, place in enumerate(PLACES)]
    others = [PLACES[0], (0, 0, 0)]
    assert "1 tile says otherwise where they are (first: tile 1); positions= is used" in said(*tiles, positions=others)
    assert "voxel_size= is used" in said(*tiles, voxel_size=1)
    assert "2 tiles say otherwise where they are" in said(*tiles, affines=[np.eye(4), np.eye(4)])
    assert "unit= is used: furlong" in said(*tiles, unit="furlong")
    (view, _) = project_of_tiles(tiles, unit="nm").views
    expected = [1000 * size for size in project_of_tiles(tiles).views[0].voxel_size]
    assert view.voxel_size == pytest.approx(expected), "sizes and places are converted"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moved = project_of_tiles(tiles, positions=others, voxel_size=1)
    assert [view.voxel_size for view in moved.views] == [(1, 1, 1)] * 2
    assert project_of_tiles(tiles, positions=PLACES, voxel_size=VOXEL, unit="um").views  # agrees: nothing to say


def test_arguments_are_in_the_unit_of_the_world_and_tiles_are_converted_into_it() -> None:
    tiles = [labelled(pixels(number), place) for number, place in enumerate(PLACES)]
    small = tiles[1].assign_coords({axis: tiles[1][axis] * 1000 for axis in "zyx"})
    for axis in "zyx":
        small[axis].attrs["units"] = "nm"
    for arguments in ({}, {"voxel_size": VOXEL}, {"positions": PLACES}):
        views = project_of_tiles([tiles[0], small], **arguments).views
        assert [view.voxel_size for view in views] == [pytest.approx(tuple(VOXEL.values()))] * 2
    bare = tiles[1].copy()
    for axis in "zyx":
        bare[axis].attrs = {}
    assert "tile 1: without a unit, numbers are taken for um as those of others" in said(tiles[0], bare)


def test_what_is_not_used_is_said() -> None:
    levels = levelled(pixels(0), PLACES[0])
    shifted = levels["scale1"].assign_coords(x=levels["scale1"].x - 0.25)
    trees = {
        "is shifted along x": shifted,
        "does not cover full resolution along y": levels["scale1"].isel(y=slice(0, 4)),
        "another type of pixels": levels["scale1"].astype("uint8"),
    }
    for message, level in trees.items():
        nodes = {"scale0": levels["scale0"].to_dataset(name="image"), "scale1": level.to_dataset(name="image")}
        assert message in said(xr.DataTree.from_dict(nodes))
    assert "level 1 of shape (4, 9, 9)" in said(([pixels(0), pixels(0)[:, :9, :9]], {}))
    seconds = labelled(pixels(0)[None], PLACES[0], "tzyx", t=[0.5])
    assert "no whole numbers (0.5 ...)" in said(seconds)
    named, unnamed = labelled(pixels(0)[None], PLACES[0], "czyx", c=["red"]), labelled(pixels(1), PLACES[1])
    assert "tile 1 have no names; they are taken for the first ones of red" in said(named, unnamed)
    twice = labelled(np.stack([pixels(0)] * 2), PLACES[0], "tzyx")
    assert "tile 1 has timepoints 0, tile 0 0, 1" in said(twice, unnamed)


# What is refused

A = np.zeros(SHAPE, np.uint16)
AT = [(0, 0, 0), (0, 0, 9)]
UNKNOWN = da.from_array(np.arange(27, dtype=np.uint16), chunks=9)
UNKNOWN = da.stack([da.stack([UNKNOWN[UNKNOWN > 3]] * 3)] * 3)


def image_of(array: Any = A, dims: Any = ("z", "y", "x"), **coords: Any) -> xr.DataArray:
    return xr.DataArray(array, dims=dims, coords=coords)


def transformed(**transforms: Any) -> xr.DataArray:
    image = image_of(A[None], ("t", "z", "y", "x"))
    image.attrs["transforms"] = transforms
    return image


REFUSED: dict[str, tuple[Any, dict[str, Any], type[FusestackError], tuple[str, ...]]] = {
    "none": (None, {}, InputError, ("None", "give an array")),
    "no tiles": ([], {}, InputError, ("empty", "at least one")),
    "none among tiles": ([A, None], {"positions": AT}, InputError, ("tile 1", "leave it out")),
    "number": (5, {}, InputError, ("tile 0", "int", "numpy.asarray")),
    "text that is no path": (["nothing"], {}, InputError, ("tile 0", "nothing", "are not read")),
    "missing file": (["nothing.ome.zarr"], {}, InputError, ("tile 0", "no such file", "check the path")),
    "missing picture": ([Path("nothing.tif")], {}, InputError, ("tile 0", "no such file", "check the path")),
    "empty path": ([""], {}, InputError, ("tile 0", "are not read")),
    "project": (["dataset.xml", A], {}, InputError, ("tile 0", "project", "give it alone")),
    "configuration": ("fuse.yaml", {}, InputError, ("tile 0", "configuration", "fusestack.run")),
    "bytes": (b"abc", {}, InputError, ("tile 0", "bytes")),
    "mapping": ({"a": A}, {}, InputError, ("tile 0", "mapping", "list(tiles.values())")),
    "dataset": (image_of().to_dataset(name="image"), {}, InputError, ("tile 0", "Dataset", "'image'")),
    "ragged": ([[[1, 2], [3]]], {}, InputError, ("tile 0", "list", "one array per tile")),
    "objects": ([np.array([[A, None]], dtype=object)], {}, InputError, ("tile 0", "object", "array of numbers")),
    "records": ([np.zeros((4, 5), [("a", "u2")])], {}, InputError, ("tile 0", "not read", "array of numbers")),
    "masked": ([np.ma.masked_less(A, 3)], {}, InputError, ("tile 0", "masked", "filled")),
    "masked dask": ([da.ma.masked_less(da.from_array(A), 3)], {}, InputError, ("tile 0", "masked", "filled")),
    "float64": ([A, A.astype(float)], {"positions": AT}, InputError, ("tile 1", "float64", "tile.astype('float32')")),
    "int32": ([A.astype("i4")], {}, InputError, ("tile 0", "int32", "astype")),
    "bool": ([A > 3], {}, InputError, ("tile 0", "bool", "astype('uint8')")),
    "complex": ([A.astype("complex64")], {}, InputError, ("tile 0", "complex64", "numpy.abs")),
    "times": ([A.astype("datetime64[s]")], {}, InputError, ("tile 0", "datetime64", "array of numbers")),
    "zarr of int64": ([zarr.zeros((4, 5), dtype="i8", store=MemoryStore())], {}, InputError, ("tile 0", "int64")),
    "one dimension": ([np.zeros(5, np.uint8)], {}, InputError, ("tile 0", "1 dimensions", "[z, y, x]")),
    "no dimension": ([np.uint8(5)], {}, InputError, ("tile 0", "uint8", "asarray")),
    "four dimensions": (A[None], {}, InputError, ("tile 0", "4 dimensions", "dims=('c', 'z', 'y', 'x')")),
    "five dimensions": ([da.zeros((1, 1, 2, 3, 4))], {}, InputError, ("tile 0", "5 dimensions", "list(tile)")),
    "six dimensions of zarr": ([zarr.zeros((1,) * 6, store=MemoryStore())], {}, InputError, ("tile 0", "6 dimensions")),
    "no pixels": ([A[:0]], {}, InputError, ("tile 0", "no pixels", "leave it out")),
    "unknown chunks": ([UNKNOWN], {}, InputError, ("tile 0", "unknown sizes", "compute_chunk_sizes")),
    "unknown dimension": ([image_of(dims=("s", "y", "x"))], {}, InputError, ("tile 0", "'s'", "tile.rename")),
    "no x": ([image_of(dims=("t", "c", "y"))], {}, InputError, ("tile 0", "y and x are needed")),
    "axis twice": ([image_of(dims=("z", "depth", "x"))], {}, InputError, ("tile 0", "same axis", "rename")),
    "uneven": ([image_of(z=[0, 1, 2, 4])], {}, InputError, ("tile 0", "not evenly spaced", "tile.interp")),
    "standing still": ([image_of(z=[1, 1, 1, 1])], {}, InputError, ("tile 0", "not evenly spaced", "drop_vars('z')")),
    "coordinates NaN": ([image_of(z=[0, 1, 2, np.nan])], {}, InputError, ("tile 0", "not numbers", "drop_vars('z')")),
    "coordinates of text": ([image_of(z=list("abcd"))], {}, InputError, ("tile 0", "not numbers", "drop_vars")),
    "timepoint twice": ([image_of(dims=("t", "y", "x"), t=[0] * 4)], {}, InputError, ("tile 0", "twice")),
    "several transforms": ([transformed(a=np.eye(4), b=np.eye(4))], {}, InputError, ("tile 0", "a, b", "affines=")),
    "transform of a plane": ([transformed(a=np.eye(3))], {}, InputError, ("tile 0", "4 x 4", "affines=")),
    "flat transform": ([transformed(a=np.zeros((4, 4)))], {}, InputError, ("tile 0", "singular", "correct it")),
    "other tree": (
        [xr.DataTree.from_dict({"a": image_of().to_dataset(name="b")})],
        {},
        InputError,
        ("tile 0", "scale0", "a"),
    ),
    "tree of nothing": ([xr.DataTree.from_dict({"scale0": xr.Dataset()})], {}, InputError, ("tile 0", "no variable")),
    "labels": ([(A, {}, "labels")], {}, InputError, ("tile 0", "labels", "leave it out")),
    "layer of points": ([Layer(A, {}, "points")], {}, InputError, ("tile 0", "points", "leave it out")),
    "colours": ([(np.zeros((40, 50, 3), np.uint8), {})], {}, InputError, ("tile 0", "colours", "channel_axis=2")),
    "layer of four axes": ([(A[None], {})], {}, InputError, ("tile 0", "4 axes", "axis_labels")),
    "layer of odd axes": ([(A, {"axis_labels": ("a", "y", "x")})], {}, InputError, ("tile 0", "'a'", "rename")),
    "layer of few names": ([(A, {"axis_labels": ("y", "x")})], {}, InputError, ("tile 0", "3 axes", "name each")),
    "layer scale": ([(A, {"scale": (1, 1, 1, 1)})], {}, InputError, ("tile 0", "do not fit", "one number per axis")),
    "layer scale of text": ([(A, {"scale": "ab"})], {}, InputError, ("tile 0", "scale", "not numbers")),
    "layer affine": ([(A, {"affine": np.eye(7)})], {}, InputError, ("tile 0", "do not fit", "affine with one more")),
    "layer shear": ([(A, {"shear": (1, 1)})], {}, InputError, ("tile 0", "do not fit")),
    "layer rotate": ([(A, {"rotate": (1, 1)})], {}, InputError, ("tile 0", "do not fit")),
    "layer flat": ([(A, {"scale": (0, 1, 1)})], {}, InputError, ("tile 0", "singular", "correct it")),
    "layer channel axis": ([(A, {"channel_axis": 5})], {}, InputError, ("tile 0", "channel_axis", "numbered from 0")),
    "layer names": ([(A, {"channel_axis": 0, "name": ["a"]})], {}, InputError, ("tile 0", "4 channels")),
    "layer units": ([(A, {"units": ("um", "nm", "um")})], {}, InputError, ("tile 0", "different units", "convert")),
    "layer units as number": ([(A, {"units": 5})], {}, InputError, ("tile 0", "3 axes", "one per axis")),
    "layer axes as number": ([(A, {"axis_labels": 5.5})], {}, InputError, ("tile 0", "3 axes", "name each")),
    "no layer at all": ([Layer(A, 5)], {}, InputError, ("tile 0", "no layer", "(data, metadata)")),
    "delayed": ([dask.delayed(A)], {}, InputError, ("tile 0", "Delayed", "dask.array")),
    "too long path": (["a" * 5000], {}, InputError, ("tile 0", "check the path")),
    "transforms without names": ([image_of().assign_attrs(transforms=[1])], {}, InputError, ("tile 0", "affines=")),
    "layer of a list": ([([[1, 2]], {})], {}, InputError, ("tile 0", "list", "numpy.asarray")),
    "layer without data": ([([], {})], {}, InputError, ("tile 0", "no list of arrays")),
    "several problems": (
        [A > 1, A.astype(float)],
        {"positions": AT},
        InputError,
        ("tile 0", "bool", "tile 1", "float64"),
    ),
    "no positions": ([A, A], {}, InputError, ("tile 0", "on top of one another", "positions=")),
    "one without a place": ([A, image_of(x=np.arange(24.0))], {}, InputError, ("tile 0", "positions=", "coordinates")),
    "plane among stacks": (
        [A, A[0]],
        {"positions": [(0, 0, 0), (0, 9)]},
        InputError,
        ("tile 1", "plane", "numpy.newaxis"),
    ),
    "units": (
        [image_of(x=("x", np.arange(24.0), {"units": unit})) for unit in ("um", "furlong")],
        {},
        InputError,
        ("tile 1 has its sizes in furlong", "tile 0 has its sizes in um", "converted"),
    ),
    "positions of one": ([A, A], {"positions": [(0, 0, 0)]}, ConfigError, ("positions= has 1 entries for 2 tiles",)),
    "positions of text": ([A, A], {"positions": "ab"}, ConfigError, ("positions= is 'ab'", "one for each of 2 tiles")),
    "position of two": ([A, A], {"positions": [(0, 0, 0), (1, 2)]}, ConfigError, ("tile 1", "give {'z': ...")),
    "position without z": (
        [A],
        {"positions": [{"x": 1, "y": 2}]},
        ConfigError,
        ("tile 0", "x, y, not z, y, x", "give"),
    ),
    "position NaN": ([A], {"positions": [(0, 0, np.nan)]}, ConfigError, ("tile 0", "finite")),
    "position None": ([A, A], {"positions": [None, AT[0]]}, ConfigError, ("tile 0", "give")),
    "position of texts": ([A, A], {"positions": ["abc", AT[0]]}, ConfigError, ("tile 0", "not numbers", "give")),
    "position of a plane": (
        [A[0]],
        {"positions": [(0, 0, 0, 0)]},
        ConfigError,
        ("tile 0", "2 finite numbers", "(y, x)"),
    ),
    "positions and affines": ([A], {"positions": AT[:1], "affines": [np.eye(4)]}, ConfigError, ("leave one away",)),
    "voxel size and affines": ([A], {"voxel_size": 1, "affines": [np.eye(4)]}, ConfigError, ("leave one away",)),
    "affines of two": ([A], {"affines": [np.eye(4)] * 2}, ConfigError, ("affines= has 2 entries for 1 tiles",)),
    "affine of numbers": ([A], {"affines": [np.arange(12)]}, ConfigError, ("tile 0", "(12,)", "3 x 4 or 4 x 4")),
    "affine of a plane": ([A], {"affines": [np.eye(3)]}, ConfigError, ("tile 0", "(3, 3)", "3 x 4 or 4 x 4")),
    "affine of text": ([A], {"affines": ["abc"]}, ConfigError, ("tile 0", "no matrix", "give")),
    "affine turned over": ([A], {"affines": [np.tril(np.ones((4, 4)))]}, ConfigError, ("tile 0", "transpose it")),
    "affine flat": ([A], {"affines": [np.diag([1, 1, 0, 1])]}, InputError, ("tile 0", "singular", "correct it")),
    "affine NaN": ([A], {"affines": [np.diag([1, 1, np.nan, 1])]}, InputError, ("tile 0", "NaN", "correct it")),
    "voxel size 0": ([A], {"voxel_size": 0}, ConfigError, ("voxel_size", "above 0")),
    "voxel size of text": ([A], {"voxel_size": "big"}, ConfigError, ("voxel_size", "not numbers", "give")),
    "voxel size of two": ([A], {"voxel_size": (1, 1)}, ConfigError, ("voxel_size", "3 finite numbers", "give")),
    "voxel size of w": ([A], {"voxel_size": {"w": 1}}, ConfigError, ("voxel_size", "w, not z, y, x", "give")),
    "unit": ([A], {"unit": 5}, ConfigError, ("unit=", "micrometer")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_with_the_way_out(case: str) -> None:
    tiles, arguments, kind, parts = REFUSED[case]
    with pytest.raises(FusestackError) as found:
        project_of_tiles(tiles, **arguments)
    assert type(found.value) is kind, str(found.value)
    for part in parts:
        assert part in str(found.value)


def test_several_transforms_are_no_trouble_where_affines_are_given() -> None:
    image = transformed(a=np.eye(4), b=np.eye(4))
    project = project_of_tiles(image, affines=[np.diag([2, 1, 1, 1])])
    assert project.views[0].voxel_size == (2, 1, 1)


def test_tiles_of_several_pixel_types_need_a_type_for_the_output() -> None:
    project = project_of_tiles([A, A.astype("float32")], positions=AT)
    with pytest.raises(ConfigError, match=r"fusion.dtype: 'input' is ambiguous.*name one"):
        design(project)
    assert design(project, dtype="float32").dtype == "float32"
