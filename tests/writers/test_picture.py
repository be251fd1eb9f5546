from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.image import Channel, Codec, ImageSpec, Level
from fusestack.writers import picture_jpeg, picture_png, picture_tiff
from fusestack.writers.ome_zarr import OmeZarrWriter
from fusestack.writers.picture import PictureWriter
from fusestack.writers.tile_store import TileStore
from tests.contracts.writer_contract import WriterContract, all_blocks, image_spec, random_levels, tree

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, MAKE, EXPOSURE, GPS = 274, 271, 0x829A, 0x8825


class PictureContract(WriterContract):
    format = "picture"
    colours = 3
    dtypes = ("uint8", "uint16")

    def spec(self, path, *, shape=(1, 3, 1, 41, 50), chunk=(1, 16, 16), factors=((1, 1, 1),), **changes):
        return image_spec(path, shape=shape, chunk=chunk, shard=(1, 1, 2), factors=factors, **changes)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_reads_back_what_threads_wrote_in_any_order(self, tmp_path, dtype):
        if dtype in self.dtypes:
            super().test_reads_back_what_threads_wrote_in_any_order(tmp_path, dtype)

    def test_creating_again_leaves_an_image_of_the_same_settings_and_refuses_others(self, target, tmp_path):
        arrays = random_levels(target.image)
        writer = target.open()
        assert not writer.exists()
        self.make(target, arrays)
        assert writer.exists()
        others = ({"dtype": "uint8"}, {"shape": (1, 3, 1, 41, 51)}, {"shape": (1, 1, 1, 41, 50)})
        for finished in (False, True):
            if finished:
                writer.finish({})
            before = tree(tmp_path)
            target.open().create()
            assert tree(tmp_path) == before
            for changes in others:
                with pytest.raises(OutputError, match=r"image.*exists with another .* choose another output\.path"):
                    self.target_in(tmp_path, **changes).open().create()
            assert tree(tmp_path) == before

    def test_a_blob_is_at_the_same_place_in_every_level(self):
        """A picture has one level and no place."""


class TestPng(PictureContract):
    suffix = ".png"

    test_not_a_number_is_a_fill_value = None
    test_negative_zero_survives_among_empty_pixels = None


class TestTiff(PictureContract):
    suffix = ".tif"
    dtypes = ("uint8", "uint16", "float32")


class TestPages(TestTiff):
    def spec(self, path, *, shape=(1, 3, 5, 41, 50), chunk=(3, 16, 16), **changes):
        return super().spec(path, shape=shape, chunk=chunk, **changes)


class TestLevels(TestTiff):
    """Smaller versions of each page."""

    suffix = ".ome.tif"

    def spec(self, path, *, shape=(1, 3, 2, 41, 50), factors=((1, 1, 1), (1, 2, 2), (1, 4, 4)), **changes):
        return super().spec(path, shape=shape, factors=factors, **changes)


class TestTiles(TestTiff):
    """Blocks of whole tiles, which are encoded as they are written."""

    cut: ClassVar = {"shape": (1, 3, 2, 41, 50), "chunk": (1, 16, 16)}

    @pytest.fixture(autouse=True)
    def small_tiles(self, monkeypatch):
        monkeypatch.setattr(picture_tiff, "_TILE", 16)

    def spec(self, path, **changes):
        spec = super().spec(path, **(self.cut | changes))
        return replace(spec, levels=tuple(map(with_all_colours, spec.levels)))

    def target_in(self, folder, **changes):
        target = super().target_in(folder, **changes)
        assert isinstance(target.open()._store, TileStore)
        return target

    def test_spawned_processes_give_the_same_bytes_as_threads(self, tmp_path, monkeypatch):
        monkeypatch.undo()  # they have tiles of the usual size
        monkeypatch.setattr(type(self), "cut", {"shape": (1, 3, 1, 1100, 20), "chunk": (1, 512, 512)})
        super().test_spawned_processes_give_the_same_bytes_as_threads(tmp_path)


class TestTilesOfLevels(TestTiles):
    suffix = ".ome.tif"

    def spec(self, path, *, factors=((1, 1, 1), (1, 2, 2), (1, 4, 4)), **changes):
        return super().spec(path, factors=factors, **changes)


