from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources import bdv_hdf5, hdf5_chunks
from fusestack.sources.bdv_hdf5 import BdvHdf5Source
from tests.conftest import SHARED
from tests.contracts.source_contract import (
    Example,
    SourceContract,
    assert_cuts_noticed,
    assert_refused,
    levels_of,
    open_fresh,
    pixels,
    random_boxes,
)

DATA = SHARED / "data"
FACTORS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (2.0, 6.0, 4.0))


def ref_of(path, setup=0, timepoint=0):
    return SourceRef(
        "fusestack.sources.bdv_hdf5:BdvHdf5Source", str(path), (("setup", setup), ("timepoint", timepoint))
    )


def write_setup(file, arrays, factors=((1.0, 1.0, 1.0),), *, setup=0, timepoint=0, declared=None, **settings):
    """Write a view as it is laid out by BigDataViewer; `arrays` have the stored type."""
    name = f"s{setup:02d}"
    if name not in file:
        file[f"{name}/resolutions"] = np.array([f[::-1] for f in factors])
        file[f"{name}/subdivisions"] = np.full((len(factors), 3), 16, "i4")
        if declared is not None:
            file[name].attrs["dataType"] = declared
    settings = {"chunks": (16, 32, 32), "compression": "gzip", "shuffle": True} | settings
    for level, array in enumerate(arrays):
        given = dict(settings)
        if given["chunks"]:
            given["chunks"] = tuple(min(a, b) for a, b in zip(given["chunks"], array.shape, strict=True))
        file.create_dataset(f"t{timepoint:05d}/{name}/{level}/cells", data=array, **given)


def damage_chunks(path, name):
    """Overwrite the stored bytes of all chunks of a dataset."""
    with h5py.File(path) as file:
        dataset = file[name].id
        chunks = [dataset.get_chunk_info(i) for i in range(dataset.get_num_chunks())]
    bdv_hdf5._FILES.clear()
    with path.open("r+b") as raw:
        for chunk in chunks:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xff" * chunk.size)


