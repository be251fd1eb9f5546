from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources import flat_field
from fusestack.sources.base import open_source
from tests.contracts.source_contract import Example, levels_of, open_fresh, pixels, random_boxes
from tests.contracts.wrapped_contract import WrappedContract
from tests.sources.test_cropped import crop, pyramid, stack

FACTORS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (1.0, 4.0, 4.0))


def corrected(ref, bright=None, dark=None):
    images = tuple((key, image) for key, image in (("bright", bright), ("dark", dark)) if image is not None)
    return SourceRef("fusestack.sources.flat_field:FlatFieldSource", ref.path, (("image", ref), *images))


def twin(image, bright, dark, mean=None):
    """BigStitcher's formula, pixel by pixel."""
    bright, dark = (np.broadcast_to(plane, image.shape[1:]).astype(float) for plane in (bright, dark))
    mean = (bright - dark).mean() if mean is None else mean
    out = np.zeros_like(image)
    for index, value in np.ndenumerate(image):
        difference = bright[index[1:]] - dark[index[1:]]
        if difference == 0:
            continue
        found = (float(value) - dark[index[1:]]) * mean / difference
        if image.dtype.kind != "f":
            info = np.iinfo(image.dtype)
            found = min(max(np.floor(found + 0.5), info.min), info.max)
        out[index] = found
    return out


def averaged(plane, factor):
    """Means of blocks of factor x factor pixels, of what there is at the end."""
    rows, columns = (range(0, n, factor) for n in plane.shape)
    return np.array([[plane[y : y + factor, x : x + factor].mean() for x in columns] for y in rows])


