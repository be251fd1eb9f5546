"""Lazy focus stacking: the bytes of a stored run, for every chain, chunking and scheduler; nothing computed twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray
import zarr
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import fusestack
from fusestack.focus import lowpass, masks, statistics
from fusestack.focus.tiling import Tiling
from fusestack.model.errors import FusestackError, FusestackWarning
from tests.focus.stacks import scene, section, write
from tests.focus.test_files import volume
from tests.focus.test_invariance import CHAINS

SHAPE = (150, 210)


@pytest.fixture(scope="module")
def stack() -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.floor(scene(SHAPE)[0] * 255 + 0.5).astype(np.uint8)
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a stored run makes of the same slices, by chain."""
    paths = write(tmp_path_factory.mktemp("slices"), scene(SHAPE)[0])
    known: dict[str, dict[str, bytes]] = {}

    def of(name: str) -> dict[str, bytes]:
        if name not in known:
            known[name] = contents(fusestack.focus_stack(paths, **options(name)))
        return known[name]

    return of


def options(name: str) -> dict[str, Any]:
    return section(CHAINS[name])


def contents(found: xarray.Dataset) -> dict[str, bytes]:
    return {str(name): array.to_numpy().tobytes() for name, array in found.data_vars.items()}


@pytest.mark.filterwarnings("ignore:focus.substacks")
@pytest.mark.parametrize("name", CHAINS)
def test_lazy_is_stored(name: str, stack: NDArray[np.uint8], stored: Any) -> None:
    array = da.from_array(stack, chunks=(1, 150, 70, 3))
    found = fusestack.focus_stack(array, chunks=(40, 50), **options(name))
    assert all(isinstance(one.data, da.Array) for one in found.data_vars.values())
    with dask.config.set(scheduler="synchronous"):
        assert contents(found) == stored(name)
    whole = fusestack.focus_stack(stack, **options(name))
    assert all(isinstance(one.data, np.ndarray) for one in whole.data_vars.values())
    assert contents(whole) == stored(name), "NumPy arrays go in and come out"


@pytest.mark.filterwarnings("ignore:focus.substacks")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(CHAINS)),
    chunks=st.tuples(st.integers(1, 5), st.integers(20, 150), st.integers(20, 210), st.integers(1, 3)),
    tile=st.tuples(st.integers(1, 160), st.integers(1, 220)),
)
def test_no_chunking_changes_a_byte(
    name: str, chunks: Any, tile: tuple[int, int], stack: NDArray[np.uint8], stored: Any
) -> None:
    before = stack.copy()
    found = fusestack.focus_stack(da.from_array(stack, chunks=chunks), chunks=tile, **options(name))
    assert contents(found.compute(scheduler="threads")) == stored(name)
    assert np.array_equal(before, stack), "what people hold in their hands is left alone"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore:focus.substacks")
@pytest.mark.parametrize("name", CHAINS)
def test_on_a_cluster(name: str, stack: NDArray[np.uint8], stored: Any, client: Client) -> None:
    found = fusestack.focus_stack(da.from_array(stack, chunks=(2, 80, 80, 3)), chunks=60, **options(name))
    with client.as_current():
        computed = dask.compute(dict(found.data_vars))[0]
    assert {str(key): one.to_numpy().tobytes() for key, one in computed.items()} == stored(name)


def named(source: Path, **changes: Any) -> xarray.DataArray:
    pixels = da.from_zarr(source / "0")
    coords = {"t": [0, 1], "c": ["GFP", "RFP"], "z": 10 + 2.0 * np.arange(6)}
    coords |= {axis: 0.5 * np.arange(n) for axis, n in (("y", 48), ("x", 64))}
    return xarray.DataArray(pixels, dims=tuple("tczyx"), coords=coords).rename(changes)


