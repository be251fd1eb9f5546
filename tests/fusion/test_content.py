"""Content-based fusion through runs: filtered once for each view, reused, equal to what is computed lazily."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.fusion import content
from fusestack.model.geometry import Box
from fusestack.sources.tiff import TiffSource
from tests.small import config, tree

SHARP = {"sigma1": 3, "sigma2": 6}


def tiles(folder: Path, shape: tuple[int, int, int] = (48, 60, 140)) -> dict[str, Any]:
    """Two tiles of the same specimen, each blurred on its far side, in blocks of 32 pixels."""
    rng = np.random.default_rng(3)
    specimen = rng.integers(0, 1000, (shape[0], shape[1], shape[2] + 40))
    views = []
    for number in range(2):
        pixels = specimen[..., 40 * number : 40 * number + shape[2]].astype(float)
        middle = (shape[2] + 40) // 2 - 40 * number
        far = slice(middle, None) if number == 0 else slice(None, middle)
        pixels[..., far] = pixels[..., far] * 0.1 + 450
        tifffile.imwrite(folder / f"tile{number}.tif", pixels.astype(np.uint16), photometric="minisblack")
        views.append(
            {
                "path": str(folder / f"tile{number}.tif"),
                "translation": {"x": 40 * number, "y": 0, "z": 0},
                "tile": number,
            }
        )
    output = {"path": str(folder / "fused.ome.zarr"), "chunks": 16, "shards": 32, "pyramid": "none"}
    return {"version": 1, "input": {"views": views}, "fusion": {"content_based": SHARP}, "output": output}


def read(folder: Path) -> np.ndarray[Any, Any]:
    return np.asarray(zarr.open_array(folder / "fused.ome.zarr" / "0", mode="r")[0, 0])


def test_the_sharper_view_wins(tmp_path: Path) -> None:
    settings = tiles(tmp_path)
    fusestack.run(settings)
    specimen = np.random.default_rng(3).integers(0, 1000, (48, 60, 180))
    error = np.abs(read(tmp_path)[8:40, 8:52, 45:135] - specimen[8:40, 8:52, 45:135].astype(float))
    settings["fusion"]["content_based"] = False
    settings["output"]["overwrite"] = True
    fusestack.run(settings)
    plain = np.abs(read(tmp_path)[8:40, 8:52, 45:135] - specimen[8:40, 8:52, 45:135].astype(float))
    assert error.mean() < 0.25 * plain.mean()


@pytest.mark.parametrize("sigmas", [{"sigma1": 3, "sigma2": 6}, {"sigma1": 12, "sigma2": 24}])
@pytest.mark.parametrize("numerics", ["exact", "bigstitcher"])
def test_stored_and_lazy_weights_are_the_same(numerics: str, sigmas: dict[str, int], tmp_path: Path) -> None:
    settings = tiles(tmp_path)
    settings["fusion"] = {"content_based": sigmas, "numerics": numerics, "dtype": "float32"}
    fusestack.run(settings)
    plan = fusestack.plan(settings)
    design = plan.design.images[0]
    assert isinstance(design.compute.content.weights, content.ComputedNodes)
    lazy = design.compute(Box.of_shape(design.shape))
    assert lazy is not None
    np.testing.assert_array_equal(lazy[0, 0], read(tmp_path))


def test_every_pixel_is_read_a_bounded_number_of_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice for the weights, however many blocks of the output need them; a little more at the borders of blocks."""
    settings = tiles(tmp_path, (80, 96, 300))
    counts: Counter[str] = Counter()
    found = TiffSource.read

    def counted(self: TiffSource, level: int, box: Box) -> Any:
        counts[self._path] += box.size
        return found(self, level, box)

    monkeypatch.setattr(TiffSource, "read", counted)
    settings["fusion"] = {"content_based": False}
    fusestack.run(settings)
    plain = Counter(counts)
    counts.clear()
    settings["fusion"] = {"content_based": {"sigma1": 20, "sigma2": 40}}
    settings["output"]["overwrite"] = True
    fusestack.run(settings)
    for path, pixels in counts.items():
        assert pixels - plain[path] <= 2.2 * 80 * 96 * 300