def with_all_colours(level):
    """A level whose blocks are chunks, as those of pictures are."""
    colours = level.shape[1]
    return replace(level, chunks=(1, colours, *level.block[2:]), block=(1, colours, *level.block[2:]))


def picture_spec(path, pixels, *, chunk=(512, 512), codec=None, colours_apart=True):
    """Spec of an array [page, y, x, colour]."""
    pages, height, width, colours = pixels.shape
    chunks = (1, 1 if colours_apart else colours, 1, min(chunk[0], height), min(chunk[1], width))
    level = Level((1, 1, 1), (1, colours, pages, height, width), chunks, None, chunks)
    channels = tuple(Channel(i, str(i)) for i in range(colours))
    place = ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), None, (0,), channels)
    return ImageSpec(str(path), "focus", str(pixels.dtype), (level,), codec or Codec("gzip", 6), *place)


def written(path, pixels, part=slice(None), **settings):
    """Write some blocks of an array [page, y, x, colour] or [y, x, colour], in any order."""
    pixels = pixels if pixels.ndim == 4 else pixels[np.newaxis]
    spec = picture_spec(path, pixels, **settings)
    writer = PictureWriter(spec, str(path.parent / "work"))
    writer.create()
    ours = np.moveaxis(pixels, -1, 0)[np.newaxis]
    blocks = all_blocks(spec)
    random.Random(1).shuffle(blocks)
    for level, box in blocks[part]:
        writer.write(level, box, np.ascontiguousarray(ours[box.slices]))
    return writer


def made(path, pixels, options=None, **settings):
    """Write a picture and finish it."""
    writer = written(path, pixels, **settings)
    writer.finish(options or {})
    assert writer.exists()
    assert [p.name for p in path.parent.iterdir() if p.name != "work"] == [path.name]
    assert list((path.parent / "work").iterdir()) == []
    return path


def noise(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(0, 1, shape).astype("float32")
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(height, width, colours, dtype="uint8"):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (17 + 5 * c)) * np.cos(y / (23 - 3 * c)) for c in range(colours)]
    return ((np.stack(waves, axis=-1) + 1) / 2 * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_others_read_our_png(tmp_path, colours, dtype, monkeypatch):
    monkeypatch.setattr(picture_png, "BAND_BYTES", 4096)
    pixels = noise((67, 45, colours), dtype)
    pixels[20:40] = smooth(20, 45, colours, dtype)
    path = made(tmp_path / "a.png", pixels, chunk=(16, 20))
    assert np.array_equal(np.atleast_3d(imagecodecs.png_decode(path.read_bytes())), pixels)
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (45, 67)
        if dtype == "uint8":
            assert np.array_equal(np.atleast_3d(np.asarray(picture)), pixels)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "blosc", "none"])
@pytest.mark.parametrize("colours", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_others_read_our_tiff(tmp_path, colours, dtype, codec, monkeypatch):
    monkeypatch.setattr(picture_tiff, "_TILE", 32)
    monkeypatch.setattr(picture_tiff, "BAND_BYTES", 4096)
    pixels = noise((2, 67, 45, colours), dtype)
    path = made(tmp_path / "a.tif", pixels, chunk=(16, 20), codec=Codec(codec, 1))
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 2
        page = tiff.pages[0]
        compression = {"zstd": "ZSTD", "none": "NONE"}.get(codec, "ADOBE_DEFLATE")
        assert page.compression.name == compression
        assert [kind.name for kind in page.extrasamples] == (["UNASSALPHA"] if colours in (2, 4) else [])
        for number in range(2):
            assert np.array_equal(np.atleast_3d(tiff.pages[number].asarray()), pixels[number])
    if dtype == "uint8":
        with Image.open(path) as picture:
            assert np.array_equal(np.atleast_3d(np.asarray(picture)), pixels[0])


@pytest.mark.parametrize("codec", ["gzip", "zstd", "blosc", "none"])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("dtype", picture_tiff.TIFF.dtypes)
def test_tiles_that_tasks_encode_are_those_that_are_encoded_at_the_end(tmp_path, monkeypatch, colours, dtype, codec):
    monkeypatch.setattr(picture_tiff, "_TILE", 32)
    pixels = noise((2, 103, 75, colours), dtype)
    files = []
    for chunk, store in (((64, 32), TileStore), ((48, 16), OmeZarrWriter)):
        path = tmp_path / store.__name__ / "a.tif"
        settings = {"chunk": chunk, "codec": Codec(codec, 2), "colours_apart": False}
        writer = written(path, pixels, **settings)
        assert type(writer._store) is store
        writer.finish({})
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_blocks_that_nobody_wrote_are_tiles_of_the_fill_value(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_tiff, "_TILE", 16)
    pixels = noise((1, 40, 40, 3), "uint16")
    writer = written(tmp_path / "a.tif", pixels, slice(0, 0), chunk=(16, 32), colours_apart=False)
    (box, *_) = [box for _, box in all_blocks(writer.spec)]
    writer.write(0, box, np.ascontiguousarray(np.moveaxis(pixels, -1, 0)[np.newaxis][box.slices]))
    writer.finish({})
    pixels[:, 16:], pixels[:, :, 32:] = 0, 0
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), pixels[0])


