"""Sources that wrap another one: intervals, flat fields."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from fusestack.errors import InputError
from fusestack.geometry import Box
from fusestack.view import SourceRef
from tests.contracts.source_contract import Example, SourceContract, levels_of, open_fresh, pixels
from tests.sources.test_bdv_n5 import FACTORS, ref_of, write_level, write_setup


def pyramid(path, dtype="uint16"):
    arrays = levels_of(pixels((37, 75, 90), dtype), FACTORS)
    write_setup(path, 0, FACTORS, dtype)
    for i, array in enumerate(arrays):
        write_level(path, array, {"type": "zstd", "level": 1}, level=i)
    return ref_of(path), arrays


def plane(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")
    return SourceRef("fusestack.sources.tiff:TiffSource", str(path))


class TestCropped(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        whole, arrays = pyramid(tmp_path / "dataset.n5")
        start, stop = (2, 12, 8), (36, 72, 88)
        options = (("whole", whole), ("start", start), ("stop", stop))
        parts = (arrays[0][2:36, 12:72, 8:88], arrays[1][2:36, 6:36, 4:44], arrays[2][1:18, 2:12, 2:22])
        return Example(SourceRef("fusestack.sources.cropped:CroppedSource", whole.path, options), parts, FACTORS)

    def test_missing(self, example):
        options = dict(example.ref.options)
        gone = SourceRef(options["whole"].reader, options["whole"].path + "-gone", options["whole"].options)
        with pytest.raises(InputError, match="-gone: no such file"):
            open_fresh(SourceRef(example.ref.reader, gone.path, tuple((options | {"whole": gone}).items())))


def test_levels_of_an_interval_follow_the_rule_of_the_reference(tmp_path):
    """Level of factor f > 1: floor(min / f) to floor((max - 0.01) / f), both included."""
    whole, arrays = pyramid(tmp_path / "dataset.n5")
    options = (("whole", whole), ("start", (0, 13, 7)), ("stop", (37, 60, 52)))
    source = open_fresh(SourceRef("fusestack.sources.cropped:CroppedSource", whole.path, options))
    assert [level.shape for level in source.levels] == [(37, 47, 45), (37, 24, 23), (18, 8, 12)]
    found = source.read(1, Box.of_shape(source.levels[1].shape))
    np.testing.assert_array_equal(found, arrays[1][0:37, 6:30, 3:26])


def test_an_interval_outside_is_refused(tmp_path):
    whole, _ = pyramid(tmp_path / "dataset.n5")
    options = (("whole", whole), ("start", (0, 0, 0)), ("stop", (38, 75, 90)))
    with pytest.raises(InputError, match=r"interval .* is not inside; split the project again"):
        open_fresh(SourceRef("fusestack.sources.cropped:CroppedSource", whole.path, options))


class TestFlatField(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        image, arrays = pyramid(tmp_path / "dataset.n5")
        even = plane(tmp_path / "bright.tif", np.full((75, 90), 900, "u2"))
        options = (("image", image), ("bright", even))
        return Example(SourceRef("fusestack.sources.flat_field:FlatFieldSource", image.path, options), arrays, FACTORS)

    def test_missing(self, example):
        options = dict(example.ref.options)
        gone = SourceRef(options["bright"].reader, "/gone.tif")
        with pytest.raises(InputError, match=r"gone\.tif: no such file"):
            open_fresh(SourceRef(example.ref.reader, example.ref.path, tuple((options | {"bright": gone}).items())))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_formula_of_the_flat_field(tmp_path, dtype):
    rng = np.random.default_rng(4)
    image, arrays = pyramid(tmp_path / "dataset.n5", dtype)
    bright, dark = rng.integers(300, 400, (75, 90)), rng.integers(0, 20, (75, 90))
    bright[3, 4] = dark[3, 4]
    refs = (plane(tmp_path / "b.tif", bright.astype("u2")), plane(tmp_path / "d.tif", dark.astype("u2")))
    options = (("image", image), ("bright", refs[0]), ("dark", refs[1]))
    source = open_fresh(SourceRef("fusestack.sources.flat_field:FlatFieldSource", image.path, options))
    span = (bright - dark).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(span == 0, 0, (arrays[0] - dark) * (span.mean() / span))
    if dtype != "float32":
        wanted = np.clip(np.floor(wanted + 0.5), 0, np.iinfo(dtype).max)
    np.testing.assert_allclose(source.read(0, Box.of_shape(arrays[0].shape)), wanted, rtol=1e-6)
    part = Box((3, 1, 2), (9, 20, 60))
    np.testing.assert_allclose(source.read(0, part), wanted[part.slices], rtol=1e-6)


def test_a_flat_field_of_another_size_is_refused(tmp_path):
    image, _ = pyramid(tmp_path / "dataset.n5")
    options = (("image", image), ("dark", plane(tmp_path / "d.tif", np.zeros((75, 91), "u2"))))
    with pytest.raises(InputError, match=r"d\.tif: is a flat-field image of 91 x 75 x 1 pixels"):
        open_fresh(SourceRef("fusestack.sources.flat_field:FlatFieldSource", image.path, options))
