"""Areas that are drawn in the viewer become ``focus.retouch`` of the configuration, and are drawn where it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import fusestack
from fusestack.api.rewriting import write_retouch
from fusestack.cli.main import run
from fusestack.cli.view import _Writing
from fusestack.config.focus import Retouch
from fusestack.config.load import load_config
from fusestack.display.drawing import Drawing
from fusestack.display.served import Blocks
from fusestack.display.server import ViewServer
from fusestack.display.shown import show
from fusestack.kernels import polygon
from fusestack.model.errors import ConfigError
from fusestack.model.geometry import Affine
from tests.conftest import UNTESTED
from tests.display.chromium import Tab, chromium, tab
from tests.display.test_view import answering, ask
from tests.focus.stacks import scene, write

TEXT = """# my moss
version: 1
input: {images: "in/*.tif"}
focus:
  method: multiscale   # as it is
  output: {path: sharp.tif, depth: depth.tif}
"""
AREAS = [
    {"slice": 3, "polygon": [[20.0, 20.0], [100.0, 20.0], [60.0, 75.5]]},
    {"slice": 0, "polygon": [[5.5, 4.0], [30.0, 4.0], [30.0, 40.0], [5.0, 40.0]]},
]


def retouch_of(job: Path) -> list[dict[str, Any]]:
    """Areas of a configuration, as it would say them."""
    focus = load_config(job).config.focus
    return [] if focus is None else [one.model_dump(mode="json", exclude_none=True) for one in focus.retouch]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    write(tmp_path / "in", scene((90, 130), 5)[0])
    path = tmp_path / "moss.yaml"
    path.write_text(TEXT)
    return path


def test_what_is_written_says_only_that(job: Path) -> None:
    write_retouch(job, AREAS, [])
    text = job.read_text()
    assert [one.model_dump(exclude={"timepoint"}) for one in load_config(job).config.focus.retouch] == [
        {"slice": one["slice"], "polygon": tuple(map(tuple, one["polygon"]))} for one in AREAS
    ]
    kept = [line for line in text.splitlines() if "retouch" not in line]
    assert kept == TEXT.splitlines()
    write_retouch(job, AREAS[:1], AREAS)
    assert len(load_config(job).config.focus.retouch) == 1
    write_retouch(job, [], AREAS[:1])
    assert job.read_text() == TEXT


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_areas_come_back_from_the_page(axis: int) -> None:
    """Of slices along any axis, in units of the world."""
    order = [axis, *(i for i in range(3) if i != axis)]
    linear = np.zeros((3, 3))
    linear[order, range(3)] = (-2.0, 0.5, 0.25)
    to_world = Affine(linear, np.array([1.0, 2.0, 3.0]))
    drawing = Drawing(tuple(Retouch.model_validate(one) for one in AREAS), to_world, 5)
    layer = drawing.layer({axis: [1e-6, "m"] for axis in "xyz"}, 0.25)
    assert drawing.drawn({"layers": [{"name": "else"}, json.loads(json.dumps(layer))]}, 0.25) == AREAS
    assert drawing.layout == ("xy", "xz", "yz")[axis]
    layer["annotations"] += [
        {"type": "point", "id": "p", "point": [1, 2, 3]},
        {"type": "polyline", "id": "l", "points": [[1, 2, 3], [4, 5, 6]]},
    ]
    assert drawing.drawn({"layers": [layer]}, 0.25) == AREAS
    layer["annotations"] += [{"type": "polyline", "id": "m", "points": points} for points in ([], [[1, 2]] * 4)]
    layer["annotations"].append({"type": "polyline", "id": "n", "points": [[1, 2, 3], [4, 5, 6]] * 2})
    assert drawing.drawn({"layers": [layer]}, 0.25) == AREAS
    assert drawing.drawn({"layers": [layer | {"annotations": []}]}, 0.25) == []
    for nothing in ({"layers": []}, {"layers": 3}, {}, None, {"layers": [layer | {"annotations": [{"points": 3}, 7]}]}):
        assert drawing.drawn(nothing, 0.25) is None


@contextmanager
def serving(job: Path) -> Iterator[ViewServer]:
    shown = show(str(job), draws=True)
    assert shown.scene.drawing is not None
    writing = _Writing(str(job), shown.scene.drawing)
    with answering(ViewServer(shown.scene, Blocks(shown.scene.images, "cached", shown.memory), writing)) as server:
        yield server


def test_a_state_with_other_areas_is_written(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(job) as server:
        state = json.loads(json.dumps(server.state))
        layer = next(one for one in state["layers"] if one["name"] == "retouch")
        points = [[20, 20, 3], [100, 20, 3], [60, 75.5, 3], [20, 20, 3]]
        for number, annotations in enumerate(
            (
                [],
                [{"type": "polyline", "id": "a", "points": points}],
                [{"type": "polyline", "id": "a", "points": points}],
            )
        ):
            layer["annotations"] = annotations
            told = {"c": "me", "g": str(number), "pg": server.generation, "s": state}
            assert ask(server, f"/state/{server.token}", method="POST", body=json.dumps(told).encode())[0] == 200
            assert len(load_config(job).config.focus.retouch) == len(annotations)
        assert capfd.readouterr().err.count("1 area to retouch") == 1, "only what changes is written"
        before = job.read_text()
        job.write_text("focus: [")
        layer["annotations"] = []

        def post(generation: str) -> str:
            told = {"c": "me", "g": generation, "pg": server.generation, "s": state}
            assert ask(server, f"/state/{server.token}", method="POST", body=json.dumps(told).encode())[0] == 200
            return capfd.readouterr().err

        assert "moss.yaml" in post("9"), "what cannot be written is said, and the page goes on"
        assert job.read_text() == "focus: ["
        job.write_text(before)
        state["layers"].remove(layer)
        assert post("10") == "", "a layer that was closed says nothing"
        state["layers"].append(layer)
        assert "0 areas to retouch" in post("11"), "it is tried again"
        job.write_text(before)
        layer["annotations"] = [{"type": "polyline", "id": "a", "points": points[:3]}]
        assert "somebody else has changed focus.retouch" in post("12")
        assert job.read_text() == before


def test_aligned_and_prepared_slices_are_drawn_in(job: Path) -> None:
    """Pixels are those of the picture: slices are shown as they are stacked."""
    config: dict[str, Any] = {"prepare": [{"crop": {"geometry": "100x80+30+10"}}, {"resize": {"percent": 50}}]}
    job.write_text(TEXT + f"  prepare: {json.dumps(config['prepare'])}\n")
    shown = show(str(job), draws=True)
    slices = next(image for image in shown.scene.images if image.name == "slices")
    assert slices.levels[0].shape == (5, 40, 50)
    found = slices.pixels.read(0, 0, 0, fusestack.model.geometry.Box((2, 0, 0), (3, 40, 50)))
    assert found.shape == (1, 40, 50)
    fusestack.run(job)
    result = next(image for image in show(str(job), draws=True).scene.images if image.name == "image")
    assert result.levels[0].shape[1:] == (40, 50)
    assert tifffile.imread(job.parent / "sharp.tif").shape[:2] == (40, 50)


@pytest.mark.parametrize(
    "focus",
    [
        "focus:\n  output: {path: a.tif}\n  retouch:\n  # the left antenna\n"
        "  - {slice: 3, polygon: [[1, 2], [3, 4], [9, 1]]}  # sharp\n",
        "focus:\n  retouch:\n    - slice: 3  # the left antenna\n      polygon: [[1, 2], [3, 4], [9, 1]]\n",
        "focus: {}  # the left antenna\n",
        "focus:  # the left antenna\n  retouch: [{slice: 3, polygon: [[1, 2], [3, 4], [9, 1]]}]\n",
    ],
)
def test_comments_within_stay(focus: str, job: Path) -> None:
    start = 'version: 1\ninput: {images: "in/*.tif"}\n'
    job.write_text(start + focus)
    first = retouch_of(job)
    write_retouch(job, [*first, AREAS[0]], first)
    assert retouch_of(job) == [*first, AREAS[0]]
    assert ("antenna" in job.read_text()) or focus == "focus: {}  # the left antenna\n"
    assert len(job.read_text().splitlines()) <= len((start + focus).splitlines()) + 1, "an area is a line"
    write_retouch(job, first, [*first, AREAS[0]])
    assert retouch_of(job) == first
    write_retouch(job, [], first)
    assert retouch_of(job) == []


def test_json_is_drawn_in(job: Path) -> None:
    place = job.with_suffix(".json")
    images = {"images": str(job.parent / "in" / "*.tif")}
    place.write_text(json.dumps({"version": 1, "input": images, "focus": {"output": {"path": "a.tif"}}}, indent=2))
    assert show(str(place), draws=True).scene.drawing is not None
    write_retouch(place, AREAS, [])
    assert json.loads(place.read_text())["focus"]["retouch"] == AREAS


def test_what_cannot_be_drawn_in_is_refused(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["view", str(tmp_path / "in" / "slice_1.tif"), "--retouch"]) == 2
    assert "is an image; --retouch draws in the slices of a configuration" in capsys.readouterr().err
    assert run(["view", str(job), "--retouch", "--set", "focus.prepare=[{resize: {percent: 50}}]"]) == 2
    assert "--retouch: draws in what" in capsys.readouterr().err
    other = tmp_path / "plain.yaml"
    other.write_text('version: 1\ninput: {images: "in/*.tif"}\n')
    with pytest.raises(ConfigError, match=r"--retouch is for a configuration .* with a section focus"):
        show(str(other), draws=True)


def _drawn(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Lines of polygons, without the names of layers at the side."""
    found: NDArray[np.bool_] = np.abs(picture.astype(int) - [0, 229, 255]).max(axis=-1) < 60
    found[:90] = found[:, 980:] = False
    return found


