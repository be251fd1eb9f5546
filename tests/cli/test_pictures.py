"""Pictures are drawn within bounded memory, and show what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusestack
from fusestack.cli.main import run
from fusestack.config.load import load_config
from fusestack.display import report, volumes
from fusestack.display.still import drawn_part
from fusestack.model.geometry import Box
from tests.small import config


@pytest.mark.parametrize("shape", [(1, 1, 1), (10, 10, 10), (3, 5000, 7000), (4000, 6000, 5000), (1, 1, 10**9)])
def test_what_is_drawn_is_small_and_in_the_middle(shape: tuple[int, int, int]) -> None:
    part = drawn_part(shape, 2**20)
    assert 0 < part.size <= max(2**20, 1)
    if np.prod(shape) <= 2**20:
        assert part == Box.of_shape(shape)
    for a, b, n in zip(part.start, part.stop, shape, strict=True):
        assert a >= 0
        assert b <= n
        assert abs((a + b) / 2 - n / 2) <= max(2, 0.02 * n)


def test_an_image_without_levels_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_MOST_PIXELS", 2000)
    monkeypatch.setattr(volumes, "_MOST_PIXELS", 2000)
    settings = config(tmp_path, pyramid="none")
    fusestack.run(settings)
    assert "data:image/jpeg" in (tmp_path / "fused.ome.zarr.report.html").read_text()
    drawn = volumes.volume_of_image(str(tmp_path / "fused.ome.zarr"))
    assert drawn.channels[0].size <= 2000
    assert "the middle of level 0" in drawn.title
    assert run(["preview", str(tmp_path / "fused.ome.zarr"), "-o", str(tmp_path / "a.png"), "--quiet"]) == 0


def test_a_picture_of_a_project_and_of_a_focus_stack(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings["output"] = {"path": str(tmp_path / "fused.h5")}
    fusestack.run(settings)
    assert run(["preview", str(tmp_path / "fused.xml"), "-o", str(tmp_path / "a.png"), "--quiet"]) == 0
    overrides = ["--set", "fusion.downsampling=2"]
    assert run(["preview", str(tmp_path / "fused.xml"), "-o", str(tmp_path / "b.png"), *overrides, "--quiet"]) == 0
    rng = np.random.default_rng(0)
    stack = np.full((3, 40, 60), 100, np.uint8)
    for k in range(3):
        stack[k, :, 20 * k : 20 * k + 20] = rng.integers(0, 255, (40, 20))
        Image.fromarray(stack[k]).save(tmp_path / f"s{k}.png")
    path = tmp_path / "focus.yaml"
    path.write_text('{"version": 1, "input": {"images": "s*.png"}, "focus": {"output": {"path": "sharp.png"}}}')
    before = volumes.volume_of_config(load_config(path))
    assert "made of 3 slices" in before.title
    fusestack.run(path)
    after = volumes.volume_of_config(load_config(path))
    np.testing.assert_array_equal(before.channels[0], after.channels[0])  # slices that small are not reduced
    np.testing.assert_array_equal(after.channels[0][0], np.asarray(Image.open(tmp_path / "sharp.png")))
    assert run(["preview", str(path), "-o", str(tmp_path / "c.png"), "--quiet"]) == 0
