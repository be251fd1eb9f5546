from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources import cropped
from fusestack.sources.base import SourceLevel, open_source
from tests.contracts.source_contract import Example, levels_of, open_fresh, pixels
from tests.contracts.wrapped_contract import WrappedContract

FACTORS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (1.0, 4.0, 4.0))


def crop(ref, box):
    return SourceRef(
        "fusestack.sources.cropped:CroppedSource", ref.path, (("whole", ref), ("start", box.start), ("stop", box.stop))
    )


def stack(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")
    return SourceRef("fusestack.sources.tiff:TiffSource", str(path))


def pyramid(path, arrays):
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(
            arrays[0], subifds=len(arrays) - 1, metadata={"axes": "ZYX"}, photometric="minisblack", tile=(16, 32)
        )
        for array in arrays[1:]:
            tiff.write(array, subfiletype=1, photometric="minisblack", tile=(16, 32))
    return SourceRef("fusestack.sources.tiff:TiffSource", str(path))


class TestPart(WrappedContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((9, 41, 60))
        box = Box((2, 7, 0), (9, 8, 33))
        return Example(crop(stack(tmp_path / "a.tif", array), box), (array[box.slices],))


class TestLevels(WrappedContract):
    @pytest.fixture
    def example(self, tmp_path):
        arrays = levels_of(pixels((5, 101, 140)), FACTORS)
        # x 12..130 and y 8..99 of level 0; whole pixels of the levels up to the last that begins inside
        box = Box((1, 8, 12), (4, 100, 131))
        expected = (arrays[0][1:4, 8:100, 12:131], arrays[1][1:4, 4:50, 6:65], arrays[2][1:4, 2:25, 3:33])
        return Example(crop(pyramid(tmp_path / "a.ome.tif", arrays), box), expected, FACTORS)


class TestPartOfPart(WrappedContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((9, 41, 60), "float32")
        ref = crop(stack(tmp_path / "a.tif", array), Box((2, 7, 0), (9, 40, 33)))
        return Example(crop(ref, Box((1, 3, 5), (7, 33, 30))), (array[3:9, 10:40, 5:30],))


axes = st.tuples(st.integers(1, 60), st.integers(0, 59), st.integers(0, 59), st.sampled_from([1, 2, 3, 4, 2.5]))


@settings(max_examples=200, deadline=None)
@given(st.tuples(axes, axes, axes))
def test_rule_of_bigstitcher(drawn):
    sizes, lows, highs, factors = zip(*drawn, strict=True)
    low = [min(a, n - 1) for a, n in zip(lows, sizes, strict=True)]
    high = [min(max(a, b), n - 1) for a, b, n in zip(low, highs, sizes, strict=True)]
    shape = tuple(max(1, int(n // f)) for n, f in zip(sizes, factors, strict=True))
    level = SourceLevel(shape, factors, shape)
    part = cropped._part_of_level(Box(tuple(low), tuple(b + 1 for b in high)), level)
    for a, b, f, n, start, stop in zip(low, high, factors, shape, part.start, part.stop, strict=True):
        assert start == int(a / f)
        last = b if f == 1 else int(np.floor((b - 0.01) / f))
        assert stop == min(last, n - 1) + 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(1, 9), st.sampled_from([2, 3, 4]))
def test_levels_of_aligned_parts_show_the_same_place(start, length, factor):
    """A part that begins and ends at multiples of the factor is what the whole level shows there."""
    size = 20 * factor
    level = SourceLevel((20, 20, 20), (factor,) * 3, (8, 8, 8))
    box = Box((start * factor,) * 3, ((start + length) * factor,) * 3)
    assert box.stop[0] <= size
    assert cropped._part_of_level(box, level) == Box((start,) * 3, (start + length,) * 3)


def test_levels_end_where_they_have_no_pixel(tmp_path):
    arrays = levels_of(pixels((5, 101, 140)), FACTORS)
    ref = pyramid(tmp_path / "a.ome.tif", arrays)
    thin = open_source(crop(ref, Box((0, 20, 20), (5, 22, 60))))  # one pixel of level 1, half a pixel of level 2
    assert [level.shape for level in thin.levels] == [(5, 2, 40), (5, 1, 20), (5, 1, 10)]
    last = open_source(crop(ref, Box((0, 100, 20), (5, 101, 60))))  # level 1 has rows 0..50, level 2 rows 0..25
    assert last.levels[0].shape == (5, 1, 40)
    single = open_source(crop(ref, Box((0, 20, 20), (5, 21, 60))))  # row 20 begins pixel 10, which reaches further
    assert [level.shape for level in single.levels] == [(5, 1, 40)]


@pytest.mark.parametrize(
    "box", [Box((0, 0, 0), (9, 41, 61)), Box((-1, 0, 0), (9, 41, 60)), Box((0, 50, 0), (9, 55, 60))]
)
def test_parts_outside_are_refused(tmp_path, box):
    ref = stack(tmp_path / "a.tif", pixels((9, 41, 60)))
    with pytest.raises(InputError, match=r"holds 60 x 41 x 9 pixels .xyz., the interval .* is not inside; split"):
        open_fresh(crop(ref, box))


def test_only_the_part_is_read(tmp_path, monkeypatch):
    from fusestack.sources.tiff import TiffSource

    seen = []
    read = TiffSource.read
    monkeypatch.setattr(TiffSource, "read", lambda *a: seen.append(a[1:]) or read(*a))
    source = open_fresh(crop(stack(tmp_path / "a.tif", pixels((9, 41, 60))), Box((2, 7, 1), (9, 40, 33))))
    source.read(0, Box((0, 1, 2), (1, 3, 5)))
    assert seen == [(0, Box((2, 8, 3), (3, 10, 6)))]


def test_a_file_that_was_replaced_is_opened_again(tmp_path):
    path = tmp_path / "a.tif"
    ref = crop(stack(path, pixels((9, 41, 60))), Box((2, 7, 1), (9, 40, 33)))
    first = open_source(ref).read(0, Box((0, 0, 0), (1, 1, 32)))
    path.unlink()
    other = pixels((9, 41, 60), seed=8)
    stack(path, other)
    found = open_source(ref).read(0, Box((0, 0, 0), (1, 1, 32)))
    assert np.array_equal(found, other[2:3, 7:8, 1:33])
    assert not np.array_equal(found, first)