def test_opacity_may_be_left_out_so_its_tiles_are_encoded_at_the_end(tmp_path):
    pixels = noise((1, 40, 40, 4), "uint8")
    pixels[..., 3] = 255
    writer = written(tmp_path / "a.tif", pixels, colours_apart=False)
    assert not isinstance(writer._store, TileStore)
    writer.finish({"drop_opaque_alpha": True})
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), pixels[0, ..., :3])


def test_a_flipped_bit_of_an_encoded_tile_is_found(tmp_path):
    pixels = noise((1, 40, 40, 3), "uint8")
    writer = written(tmp_path / "a.tif", pixels, colours_apart=False)
    (file,) = (Path(name) for name in writer.files(0, Box.of_shape(writer.spec.shape)))
    data = bytearray(file.read_bytes())
    data[100] ^= 4
    file.write_bytes(data)
    for action in (lambda: writer.finish({}), lambda: writer.read(0, Box.of_shape(writer.spec.shape))):
        with pytest.raises(OutputError, match=r"a\.tif\.zarr: level 0 .*checksum .* is wrong.*; delete the output"):
            action()
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_tiles_of_another_codec_are_not_taken_for_those_of_the_file(tmp_path):
    pixels = noise((1, 40, 40, 3), "uint8")
    written(tmp_path / "a.tif", pixels, colours_apart=False)
    with pytest.raises(OutputError, match=r"exists with another .* codec: set output\.overwrite"):
        written(tmp_path / "a.tif", pixels, colours_apart=False, codec=Codec("zstd", 3))


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("size", [(64, 48), (67, 45), (8, 8), (3, 5), (401, 33)])
def test_a_jpeg_of_strips_has_the_pixels_of_one_encoded_in_one_piece(tmp_path, colours, size, monkeypatch):
    monkeypatch.setattr(picture_jpeg, "BAND_BYTES", 8 * 8 * 50)
    pixels = smooth(*size, colours)
    path = made(tmp_path / "a.jpg", pixels, chunk=(16, 20))
    whole = Image.fromarray(pixels if colours == 3 else pixels[..., 0])
    whole.save(tmp_path / "whole.jpg", quality=95, subsampling=0)
    with Image.open(path) as ours, Image.open(tmp_path / "whole.jpg") as theirs:
        assert ours.mode == theirs.mode
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))
        expected = np.asarray(theirs)
    assert np.array_equal(imagecodecs.jpeg8_decode(path.read_bytes()), expected)
    reader = PictureWriter(picture_spec(path, pixels[np.newaxis]), str(tmp_path / "work"))
    got = reader.read(0, Box.of_shape((1, colours, 1, *size)))
    assert np.array_equal(np.moveaxis(got[0, :, 0], 0, -1), np.atleast_3d(expected))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_sizes_and_blocks(tmp_path_factory, data):
    size = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    colours = data.draw(st.integers(1, 4))
    suffix = data.draw(st.sampled_from([".tif", ".png"]))
    pixels = noise((1, *size, colours), data.draw(st.sampled_from(["uint8", "uint16"])))
    chunk = data.draw(st.tuples(st.integers(1, 50), st.integers(1, 50)))
    path = made(tmp_path_factory.mktemp("odd") / f"a{suffix}", pixels, chunk=chunk)
    found = tifffile.imread(path) if suffix == ".tif" else imagecodecs.png_decode(path.read_bytes())
    assert np.array_equal(found.reshape(pixels.shape), pixels)


