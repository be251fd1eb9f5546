"""The contact sheet of fusestack tune: one page without anything from outside, sorted, compared, copied."""

from __future__ import annotations

import re
import time
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusestack
from fusestack.api.tuning import Tuned
from fusestack.display import sheet
from tests.conftest import UNTESTED
from tests.display.chromium import Tab, chromium, tab
from tests.focus.stacks import scene, write

NAME = "o<b>&'\".tif"
"""Of an output, with all that a page must not take for its own."""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("sheet")
    paths = write(folder / "s", scene((300, 340), 4)[0])
    tune = {"options": ["--multiscale=l3", "--bg=#204080", "--blur=s1 --cutwave", "--fft --bg=max"]}
    tune["crop"] = {"x": 20, "y": 10, "width": 300, "height": 280}  # type: ignore[assignment]
    focus = {"output": {"path": str(folder / NAME)}, "tune": tune}
    return fusestack.tune({"version": 1, "input": {"images": paths}, "focus": focus})


def test_a_page_holds_all_it_shows(tuned: Tuned) -> None:
    page = Path(tuned.page).read_text()
    assert tuned.page == f"{tuned.folder}.html"
    assert len(re.findall(r'<tr data-number="\d+"', page)) == 4
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "http" not in page.replace("http-equiv", "")
    assert NAME not in page
    assert NAME in unescape(page)
    assert [unescape(one) for one in re.findall(r'data-text="(.*?)"', page)] == [one.options for one in tuned.sets]


def test_pages_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [np.random.default_rng(i).integers(0, 256, (400, 400, 3), np.uint8) for i in range(3)]
    encoded, side = sheet._encoded(noise)
    assert side is None
    monkeypatch.setattr(sheet, "MOST_BYTES", sum(map(len, encoded)) * 2 // 3)
    smaller, side = sheet._encoded(noise)
    assert side is None
    assert sum(map(len, smaller)) <= sheet.MOST_BYTES
    monkeypatch.setattr(sheet, "MOST_BYTES", sum(map(len, encoded)) // 5)
    smallest, side = sheet._encoded(noise)
    assert side in (300, 225)
    assert sum(map(len, smallest)) <= sheet.MOST_BYTES


def numbers(page: Tab) -> list[int]:
    found = page.evaluate("[...document.querySelectorAll('tbody tr')].map(r => Number(r.dataset.number)).join()")
    return [int(one) for one in found.split(",")]


def click(page: Tab, selector: str) -> Any:
    return page.evaluate(f"document.querySelector({selector!r}).click()")


def test_sliding_and_sorting_in_a_browser(tuned: Tuned, tmp_path: Path) -> None:
    if chromium() is None:
        pytest.skip(f"{UNTESTED}IN A BROWSER: there is no chromium on this machine; apt-get install chromium")
    with tab(Path(tuned.page).as_uri(), tmp_path / "browser", (1200, 900)) as page:
        end = time.monotonic() + 30
        while page.evaluate("document.readyState") != "complete" and time.monotonic() < end:
            time.sleep(0.05)
        assert numbers(page) == [1, 2, 3, 4]
        sharp = sorted(tuned.sets, key=lambda one: (-one.scores["sharpness"], one.number))
        click(page, "th[data-key=sharpness]")
        assert numbers(page) == [one.number for one in sharp]
        click(page, "th[data-key=sharpness]")
        assert numbers(page) == [one.number for one in reversed(sharp)]
        click(page, "th[data-key=number]")
        click(page, "tr[data-number='1'] .l")
        click(page, "tr[data-number='2'] .r")  # one colour everywhere
        assert page.evaluate("document.getElementById('right').textContent") == "2: '--bg=#204080'"
        x, y, width, height = (
            page.evaluate(f"document.getElementById('below').getBoundingClientRect().{key}")
            for key in ("x", "y", "width", "height")
        )
        assert (width, height) == (300, 280)

        def shown() -> list[bool]:
            """For each column, whether it is of the right picture."""
            seen = page.wait(lambda _: True)[int(y) + 5 : int(y + height) - 5, int(x) : int(x + width)].astype(int)
            return list(np.abs(seen - (0x20, 0x40, 0x80)).max(axis=(0, 2)) < 8)

        for value, edge in ((500, 150), (200, 60), (1000, 300), (0, 0)):
            page.evaluate(f"slider.value = {value}; slider.dispatchEvent(new Event('input'))")
            columns = shown()
            assert not any(columns[: max(0, edge - 2)])
            assert all(columns[edge + 2 :])
        at = {"x": x + 100, "y": y + 50, "button": "left", "clickCount": 1}
        page.call("Input.dispatchMouseEvent", type="mousePressed", buttons=1, **at)
        at["x"] = x + 220
        page.call("Input.dispatchMouseEvent", type="mouseMoved", buttons=1, **at)
        page.call("Input.dispatchMouseEvent", type="mouseReleased", **at)
        assert abs(sum(shown()) - 80) <= 4
        page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown")
        assert page.evaluate("document.getElementById('right').textContent").startswith("3: --blur")
        assert page.console == []
