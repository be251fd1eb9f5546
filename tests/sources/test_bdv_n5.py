from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pytest
import tensorstore

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef, ViewId
from fusestack.project.loaders import sources_of
from fusestack.project.loaders.base import Description
from tests.contracts.source_contract import Example, SourceContract, assert_refused, levels_of, open_fresh, pixels

FACTORS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (2.0, 6.0, 4.0))
BLOCK = (8, 20, 30)


def ref_of(path, setup=0, timepoint=0):
    return SourceRef("fusestack.sources.bdv_n5:BdvN5Source", str(path), (("setup", setup), ("timepoint", timepoint)))


def write_setup(path, setup, factors, dtype="uint16"):
    group = path / f"setup{setup}"
    group.mkdir(parents=True, exist_ok=True)
    rows = [[int(f) for f in reversed(factor)] for factor in factors]
    (group / "attributes.json").write_text(json.dumps({"downsamplingFactors": rows, "dataType": dtype}))


def write_level(path, array, compression, *, setup=0, timepoint=0, level=0):
    metadata = {
        "dimensions": array.shape[::-1],
        "blockSize": BLOCK[::-1],
        "dataType": array.dtype.name,
        "compression": compression,
    }
    place = path / f"setup{setup}" / f"timepoint{timepoint}" / f"s{level}"
    store = {"driver": "n5", "kvstore": f"file://{place}/", "metadata": metadata}
    tensorstore.open(store, create=True).result().write(array.T).result()
    return place


def lz4_stream(data, part=1 << 12, *, raw_every=3):
    """Java's LZ4 block stream: compressed and plain blocks, then an empty one."""
    stream = b""
    for number, start in enumerate(range(0, len(data), part)):
        piece = data[start : start + part]
        payload, token = imagecodecs.lz4_encode(piece), 0x20
        if number % raw_every == 2:
            payload, token = piece, 0x10
        stream += struct.pack("<8sBIII", b"LZ4Block", token | 2, len(payload), len(piece), 0) + payload
    return stream + struct.pack("<8sBIII", b"LZ4Block", 0x12, 0, 0, 0)