class TestBdvHdf5(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        path = tmp_path / "dataset.h5"
        arrays = levels_of(pixels((37, 75, 90)), FACTORS)
        with h5py.File(path, "w") as file:
            write_setup(file, [a.view("i2") for a in arrays], FACTORS, setup=3, timepoint=12)
        damage = lambda level: damage_chunks(path, f"t00012/s03/{level}/cells")  # noqa: E731
        return Example(ref_of(path, 3, 12), arrays, FACTORS, damage)


class TestPartitions(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        arrays = levels_of(pixels((20, 40, 50)), FACTORS[:2])
        with h5py.File(tmp_path / "dataset-00-00.h5", "w") as part, h5py.File(tmp_path / "dataset.h5", "w") as main:
            write_setup(part, arrays, FACTORS[:2], declared="uint16")
            part.copy("s00", main)
            main["t00000/s00"] = h5py.ExternalLink("dataset-00-00.h5", "t00000/s00")
        return Example(ref_of(tmp_path / "dataset.h5"), arrays, FACTORS[:2])

    def test_missing_partition(self, example, tmp_path):
        (tmp_path / "dataset-00-00.h5").unlink()
        assert_refused(example.ref, str(tmp_path / "dataset-00-00.h5"), "is missing", "restore")

    def test_truncated_partition(self, example, tmp_path):
        part = tmp_path / "dataset-00-00.h5"
        part.write_bytes(part.read_bytes()[:3000])
        assert_refused(example.ref, str(part), "cannot be read")

    def test_partition_without_the_view(self, example, tmp_path):
        with h5py.File(tmp_path / "dataset-00-00.h5", "w") as part:
            part["other"] = 1
        assert_refused(example.ref, "t00000/s00")


@pytest.mark.parametrize(
    ("stored", "declared", "expected"),
    [
        ("i2", None, "uint16"),  # old files keep uint16 in int16
        ("i2", "uint16", "uint16"),
        ("i2", "int16", "int16"),
        ("u2", None, "uint16"),
        ("u2", "uint16", "uint16"),
        (">i2", None, "uint16"),
        (">u2", "uint16", "uint16"),
        ("u1", None, "uint8"),
        ("i1", "uint8", "uint8"),
        ("f4", None, "float32"),
        (">f4", "float32", "float32"),
        ("u4", None, "uint32"),
    ],
)
def test_pixel_types(tmp_path, stored, declared, expected):
    array = pixels((17, 33, 40), expected)
    array[0, 0, 0] = 40000 if array.itemsize > 1 and expected != "int16" else 99
    bits = array if expected == "float32" else array.view(np.dtype(stored).newbyteorder("="))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_setup(file, [bits.astype(stored)], declared=declared)
    source = BdvHdf5Source(str(tmp_path / "a.h5"), setup=0, timepoint=0)
    found = source.read(0, Box.of_shape(array.shape))
    assert source.dtype == expected
    assert found[0, 0, 0] == array[0, 0, 0]
    np.testing.assert_array_equal(found, array, strict=True)


@pytest.mark.parametrize(
    ("stored", "declared", "words"),
    [
        ("f8", None, ("float64", "convert")),
        ("i4", None, ("int32",)),
        ("u2", "float32", ("uint16", "float32", "dataType")),
        ("i4", "float32", ("int32", "dataType")),
        ("u2", "nonsense", ("nonsense",)),
    ],
)
def test_types_that_are_refused(tmp_path, stored, declared, words):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_setup(file, [np.ones((4, 4, 4), stored)], declared=declared)
    assert_refused(ref_of(tmp_path / "a.h5"), "t00000/s00/0/cells", *words)


SETTINGS = {
    "gzip": {"shuffle": False},
    "gzip and shuffle": {},
    "shuffle": {"compression": None},
    "none": {"compression": None, "shuffle": False},
    "contiguous": {"compression": None, "shuffle": False, "chunks": None},
    "lzf": {"compression": "lzf"},
    "checksum": {"fletcher32": True},
    "small chunks": {"chunks": (8, 8, 8)},
    "newest": {"libver": "latest"},
}


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "f4"])
@pytest.mark.parametrize("name", SETTINGS)
def test_same_as_plain_h5py(tmp_path, name, dtype):
    settings = dict(SETTINGS[name])
    array = pixels((40, 50, 70), np.dtype(dtype).newbyteorder("=")).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w", libver=settings.pop("libver", None)) as file:
        write_setup(file, [array], chunks=settings.pop("chunks", (32, 32, 40)), **settings)
    with h5py.File(tmp_path / "a.h5") as file:
        dataset = file["t00000/s00/0/cells"]
        decoded_here = hdf5_chunks.own_filters(dataset) is not None
        assert decoded_here == (name not in ("contiguous", "lzf", "checksum"))
        for box in random_boxes(array.shape, 30):
            found = hdf5_chunks.read_region(dataset, box)
            np.testing.assert_array_equal(found, dataset[box.slices], strict=True)