def test_weights_are_kept_for_other_options(tmp_path: Path) -> None:
    settings = tiles(tmp_path)
    report = fusestack.run(settings)
    names = ["content/mean", "content/contrast", "content/weights", "fuse"]
    assert [(stage.stage, stage.action) for stage in report.stages] == [(name, "computed") for name in names]
    assert fusestack.run(settings).reused_all
    settings["fusion"] |= {"dtype": "float32", "blending": False}
    settings["output"]["overwrite"] = True
    report = fusestack.run(settings)
    assert [stage.action for stage in report.stages] == [
        "reused",
        "computed",
    ]  # the steps before the weights are not asked for
    settings["fusion"]["content_based"] = {"sigma1": 4, "sigma2": 6}
    report = fusestack.run(settings)
    assert [stage.action for stage in report.stages] == ["computed"] * 4


def test_only_what_the_box_needs_is_filtered(tmp_path: Path) -> None:
    settings = tiles(tmp_path, (40, 60, 700))
    settings["fusion"]["bounding_box"] = {"min": {"x": 0, "y": 0, "z": 0}, "max": {"x": 31, "y": 31, "z": 31}}
    settings["fusion"]["content_based"] = {"sigma1": 10, "sigma2": 20}
    small = sum(stage.bytes_written for stage in fusestack.run(settings).stages[:3])
    settings["fusion"]["bounding_box"] = "all_views"
    settings["output"]["overwrite"] = True
    whole = sum(stage.bytes_written for stage in fusestack.run(settings).stages[:3])
    assert small < 0.7 * whole


@pytest.mark.parametrize("changes", [{"execution": {"scheduler": "processes", "workers": 2}}, {"blocks": 9}])
def test_bytes_do_not_depend_on_blocks_or_workers(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path, "float32")
    settings["fusion"] = {"content_based": SHARP, "numerics": "bigstitcher"}
    fusestack.run(settings)
    wanted = tree(tmp_path / "fused.ome.zarr")
    settings["output"]["path"] = str(tmp_path / "other" / "fused.ome.zarr")
    if "blocks" in changes:
        monkeypatch.setattr(content, "_BLOCK_PIXELS", 11)
        monkeypatch.setattr(content, "_SMALLEST_BLOCK", 9)
        settings["execution"] = {"workers": 1}
    else:
        settings |= changes
    fusestack.run(settings)
    assert tree(tmp_path / "other" / "fused.ome.zarr") == wanted


def test_a_constant_image_stays_constant(tmp_path: Path) -> None:
    """Without any contrast the views that cover decide alike."""
    settings = config(tmp_path, "float32")
    for view in settings["input"]["views"]:
        tifffile.imwrite(view["path"], np.full((24, 40, 50), 5, np.float32), photometric="minisblack")
    settings["fusion"] = {"content_based": SHARP, "background": float("nan"), "dtype": "float32"}
    fusestack.run(settings)
    found = read(tmp_path)
    assert set(np.unique(found[~np.isnan(found)])) == {np.float32(5)}
    assert (~np.isnan(found)).sum() > 50_000


@pytest.mark.filterwarnings("ignore:the views have one plane each, beside one another")
def test_flat_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    views = []
    for number in range(2):
        tifffile.imwrite(tmp_path / f"{number}.tif", rng.integers(0, 255, (60, 70)).astype(np.uint8))
        views.append(
            {"path": str(tmp_path / f"{number}.tif"), "translation": {"x": 20 * number, "y": 0, "z": 3 * number}}
        )
    output = {"path": str(tmp_path / "fused.ome.zarr")}
    fusestack.run({"version": 1, "input": {"views": views}, "fusion": {"content_based": SHARP}, "output": output})
    found = read(tmp_path)
    assert found.shape == (1, 60, 90)
    assert (found[0, :, 20:70] > 0).mean() > 0.98