VOLUMES: dict[str, dict[str, Any]] = {
    "each channel": {},
    "one for all": {"reference_channel": 1},
    "first for all": {"reference_channel": 0, "options": "--blur=s1 --max --maskwave=p20 --cutwave"},
    "along y": {"axis": "y", "options": "--laplacian --maskblur=s1"},
    "along x, from behind": {"axis": "x", "reverse": True, "options": "--max --blur --bg=enfuse"},
    "transforms": {"options": "--fft --maskfft --masklevel=t5"},
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_with_names(name: str, tmp_path: Path) -> None:
    source, _ = volume(tmp_path)
    expected = fusestack.focus_stack(source, **VOLUMES[name])
    found = fusestack.focus_stack(named(source), chunks=(20, 24), **VOLUMES[name])
    for kind in ("image", "mask", "depth"):
        assert isinstance(found[kind].data, da.Array)
        assert found[kind].to_numpy().tobytes() == expected[kind].to_numpy().tobytes(), kind
    axis = VOLUMES[name].get("axis", "z")
    assert found.image.dims == ("t", "c", *(a for a in "zyx" if a != axis))
    height = found.depth * (2.0 if axis == "z" else 0.5) + (10 if axis == "z" else 0)
    if VOLUMES[name].get("reverse"):
        height = 0.5 * (found.depth.sizes and 63) - height
    assert np.allclose(found.height, height, equal_nan=True)
    mixed = named(source).transpose("x", "c", "z", "t", "y")
    assert np.array_equal(fusestack.focus_stack(mixed, **VOLUMES[name]).image, found.image)


def test_axes_that_are_not_there_do_not_come_back(tmp_path: Path) -> None:
    source, _ = volume(tmp_path)
    whole = fusestack.focus_stack(named(source))
    part = fusestack.focus_stack(named(source).isel(t=1).drop_vars("c"))
    assert part.image.dims == ("c", "y", "x")
    assert np.array_equal(part.image, whole.image.isel(t=1))
    assert list(whole.image.c.values) == ["GFP", "RFP"]
    assert np.array_equal(whole.y, 0.5 * np.arange(48))


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint32"])
def test_numbers_without_limits_of_their_own(dtype: str, tmp_path: Path) -> None:
    """Black and white are statistics of the whole stack, whatever the tiles; NaN is no value, wherever it lies."""
    _, pixels = volume(tmp_path)
    values = (pixels[0, 0].astype(np.float32) + 50).astype(dtype)
    if dtype == "float32":
        values[:, :24, :40] = np.nan
    zarr.save(str(tmp_path / "one.zarr"), values)
    expected = fusestack.focus_stack(tmp_path / "one.zarr")
    array = xarray.DataArray(da.from_array(values, chunks=(2, 24, 20)), dims=tuple("zyx"))
    found = fusestack.focus_stack(array, chunks=(24, 40))
    for kind in ("image", "mask", "depth"):
        assert found[kind].to_numpy().tobytes() == expected[kind].to_numpy().tobytes(), kind


def test_a_part_without_any_number_says_nothing_about_black() -> None:
    values = np.full((3, 48, 64), np.nan, np.float32)
    values[:, :, 40:] = np.random.default_rng(0).random((3, 48, 24)) + 5
    array = xarray.DataArray(da.from_array(values), dims=tuple("zyx"))
    kinds = {tile: fusestack.focus_stack(array, chunks=tile).image.to_numpy().tobytes() for tile in (100, 16)}
    assert kinds[100] == kinds[16]


def test_two_scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes that are too large to be transformed whole."""
    monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    slices = scene((430, 510), 3, 1)[0]
    pixels = np.floor(slices[..., 0] * 65535 + 0.5).astype(np.uint16)
    chain = "--fft=r40 --maskfft --cutwave"
    expected = contents(fusestack.focus_stack(write(tmp_path / "in", slices, "uint16"), options=chain))
    for tile in ((215, 170), 100):
        lazy = fusestack.focus_stack(da.from_array(pixels, chunks=(1, 200, 200)), chunks=tile, options=chain)
        assert contents(lazy) == expected, tile


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a pixel was computed")

    array = da.map_blocks(refuse, chunks=((1,) * 4, (64,), (64,)), dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16))
    found = fusestack.focus_stack(array)
    assert found.image.shape == (64, 64)
    assert "image" in repr(found)
    with pytest.raises(AssertionError, match="a pixel was computed"):
        found.image.compute()


class Calls:
    """Counts the calls of a method, which go through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.count, lock, original = 0, threading.Lock(), getattr(owner, name)

        def counted(*args: Any) -> Any:
            with lock:
                self.count += 1
            return original(*args)

        monkeypatch.setattr(owner, name, counted)


def test_statistics_and_masks_are_computed_once(stack: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Calls(monkeypatch, statistics.Extremes, "measure")
    made = Calls(monkeypatch, masks.SliceMask, "__call__")
    array = da.from_array(stack, chunks=(1, 75, 70, 3))
    found = fusestack.focus_stack(array, chunks=(50, 52), options="--statistic=r2 --maskblur=s1")
    assert found.image.data.numblocks[:2] == (3, 4)
    dask.compute(dict(found.data_vars), scheduler="threads")
    assert made.count == len(stack) * 12, "each slice of each tile, for statistics and painting, and all outputs"
    assert measured.count == 2 * 12, "masks, and merged masks, tile by tile"


@pytest.mark.parametrize(
    ("options", "tasks"),
    [
        ({"masks": [{"blur": {"level": False}}], "merge": [{"blur": {}}, {"level": {"over": "off"}}]}, 14),
        ({"options": "--blur=s1,S2 --maskblur=s4 --masklevel=off --cutblur=s2"}, 21),
        ({}, 23),
    ],
    ids=["no statistics", "two statistics", "the default"],
)
def test_a_chain_is_one_overlap(options: dict[str, Any], tasks: int) -> None:
    """20 slices of 20,480 x 20,480: few tasks for each of the 400 tiles."""
    array = da.zeros((20, 20480, 20480), dtype=np.uint8, chunks=(20, 1024, 1024))
    found = fusestack.focus_stack(array, chunks=1024, **options)
    assert len([name for name in found.image.data.dask.layers if name.startswith("overlap")]) == 1
    assert found.image.data.npartitions == 400
    (optimized,) = dask.optimize(found.image)
    assert len(optimized.__dask_graph__()) <= tasks * 400


def test_tiles_are_never_smaller_than_what_is_needed_around_them() -> None:
    slices = da.zeros((9, 400, 300), dtype=np.uint8, chunks=(9, 50, 50))
    recursive = fusestack.focus_stack(slices, chunks=16, options="--blur --cutblur=s3 --cutless")
    assert recursive.image.data.numblocks == (3, 2), "what a slice decides about the next ones reaches far"
    assert Tiling((100, 90), (30, 1)).with_tiles_of(7, 500).counts == (14, 1)


PLANE = np.zeros((40, 50), np.uint8)
COLOUR_VOLUME = xarray.DataArray(np.zeros((2, 4, 5, 3), np.uint8), dims=("z", "y", "x", "rgb"))


@pytest.mark.parametrize(
    ("given_stack", "options", "sentence"),
    [
        (
            da.zeros((3, 40, 50)),
            {},
            r"float64; convert them to uint8, uint16, int8, int16, uint32 or float32 \(stack.astype",
        ),
        (da.zeros((40, 50), dtype=np.uint8), {}, r"has the shape \(40, 50\); give slices"),
        (da.zeros((2, 2, 3, 40, 50), dtype=np.uint8), {}, "name the axes of a volume with xarray.DataArray"),
        (da.zeros((30, 40, 3), dtype=np.uint8), {}, "looks like one picture in colour"),
        (da.from_array(np.arange(90, dtype=np.uint8).reshape(9, 2, 5))[da.arange(9) > 3], {}, "compute_chunk_sizes"),
        ([da.zeros((4, 5), dtype=np.uint8), da.zeros((4, 6), dtype=np.uint8)], {}, "its slices differ in size"),
        ([da.zeros((4, 5), dtype=np.uint8), PLANE], {}, "its slices differ in size"),
        ([da.zeros((4, 5), dtype=np.complex64)] * 2, {}, "is no array of numbers"),
        (xarray.DataArray(np.zeros((3, 40, 50), np.uint8), dims=("focus", "y", "x")), {}, "has the dimension 'focus'"),
        (xarray.DataArray(np.zeros((3, 40, 50), np.uint8), dims=("z", "y", "u")), {}, r"rename\(\{'u': 'x'\}\)"),
        (xarray.DataArray(PLANE, dims=("y", "x")), {}, "has no dimension 'z'"),
        (xarray.DataArray(PLANE, dims=("z", "x")), {"axis": "y"}, "has no dimension 'y'"),
        (xarray.DataArray(np.zeros((2, 4, 5, 2), np.uint8), dims=("k", "y", "x", "colour")), {}, "2 colours"),
        (xarray.DataArray(np.zeros((3, 4, 5), bool), dims=tuple("zyx")), {}, "pixels of type bool"),
        (xarray.DataArray(np.zeros((0, 4, 5), np.uint8), dims=tuple("zyx")), {}, r"has the shape \(0, 4, 5\)"),
        (
            xarray.Dataset({"image": (("z", "y", "x"), np.zeros((3, 4, 5)))}),
            {},
            r"give one of them, such as stack\['im",
        ),
        (np.zeros((3, 40, 50), np.uint8), {"output": {"path": "a.tif"}}, "focus.output.path: .*fusestack.write"),
        (np.zeros((3, 40, 50), np.uint8), {"layered": True}, "focus.layered: an array becomes arrays"),
        (np.zeros((3, 40, 50), np.uint8), {"statistics": {"save": "s.json"}}, "focus.statistics.save: an array"),
        (np.zeros((3, 40, 50), np.uint8), {"input": "in"}, "focus.input: the stack is the first argument"),
        (np.zeros((3, 40, 50), np.uint8), {"chunks": "large"}, r"chunks: 'large' is no size of a tile; give rows"),
        (np.zeros((3, 40, 50), np.uint8), {"chunks": (0, 4)}, "is no size of a tile"),
        (np.zeros((3, 40, 50), np.uint8), {"options": "--blurr"}, "blurr"),
        (np.zeros((3, 40, 50), np.uint8), {"backgrund": "red"}, "did you mean 'background'"),
        (xarray.DataArray(np.zeros((3, 4, 5), np.uint8), dims=tuple("zyx")), {"reference_channel": 3}, "no channel 3"),
        ({"image": 3}, {}, "is no array of numbers"),
        (np.zeros((3, 40, 50), np.uint8), {"axis": "y"}, r"focus.axis: photographs .*dims=\('z', 'y', 'x'\)"),
        (da.zeros((3, 40, 50), dtype=np.uint8), {"axis": "x"}, "focus.axis: photographs"),
        ([PLANE] * 3, {"reference_channel": 0}, "focus.reference_channel: photographs"),
        (xarray.DataArray([PLANE] * 3, dims=("k", "y", "x")), {"axis": "y"}, "focus.axis: photographs"),
        (
            xarray.DataArray(np.zeros((2, 4, 5, 3), np.uint8), dims=("z", "y", "x", "rgb")),
            {},
            r"'z' of a volume.*'rgb'",
        ),
        (
            xarray.DataArray(np.zeros((2, 4, 5, 3), np.uint8), dims=("z", "y", "x", "rgb")),
            {},
            r"\{'z': 'k'\}.*'rgb': 'c'",
        ),
        (xarray.DataArray(np.zeros((2, 3, 4, 5), np.uint8), dims=("k", "c", "y", "x")), {}, r"isel\(c=0\)"),
        (xarray.DataArray(np.zeros((2, 3, 4, 5), np.uint8), dims=("z", "plane", "y", "x")), {}, "is there already"),
        ([PLANE, PLANE.astype(np.uint16)], {}, r"stack\[1\]: has pixels of type uint16, the first slice uint8"),
        ([PLANE, da.from_array(PLANE.astype(np.uint16))], {}, r"stack\[1\]: has pixels of type uint16"),
        ([PLANE, PLANE, PLANE[1:]], {}, r"stack\[2\].*shape \(39, 50\), the first one \(40, 50\)"),
        ([PLANE, "a.png"], {}, r"stack\[1\]: is a path, others are arrays"),
        ([Path("a.png"), PLANE], {}, r"stack\[0\]: is a path, others are arrays"),
        ([], {}, "has the shape"),
        (np.zeros((3, 40, 50), np.uint8), {"chunks": True}, "chunks: True is no size of a tile"),
        (np.zeros((3, 40, 50), np.uint8), {"chunks": (4, 5.5)}, "is no size of a tile"),
        (np.zeros((3, 40, 50), np.uint8), {"chunks": (4, 5, 6)}, "is no size of a tile"),
        (object(), {}, "is no array of numbers"),
    ],
)
def test_what_cannot_be_stacked(given_stack: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FusestackError, match=sentence):
        fusestack.focus_stack(given_stack, **options)


def test_lazy_readers_are_not_loaded(tmp_path: Path, stack: NDArray[np.uint8], stored: Any) -> None:
    array = zarr.create_array(tmp_path / "stack.zarr", shape=stack.shape, chunks=(1, 75, 70, 3), dtype="uint8")
    array[:] = stack
    found = fusestack.focus_stack(array)
    assert isinstance(found.image.data, da.Array)
    assert contents(found) == stored("default")
    one_by_one = fusestack.focus_stack([da.from_array(plane) for plane in stack])
    assert contents(one_by_one) == stored("default")
    photographs = xarray.DataArray(stack, dims=("k", "y", "x", "rgb")).transpose("rgb", "x", "y", "k")
    assert contents(fusestack.focus_stack(photographs)) == stored("default")


def test_opacity_is_a_variable_of_its_own(stack: NDArray[np.uint8]) -> None:
    seen = np.full((*stack.shape[:3], 1), 255, np.uint8)
    seen[:, :30] = 0
    with_opacity = np.concatenate([stack, seen], axis=-1)
    found = fusestack.focus_stack(da.from_array(with_opacity, chunks=(1, 50, 50, 4)), chunks=50)
    assert found.image.dims == ("y", "x", "colour")
    assert list(found.colour.values) == ["R", "G", "B"]
    assert (found.opacity[:30] == 0).all()
    assert found.opacity.dtype == np.float32
    assert "opacity" not in fusestack.focus_stack(stack).data_vars


def test_sizes_of_tiles_are_any_whole_numbers() -> None:
    array = da.zeros((3, 400, 300), dtype=np.uint8, chunks=(1, 400, 300))
    found = fusestack.focus_stack(array, chunks=np.int64(100), options="--statistic=r2")
    assert found.image.data.chunks == fusestack.focus_stack(array, chunks=100, options="--statistic=r2").image.chunks


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "transparent P"])
def test_pictures_of_pil_are_what_is_seen(mode: str, stack: NDArray[np.uint8], tmp_path: Path) -> None:
    """As the same pictures are in files."""
    pictures = [Image.fromarray(one) for one in stack]
    if mode.endswith("P"):
        pictures = [one.quantize(200) for one in pictures]
        for one in pictures[: len(pictures) * mode.startswith("transparent")]:
            one.info["transparency"] = 0
    else:
        pictures = [one.convert(mode) for one in pictures]
    for number, one in enumerate(pictures):
        one.save(tmp_path / f"{number}.png")
    assert contents(fusestack.focus_stack(pictures)) == contents(fusestack.focus_stack(tmp_path))