def _click(page: Tab, x: float, y: float, *, ctrl: bool = True, count: int = 1) -> None:
    x, y = float(x), float(y)
    common = {"x": x, "y": y, "button": "left", "clickCount": count, "modifiers": 2 if ctrl else 0}
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, modifiers=common["modifiers"])
    time.sleep(0.3)
    page.call("Input.dispatchMouseEvent", type="mousePressed", **common)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", **common)
    time.sleep(0.3)


@pytest.mark.slow
def test_a_polygon_is_drawn_in_a_browser(job: Path, tmp_path: Path) -> None:
    if chromium() is None:
        pytest.skip(f"{UNTESTED}IN A BROWSER: there is no chromium on this machine; apt-get install chromium")
    square = [[40, 20], [90, 20], [90, 60], [40, 60]]
    job.write_text(TEXT + f"  retouch: [{{slice: 2, polygon: {square}}}]\n")
    with serving(job) as server, tab(server.address, tmp_path / "browser", (1300, 800)) as page:
        seen = page.wait(lambda picture: _drawn(picture).sum() > 300)
        lines = np.argwhere(_drawn(seen))
        (top, left), (bottom, right) = lines.min(axis=0), lines.max(axis=0)
        scale = (right - left) / 50
        assert scale > 1, page.console[:5]
        assert abs((bottom - top) / scale - 40) < 2, "it is drawn at its place"
        # half of it, by hand, in the slice that is seen
        wanted = [(left, top), (right, top), (right, (top + bottom) / 2), (left, (top + bottom) / 2)]
        inside = [
            (x + dx * 12, y + dy * 12) for (x, y), dx, dy in zip(wanted, (1, -1, -1, 1), (1, 1, -1, -1), strict=True)
        ]
        for x, y in inside:
            _click(page, x, y)
        _click(page, *inside[-1], count=2)
        end = time.monotonic() + 20
        while len(areas := load_config(job).config.focus.retouch) < 2 and time.monotonic() < end:
            time.sleep(0.3)
        assert len(areas) == 2, page.console[:5]
    drawn = areas[1]
    assert drawn.slice == 2
    there = polygon.inside(drawn.polygon, (0, 0), (90, 130)) > 0
    expected = polygon.inside([(40, 20), (90, 20), (90, 40), (40, 40)], (0, 0), (90, 130)) > 0
    assert (there & expected).sum() > 0.6 * expected.sum()
    assert (there & ~expected).sum() < 0.1 * expected.sum()
