from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.image import Codec
from fusestack.model.stage import Target
from fusestack.writers import WRITERS
from tests.contracts.writer_contract import WriterContract, all_blocks, image_spec, random_levels, tree


class TestBdvHdf5(WriterContract):
    format, suffix = "bdv-hdf5", ".h5"

    def placement(self, spec, level):
        """BigDataViewer's own rule: level pixel i is level-0 pixel f*i + (f-1)/2."""
        with h5py.File(spec.path, "r") as file:
            factors = file["s00/resolutions"][level][::-1]
        size = np.array(spec.pixel_size)
        return size * factors, spec.origin + size * (factors - 1) / 2


CONTRACT = TestBdvHdf5()


def check_file(spec, arrays):
    with h5py.File(spec.path, "r") as file:
        for level, pixels in enumerate(arrays):
            for t, timepoint in enumerate(spec.timepoints):
                for c in range(len(spec.channels)):
                    data = file[f"t{timepoint:05d}/s{c:02d}/{level}/cells"]
                    assert data.dtype == pixels.dtype
                    assert data[()].tobytes() == pixels[t, c].tobytes()


def test_h5py_reads_the_layout_of_bigdataviewer(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    spec = target.image
    arrays = random_levels(spec)
    CONTRACT.make(target, arrays).finish({"method": "average"})
    check_file(spec, arrays)
    with h5py.File(spec.path, "r") as file:
        assert sorted(file) == ["s00", "s01", "t00005", "t00006"]
        for setup in ("s00", "s01"):
            assert file[setup].attrs["dataType"] == b"uint16"
            assert file[f"{setup}/resolutions"].dtype == np.float64
            assert file[f"{setup}/resolutions"][()].tolist() == [[1, 1, 1], [2, 2, 1], [4, 6, 2]]
            assert file[f"{setup}/subdivisions"].dtype == np.int32
            assert file[f"{setup}/subdivisions"][()].tolist() == [[16, 16, 4], [16, 16, 4], [12, 6, 4]]
        data = file["t00005/s00/0/cells"]
        assert (data.compression, data.compression_opts, data.shuffle, data.chunks) == ("gzip", 1, True, (4, 16, 16))
        assert json.loads(file.attrs["fusestack"]) == {"method": "average"}
    assert not Path(target.work, "image.h5.blocks").exists()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("level", [1, 6])
def test_chunks_are_those_that_hdf5_would_write(tmp_path, dtype, level):
    target = CONTRACT.target_in(tmp_path, dtype=dtype, codec=Codec("gzip", level))
    arrays = [np.cumsum(a % 3, axis=-1).astype(dtype) for a in random_levels(target.image)]
    CONTRACT.make(target, arrays).finish({})
    with h5py.File(tmp_path / "theirs.h5", "w") as theirs, h5py.File(target.image.path, "r") as ours:
        data = ours["t00006/s01/0/cells"]
        copy = theirs.create_dataset(
            "cells", data=arrays[0][1, 1], chunks=data.chunks, compression="gzip", compression_opts=level, shuffle=True
        )
        for z, y, x in np.ndindex(4, 3, 4):
            offset = (4 * z, 16 * y, 16 * x)
            if data.id.get_chunk_info_by_coord(offset).byte_offset is not None:
                assert data.id.read_direct_chunk(offset) == copy.id.read_direct_chunk(offset)


def test_uncompressed(tmp_path):
    target = CONTRACT.target_in(tmp_path, codec=Codec("none", 0))
    arrays = random_levels(target.image)
    CONTRACT.make(target, arrays).finish({})
    check_file(target.image, arrays)
    with h5py.File(target.image.path, "r") as file:
        data = file["t00005/s00/0/cells"]
        assert (data.compression, data.shuffle) == (None, False)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_shapes_and_chunks(tmp_path_factory, data):
    triple = lambda low, high: st.tuples(*[st.integers(low, high)] * 3)  # noqa: E731
    target = CONTRACT.target_in(
        tmp_path_factory.mktemp("odd"),
        shape=(data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2)), *data.draw(triple(1, 17))),
        chunk=data.draw(triple(1, 9)),
        shard=data.draw(triple(1, 3)),
        factors=((1, 1, 1),),
        dtype=data.draw(st.sampled_from(["uint8", "uint16", "int16", "float32"])),
        fill=data.draw(st.sampled_from([0, 3])),
        codec=data.draw(st.sampled_from([Codec("gzip", 1), Codec("none", 0)])),
    )
    arrays = random_levels(target.image, data.draw(st.integers(0, 99)))
    writer = CONTRACT.make(target, arrays)
    CONTRACT.check(target, arrays)
    writer.finish({})
    CONTRACT.check(target, arrays)
    check_file(target.image, arrays)