def test_pictures_of_sixteen_bits(stack: NDArray[np.uint8]) -> None:
    planes = stack[..., 0].astype(np.uint16) * 257
    found = fusestack.focus_stack(Image.fromarray(plane) for plane in planes)
    assert Image.fromarray(planes[0]).mode == "I;16"
    assert contents(found) == contents(fusestack.focus_stack(planes))


@pytest.mark.parametrize("mode", ["1", "LA", "CMYK", "YCbCr", "HSV", "F", "I"])
def test_other_pictures_of_pil_are_refused(mode: str) -> None:
    pictures = [Image.new("RGB", (50, 40)).convert("L").convert(mode) if mode in "1LAFI" else Image.new(mode, (50, 40))]
    with pytest.raises(FusestackError, match=rf"stack\[0\]: is a picture of mode {mode}.*(convert\('RGB|asarray)"):
        fusestack.focus_stack(pictures * 3)


def test_slices_that_are_made_one_by_one(stack: NDArray[np.uint8]) -> None:
    assert contents(fusestack.focus_stack(one for one in stack)) == contents(fusestack.focus_stack(stack))
    labelled = [xarray.DataArray(one, dims=("y", "x", "rgb")).transpose("rgb", "x", "y") for one in stack]
    assert contents(fusestack.focus_stack(labelled)) == contents(fusestack.focus_stack(stack))


