from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, GzipCodec

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.project.readers import READERS
from fusestack.sources.ome_zarr import OmeZarrSource
from fusestack.sources.ome_zarr_facts import image_facts
from fusestack.storage import open_folder
from tests.contracts.source_contract import (
    Example,
    SourceContract,
    assert_refused,
    levels_of,
    open_fresh,
    pixels,
    random_boxes,
)

FACTORS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (2.0, 6.0, 4.0))
KINDS = {"t": "time", "c": "channel"}


def ref_of(path, timepoint=0, channel=0):
    return SourceRef(READERS[".zarr"], str(path), (("timepoint", timepoint), ("channel", channel)))


def write_image(path, arrays, axes="zyx", factors=((1.0, 1.0, 1.0),), *, version=3, translated=True, **settings):
    """Write an OME-Zarr image; `factors` are those of z, y, x."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    pixel_size = np.array([2.0, 0.5, 0.3])
    datasets = []
    for level, (array, factor) in enumerate(zip(arrays, factors, strict=True)):
        given = {"chunks": tuple(min(16, n) for n in array.shape)} | settings
        group.create_array(f"s{level}", data=array, **given)
        spatial = sum(axis in "zyx" for axis in axes)
        lead = len(axes) - spatial
        scale, f = pixel_size[-spatial:] * factor[-spatial:], np.array(factor[-spatial:])
        transforms = [{"type": "scale", "scale": [1.0] * lead + scale.tolist()}]
        if translated:
            shift = (pixel_size[-spatial:] * (7 + (f - 1) / 2)).tolist()
            transforms.append({"type": "translation", "translation": [0.0] * lead + shift})
        datasets.append({"path": f"s{level}", "coordinateTransformations": transforms})
    named = [{"name": axis, "type": KINDS.get(axis, "space")} for axis in axes]
    metadata = {"multiscales": [{"name": "image", "axes": named, "datasets": datasets}]}
    group.attrs.update({"ome": {"version": "0.5", **metadata}} if version == 3 else metadata)
    return group


def edit(path, change, version=3):
    """Change the multiscales entry of an image."""
    group = zarr.open_group(path, mode="r+", zarr_format=version)
    attributes = group.attrs.asdict()
    change((attributes.get("ome") or attributes)["multiscales"][0])
    group.attrs.put(attributes)


def damage_files(folder):
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.startswith((".z", "zarr.json")):
            file.write_bytes(b"\xff" * 20)


class TestSharded(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        path = tmp_path / "image.ome.zarr"
        full = pixels((3, 2, 37, 50, 60))
        arrays = levels_of(full, [(1, 1, *f) for f in FACTORS])
        write_image(path, arrays, "tczyx", FACTORS, chunks=(1, 1, 16, 16, 16), shards=(1, 1, 32, 32, 32))
        expected = tuple(array[2, 1] for array in arrays)
        return Example(ref_of(path, 2, 1), expected, FACTORS, lambda level: damage_files(path / f"s{level}"))


class TestVersion04(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        path = tmp_path / "image.zarr"
        arrays = levels_of(pixels((37, 50, 60), "float32"), FACTORS[:2])
        write_image(path, arrays, "zyx", FACTORS[:2], version=2)
        # A view's timepoint and channel say nothing where the image has one.
        return Example(ref_of(path, 5, 4), arrays, FACTORS[:2], lambda level: damage_files(path / f"s{level}"))


class TestPlainArray(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((2, 9, 20, 30), "uint8")
        zarr.create_array(tmp_path / "plain.zarr", data=array, chunks=(1, 4, 16, 16))
        return Example(ref_of(tmp_path / "plain.zarr", 0, 1), (array[1],))


@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx", "tzyx", "czyx", "tcyx", "tczyx"])
@pytest.mark.parametrize("version", [2, 3])
def test_any_axes(tmp_path, axes, version):
    shape = {"t": 3, "c": 2, "z": 5, "y": 20, "x": 24}
    array = pixels([shape[axis] for axis in axes])
    write_image(tmp_path / "a.zarr", [array], axes, version=version)
    source = open_fresh(ref_of(tmp_path / "a.zarr", 2, 1))
    expected = array[tuple({"t": 2, "c": 1}[axis] for axis in axes if axis in "tc")]
    expected = expected if "z" in axes else expected[None]
    assert source.levels[0].shape == expected.shape
    for box in random_boxes(expected.shape, 10):
        np.testing.assert_array_equal(source.read(0, box), expected[box.slices], strict=True)


@pytest.mark.parametrize("name", ["uint8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize("version", [2, 3])
def test_big_endian(tmp_path, name, version):
    array = pixels((5, 20, 24), name)
    if version == 2:
        stored, settings = array.astype(array.dtype.newbyteorder(">")), {}
    else:
        stored, settings = array, {"serializer": BytesCodec(endian="big"), "compressors": GzipCodec()}
    write_image(tmp_path / "a.zarr", [stored], version=version, **settings)
    found = open_fresh(ref_of(tmp_path / "a.zarr")).read(0, Box.of_shape(array.shape))
    np.testing.assert_array_equal(found, array, strict=True)
    assert found.dtype.isnative


def test_chunks_that_are_not_stored_hold_the_fill_value(tmp_path):
    group = write_image(tmp_path / "a.zarr", [np.zeros((20, 20, 20), "u2")], fill_value=9)
    group["s0"][:16, :16, :16] = 3
    expected = group["s0"][:]
    found = open_fresh(ref_of(tmp_path / "a.zarr")).read(0, Box.of_shape(expected.shape))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("ratio", "factor"), [(2.00005, 2.0), (1.99995, 2.0), (2.02, 2.02), (2.000249, 2.0002), (101 / 33, 3.0606)]
)
def test_factors_are_rounded(tmp_path, ratio, factor):
    arrays = levels_of(pixels((9, 20, 20)), FACTORS[:2])
    write_image(tmp_path / "a.zarr", arrays, factors=((1.0, 1.0, 1.0), (1.0, 1.0, ratio)), translated=False)
    assert open_fresh(ref_of(tmp_path / "a.zarr")).levels[1].factors == (1.0, 1.0, factor)


def test_images_before_scales(tmp_path):
    full = pixels((1, 2, 10, 20, 20))
    arrays = levels_of(full, [(1, 1, 1, 1, 1), (1, 1, 1, 2, 2)])
    write_image(tmp_path / "a.zarr", arrays, "tczyx", FACTORS[:2], version=2)

    def strip(image):
        del image["axes"]
        for entry in image["datasets"]:
            del entry["coordinateTransformations"]

    edit(tmp_path / "a.zarr", strip, version=2)
    source = open_fresh(ref_of(tmp_path / "a.zarr", 0, 1))
    assert [level.factors for level in source.levels] == list(FACTORS[:2])
    assert np.array_equal(source.read(1, Box.of_shape((10, 10, 10))), arrays[1][0, 1])


def test_levels_in_another_place_warn(tmp_path):
    arrays = levels_of(pixels((10, 20, 20)), FACTORS[:2])
    write_image(tmp_path / "a.zarr", arrays, factors=FACTORS[:2])

    def shift(image):
        image["datasets"][1]["coordinateTransformations"][1]["translation"] = [14.0, 3.5, 2.1]

    edit(tmp_path / "a.zarr", shift)
    with pytest.warns(
        UserWarning, match=r"a\.zarr: level 1 .*\[0\.0, 0\.0, 0\.0\] pixels instead of \[0\.0, 0\.5, 0\.5\]"
    ):
        source = open_fresh(ref_of(tmp_path / "a.zarr"))
    assert source.levels[1].factors == FACTORS[1]


def test_levels_without_a_place_do_not_warn(tmp_path):
    arrays = levels_of(pixels((10, 20, 20)), FACTORS[:2])
    write_image(tmp_path / "a.zarr", arrays, factors=FACTORS[:2], translated=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_fresh(ref_of(tmp_path / "a.zarr"))


@pytest.mark.parametrize(
    ("timepoint", "channel", "words"),
    [(2, 0, ("2 timepoints", "no timepoint 2")), (-1, 0, ("no timepoint -1",)), (0, 3, ("3 channels", "0 to 2"))],
)
def test_indices_outside(tmp_path, timepoint, channel, words):
    write_image(tmp_path / "a.zarr", [pixels((2, 3, 8, 8))], "tcyx")
    assert_refused(ref_of(tmp_path / "a.zarr", timepoint, channel), *words)


def set_axes(*names):
    def change(image):
        image["axes"] = [{"name": name} for name in names]

    return change


def set_first(key, value):
    def change(image):
        image["datasets"][0][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_axes("x", "x", "z"), ("axes are x, x, z", "axes: zyx")),
        (set_axes("y", "x"), ("3 axes",)),
        (set_axes("q", "y", "x"), ("q, y, x",)),
        (set_axes("y", "y", "x"), ("y, y, x",)),
        (set_first("path", "gone"), ("gone", "level is missing")),
        (set_first("path", "."), (".",)),
        (set_first("coordinateTransformations", [{"type": "scale", "scale": [1, 0, 1]}]), ("s0", "scale")),
        (set_first("coordinateTransformations", [{"type": "scale", "scale": [1, 1]}]), ("3 usable numbers",)),
        (set_first("coordinateTransformations", [{"type": "scale", "path": "p"}]), ("scale",)),
        (set_first("coordinateTransformations", [{"type": "affine", "affine": [1, 2, 3]}]), ("affine",)),
        (set_first("coordinateTransformations", 5), ("can be read",)),
        (lambda image: image.pop("datasets"), ("can be read",)),
        (lambda image: image.update(datasets=[]), ("no level",)),
        (lambda image: image["datasets"].reverse(), ("larger than the level before",)),
    ],
)
def test_metadata_that_cannot_be_used(tmp_path, change, words):
    write_image(tmp_path / "a.zarr", levels_of(pixels((10, 20, 20)), FACTORS[:2]), factors=FACTORS[:2])
    edit(tmp_path / "a.zarr", change)
    assert_refused(ref_of(tmp_path / "a.zarr"), *words)


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool", "complex64"])
def test_types_that_are_refused(tmp_path, dtype):
    write_image(tmp_path / "a.zarr", [np.zeros((4, 4, 4), dtype)])
    assert_refused(ref_of(tmp_path / "a.zarr"), dtype, "convert")


def test_groups_that_are_no_images(tmp_path):
    write_image(tmp_path / "plate.zarr" / "A1", [pixels((4, 4, 4))])
    zarr.open_group(tmp_path / "plate.zarr", mode="a")
    assert_refused(ref_of(tmp_path / "plate.zarr"), "no multiscale image", "it holds A1")
    (tmp_path / "empty.zarr").mkdir()
    assert_refused(ref_of(tmp_path / "empty.zarr"), "not a Zarr")
    (tmp_path / "file.zarr").write_text("no")
    assert_refused(ref_of(tmp_path / "file.zarr"), "Zarr")
    zarr.create_array(tmp_path / "line.zarr", data=np.zeros(5, "u1"))
    assert_refused(ref_of(tmp_path / "line.zarr"), "1 axes")


def test_cut_metadata(tmp_path):
    for version, name in ((3, "zarr.json"), (2, ".zattrs")):
        write_image(tmp_path / "a.zarr", [pixels((4, 4, 4))], version=version)
        for file in (
            tmp_path / "a.zarr" / name,
            tmp_path / "a.zarr" / "s0" / ("zarr.json" if version == 3 else ".zarray"),
        ):
            whole = file.read_bytes()
            for length in range(0, len(whole) - 2, 29):
                file.write_bytes(whole[:length])
                assert_refused(ref_of(tmp_path / "a.zarr"))
            file.write_bytes(json.dumps(["not", "an", "object"]).encode())
            assert_refused(ref_of(tmp_path / "a.zarr"))
            file.write_bytes(whole)


@pytest.mark.parametrize("shards", [None, (32, 32, 32)])
def test_cut_chunks(tmp_path, shards):
    array = pixels((32, 32, 32))
    write_image(tmp_path / "a.zarr", [array], shards=shards)
    file = next(f for f in (tmp_path / "a.zarr" / "s0").rglob("c/**/0") if f.is_file())
    whole = file.read_bytes()
    source = open_fresh(ref_of(tmp_path / "a.zarr"))
    for length in (*range(0, len(whole), 1 + len(whole) // 13), len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.zarr.*(the pixels cannot be read|is empty)"):
            source.read(0, Box.of_shape(array.shape))


@pytest.mark.parametrize("version", [2, 3])
def test_cut_chunks_that_blosc_could_not_compress(tmp_path, version):
    """Blosc would take what lies behind them in memory for their pixels."""
    array = np.random.default_rng(0).integers(0, 65536, (16, 16, 16)).astype(">u2" if version == 2 else "u2")
    blosc = numcodecs.Blosc("lz4", 1, 0) if version == 2 else zarr.codecs.BloscCodec(cname="lz4", clevel=1)
    write_image(tmp_path / "a.zarr", [array], version=version, compressors=blosc)
    source = open_fresh(ref_of(tmp_path / "a.zarr"))
    whole = Box.of_shape(array.shape)
    assert np.array_equal(source.read(0, whole), array)
    assert source.read(0, whole).dtype.isnative
    (file,) = (f for f in (tmp_path / "a.zarr" / "s0").rglob("*0") if f.is_file())
    data = file.read_bytes()
    for length in (10, 16, 17, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"the chunk is cut"):
            source.read(0, whole)
    file.write_bytes(data[:4] + b"\xff" * 4 + data[8:])
    with pytest.raises(InputError, match=r"cut or damaged"):
        source.read(0, whole)


def test_only_the_chunks_of_the_box_are_read(tmp_path):
    array = pixels((32, 32, 32))
    write_image(tmp_path / "a.zarr", [array])
    for file in Path(tmp_path / "a.zarr" / "s0" / "c").rglob("*"):
        if file.is_file() and file.relative_to(tmp_path / "a.zarr" / "s0" / "c").parts != ("1", "0", "1"):
            file.write_bytes(b"no")
    box = Box((17, 2, 16), (30, 16, 32))
    found = OmeZarrSource(str(tmp_path / "a.zarr")).read(0, box)
    assert np.array_equal(found, array[box.slices])


V2 = {"name": "v2", "separator": "/"}
LAYOUTS = {  # what the metadata say, and how the chunks lie
    "nested for flat": (2, {}, lambda key: key.replace(".", "/")),
    "flat for nested": (2, {"chunk_key_encoding": V2}, lambda key: key.replace("/", ".")),
    "flat version 3": (3, {}, lambda key: key.replace("/", ".")),
    "without c": (3, {}, lambda key: key.removeprefix("c/")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_that_are_called_otherwise(tmp_path, layout):
    version, settings, renamed = LAYOUTS[layout]
    arrays = levels_of(pixels((1, 20, 40, 50)), [(1, *f) for f in FACTORS[:2]])
    write_image(tmp_path / "i.zarr", arrays, "czyx", FACTORS[:2], version=version, **settings)
    assert not image_facts(str(tmp_path / "i.zarr")).said
    for level in ("s0", "s1"):
        folder = tmp_path / "i.zarr" / level
        keys = [str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file() and f.name[0] in "c0123456789"]
        (folder / "moved").mkdir()
        for key in keys:
            assert renamed(key) != key
            (folder / "moved" / renamed(key)).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).rename(folder / "moved" / renamed(key))
        shutil.rmtree(folder / "c", ignore_errors=True)
        shutil.rmtree(folder / "0", ignore_errors=True)
        for entry in list((folder / "moved").iterdir()):
            entry.rename(folder / entry.name)
    (said,) = image_facts(str(tmp_path / "i.zarr")).said
    assert said.startswith("its chunks are not called as its metadata say")
    source = open_fresh(ref_of(tmp_path / "i.zarr"))
    for level, array in enumerate(arrays):
        assert np.array_equal(source.read(level, Box.of_shape(array.shape[1:])), array[0])
        assert source.stored_chunk(level) is not None


CHUNKS = (1, 1, 16, 16, 16)
SPARSE = {"flat": (2, {}), "nested": (2, {"chunk_key_encoding": V2}), "version 3": (3, {})}
SPARSE["shards"] = (3, {"shards": (1, 1, 32, 32, 32)})
SPARSE["zarr-python"] = (2, {"order": "F"})  # what it has to read


@pytest.mark.parametrize("layout", SPARSE)
def test_chunk_that_is_stored(tmp_path, layout):
    """Wherever the only chunk of a timepoint and channel is, it is found; of another channel there is none."""
    version, settings = SPARSE[layout]
    for place in random_boxes((20, 40, 50), 4):
        array = np.zeros((2, 2, 20, 40, 50), "u2")
        array[1, 0][tuple(slice(a, a + 1) for a in place.start)] = 7
        write_image(tmp_path / "i.zarr", [array], "tczyx", version=version, chunks=CHUNKS, **settings)
        source = open_fresh(ref_of(tmp_path / "i.zarr", 1, 0))
        found = source.stored_chunk(0)
        if layout == "zarr-python":  # it says that something is stored, not where
            assert found is not None
            continue
        assert source.read(0, found).max() == 7
        assert open_fresh(ref_of(tmp_path / "i.zarr", 1, 1)).stored_chunk(0) is None


def test_no_chunk_is_stored(tmp_path):
    for version, settings in SPARSE.values():
        write_image(
            tmp_path / "i.zarr",
            [np.zeros((1, 1, 20, 40, 50), "u2")],
            "tczyx",
            version=version,
            chunks=CHUNKS,
            **settings,
        )
        assert open_fresh(ref_of(tmp_path / "i.zarr")).stored_chunk(0) is None


def test_chunks_behind_an_address(tmp_path):
    """Of all chunks, only a few are asked for: the middle one, the corners, and what lies between."""
    write_image(tmp_path / "i.zarr", [pixels((20, 40, 50))])
    address = f"memory://{tmp_path.name}/i.zarr"
    folder = open_folder(address)
    keys = [str(path.relative_to(tmp_path / "i.zarr")) for path in (tmp_path / "i.zarr").rglob("*") if path.is_file()]
    for key in keys:
        if "/c/" not in key:
            folder.put(key, [(tmp_path / "i.zarr" / key).read_bytes()])
    assert open_fresh(ref_of(address)).stored_chunk(0) is None
    folder.put("s0/c/1/2/3", [(tmp_path / "i.zarr/s0/c/1/2/3").read_bytes()])
    source = open_fresh(ref_of(address))
    assert source.stored_chunk(0) == Box((16, 32, 48), (20, 40, 50))


def test_levels_are_called_as_the_metadata_say(tmp_path):
    path = tmp_path / "t0.zarr"
    arrays = levels_of(pixels((4, 20, 20)), FACTORS[:2])
    write_image(path, arrays, factors=FACTORS[:2])

    def rename(image):
        for number, dataset in enumerate(image["datasets"]):
            (path / dataset["path"]).rename(path / f"level{number}")
            dataset["path"] = f"level{number}"

    edit(path, rename)
    ref = SourceRef("fusestack.sources.ome_zarr:OmeZarrSource", str(path), (("numbered", True),))
    for level, array in enumerate(arrays):
        np.testing.assert_array_equal(open_fresh(ref).read(level, Box.of_shape(array.shape)), array)