def test_empty_chunks_are_not_stored(tmp_path):
    target = CONTRACT.target_in(tmp_path, shape=(1, 1, 8, 32, 32), factors=((1, 1, 1),))
    pixels = np.zeros(target.image.shape, "uint16")
    pixels[0, 0, 7, 31, 31] = 1
    CONTRACT.make(target, [pixels]).finish({})
    with h5py.File(target.image.path, "r") as file:
        assert file["t00005/s00/0/cells"].id.get_num_chunks() == 1


def test_there_is_no_file_until_it_is_whole(tmp_path, monkeypatch):
    target = CONTRACT.target_in(tmp_path)
    arrays = random_levels(target.image)
    writer = CONTRACT.make(target, arrays)
    assert not writer.path.exists()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            writer.finish({})
    assert not writer.path.exists()
    CONTRACT.check(target, arrays)
    writer.finish({})
    check_file(target.image, arrays)
    assert [p.name for p in writer.path.parent.iterdir()] == ["image.h5"]


def test_blocks_stay_when_the_file_does_not_fit(tmp_path):
    resource = pytest.importorskip("resource")
    target = CONTRACT.target_in(tmp_path)
    arrays = random_levels(target.image)
    writer = CONTRACT.make(target, arrays)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(
            OutputError, match=r"image\.h5: cannot be written: .*; the file system holds no files of this"
        ):
            writer.finish({})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(writer.path.parent.iterdir())
    CONTRACT.check(target, arrays)
    writer.finish({})
    check_file(target.image, arrays)


def test_a_kill_between_publishing_and_cleaning_changes_nothing(tmp_path, monkeypatch):
    target = CONTRACT.target_in(tmp_path)
    arrays = random_levels(target.image)
    writer = CONTRACT.make(target, arrays)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_discard_blocks", lambda: None)
        writer.finish({})
    first = writer.path.read_bytes()
    # a kill while the blocks are deleted leaves some, in a folder that nobody reads
    target.open().create()
    target.open().finish({})
    assert writer.path.read_bytes() == first
    assert set(tree(tmp_path)) == {"out/image.h5"}