@pytest.mark.parametrize(
    "names", [("Z", "Y", "X", "C", "T"), ("depth", "row", "column", "channel", "time"), ("plane", "y", "col", "c", "t")]
)
def test_dimensions_have_the_names_that_fuse_knows(names: tuple[str, ...], tmp_path: Path) -> None:
    array = named(volume(tmp_path)[0])
    found = fusestack.focus_stack(array.rename(dict(zip("zyxct", names, strict=True))))
    xarray.testing.assert_identical(found.compute(), fusestack.focus_stack(array).compute())


@pytest.mark.parametrize("places", [[0, 1, 2, 3, 5, 6], [0] * 6, list("abcdef")])
def test_slices_at_uneven_places_have_no_height_and_say_so(places: list[Any]) -> None:
    array = xarray.DataArray(np.zeros((6, 40, 50), np.uint8), dims=tuple("zyx"), coords={"z": places})
    with pytest.warns(FusestackWarning, match="coordinates along z are not evenly spaced .*no height") as told:
        found = fusestack.focus_stack(array)
    assert len(told) == 1
    assert "height" not in found


@pytest.mark.parametrize("options", [{}, {"axis": "y"}, {"reverse": True}])
def test_heights_and_units_are_those_of_the_file(options: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 30, 40)).astype(np.uint8)
    places = {"z": 7 + 2 * np.arange(4), "y": 0.5 * np.arange(30), "x": 3 + 0.5 * np.arange(40)}
    array = xarray.DataArray(da.from_array(pixels), dims=tuple("zyx"), coords=places)
    for axis in "zyx":
        array[axis].attrs["units"] = "micrometer"
    fusestack.write(array, tmp_path / "u.ome.zarr", levels="none")
    stored = fusestack.focus_stack(tmp_path / "u.ome.zarr", **options)
    lazy = fusestack.focus_stack(array, **options).compute()
    assert np.isfinite(stored.height).any()
    for found in (stored, lazy):
        assert found.attrs["unit"] == found.height.attrs["units"] == "micrometer"
    for name in (axis for axis in "zyx" if axis in lazy.dims):
        assert stored[name].attrs["units"] == lazy[name].attrs["units"] == "micrometer"
        assert np.allclose(stored[name], lazy[name])
    for name in ("image", "depth", "height"):
        kept = stored[name].isel(t=0, c=0, drop=True)
        assert kept.dims == lazy[name].dims
        assert np.array_equal(kept, lazy[name], equal_nan=True), name


def test_a_volume_that_says_no_place_has_no_height(tmp_path: Path) -> None:
    zarr.save(str(tmp_path / "a.zarr"), np.ones((3, 40, 50), np.uint8))
    assert "height" not in fusestack.focus_stack(tmp_path / "a.zarr")


def test_nan_counts_as_black_in_masks() -> None:
    values = np.random.default_rng(0).random((3, 40, 50)).astype(np.float32)
    values[0, 0, 0], values[0, 0, 1] = 0, 1
    holes = values.copy()
    holes[1:, 5:9, 5:9] = np.nan
    values[1:, 5:9, 5:9] = 0
    stacked = (fusestack.focus_stack(one, method="masks") for one in (holes, values))
    assert contents(next(stacked)) == contents(next(stacked))