def test_chunks_that_are_not_stored_or_not_filtered(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_setup(file, [])
        cells = file.create_dataset(
            "t00000/s00/0/cells", (70, 64, 64), "i2", chunks=(32,) * 3, compression="gzip", shuffle=True, fillvalue=-3
        )
        plain = pixels((32, 32, 32))
        cells.id.write_direct_chunk((0, 32, 0), plain.tobytes(), filter_mask=0b11)
        cells[32:64, :32, 32:] = plain.view("i2")
        expected = cells[()].view("u2")
    source = BdvHdf5Source(str(tmp_path / "a.h5"), setup=0, timepoint=0)
    assert np.array_equal(source.read(0, Box.of_shape(expected.shape)), expected)
    assert expected[0, 0, 0] == 65533


def test_chunk_that_is_too_short(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_setup(file, [np.ones((32, 32, 32), "u2")], compression=None, chunks=(32,) * 3)
        file["t00000/s00/0/cells"].id.write_direct_chunk((0, 0, 0), b"12345678", filter_mask=0b1)
    source = BdvHdf5Source(str(tmp_path / "a.h5"), setup=0, timepoint=0)
    with pytest.raises(InputError, match=r"t00000/s00/0/cells.* holds 8 bytes, not 65536"):
        source.read(0, Box((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize(
    ("setup", "timepoint", "words"),
    [(1, 0, ("s01/resolutions",)), (0, 1, ("t00001/s00/0/cells", "select.views")), (2, 0, ("t00000/s02/1/cells",))],
)
def test_views_that_are_not_there(tmp_path, setup, timepoint, words):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_setup(file, [np.ones((4, 4, 4), "u2")])
        write_setup(file, [np.ones((4, 4, 4), "u2")], FACTORS[:2], setup=2)
    assert_refused(ref_of(tmp_path / "a.h5", setup, timepoint), *words)


@pytest.mark.parametrize("rows", [[[1, 1]], [[1, 0, 1]], [[1, float("nan"), 1]], np.ones((0, 3))])
def test_factors_that_are_none(tmp_path, rows):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["s00/resolutions"] = np.asarray(rows, float)
    assert_refused(ref_of(tmp_path / "a.h5"), "s00/resolutions", "positive factors")


def test_structures_that_are_no_views(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_setup(file, [])
        file["t00000/s00/0/cells/group"] = 1
        file["t00001/s00/0/cells"] = np.ones((4, 4), "u2")
    assert_refused(ref_of(tmp_path / "a.h5"), "is not a dataset")
    assert_refused(ref_of(tmp_path / "a.h5", 0, 1), "2 axes")


def test_cut_files(tmp_path):
    path = tmp_path / "a.h5"
    arrays = levels_of(pixels((20, 40, 50)), FACTORS[:2])
    with h5py.File(path, "w") as file:
        write_setup(file, arrays, FACTORS[:2])

    def lengths(size):
        bdv_hdf5._FILES.clear()
        for length in [0, 1, 7, 8, 50, 96, 200, *range(300, size, size // 40), size - 1]:
            yield length
            bdv_hdf5._FILES.clear()

    refused = assert_cuts_noticed(ref_of(path), arrays, path, lengths)
    assert refused >= 40


def test_files_that_are_not_hdf5(tmp_path):
    (tmp_path / "a.h5").write_text("<html>404</html>")
    assert_refused(ref_of(tmp_path / "a.h5"), "not an HDF5 file")
    (tmp_path / "folder.h5").mkdir()
    assert_refused(ref_of(tmp_path / "folder.h5"), "a directory")


def test_file_that_is_being_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_setup(file, [np.ones((4, 4, 4), "u2")])
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+', locking=True); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline()
        try:
            assert_refused(ref_of(tmp_path / "a.h5"), "another program")
        finally:
            writer.communicate(b"\n")
    assert open_fresh(ref_of(tmp_path / "a.h5")).levels[0].shape == (4, 4, 4)


def test_one_handle_per_file_and_process(tmp_path, monkeypatch):
    monkeypatch.setattr(bdv_hdf5, "_FILES_LIMIT", 3)
    array = pixels((4, 5, 6))
    for i in range(6):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            write_setup(file, [array])
            write_setup(file, [array + 1], timepoint=1)
    sources = [(t, BdvHdf5Source(str(tmp_path / f"{i}.h5"), setup=0, timepoint=t)) for i in range(6) for t in range(2)]
    assert len(bdv_hdf5._FILES) == 3
    assert all(pid == os.getpid() for pid, _ in bdv_hdf5._FILES)
    for t, source in sources:  # those that were let go are opened again
        assert np.array_equal(source.read(0, Box.of_shape(array.shape)), array + t)
    monkeypatch.setattr(bdv_hdf5.os, "getpid", lambda: 1)  # as after a fork
    assert np.array_equal(sources[0][1].read(0, Box.of_shape(array.shape)), array)
    assert (1, str(tmp_path / "0.h5")) in bdv_hdf5._FILES


def test_import_is_light():
    heavy = "h5py", "zarr", "tifffile", "imagecodecs"
    code = f"import sys, fusestack.sources.bdv_hdf5; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.beside("data")
@pytest.mark.parametrize("name", ["kidney/kidney", "kidney-tiles/dataset", "kidney-angles/dataset"])
def test_published_projects(name, tmp_path):
    path = DATA / f"{name}.h5"
    if name == "kidney/kidney":
        path = Path(shutil.copy(path, tmp_path))  # other tests read the original
    with h5py.File(path) as file:
        views = [(t, s) for t in file if t.startswith("t0") for s in file[t]]
        expected = {view: file[f"{view[0]}/{view[1]}/0/cells"][()] for view in views[:3]}
    for (t, s), array in expected.items():
        source = BdvHdf5Source(str(path), setup=int(s[1:]), timepoint=int(t[1:]))
        assert source.dtype == np.uint16
        assert np.array_equal(source.read(0, Box.of_shape(array.shape)), array.view("u2"))


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("stored", [0, 32])
def test_chunks_that_are_not_stored_are_black(tmp_path, compression, stored):
    path = tmp_path / "dataset.h5"
    with h5py.File(path, "w") as file:
        write_setup(file, [np.zeros((16, 64, 64), np.int16)], compression=compression)
        del file["t00000/s00/0/cells"]
        cut = {"chunks": (16, 64, 32), "compression": compression}
        cells = file.create_dataset("t00000/s00/0/cells", shape=(16, 64, 64), dtype="<i2", **cut)
        if stored:
            cells[:, :, :stored] = 9
    box = Box((3, 5, 7), (16, 64, 60))
    found = BdvHdf5Source(str(path), setup=0, timepoint=0).read(0, box)
    assert found.shape == box.shape
    assert found.any() == bool(stored)
    assert (found == np.where(np.arange(7, 60) < stored, 9, 0)).all()


FILTERS = {
    "blosc": lambda: hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.BITSHUFFLE),
    "blosc2": hdf5plugin.Blosc2,
    "lz4": hdf5plugin.LZ4,
    "zstd": hdf5plugin.Zstd,
    "bitshuffle": hdf5plugin.Bitshuffle,
    "bzip2": hdf5plugin.BZip2,
    "lzf": lambda: {"compression": "lzf", "shuffle": True},
    "checksum": lambda: {"compression": "gzip", "fletcher32": True},
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_other_programs(name, tmp_path):
    arrays = levels_of(pixels((20, 40, 50)), FACTORS[:2])
    with h5py.File(tmp_path / "dataset.h5", "w") as file:
        write_setup(file, arrays, FACTORS[:2], **{"compression": None, "shuffle": False, **FILTERS[name]()})
    source = open_fresh(ref_of(tmp_path / "dataset.h5"))
    for level, array in enumerate(arrays):
        for box in random_boxes(array.shape, 5):
            assert np.array_equal(source.read(level, box), array[box.slices])


def test_filters_are_loaded_where_one_is_met(tmp_path):
    array = pixels((20, 40, 50))
    with h5py.File(tmp_path / "usual.h5", "w") as file:
        write_setup(file, [array])
    with h5py.File(tmp_path / "zstd.h5", "w") as file:
        write_setup(file, [array], shuffle=False, **hdf5plugin.Zstd())
    program = f"""
import sys
from fusestack.model.geometry import Box
from fusestack.sources.bdv_hdf5 import BdvHdf5Source
read = lambda name: BdvHdf5Source(name, setup=0, timepoint=0).read(0, Box((0, 0, 0), (20, 40, 50))).sum()
assert read({str(tmp_path / "usual.h5")!r}) == {array.sum()}
assert "hdf5plugin" not in sys.modules
assert read({str(tmp_path / "zstd.h5")!r}) == {array.sum()}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(("number", "name"), [(32016, "b3d"), (40321, "unknown")])
def test_filter_that_nobody_brings(number, name, tmp_path):
    with h5py.File(tmp_path / "dataset.h5", "w") as file:
        write_setup(file, [pixels((16, 32, 32))])
        del file["t00000/s00/0/cells"]
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((16, 32, 32))
        settings.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((16, 32, 32))
        h5py.h5d.create(file["t00000/s00/0"].id, b"cells", h5py.h5t.STD_I16LE, space, settings)
    assert_refused(ref_of(tmp_path / "dataset.h5"), "t00000/s00/0/cells", f"{number} ({name})", "save it again")


@pytest.mark.parametrize("chunks", [(16, 32, 32), None])
def test_chunk_that_is_stored(chunks, tmp_path):
    array = np.zeros((40, 70, 70), "u2")
    with h5py.File(tmp_path / "dataset.h5", "w") as file:
        write_setup(file, [array, array[::2]], FACTORS[:2])
        for level in (0, 1):
            del file[f"t00000/s00/{level}/cells"]
            file.create_dataset(f"t00000/s00/{level}/cells", array.shape, "u2", chunks=chunks)
        file["t00000/s00/1/cells"][3, 60, 60] = 7
    source = open_fresh(ref_of(tmp_path / "dataset.h5"))
    assert source.stored_chunk(0) is None
    found = source.stored_chunk(1)
    assert found == (Box((0, 32, 32), (16, 64, 64)) if chunks else Box((39, 69, 0), (40, 70, 70)))
    assert chunks is None or source.read(1, found).max() == 7