def test_a_png_of_parts_is_one_stream(tmp_path, monkeypatch):
    pixels = smooth(400, 300, 3)
    sizes = []
    for band in (picture_png.BAND_BYTES, 2**16):
        monkeypatch.setattr(picture_png, "BAND_BYTES", band)
        data = made(tmp_path / str(band) / "a.png", pixels).read_bytes()
        places = [place for place in range(len(data)) if data[place : place + 4] == b"IDAT"]
        parts = [data[place + 4 : place + 4 + int.from_bytes(data[place - 4 : place])] for place in places]
        assert len(parts) > (8 if band == 2**16 else 1)
        rows = np.frombuffer(zlib.decompress(b"".join(parts)), np.uint8).reshape(400, 901)
        assert set(rows[:, 0]) <= {1, 2}
        sizes.append(len(data))
    assert sizes[1] < 1.2 * sizes[0]


def camera():
    exif = Image.Exif()
    exif[MAKE], exif[272], exif[306], exif[ORIENTATION] = "Mäker".encode("latin-1"), "Model 5", "2024:05:06 07:08:09", 6
    exif.get_ifd(0x8769).update({EXPOSURE: 0.004, 0x8827: 200, 0xA002: 9999, 0x927C: b"secret"})
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 8.0, 3.5)})
    return exif.tobytes()


def said(path):
    """EXIF as Pillow reads it."""
    with Image.open(path) as picture:
        exif = picture.getexif()
        return exif, dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(GPS)), dict(picture.info)


NOTES = {"description": "focus é µm", "software": "fusestack 1", "icc": SRGB.hex(), "resolution": 300}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_what_a_camera_said_is_carried_over(tmp_path, suffix):
    pixels = smooth(20, 30, 3)
    path = made(tmp_path / f"a{suffix}", pixels, NOTES | {"exif": camera().hex()})
    exif, photo, place, info = said(path)
    assert exif[MAKE] == "Mäker"
    assert exif[306] == "2024:05:06 07:08:09"
    assert exif.get(ORIENTATION, 1) == 1  # pixels are turned when they are read
    assert photo[EXPOSURE] == pytest.approx(0.004)
    assert photo[0x8827] == 200
    assert (photo[0xA002], photo[0xA003]) == (30, 20)
    assert photo[0x927C] == b"secret"
    assert place[1] == "N"
    assert place[2] == (48.0, 8.0, 3.5)
    assert info["icc_profile"] == SRGB
    assert info["dpi"] == pytest.approx((300, 300), rel=1e-3)
    assert exif[305] == "fusestack 1"
    if suffix == ".jpg":
        assert info["comment"].decode() == NOTES["description"]
    if suffix == ".png":
        assert (info["Description"], info["Software"]) == (NOTES["description"], NOTES["software"])
    if suffix == ".tif":
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages[0].tags
            assert tags["ImageDescription"].value == NOTES["description"]
            assert [tag.code for tag in tags] == sorted(tag.code for tag in tags)
            assert np.array_equal(tiff.asarray(), pixels)


def test_a_large_tiff_has_exif_too(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_tiff, "CLASSIC_BYTES", 0)
    path = made(tmp_path / "a.tif", noise((20, 30, 3), "uint16"), {"exif": camera().hex()})
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        exif = tiff.pages[0].tags["ExifTag"].value
        assert exif["ISOSpeedRatings"] == 200


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"rubbish", camera()[:70], camera()[:-40]], ids=len)
def test_damaged_exif_does_not_stop_a_picture(tmp_path, suffix, exif):
    path = made(tmp_path / f"a{suffix}", smooth(20, 30, 3), NOTES | {"exif": exif.hex()})
    assert said(path)[0][305] == "fusestack 1"


