from __future__ import annotations

import json
import struct

import imagecodecs
import numpy as np
import pytest
import tensorstore

from fusestack.errors import InputError
from fusestack.geometry import Box
from fusestack.view import SourceRef
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