def write_lz4(path, array, *, setup=0, timepoint=0, level=0):
    """As `write_level`; blocks at the edge are as small as what is left of them."""
    place = path / f"setup{setup}" / f"timepoint{timepoint}" / f"s{level}"
    for index in np.ndindex(*(-(-n // b) for n, b in zip(array.shape, BLOCK, strict=True))):
        part = array[tuple(slice(i * b, (i + 1) * b) for i, b in zip(index, BLOCK, strict=True))]
        header = struct.pack(">HH3I", 0, 3, *reversed(part.shape))
        file = place.joinpath(*(str(i) for i in reversed(index)))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(header + lz4_stream(part.astype(part.dtype.newbyteorder(">")).tobytes()))
    attributes = {"dimensions": array.shape[::-1], "blockSize": BLOCK[::-1], "dataType": array.dtype.name}
    (place / "attributes.json").write_text(
        json.dumps(attributes | {"compression": {"type": "lz4", "blockSize": 65536}})
    )
    return place


def damage_blocks(place):
    for file in place.rglob("*"):
        if file.is_file() and file.name != "attributes.json":
            file.write_bytes(file.read_bytes()[:24])


class TestGzip(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        path = tmp_path / "dataset.n5"
        arrays = levels_of(pixels((37, 75, 90)), FACTORS)
        write_setup(path, 3, FACTORS)
        places = [
            write_level(path, array, {"type": "gzip", "level": 1}, setup=3, timepoint=12, level=i)
            for i, array in enumerate(arrays)
        ]
        return Example(ref_of(path, 3, 12), arrays, FACTORS, lambda level: damage_blocks(places[level]))


class TestLz4(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        path = tmp_path / "dataset.n5"
        array = pixels((17, 45, 61))
        write_setup(path, 0, FACTORS[:1])
        place = write_lz4(path, array)
        return Example(ref_of(path), (array,), FACTORS[:1], lambda _: damage_blocks(place))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize("kind", ["raw", "gzip", "zlib", "bzip2", "xz", "blosc", "zstd"])
def test_types_and_compressions(tmp_path, kind, dtype):
    options = {
        "gzip": {"type": "gzip", "level": 6},
        "zlib": {"type": "gzip", "level": 6, "useZlib": True},
        "bzip2": {"type": "bzip2", "blockSize": 1},
        "xz": {"type": "xz", "preset": 1},
        "blosc": {"type": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 2},
        "zstd": {"type": "zstd", "level": 3},
    }
    array = pixels((17, 45, 61), dtype)
    write_setup(tmp_path, 0, FACTORS[:1], dtype)
    write_level(tmp_path, array, options.get(kind, {"type": kind}))
    source = open_fresh(ref_of(tmp_path))
    assert source.dtype == array.dtype
    np.testing.assert_array_equal(source.read(0, Box.of_shape(array.shape)), array)


def test_blocks_that_are_not_stored_are_zero(tmp_path):
    array = pixels((17, 45, 61))
    write_setup(tmp_path, 0, FACTORS[:1])
    place = write_level(tmp_path, array, {"type": "raw"})
    (place / "1" / "0" / "2").unlink()
    array[16:, :20, 30:60] = 0
    np.testing.assert_array_equal(open_fresh(ref_of(tmp_path)).read(0, Box.of_shape(array.shape)), array)


def test_blocks_of_varying_length_and_larger_than_the_image(tmp_path):
    array = pixels((5, 7, 9))
    write_setup(tmp_path, 0, FACTORS[:1])
    place = write_level(tmp_path, array, {"type": "raw"})
    whole = np.zeros(BLOCK, ">u2")
    whole[:5, :7, :9] = array
    header = struct.pack(">HH3II", 1, 3, *reversed(BLOCK), whole.size)
    (place / "0" / "0" / "0").write_bytes(header + whole.tobytes())
    np.testing.assert_array_equal(open_fresh(ref_of(tmp_path)).read(0, Box.of_shape(array.shape)), array)


def test_what_is_missing_is_named(tmp_path):
    write_setup(tmp_path, 0, FACTORS[:1])
    write_level(tmp_path, pixels((5, 7, 9)), {"type": "raw"})
    assert_refused(ref_of(tmp_path, 1, 0), "setup1", "no such setup", "restore")
    assert_refused(ref_of(tmp_path, 0, 4), "setup0/timepoint4/s0", "no such dataset", "restore")
    attributes = tmp_path / "setup0" / "timepoint0" / "s0" / "attributes.json"
    attributes.write_text(attributes.read_text().replace('"raw"', '"jpeg"'))
    assert_refused(ref_of(tmp_path), "compression 'jpeg' is unknown")
    attributes.write_text("{")
    assert_refused(ref_of(tmp_path), "cannot be read")


def test_streams_of_lz4_that_are_cut_are_noticed(tmp_path):
    array = pixels((17, 45, 61))
    write_setup(tmp_path, 0, FACTORS[:1])
    file = write_lz4(tmp_path, array) / "0" / "0" / "0"
    data = file.read_bytes()
    for length in (10, 20, 40, len(data) // 2):
        file.write_bytes(data[:length])
        with pytest.raises(InputError, match="the pixels cannot be read"):
            open_fresh(ref_of(tmp_path)).read(0, Box.of_shape(array.shape))
    file.write_bytes(data[:16] + b"NOTLZ4!!" + data[24:])
    with pytest.raises(InputError, match="lz4 blocks is damaged"):
        open_fresh(ref_of(tmp_path)).read(0, Box.of_shape(array.shape))


PLAIN = {
    "raw": {"type": "raw"},
    "gzip": {"type": "gzip", "level": 6},
    "zlib": {"type": "gzip", "level": 6, "useZlib": True},
    "bzip2": {"type": "bzip2", "blockSize": 1},
    "xz": {"type": "xz", "preset": 1},
    "blosc": {"type": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 0},
    "zstd": {"type": "zstd", "level": 3},
}


def read_or_message(source):
    try:
        return source.read(0, Box.of_shape(BLOCK))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("kind", [*PLAIN, "lz4"])
def test_cut_blocks_are_noticed_and_named(tmp_path, kind):
    """Pixels that nothing can compress, too: blosc then stores them as they are, without anything to check."""
    for number, array in enumerate((pixels(BLOCK), np.full(BLOCK, 7, "u2"))):
        write_setup(tmp_path, number, FACTORS[:1])
        save = write_lz4 if kind == "lz4" else lambda path, a, **view: write_level(path, a, PLAIN[kind], **view)
        block = save(tmp_path, array, setup=number) / "0" / "0" / "0"
        whole = block.read_bytes()
        source = open_fresh(ref_of(tmp_path, number))
        size = len(whole)
        for length in {*range(41), size // 2, size - 200, size - 30, size - 1} & {*range(size)}:
            block.write_bytes(whole[:length])
            found = read_or_message(source)
            if isinstance(found, str):
                assert str(block) in found
                assert "restore" in found
            else:  # only what ends a stream is missing
                assert kind == "lz4"
                assert length >= size - 21
                assert np.array_equal(found, array)


@pytest.mark.parametrize("place", range(16, 60))
def test_blocks_with_a_wrong_byte_never_crash(tmp_path, place):
    write_setup(tmp_path, 0, FACTORS[:1])
    for kind in (*PLAIN, "lz4"):
        array = pixels(BLOCK)
        made = write_lz4(tmp_path, array) if kind == "lz4" else write_level(tmp_path, array, PLAIN[kind])
        block = made / "0" / "0" / "0"
        data = bytearray(block.read_bytes())
        data[place] ^= 0xFF
        block.write_bytes(data)
        found = read_or_message(open_fresh(ref_of(tmp_path)))
        assert str(block) in found if isinstance(found, str) else found.shape == BLOCK
        shutil.rmtree(made)


def test_lz4_blocks_that_lie_about_their_size(tmp_path):
    write_setup(tmp_path, 0, FACTORS[:1])
    block = write_lz4(tmp_path, np.zeros(BLOCK, "u2")) / "0" / "0" / "0"
    data = bytearray(block.read_bytes())
    for size in (2**31, 4097, 4095):
        data[16 + 13 : 16 + 17] = struct.pack("<I", size)
        block.write_bytes(data)
        with pytest.raises(InputError, match="the pixels cannot be read"):
            open_fresh(ref_of(tmp_path)).read(0, Box.of_shape(BLOCK))


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("zstd", {"compression": {"type": "zstd", "level": 3, "nbWorkers": 0}}),
        ("blosc", {"compression": {"type": "blosc", "cname": "lz4", "clevel": 1, "shuffle": 0, "nthreads": 1}}),
        ("gzip", {"compressionType": "gzip"}),  # before version 2
    ],
)
def test_attributes_as_other_versions_write_them(tmp_path, kind, written):
    array = pixels((17, 45, 61))
    write_setup(tmp_path, 0, FACTORS[:1])
    attributes = write_level(tmp_path, array, PLAIN[kind]) / "attributes.json"
    known = json.loads(attributes.read_text())
    del known["compression"]
    attributes.write_text(json.dumps(known | written))
    np.testing.assert_array_equal(open_fresh(ref_of(tmp_path)).read(0, Box.of_shape(array.shape)), array)


def test_views_of_many_timepoints_and_setups(tmp_path):
    written = {}
    for setup, dtype in enumerate(("uint16", "float32")):
        write_setup(tmp_path, setup, FACTORS[:2], dtype)
        for timepoint in (0, 3):
            arrays = levels_of(pixels((9, 21, 33), dtype, seed=10 * setup + timepoint), FACTORS[:2])
            written[setup, timepoint] = arrays
            for level, array in enumerate(arrays):
                write_level(tmp_path, array, {"type": "zstd"}, setup=setup, timepoint=timepoint, level=level)
    for (setup, timepoint), arrays in written.items():
        source = open_fresh(ref_of(tmp_path, setup, timepoint))
        for level, array in enumerate(arrays):
            np.testing.assert_array_equal(source.read(level, Box.of_shape(array.shape)), array, strict=True)


def test_levels_that_do_not_fit(tmp_path):
    write_setup(tmp_path, 0, FACTORS[:2])
    write_level(tmp_path, pixels((9, 21, 33)), {"type": "raw"})
    assert_refused(ref_of(tmp_path), "setup0/timepoint0/s1", "no such dataset")
    write_level(tmp_path, pixels((9, 10, 16), "uint8"), {"type": "raw"}, level=1)
    assert_refused(ref_of(tmp_path), "setup0/timepoint0/s1", "holds uint8, but level 0 uint16")
    for rows in ([], [[1, 1]], [[1, 1, 0]], [["a", 1, 1]], 5, [[1, 1, None]]):
        (tmp_path / "setup0" / "attributes.json").write_text(json.dumps({"downsamplingFactors": rows}))
        assert_refused(ref_of(tmp_path), "setup0", "restore")


@pytest.mark.parametrize("loader", ["bdv.n5", "bdv.n5.cloud"])
@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("<n5 type='relative'>dataset.n5</n5>", "/project/dataset.n5"),
        ("<n5 type='relative'>a%20b/data.n5</n5>", "/project/a b/data.n5"),
        ("<n5 type='absolute'>file:/d/a%20b.n5/</n5>", "/d/a b.n5"),
        ("<n5>C:\\d\\x.n5</n5>", "C:/d/x.n5"),
        ("<n5>s3://bucket/a%20b.n5</n5>", "s3://bucket/a b.n5"),
        ("<n5 type='absolute'>gs://bucket/x.n5</n5>", "gs://bucket/x.n5"),
        ("<n5>https://host/x.n5</n5>", "https://host/x.n5"),
    ],
)
def test_loaders(loader, element, expected):
    root = ElementTree.fromstring(f"<ImageLoader format='{loader}' version='1.0'>{element}</ImageLoader>")
    found = sources_of(root, Description("/project"))(ViewId(4, 2))
    beside = () if "://" in expected else (f"{expected}/setup2/attributes.json",)
    assert found == replace(ref_of(expected, 2, 4), files=beside)
    assert found.paths[0] == (f"{expected}/setup2/timepoint4" if beside else expected)


def test_loader_without_a_container():
    with pytest.raises(ValueError, match=r"bdv\.n5.*has no n5 element"):
        sources_of(ElementTree.fromstring("<ImageLoader format='bdv.n5'/>"), Description("/project"))


def test_block_that_is_stored(tmp_path):
    path, array = tmp_path / "dataset.n5", pixels((17, 45, 61))
    write_setup(path, 0, FACTORS[:1])
    place = write_lz4(path, array)
    blocks = [file for file in place.rglob("*") if file.is_file() and file.name != "attributes.json"]
    kept = place / "1" / "2" / "0"  # x, y, z
    assert kept in blocks
    for file in blocks:
        if file != kept:
            file.unlink()
    source = open_fresh(ref_of(path))
    found = source.stored_chunk(0)
    assert found.start == (0, 2 * BLOCK[1], BLOCK[2])
    assert np.array_equal(source.read(0, found), array[found.slices])
    kept.unlink()
    assert open_fresh(ref_of(path)).stored_chunk(0) is None