def test_a_finished_file_is_not_written_again(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    CONTRACT.make(target, random_levels(target.image)).finish({})
    before = Path(target.image.path).stat()
    target.open().create()
    target.open().finish({})
    after = Path(target.image.path).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_a_file_that_was_deleted_is_not_finished_as_an_empty_one(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    CONTRACT.make(target, random_levels(target.image)).finish({})
    target.open().create()
    Path(target.image.path).unlink()
    assert not target.open().exists()
    with pytest.raises(OutputError, match=r"both the file and its blocks in .* are gone; run again"):
        target.open().finish({})


def test_what_the_format_cannot_hold():
    spec = image_spec("s3://bucket/image.h5", dtype="uint32", codec=Codec("zstd", 1))
    with pytest.raises(OutputError) as caught:
        Target(WRITERS["bdv-hdf5"], spec, 0, "work").open()
    assert len(caught.value.problems) == 3
    assert "has no uint32; set fusion.dtype" in str(caught.value)
    assert "codec 'zstd'; set output.compression.codec to one of gzip, none, blosc" in str(caught.value)
    assert "needs a local path" in str(caught.value)


def test_damaged_block_files_are_named(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    arrays = [np.full(level.shape, 7, "uint16") for level in target.image.levels]
    writer = CONTRACT.make(target, arrays)
    path = Path(target.work, "image.h5.blocks", "0", "0", "1")
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"x" + whole[1:], whole[:20] + b"\xff" + whole[21:], whole[:-3] + b"abc"):
        path.write_bytes(damaged)
        with pytest.raises(OutputError, match=r"image\.h5\.blocks/0/0/1: .*run again"):
            writer.finish({})
        assert not writer.path.exists()
    path.write_bytes(whole)
    writer.finish({})
    check_file(target.image, arrays)


def test_does_not_touch_files_that_are_not_its_own(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    path = Path(target.image.path)
    path.parent.mkdir()
    path.write_text("not HDF5")
    with pytest.raises(OutputError, match=r"image\.h5: cannot be read"):
        target.open().create()
    with pytest.raises(OutputError, match=r"image\.h5: is not a BigDataViewer file"):
        target.open().remove()
    assert path.read_text() == "not HDF5"
    with h5py.File(path, "w") as file:
        file["mine"] = 1
    with pytest.raises(OutputError, match=r"is not a BigDataViewer file"):
        target.open().remove()
    with pytest.raises(OutputError, match=r"exists with another pyramid"):
        target.open().create()
    assert path.exists()


def test_reading_opens_only_what_it_needs(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    arrays = random_levels(target.image)
    CONTRACT.make(target, arrays)
    level, box = all_blocks(target.image)[0]
    for path in Path(target.work).rglob("*"):
        if path.is_file() and path != Path(target.work, "image.h5.blocks", "0", "0", "0"):
            path.write_bytes(b"")
    assert np.array_equal(target.open().read(level, box), arrays[level][box.slices])
    with pytest.raises(OutputError, match="is not a block"):
        target.open().read(0, Box.of_shape(target.image.shape))


def test_two_images_share_a_work_folder(tmp_path):
    one = CONTRACT.target_in(tmp_path)
    other = replace(one, image=replace(one.image, path=str(tmp_path / "out" / "other.h5")))
    first, second = random_levels(one.image, 1), random_levels(other.image, 2)
    CONTRACT.make(one, first)
    CONTRACT.make(other, second).finish({})
    CONTRACT.check(one, first)
    check_file(other.image, second)


def test_writes_only_blocks_of_the_grid(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    chunk = Box((0, 0, 4, 0, 0), (1, 1, 8, 16, 16))
    with pytest.raises(ValueError, match="is not a block; expected"):
        target.open().write(0, chunk, np.ones(chunk.shape, "uint16"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_blosc_is_read_with_hdf5plugin(tmp_path, dtype):
    import hdf5plugin

    target = CONTRACT.target_in(tmp_path, codec=Codec("blosc", 3), dtype=dtype)
    arrays = random_levels(target.image)
    CONTRACT.make(target, arrays).finish({})
    CONTRACT.check(target, arrays)
    check_file(target.image, arrays)
    with h5py.File(target.image.path, "r") as file:
        number, _, options, _ = file["t00005/s00/0/cells"].id.get_create_plist().get_filter(0)
        assert (number, options[4:]) == (hdf5plugin.Blosc.filter_id, (3, 2, 5))
    target.open().create()
    with pytest.raises(OutputError, match="codec"):
        replace(target, image=replace(target.image, codec=Codec("gzip", 3))).open().create()


SPLITS = {(1, 0): ["00-00", "01-00"], (0, 1): ["00-00", "00-01"], (1, 1): ["00-00", "00-01", "01-00", "01-01"]}


@pytest.mark.parametrize("split", SPLITS)
def test_partitions_are_found_through_links(tmp_path, split):
    target = CONTRACT.target_in(tmp_path, split=split)
    arrays = random_levels(target.image)
    writer = CONTRACT.make(target, arrays)
    writer.finish({"method": "average"})
    CONTRACT.check(target, arrays)
    folder = Path(target.image.path).parent
    names = [f"image-{part}.h5" for part in SPLITS[split]]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "image.h5"])
    with h5py.File(folder / "image.h5") as file:
        assert file["t00006/s01/0"].get("cells", getlink=True).filename == names[-1]
        assert json.loads(file.attrs["fusestack"]) == {"method": "average"}
    moved = folder.rename(folder.with_name("moved"))
    check_file(replace(target.image, path=str(moved / "image.h5")), arrays)
    moved.rename(folder)
    before = tree(folder)
    writer.finish({"method": "average"})
    writer.create()
    assert tree(folder) == before
    writer.remove()
    assert list(folder.iterdir()) == []


def test_partitions_whose_finish_was_killed_are_put_together_again(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    whole = CONTRACT.target_in(tmp_path / "whole", split=(1, 1))
    arrays = random_levels(whole.image)
    CONTRACT.make(whole, arrays).finish({})
    target = CONTRACT.target_in(tmp_path / "killed", split=(1, 1))
    writer = CONTRACT.make(target, arrays)
    renamed = []

    def replaced(path, to):
        renamed.append(to)
        if len(renamed) == 3:
            raise Killed
        path.rename(to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replaced)
        with pytest.raises(Killed):
            writer.finish({})
    assert not Path(target.image.path).exists()
    CONTRACT.check(target, arrays)
    writer.create()
    writer.finish({})
    assert tree(Path(target.image.path).parent) == tree(Path(whole.image.path).parent)
    assert not any(Path(target.work).iterdir())


def test_partitions_of_somebody_else_are_left_alone(tmp_path):
    target = CONTRACT.target_in(tmp_path, split=(1, 0))
    folder = Path(target.image.path).parent
    folder.mkdir()
    with h5py.File(folder / "image-00-00.h5", "w") as file:
        file["mine"] = 1
    for split in ((1, 0), (0, 1)):
        with pytest.raises(OutputError, match=r"image-00-00\.h5: is there already, and is left alone"):
            replace(target, image=replace(target.image, split=split)).open().create()
    target.open().remove()
    assert (folder / "image-00-00.h5").exists()
