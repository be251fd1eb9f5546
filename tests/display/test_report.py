"""The page that tells of a run: what it says is true, and names do no harm."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fusestack
from fusestack.display.charts import _counts, count_views, depth_map, histogram
from fusestack.display.still import Volume, _panel, draw
from tests.small import config

SHAPE = (6, 10, 12)


@given(
    boxes=st.lists(
        st.tuples(*(st.tuples(st.integers(-3, n + 3), st.integers(-3, n + 3)).map(sorted) for n in SHAPE)), max_size=6
    )
)
def test_views_over_one_another_are_counted(boxes: list[tuple[list[int], ...]]) -> None:
    bounds = np.array(boxes, np.int64).reshape(-1, 3, 2).swapaxes(1, 2)
    counts = np.zeros(SHAPE, np.int64)
    for (z, zz), (y, yy), (x, xx) in boxes:
        counts[max(z, 0) : max(zz, 0), max(y, 0) : max(yy, 0), max(x, 0) : max(xx, 0)] += 1
    table = SimpleNamespace(bounds=bounds)
    np.testing.assert_array_equal(count_views([table], SHAPE, 1), counts.max(axis=0))  # type: ignore[list-item]


def test_names_are_no_code() -> None:
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    names = ("<script>alert(1)</script>", "b & c")
    volume = Volume((pixels, pixels * 40), ("FF0000", "00FF00"), (1.0, 1.0, 1.0), "µm", "title", names)
    page = histogram(volume)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "b &amp; c" in page
    for value in ("200", "400", "grey value", ">1<"):
        assert value in page


@pytest.mark.parametrize("shape", [(20, 30, 40), (3, 400, 100), (40, 5, 300), (1, 50, 60), (60, 60, 60)])
def test_no_large_part_of_a_picture_is_blank(shape: tuple[int, int, int]) -> None:
    """Every plane and projection is there, and what is not drawn is less than a third, but for thin strips."""
    pixels = np.full(shape, 1000, np.uint16)
    pixels[0, 0, 0] = 1
    picture = np.asarray(draw(Volume((pixels,), ("FFFFFF",), (1.0, 1.0, 1.0), "µm", "title")))
    drawn = (picture.min(axis=2) > 200).mean()
    assert drawn > (0.35 if max(shape[1:]) > 3 * min(shape[1:]) else 0.6), drawn


def test_a_depth_map_has_its_scale() -> None:
    plane = np.linspace(2.5, 40, 120, dtype=np.float32).reshape(1, 10, 12)
    plane[0, 0, 0] = np.nan
    page = depth_map(Volume((plane,), ("FFFFFF",), (1, 1, 1), "µm", "t"), "height", "micrometer")
    assert "height, micrometer" in page
    assert ">40<" in page
    assert ">2.8" in page  # the least value that is one
    nothing = depth_map(Volume((plane * np.nan,), ("FFFFFF",), (1, 1, 1), "µm", "t"), "height", "micrometer")
    assert "nothing is sharp" in nothing


def test_the_report_adds_up(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings["output"]["path"] = str(tmp_path / "a<b>&.ome.zarr")
    settings["input"]["views"][1]["channel"] = 1
    report = fusestack.run(settings)
    page = Path(report.page).read_text()
    assert len(page) < 2e6
    assert "<b>" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    table = page[page.index("Where the time went") : page.index("Configuration")]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    seconds = [float(row[4]) for row in rows]
    assert sum(seconds[:-1]) == pytest.approx(seconds[-1], abs=0.05 * len(seconds))
    assert rows[-2][0].startswith("start")
    for row in rows[:-2]:
        assert sum(map(float, row[5:8])) == pytest.approx(float(row[4]), abs=0.16)
    for stage in report.stages:
        assert 0 < stage.reading + stage.writing <= stage.working
        assert stage.working <= report.seconds * 2 * 2
    assert "views over one another" in page


def test_channels_are_drawn_one_by_one() -> None:
    rng = np.random.default_rng(0)
    channels = tuple(rng.integers(1, 1000, (10, 60, 60), dtype=np.uint16) for _ in range(5))
    colors = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000")
    names = ("a", "b", "c", "d", "e")
    whole = Volume(channels, colors, (1.0, 1.0, 1.0), "µm", "t")
    each = Volume(channels, colors, (1.0, 1.0, 1.0), "µm", "t", names)
    assert isinstance(draw(each), Image.Image)
    assert draw(each).height > draw(whole).height + 500  # two rows


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_counts_are_those_of_numpy(dtype: str) -> None:
    values = np.random.default_rng(0).integers(3, 250, 5000).astype(dtype)
    for low, high in ((3.0, 249.0), (3.0, 500.0)):
        assert np.array_equal(_counts(values, low, high), np.histogram(values, bins=128, range=(low, high))[0])


def test_colours_of_channels_are_added_up() -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (2, 1, 20, 30)).astype(np.uint8)
    volume = Volume(tuple(pixels), ("00FF80", "4000FF"), (1.0, 1.0, 1.0), "µm", "title")
    drawn = np.asarray(_panel(volume, [(10, 80), (0, 98)], 0, "middle", 1.0))
    greys = (np.clip((pixels[0, 0] - 10.0) / 70, 0, 1), pixels[1, 0] / 98)
    inks = ((0, 255, 128), (64, 0, 255))
    wanted = sum(grey[..., None] * np.array(ink) for grey, ink in zip(greys, inks, strict=True))
    assert np.abs(drawn - np.clip(wanted, 0, 255)).max() <= 1.01