def test_a_profile_for_other_colours_is_left_out(tmp_path):
    for suffix in (".png", ".jpg", ".tif"):
        path = made(tmp_path / suffix[1:] / f"a{suffix}", smooth(20, 30, 1), {"icc": SRGB.hex()})
        assert "icc_profile" not in said(path)[3]


def test_a_jpeg_has_room_for_whatever_is_said(tmp_path):
    profile = SRGB[:-4] + bytes(150_000)
    options = {"icc": profile.hex(), "description": "x" * 70_000, "exif": None}
    exif = Image.Exif()
    exif[MAKE] = "Maker"
    exif.get_ifd(0x8769).update({0x927C: bytes(60_000), EXPOSURE: 0.004})
    options["exif"] = exif.tobytes().hex()
    path = made(tmp_path / "a.jpg", smooth(20, 30, 3), options)
    found, photo, _, info = said(path)
    assert found[MAKE] == "Maker"
    assert EXPOSURE in photo
    assert info["icc_profile"] == profile
    assert path.read_bytes().count(b"x" * 1000)


class Killed(BaseException):
    pass


def dies(*_):
    raise Killed


def dies_halfway(path):
    """Delete a part of a folder."""
    for file in sorted(Path(path).rglob("0/c/0/0/0/1/*")):
        file.unlink()
    raise Killed


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize(
    ("owner", "name", "death"),
    [(os, "fsync", dies), (Path, "replace", dies), (Path, "rename", dies), (shutil, "rmtree", dies_halfway)],
    ids=["encoding", "before the rename", "before deleting", "while deleting"],
)
def test_a_kill_while_finishing_costs_nothing(tmp_path, suffix, owner, name, death, monkeypatch):
    pixels = smooth(60, 70, 3)
    whole = made(tmp_path / "whole" / f"a{suffix}", pixels, NOTES, chunk=(16, 16)).read_bytes()
    path = tmp_path / "killed" / f"a{suffix}"
    writer = written(path, pixels, chunk=(16, 16))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, death)
        with pytest.raises(Killed):
            writer.finish(NOTES)
    assert not path.exists() or path.read_bytes() == whole
    again = PictureWriter(writer.spec, str(path.parent / "work"))
    assert again.exists()
    again.create()
    again.finish(NOTES)
    assert path.read_bytes() == whole
    assert tree(path.parent) == {path.name: whole}
    again.finish(NOTES)
    assert path.read_bytes() == whole


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.writers.test_picture import noise, written
written(Path(sys.argv[1]), noise((60, 70, 3), "uint16"), slice(0, 20), chunk=(16, 16))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_blocks_of_a_killed_process_count(tmp_path):
    path, pixels = tmp_path / "a.png", noise((60, 70, 3), "uint16")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, cwd=root)
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()
    written(path, pixels, slice(20, None), chunk=(16, 16)).finish({})
    assert np.array_equal(imagecodecs.png_decode(path.read_bytes()), pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_full_disk_while_finishing_keeps_the_blocks(tmp_path, suffix, monkeypatch):
    pixels = smooth(60, 70, 3)
    writer = written(tmp_path / f"a{suffix}", pixels)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=rf"a{suffix}: .*No space left on device; free some space and run again"):
            writer.finish({})
    assert [p.name for p in tmp_path.iterdir()] == ["work"]
    writer.finish({})
    assert writer.read(0, Box.of_shape(writer.spec.shape)).any()