def fields(shape, dtype="uint16", seed=4):
    """A vignetted bright image and a dark one with hot pixels, equal in one place."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    fall = 1 - 0.7 * ((y / shape[0] - 0.5) ** 2 + (x / shape[1] - 0.4) ** 2)
    dark = rng.integers(90, 110, shape)
    bright = (dark + 100 * fall + rng.integers(0, 9, shape)).astype(dtype)
    dark = dark.astype(dtype)
    bright[3, 5] = dark[3, 5]
    return bright, dark


class TestStack(WrappedContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((5, 31, 40))
        bright, dark = fields(array.shape[1:], "uint8")
        ref = corrected(
            stack(tmp_path / "a.tif", array), stack(tmp_path / "b.tif", bright), stack(tmp_path / "d.tif", dark)
        )
        expected = twin(array, bright, dark)
        assert (expected == 65535).any()
        assert (expected == 0).any()
        return Example(ref, (expected,))


class TestFloat(WrappedContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((3, 31, 40), "float32")
        bright, dark = fields(array.shape[1:], "float32")
        ref = corrected(
            stack(tmp_path / "a.tif", array), stack(tmp_path / "b.tif", bright), stack(tmp_path / "d.tif", dark)
        )
        return Example(ref, (twin(array, bright, dark),))


class TestLevels(WrappedContract):
    @pytest.fixture
    def example(self, tmp_path):
        arrays = levels_of(pixels((3, 41, 58)), FACTORS)
        bright, dark = fields(arrays[0].shape[1:])
        ref = corrected(
            pyramid(tmp_path / "a.ome.tif", arrays),
            stack(tmp_path / "b.tif", bright),
            stack(tmp_path / "d.tif", dark),
        )
        mean = (bright.astype(float) - dark).mean()
        expected = tuple(
            twin(array, averaged(bright, f), averaged(dark, f), mean)
            for array, f in zip(arrays, (1, 2, 4), strict=True)
        )
        return Example(ref, expected, FACTORS)


class TestPartOfCorrected(WrappedContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((5, 31, 40))
        bright, dark = fields(array.shape[1:])
        ref = corrected(
            stack(tmp_path / "a.tif", array), stack(tmp_path / "b.tif", bright), stack(tmp_path / "d.tif", dark)
        )
        box = Box((1, 2, 3), (5, 30, 31))
        return Example(crop(ref, box), (twin(array, bright, dark)[box.slices],))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32"]),
    st.integers(1, 60000),
    st.sampled_from([(0, True), (0, False), (None, True)]),
    st.integers(0, 99),
)
def test_even_illumination_changes_nothing(tmp_path_factory, dtype, constant, dark, seed):
    folder = tmp_path_factory.mktemp("even")
    array = pixels((3, 9, 11), dtype, seed)
    plane = np.full((1, 9, 11), constant, np.uint16)
    images = {"bright": stack(folder / "b.tif", plane) if dark[1] else None}
    images["dark"] = None if dark[0] is None else stack(folder / "d.tif", np.zeros_like(plane))
    found = open_fresh(corrected(stack(folder / "a.tif", array), **images)).read(0, Box.of_shape(array.shape))
    assert found.tobytes() == array.tobytes()


def test_without_a_bright_image_the_dark_one_is_subtracted(tmp_path):
    array = pixels((3, 9, 11))
    _, dark = fields((9, 11))
    source = open_fresh(corrected(stack(tmp_path / "a.tif", array), None, stack(tmp_path / "d.tif", dark)))
    expected = np.maximum(array.astype(int) - dark, 0)
    np.testing.assert_array_equal(source.read(0, Box.of_shape(array.shape)), expected)


def test_what_was_uneven_becomes_even(tmp_path):
    bright, dark = fields((31, 40), "float32")
    bright[3, 5] += 50
    scene = np.float32(0.25)
    array = np.stack([dark + scene * (bright - dark)] * 2)
    assert np.ptp(array) > 15
    source = open_fresh(
        corrected(stack(tmp_path / "a.tif", array), stack(tmp_path / "b.tif", bright), stack(tmp_path / "d.tif", dark))
    )
    found = source.read(0, Box.of_shape(array.shape))
    np.testing.assert_allclose(found, 0.25 * (bright.astype(float) - dark).mean(), rtol=1e-5)


def test_nan_is_still_no_data(tmp_path):
    array = np.ones((1, 9, 11), np.float32)
    array[0, 2, 3] = np.nan
    bright, dark = fields((9, 11))
    source = open_fresh(
        corrected(stack(tmp_path / "a.tif", array), stack(tmp_path / "b.tif", bright), stack(tmp_path / "d.tif", dark))
    )
    assert np.argwhere(np.isnan(source.read(0, Box.of_shape(array.shape)))).tolist() == [[0, 2, 3]]


def test_the_mean_is_read_once_for_all_views_and_again_for_new_images(tmp_path, monkeypatch):
    rows = []
    mean = flat_field._mean
    monkeypatch.setattr(flat_field, "_mean", lambda ref, *size: rows.append(ref.path) or mean(ref, *size))
    array = pixels((3, 31, 40))
    bright, dark = fields((31, 40))
    images = stack(tmp_path / "b.tif", bright), stack(tmp_path / "d.tif", dark)
    box = Box((0, 4, 5), (1, 6, 7))
    for number in range(3):
        source = open_fresh(corrected(stack(tmp_path / f"{number}.tif", array), *images))
        source.read(0, box)
        source.read(0, box)
    assert rows == [ref.path for ref in images]
    (tmp_path / "b.tif").unlink()
    stack(tmp_path / "b.tif", bright + 5)
    found = open_source(corrected(stack(tmp_path / "0.tif", array), *images)).read(0, box)
    assert len(rows) == 4
    np.testing.assert_array_equal(found, twin(array, bright + 5, dark)[box.slices])


def test_only_the_window_is_read(tmp_path, monkeypatch):
    from fusestack.sources.tiff import TiffSource

    arrays = levels_of(pixels((3, 41, 58)), FACTORS)
    bright, _ = fields((41, 58))
    images = pyramid(tmp_path / "a.ome.tif", arrays), stack(tmp_path / "b.tif", bright)
    source = open_fresh(corrected(*images))
    source.read(0, Box((0, 0, 0), (1, 1, 1)))
    seen = []
    read = TiffSource.read
    monkeypatch.setattr(TiffSource, "read", lambda *a: seen.append((a[0]._path[-5:], *a[1:])) or read(*a))
    source.read(2, Box((1, 2, 3), (3, 4, 6)))
    assert seen[1:] == [("b.tif", 0, Box((0, 8, 12), (1, 16, 24)))]


def test_bytes_do_not_depend_on_boxes(tmp_path):
    array = pixels((3, 31, 40), "float32")
    bright, dark = (10.0 ** np.random.default_rng(i).uniform(0, 4, (31, 40)).astype(np.float32) for i in (1, 2))
    for image in (bright, dark, array):
        image[..., 7] *= 1e3
    levels = levels_of(array, FACTORS)
    source = open_fresh(
        corrected(
            pyramid(tmp_path / "a.ome.tif", levels),
            stack(tmp_path / "b.tif", bright),
            stack(tmp_path / "d.tif", dark),
        )
    )
    for level, image in enumerate(levels):
        whole = source.read(level, Box.of_shape(image.shape))
        for box in random_boxes(image.shape, 20):
            assert source.read(level, box).tobytes() == np.ascontiguousarray(whole[box.slices]).tobytes()


@pytest.mark.parametrize("shape", [(31, 41), (2, 31, 40), (30, 40)])
def test_images_of_another_size_are_refused(tmp_path, shape):
    field = stack(tmp_path / "b.tif", np.ones(shape, np.uint16))
    with pytest.raises(InputError, match=r"b\.tif: is a flat-field image of .* needs 40 x 31 x 1; give"):
        open_fresh(corrected(stack(tmp_path / "a.tif", pixels((5, 31, 40))), field))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_with_holes_are_refused(tmp_path, value):
    bright = np.ones((31, 40), np.float32)
    bright[3, 4] = value
    source = open_fresh(corrected(stack(tmp_path / "a.tif", pixels((5, 31, 40))), stack(tmp_path / "b.tif", bright)))
    with pytest.raises(InputError, match=r"b\.tif: a flat-field image has pixels that are NaN or infinite"):
        source.read(0, Box((0, 0, 0), (1, 1, 1)))


def test_images_that_are_missing_are_named(tmp_path):
    gone = SourceRef("fusestack.sources.tiff:TiffSource", str(tmp_path / "gone.tif"))
    with pytest.raises(InputError, match=r"gone\.tif: no such file"):
        open_fresh(corrected(stack(tmp_path / "a.tif", pixels((5, 31, 40))), gone))
    tifffile.imwrite(tmp_path / "rgb.tif", np.ones((31, 40, 3), np.uint8), photometric="rgb")
    colours = SourceRef("fusestack.sources.tiff:TiffSource", str(tmp_path / "rgb.tif"))
    with pytest.raises(InputError, match=r"rgb\.tif: holds colours"):
        open_fresh(corrected(stack(tmp_path / "a.tif", pixels((5, 31, 40))), colours))
