"""Volumes in TIFF, read by tifffile, by bioio and, for the description, as ImageJ would."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fusestack.model.errors import OutputError
from fusestack.model.image import Codec
from fusestack.writers import picture_tiff, tiff_stack
from fusestack.writers.tile_store import TileStore
from tests.contracts.writer_contract import WriterContract, image_spec, random_levels, tree

FLAT = ((1, 1, 1), (1, 2, 2), (1, 6, 4))


class StackContract(WriterContract):
    format = "tiff"
    factors = FLAT[:1]

    def spec(self, path, *, shape=(1, 1, 13, 41, 50), codec=None, **changes):
        changes["factors"] = self.factors if len(changes.get("factors", FLAT)) > 2 else FLAT[: len(self.factors) - 1]
        changes["factors"] = changes["factors"] or FLAT[:2]
        spec = image_spec(path, shape=shape, codec=codec or Codec("none", 0), **changes)
        levels = tuple(replace(level, shards=level.block) for level in spec.levels)
        return replace(spec, levels=levels)

    def test_blocks_that_nobody_wrote_are_empty_and_cost_nothing(self, target, tmp_path):
        """Pages are written whole; empty ones read back."""
        empty = [np.full(level.shape, target.image.fill, target.image.dtype) for level in target.image.levels]
        target.open().create()
        target.open().finish({})
        self.check(target, empty)

    def test_creating_again_leaves_an_image_of_the_same_settings_and_refuses_others(self, target, tmp_path):
        arrays = random_levels(target.image)
        self.make(target, arrays).finish({})
        before = tree(tmp_path)
        target.open().create()
        assert tree(tmp_path) == before
        others = [{"dtype": "uint8"}, {"shape": (1, 1, 13, 41, 51)}, {"codec": Codec("gzip", 1)}]
        for changes in others:
            with pytest.raises(OutputError, match=r"image.*exists with another .* choose another output\.path"):
                self.target_in(tmp_path, **changes).open().create()
        assert tree(tmp_path) == before

    def test_a_blob_is_at_the_same_place_in_every_level(self, tmp_path):
        """Places are tested below, as others read them."""


class TestImageJ(StackContract):
    suffix = ".tif"


class TestOmeTiff(StackContract):
    suffix, factors = ".ome.tif", FLAT


class TestTiles(TestOmeTiff):
    """Blocks of whole tiles, which are encoded as they are written."""

    @pytest.fixture(autouse=True)
    def small_tiles(self, monkeypatch):
        monkeypatch.setattr(picture_tiff, "_TILE", 16)

    def target_in(self, folder, **changes):
        target = super().target_in(folder, **changes)
        assert isinstance(target.open()._store, TileStore)
        return target

    test_spawned_processes_give_the_same_bytes_as_threads = None  # they have larger tiles


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("dtype", tiff_stack.DTYPES)
def test_tiles_that_tasks_encode_are_those_that_are_encoded_at_the_end(tmp_path, monkeypatch, dtype, codec):
    monkeypatch.setattr(picture_tiff, "_TILE", 16)
    for tiles in ("tiles", "blocks"):
        made(OME, tmp_path / tiles, dtype=dtype, codec=Codec(codec, 2))
        monkeypatch.setattr(tiff_stack, "holds_tiles", lambda _: False)
    assert tree(tmp_path / "tiles") == tree(tmp_path / "blocks")


@pytest.mark.parametrize("kind", [TestImageJ, TestOmeTiff, TestTiles])
def test_a_version_of_ome_zarr_changes_nothing(tmp_path, monkeypatch, kind):
    """Stores of blocks have shards, which 0.4 has not."""
    if kind is TestTiles:
        monkeypatch.setattr(picture_tiff, "_TILE", 16)
    spec, (pixels, *_) = made(kind(), tmp_path, ome_zarr_version="0.4")
    assert np.array_equal(tifffile.imread(spec.path, level=0), pixels[0, 0])


IMAGEJ, OME = TestImageJ(), TestOmeTiff()


def made(contract, folder, **changes):
    target = contract.target_in(folder, **changes)
    arrays = random_levels(target.image)
    contract.make(target, arrays).finish({})
    return target.image, arrays


@pytest.mark.parametrize("codec", [("none", 0), ("gzip", 1), ("gzip", 6)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_a_stack_is_what_imagej_saves(tmp_path, monkeypatch, dtype, codec):
    monkeypatch.setattr(tiff_stack, "BAND_BYTES", 1000)  # several strips
    spec, (pixels,) = made(IMAGEJ, tmp_path, dtype=dtype, codec=Codec(*codec))
    with tifffile.TiffFile(spec.path) as tiff:
        assert tiff.is_imagej
        assert not tiff.is_bigtiff
        assert tiff.series[0].axes == "ZYX"
        assert np.array_equal(tiff.asarray(), pixels[0, 0])
        facts = tiff.imagej_metadata
        assert (facts["images"], facts["slices"], facts["unit"], facts["spacing"]) == (13, 13, "micron", 1.5)
        # ImageJ: place = (index - origin) * size
        assert [facts[f"{axis}origin"] for axis in "xyz"] == pytest.approx([-29, -200, 2])
        page = tiff.pages[0]
        assert not page.is_tiled  # ImageJ reads no tiles
        assert len(page.dataoffsets) > 1
        numerator, denominator = page.tags["XResolution"].value
        assert numerator / denominator == pytest.approx(4)
        numerator, denominator = page.tags["YResolution"].value
        assert numerator / denominator == pytest.approx(2)
        assert page.tags["ResolutionUnit"].value == 1


@pytest.mark.parametrize("codec", [("none", 0), ("gzip", 6), ("zstd", 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_an_ome_tiff_has_levels_sizes_and_places(tmp_path, monkeypatch, dtype, codec):
    monkeypatch.setattr(picture_tiff, "_TILE", 16)
    spec, arrays = made(OME, tmp_path, dtype=dtype, codec=Codec(*codec))
    with tifffile.TiffFile(spec.path) as tiff:
        assert tiff.is_ome
        series = tiff.series[0]
        assert series.axes == "ZYX"
        assert len(series.levels) == 3
        for level, pixels in zip(series.levels, arrays, strict=True):
            assert np.array_equal(level.asarray(), pixels[0, 0])
        described = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        assert described["Pixels"]["Channel"]["Color"] == 0x00FF00FF
    pixels = described["Pixels"]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "XYZ"] == [0.25, 0.5, 1.5]
    assert pixels["PhysicalSizeXUnit"] == "µm"
    planes = [(plane["PositionX"], plane["PositionY"], plane["PositionZ"]) for plane in pixels["Plane"]]
    assert planes == [(7.25, 100.0, -3.0 + 1.5 * n) for n in range(13)]
    assert {plane["PositionZUnit"] for plane in pixels["Plane"]} == {"µm"}
    assert pixels["Channel"]["Name"] == "channel 0"


def test_large_files_are_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_stack, "CLASSIC_BYTES", 10_000)
    for contract in (IMAGEJ, OME):
        spec, (pixels, *_) = made(contract, tmp_path)
        with tifffile.TiffFile(spec.path) as tiff:
            assert tiff.is_bigtiff
            assert np.array_equal(tiff.series[0].asarray(), pixels[0, 0])


def test_same_bytes_whatever_the_order_of_blocks(tmp_path):
    order = random.Random(5)
    files = []
    for name in ("a", "b"):
        target = OME.target_in(tmp_path / name)
        OME.make(target, random_levels(target.image), order_seed=order.random()).finish({"at": name})
        files.append(Path(target.image.path).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("content", [b"no tiff", None])
def test_files_of_others_are_left_alone(tmp_path, content):
    path = tmp_path / "out" / "image.tif"
    path.parent.mkdir()
    if content:
        path.write_bytes(content)
    else:
        tifffile.imwrite(path, np.zeros((13, 41, 50), "uint16"))
    before = path.read_bytes()
    writer = IMAGEJ.target_in(tmp_path).open()
    for change in (writer.create, writer.remove):
        with pytest.raises(OutputError, match=r"left alone: choose another output\.path"):
            change()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "s3://bucket/a.tif"}, "TIFF needs a local path"),
        ({"dtype": "float64"}, "does not hold float64"),
        ({"codec": Codec("zstd", 1)}, "no codec 'zstd'"),
        ({"codec": Codec("blosc", 1), "path": "a.ome.tif"}, "no codec 'blosc'"),
    ],
)
def test_what_tiff_does_not_hold_is_refused(tmp_path, changes, words):
    spec = replace(IMAGEJ.spec(tmp_path / "a.tif"), **changes)
    with pytest.raises(OutputError, match=words):
        tiff_stack.TiffStackWriter(spec, str(tmp_path))


def test_channels_and_levels_along_z_are_refused(tmp_path):
    for factors, shape, words in [
        (FLAT[:1], (1, 2, 3, 20, 20), "1 and 2"),
        (FLAT, (1, 1, 3, 20, 20), "one level"),
        (((1, 1, 1), (2, 2, 2)), (1, 1, 4, 20, 20), "keep all planes"),
    ]:
        spec = image_spec(tmp_path / "a.tif", shape=shape, factors=factors, codec=Codec("none", 0))
        with pytest.raises(OutputError, match=words):
            tiff_stack.TiffStackWriter(spec, str(tmp_path))