def test_finishing_what_is_gone(tmp_path):
    writer = written(tmp_path / "a.png", smooth(60, 70, 3))
    writer.remove()
    with pytest.raises(OutputError, match=r"a\.png: both the file and its blocks .* are gone; run again"):
        writer.finish({})


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_stranger_is_left_alone(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("a letter")
    writer = PictureWriter(picture_spec(path, smooth(60, 70, 3)[np.newaxis]), str(tmp_path / "work"))
    for action in (writer.create, writer.remove):
        with pytest.raises(OutputError, match=r"left alone: choose another output\.path"):
            action()
    assert path.read_text() == "a letter"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_picture_that_was_damaged_since(tmp_path, suffix):
    path = made(tmp_path / f"a{suffix}", noise((60, 70, 3), "uint8"))
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2])
    writer = PictureWriter(picture_spec(path, smooth(60, 70, 3)[np.newaxis]), str(tmp_path / "work"))
    if suffix != ".jpg":  # decoders make up the rest
        with pytest.raises(OutputError, match=r"cannot be read back.*; delete the output and run again"):
            writer.read(0, Box.of_shape(writer.spec.shape))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("s3://lab/a.png", {}, r"local path; only OME-Zarr"),
        ("a.gif", {}, r"has no suffix of a picture; choose one of \.tif"),
        ("a.jpg", {"dtype": "uint16"}, r"JPEG does not hold uint16; choose the suffix \.tif"),
        ("a.png", {"dtype": "float32"}, r"PNG does not hold float32; choose the suffix \.tif"),
        ("a.tif", {"dtype": "int64"}, r"TIFF does not hold int64; choose OME-Zarr"),
        ("a.jpg", {"shape": (1, 4, 1, 9, 9)}, r"JPEG does not hold 4 colours .*; choose the suffix \.tif or \.png"),
        ("a.png", {"shape": (1, 5, 1, 9, 9)}, r"PNG does not hold 5 colours .*; choose OME-Zarr"),
        ("a.png", {"shape": (1, 3, 2, 9, 9)}, r"PNG holds one picture, not 2; choose the suffix \.tif"),
        ("a.jpg", {"shape": (1, 3, 1, 9, 65501)}, r"no more than 65500 pixels per side.*choose the suffix \.tif"),
        ("a.tif", {"shape": (2, 3, 1, 9, 9)}, r"holds one timepoint, not 2"),
        ("a.tif", {"factors": ((1, 1, 1), (1, 2, 2))}, r"holds one level, not 2; choose \.ome\.tif"),
        ("a.ome.tif", {"shape": (1, 3, 4, 9, 9), "factors": ((1, 1, 1), (2, 2, 2))}, r"keep all planes; set z to 1"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, name, changes, message):
    shape = changes.pop("shape", (1, 3, 1, 9, 9))
    path = name if "://" in name else tmp_path / name
    spec = image_spec(path, shape=shape, **({"dtype": "uint8", "factors": ((1, 1, 1),)} | changes))
    with pytest.raises(OutputError, match=message):
        PictureWriter(spec, str(tmp_path / "work"))


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_memory_does_not_grow_with_the_picture(tmp_path, suffix):
    side, block = 6000, 1024
    dtype = "uint8" if suffix == ".jpg" else "uint16"
    spec = picture_spec(tmp_path / f"a{suffix}", np.broadcast_to(np.zeros(1, dtype), (1, side, side, 3)))
    chunks = (1, 1, 1, block, block)
    level = Level((1, 1, 1), spec.shape, chunks, None, chunks)
    spec = replace(spec, levels=(level,), codec=Codec("gzip", 1))
    writer = PictureWriter(spec, str(tmp_path / "work"))
    writer.create()
    row = smooth(block, block, 1, dtype)[..., 0][np.newaxis, np.newaxis, np.newaxis]
    for number, box in all_blocks(spec):
        writer.write(number, box, np.ascontiguousarray(row[..., : box.shape[3], : box.shape[4]]))
    tracemalloc.start()
    writer.finish({})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    decode = {".tif": tifffile.imread, ".png": imagecodecs.imread, ".jpg": imagecodecs.imread}[suffix]
    found = decode(spec.path)
    assert found.shape == (side, side, 3)
    difference = found[block : 2 * block, -(side % block) :, 1] - row[0, 0, 0, :, : side % block].astype(float)
    assert np.abs(difference).max() <= (8 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_eight_megabytes_take_a_moment(tmp_path, suffix):
    pixels = smooth(1600, 1700, 3)
    start = time.perf_counter()
    path = made(tmp_path / f"a{suffix}", pixels)
    assert time.perf_counter() - start < 10
    assert path.stat().st_size < pixels.nbytes
