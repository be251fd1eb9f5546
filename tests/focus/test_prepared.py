"""Slices that are aligned and prepared before they are stacked: as planes in memory say, in every block."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

import fusestack
from fusestack.cli.main import run as main
from fusestack.focus.aligning.wanted import WantedAlignment
from fusestack.focus.prepared import PlacedSlices, TonedSlices
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.geometry import Box
from fusestack.planning.plan import Plan
from fusestack.running import aligning
from fusestack.running.jobs import job_of_plan
from fusestack.running.runner import run_plan
from fusestack.running.stage_cache import cache_entries, left_alone, remove_entries
from tests.focus.aligning.moved import motions, scene, seen
from tests.focus.stacks import computed, config, run, write
from tests.focus.stacks import scene as textured
from tests.focus.test_invariance import cut

SHAPE = (90, 130)


@pytest.fixture(scope="module")
def stack() -> NDArray[np.uint8]:
    """Slices [k, y, x, colour]."""
    return np.floor(textured(SHAPE, 3)[0] * 255 + 0.5).astype(np.uint8)


@pytest.fixture(scope="module")
def paths(stack: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write(tmp_path_factory.mktemp("slices"), stack / 255)


def slices_of(plan: Plan) -> NDArray[Any]:
    """What the stage of slices computes, [k, y, x, colour]."""
    (stage,) = (stage for stage in plan.stages if stage.name == "slices")
    return np.moveaxis(stage.compute(Box.of_shape(stage.grid.shape))[0], 0, -1)


def prepared(paths: list[str], folder: Path, *operators: Any) -> NDArray[Any]:
    return slices_of(fusestack.plan(config(paths, folder, prepare=list(operators))))


@pytest.mark.parametrize(
    ("operators", "expected"),
    [
        ([{"crop": {"geometry": "50x40+10+20"}}], lambda s: s[:, 20:60, 10:60]),
        ([{"crop": {"geometry": "500x40"}}], lambda s: s[:, :40]),
        ([{"crop": {"region": "R", "size": 60}}], lambda s: s[:, 15:75, 70:]),
        ([{"crop": {"region": "T", "size": 60}}], lambda s: s[:, :60, 35:95]),
        ([{"crop": {"region": "B", "size": 60}}], lambda s: s[:, 30:, 35:95]),
        ([{"shave": {"x": 3, "y": 5}}], lambda s: s[:, 5:-5, 3:-3]),
        ([{"rotate": {"degrees": 90}}], lambda s: np.rot90(s, -1, (1, 2))),
        ([{"rotate": {"degrees": -90}}], lambda s: np.rot90(s, 1, (1, 2))),
        ([{"rotate": {"degrees": 180}}, {"shave": {"x": 1}}], lambda s: np.rot90(s, 2, (1, 2))[:, :, 1:-1]),
    ],
)
def test_pixels_are_taken_from_where_they_are_said_to_be(
    operators: list[Any], expected: Any, paths: list[str], stack: NDArray[np.uint8], tmp_path: Path
) -> None:
    np.testing.assert_array_equal(prepared(paths, tmp_path, *operators), expected(stack))


def test_crops_and_sizes_are_taken_once(paths: list[str], stack: NDArray[np.uint8], tmp_path: Path) -> None:
    """Several that move pixels become one map: half of a crop is that of the whole."""
    both = prepared(paths, tmp_path, {"crop": {"geometry": "100x80+10+4"}}, {"resize": {"percent": 50}})
    half = prepared(paths, tmp_path, {"resize": {"percent": 50}})
    np.testing.assert_allclose(both[:, 5:-5, 5:-5].astype(int), half[:, 7:37, 10:50].astype(int), atol=1)


def test_values_follow_in_order(paths: list[str], stack: NDArray[np.uint8], tmp_path: Path) -> None:
    share = stack / 255
    found = prepared(paths, tmp_path, {"level": {"black": 10, "white": 90}}, {"gamma": {"value": 2}})
    np.testing.assert_allclose(found / 255, np.clip((share - 0.1) / 0.8, 0, 1) ** 0.5, atol=0.003)
    found = prepared(paths, tmp_path, {"gamma": {"value": 2}}, {"level": {"black": 10, "white": 90}})
    np.testing.assert_allclose(found / 255, np.clip((share**0.5 - 0.1) / 0.8, 0, 1), atol=0.003)


def test_what_is_measured_is_the_mean_image(paths: list[str], stack: NDArray[np.uint8], tmp_path: Path) -> None:
    """imfuse's stackprepare: gamma from the mean, level from the extremes of the mean of all slices."""
    mean = (stack / 255).mean(axis=0)
    operators = {"gamma": {}, "level": {}, "contrast_stretch": {"black": 5, "white": 10}}
    black, white = np.percentile(mean, [5, 90])
    expected = {
        "gamma": (stack / 255) ** (np.log(0.5) / np.log(mean.mean())),
        "level": (stack / 255 - mean.min()) / (mean.max() - mean.min()),
        "contrast_stretch": (stack / 255 - black) / (white - black),
    }
    for name, options in operators.items():
        folder = tmp_path / name
        run(paths, folder, prepare=[{name: options}], options="--max")
        found = zarr.open_array(next(folder.glob("cache.fusestack/slices-*/data.ome.zarr/0")))[0]
        np.testing.assert_allclose(np.moveaxis(found, 0, -1) / 255, np.clip(expected[name], 0, 1), atol=0.006)


def test_what_is_measured_follows_what_comes_before(paths: list[str], stack: NDArray[np.uint8], tmp_path: Path) -> None:
    run(paths, tmp_path, prepare=[{"gamma": {"value": 2}}, {"level": {}}], options="--max")
    found = zarr.open_array(next(tmp_path.glob("cache.fusestack/slices-*/data.ome.zarr/0")))[0]
    mean = (stack / 255).mean(axis=0) ** 0.5
    expected = np.clip(((stack / 255) ** 0.5 - mean.min()) / (mean.max() - mean.min()), 0, 1)
    np.testing.assert_allclose(np.moveaxis(found, 0, -1) / 255, expected, atol=0.01)


@pytest.mark.parametrize("kind", ["photographs", "volume"])
def test_numbers_that_are_no_shares_of_white(kind: str, tmp_path: Path) -> None:
    """Of float pixels the greatest is white; what is no number stays none."""
    share = np.moveaxis(textured(SHAPE, 3, 1)[0], -1, 0)[0].astype(np.float32)
    pixels = 3000 * share
    operators = [{"gamma": {"value": 2}}, {"contrast_stretch": {"black": 0, "white": 0}}]
    if kind == "photographs":
        paths = [str(tmp_path / f"s{k}.tif") for k in range(3)]
        for path, plane in zip(paths, pixels, strict=True):
            tifffile.imwrite(path, plane, compression="zlib")
        source: dict[str, Any] = {"input": {"images": paths}}
    else:
        pixels[0, 4, 5] = np.nan
        source = {"input": {}}
        group = zarr.open_group(tmp_path / "v.ome.zarr", mode="w")
        group.create_array("0", shape=(1, 1, *pixels.shape), chunks=(1, 1, 1, 64, 64), dtype="float32")[:] = pixels[
            None, None
        ]
        axes = [{"name": name} for name in "tczyx"]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    focus = {"prepare": operators, "options": "--max", "output": {"path": str(tmp_path / "out.ome.zarr")}}
    if kind == "volume":
        focus["input"] = str(tmp_path / "v.ome.zarr")
        source = {}
    fusestack.run({"version": 1, **source, "focus": focus, "execution": {"workers": 1}})
    found = zarr.open_array(next(tmp_path.glob("cache.fusestack/slices-*/data.ome.zarr/0")))[0, 0]
    most = np.nanmax(pixels)
    root = (np.nan_to_num(pixels) / most) ** 0.5
    mean = (np.nan_to_num(pixels) / most).mean(axis=0) ** 0.5
    expected = most * np.clip((root - mean.min()) / (mean.max() - mean.min()), 0, 1)
    known = np.isfinite(pixels)
    np.testing.assert_allclose(found[known], expected[known], atol=0.01 * most)
    assert np.isnan(found[~known]).all()


def test_what_is_transparent_has_no_colour(tmp_path: Path) -> None:
    y, x = np.mgrid[:60, :80]
    disc = np.hypot(y - 30, x - 40) < 20
    slices = np.stack([np.stack([disc * 0.8] * 3 + [disc * 1.0], axis=-1)] * 2)
    slices[1, 0, 0, 3] = 1 / 255
    found = prepared(write(tmp_path / "in", slices), tmp_path, {"rotate": {"degrees": 10}})
    opaque = found[0, ..., 3] == 255
    assert opaque.sum() > 1000
    assert np.abs(found[0, opaque][:, :3].astype(int) - 204).max() <= 1


def test_brightness_that_was_measured_is_undone(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path
) -> None:
    bright = np.stack([tifffile.imread(path) for path in shaken[0]]) / 255
    bright[1] *= 0.8
    paths = write(tmp_path / "in", bright[..., None])
    means = {}
    for exposure in (False, True):
        run(paths, tmp_path / f"out{exposure}", align={"exposure": exposure})
        kept = next((tmp_path / f"out{exposure}").glob("cache.fusestack/slices-*/data.ome.zarr/0"))
        means[exposure] = zarr.open_array(kept)[0, 0].mean(axis=(1, 2))
    assert means[False][1] / np.median(means[False]) < 0.85
    assert means[True][1] / np.median(means[True]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("raw", [False, True])
def test_blocks_do_not_matter(
    raw: bool, stack: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path / "in", stack / 255, raw=raw)
    operators = [{"rotate": {"degrees": 4}}, {"resize": {"percent": 80}}, {"sharpen": {"sigma": 2}}, {"level": {}}]
    made = {}
    for name, block, chunk in (("whole", 1024, 256), ("parts", 32, 16)):
        cut(monkeypatch, block, chunk)
        run(paths, tmp_path / name, prepare=operators, options="--blur --bg=max")
        made[name] = [tifffile.imread(tmp_path / name / f"{one}.tif") for one in ("sharp", "depth")]
    for one, other in zip(*made.values(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_shifts_alone_are_not_stored(stack: NDArray[np.uint8], tmp_path: Path) -> None:
    paths = write(tmp_path / "in", stack / 255, raw=True)
    shaved = [{"shave": {"x": 3, "y": 5}}]
    plan, _ = run(paths, tmp_path / "out", prepare=shaved, options="--max")
    assert "slices" not in [stage.name for stage in plan.stages]
    plain = write(tmp_path / "cut", (stack / 255)[:, 5:-5, 3:-3], raw=True)
    run(plain, tmp_path / "plain", options="--max")
    for name in ("sharp", "depth", "mask"):
        one, other = (tifffile.imread(tmp_path / folder / f"{name}.tif") for folder in ("out", "plain"))
        assert one.tobytes() == other.tobytes(), name


def volume(folder: Path, pixels: NDArray[np.uint16]) -> str:
    """An OME-Zarr [t, c, z, y, x] with pixels of 2 x 0.5 x 0.25 micrometres."""
    group = zarr.open_group(folder / "volume.ome.zarr", mode="w")
    group.create_array("0", shape=pixels.shape, chunks=(1, 1, 2, 64, 64), dtype="uint16")[:] = pixels
    axes = [{"name": name} | ({"type": "space", "unit": "micrometer"} if name in "zyx" else {}) for name in "tczyx"]
    scale = [{"type": "scale", "scale": [1, 1, 2, 0.5, 0.25]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return str(folder / "volume.ome.zarr")


@pytest.mark.parametrize("axis", ["z", "y"])
def test_volumes_keep_their_place(axis: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 2, 6, 40, 50)).astype(np.uint16)
    where = {"z": ("40x30+4+6", (slice(6, 36), slice(4, 44))), "y": ("40x3+4+1", (slice(1, 4), slice(4, 44)))}
    geometry, (rows, columns) = where[axis]
    focus = {
        "input": volume(tmp_path, pixels),
        "axis": axis,
        "options": "--max",
        "output": {"path": str(tmp_path / "out.ome.zarr")},
        "prepare": [{"crop": {"geometry": geometry}}, {"rotate": {"degrees": 90}}],
    }
    fusestack.run({"version": 1, "focus": focus, "execution": {"workers": 1}})
    made = zarr.open_group(tmp_path / "out.ome.zarr")
    found = made["0"][:]
    order = pixels if axis == "z" else np.swapaxes(pixels, 2, 3)
    part = order[..., rows, columns]
    assert found.shape == (2, 2, 1, 40, part.shape[3])
    assert np.isin(found[0, 0, 0], part[0, 0]).all()
    scales = made.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    z, y, x = scales[0]["scale"][-3:]
    size = {"z": (2, 0.25, 0.5), "y": (0.5, 0.25, 2)}[axis]
    assert (z, y, x) == size


def test_a_fused_image_is_prepared(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.random.default_rng(0).integers(0, 255, (4, 40, 50)).astype(np.uint8),
        photometric="minisblack",
    )
    views = [{"path": str(tmp_path / "a.tif"), "axes": "zyx", "affine": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]}]
    output = {"path": str(tmp_path / "sharp.tif")}
    data: dict[str, Any] = {
        "version": 1,
        "input": {"views": views},
        "output": {"path": str(tmp_path / "fused.ome.zarr")},
        "focus": {"prepare": [{"shave": {"x": 5, "y": 5}}], "options": "--max", "output": output},
        "execution": {"workers": 1},
    }
    fusestack.run(data)
    assert tifffile.imread(tmp_path / "sharp.tif").shape == (30, 40)
    with pytest.raises(ConfigError, match=r"focus\.align: slices of an image that is fused by the same run"):
        fusestack.plan({**data, "focus": {"align": True, "output": output}})


@pytest.mark.parametrize(
    ("operators", "sentence"),
    [
        ([{"crop": {"geometry": "10x10+200+0"}}], r"crop: 10x10\+200\+0 lies outside of the slices, 130 x 90 pixels"),
        ([{"shave": {"x": 70}}], "shave: nothing is left of 130 x 90 pixels"),
    ],
)
def test_nothing_left_is_refused(operators: list[Any], sentence: str, paths: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        prepared(paths, tmp_path, *operators)


def test_another_order_of_work_is_said(paths: list[str], tmp_path: Path) -> None:
    plan = fusestack.plan(config(paths, tmp_path, prepare=[{"sharpen": {}}, {"resize": {}}]))
    assert any("sharpen comes before resize, but is done after it" in warning for warning in plan.warnings)


def test_arrays_are_taken_as_they_are() -> None:
    for key, value in (("align", True), ("prepare", [{"shave": {"x": 1}}])):
        with pytest.raises(ConfigError, match=rf"focus\.{key}: an array is taken as it is; store it"):
            fusestack.focus_stack(np.zeros((3, 20, 20), np.uint8), **{key: value})


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[NDArray[np.float64]]]:
    """Files of slices that moved, and how."""
    true = motions(6)
    return write(tmp_path_factory.mktemp("shaken"), seen(scene(), true)[..., None]), true


def test_slices_are_aligned(shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path) -> None:
    paths, _ = shaken
    plan, report = run(paths, tmp_path / "out", align=True)
    assert plan.pending  # nobody has looked at the slices yet
    assert any("aligned when the run begins" in warning for warning in plan.warnings)
    aligned = fusestack.plan(config(paths, tmp_path / "out", align=True))
    assert not aligned.pending
    rows, columns = aligned.images[0].target.image.shape[3:]
    assert 200 < rows < 240
    assert tifffile.imread(tmp_path / "out" / "sharp.tif").shape == (rows, columns)
    assert report.outputs
    assert fusestack.run(config(paths, tmp_path / "out", align=True)).reused_all

    transforms = next((tmp_path / "out").glob("cache.fusestack/align-*/transforms.json"))
    given, _ = run(paths, tmp_path / "given", align={"transforms": str(transforms)})
    assert not given.pending
    assert tifffile.imread(tmp_path / "given" / "sharp.tif").shape == (rows, columns)
    one, other = (tifffile.imread(tmp_path / folder / "sharp.tif") for folder in ("out", "given"))
    assert np.abs(one.astype(int) - other).max() <= 1  # numbers of a file have twelve digits

    whole, _ = run(paths, tmp_path / "whole", align={"crop": False, "transforms": str(transforms)})
    assert whole.images[0].target.image.shape[3:] == (240, 240)


def test_an_alignment_makes_the_picture_sharp(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path
) -> None:
    """The picture of slices that moved is that of slices that did not, but for what resampling does."""
    paths, true = shaken
    run(paths, tmp_path / "moved", align={"crop": False})
    run(write(tmp_path / "still", scene()[..., None]), tmp_path / "unmoved")
    still = tifffile.imread(tmp_path / "unmoved" / "sharp.tif")
    made = tifffile.imread(tmp_path / "moved" / "sharp.tif")
    expected = seen(still[None] / 255, [true[3]])[0]
    inner = (slice(30, -30), slice(30, -30))
    assert np.sqrt(np.mean((made / 255 - expected)[inner] ** 2)) < 0.012
    run(paths, tmp_path / "shaken")
    shifted = tifffile.imread(tmp_path / "shaken" / "sharp.tif")
    assert np.sqrt(np.mean((shifted / 255 - expected)[inner] ** 2)) > 0.04


def test_slices_that_change_meanwhile_are_aligned_again(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of slices that nobody has aligned is never run."""
    paths = write(tmp_path / "in", np.stack([tifffile.imread(path) for path in shaken[0]])[..., None] / 255)
    waiting = fusestack.plan(config(paths, tmp_path, align=True))
    with pytest.raises(InputError, match="the slices are not aligned, or have changed since they were"):
        run_plan(waiting)
    with pytest.raises(InputError, match="the slices are not aligned, or have changed since they were"):
        job_of_plan(waiting)
    times = iter(range(1, 9))
    inner = aligning.align_first

    def touched(*arguments: Any) -> None:
        inner(*arguments)
        os.utime(paths[0], (next(times), 0)) if next(times) < 3 else None

    monkeypatch.setattr(aligning, "align_first", touched)
    fusestack.run(config(paths, tmp_path, align=True))
    assert max(tifffile.imread(tmp_path / "sharp.tif").shape) < 240


def test_what_changes_values_does_not_align_again(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = shaken
    run(paths, tmp_path, align=True)
    monkeypatch.setattr("fusestack.focus.aligning.estimate.estimate", None)
    _, report = run(paths, tmp_path, align=True, prepare=[{"gamma": {"value": 2}}], output={"overwrite": True})
    assert "slices" in computed(report)


def test_volumes_drift(tmp_path: Path) -> None:
    """Planes of a volume are shifted; both channels by what both show."""
    true = motions(6, growth=0, turn=0)
    planes = np.floor(seen(scene(), true) * 3000).astype(np.uint16)
    path = volume(tmp_path, np.stack([planes, planes // 2])[None])
    output = {"path": str(tmp_path / "out.ome.zarr")}
    data = {"version": 1, "focus": {"input": path, "align": True, "output": output}, "execution": {"workers": 1}}
    fusestack.run(data)
    rows, columns = zarr.open_array(tmp_path / "out.ome.zarr/0").shape[3:]
    assert 220 < rows < 240
    assert 220 < columns < 240
    slices = zarr.open_array(next(tmp_path.glob("cache.fusestack/slices-*/data.ome.zarr/0")))[0, 0].astype(float)
    for one, other in itertools.pairwise(slices):
        shift = np.unravel_index(
            np.argmax(np.fft.ifft2(np.fft.fft2(one - one.mean()) * np.fft.fft2(other - other.mean()).conj()).real),
            one.shape,
        )
        assert tuple(shift) == (0, 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"cannot be read .* correct focus\.align\.transforms"),
        (b"{}", r"holds no transforms of slices .* let focus\.align make it"),
        (
            b'{"format": "fusestack transforms", "version": 1, "stacks": [{"size": [5, 4], "slices": []}]}',
            r"is for 0 slices of 5 x 4 pixels, the stack has 3 of 130 x 90; give the file of these slices",
        ),
    ],
)
def test_wrong_transforms_are_named(content: bytes | None, sentence: str, paths: list[str], tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        fusestack.plan(config(paths, tmp_path, align={"transforms": str(tmp_path / "t.json")}))


def test_kinds_of_slices(paths: list[str], tmp_path: Path) -> None:
    for operators, kind in (([{"shave": {"x": 1}}], PlacedSlices), ([{"sharpen": {}}], TonedSlices)):
        plan = fusestack.plan(config(paths, tmp_path, prepare=operators))
        assert isinstance(plan.stages[0].compute, kind)


def test_slices_are_written_and_read_again(paths: list[str], stack: NDArray[np.uint8], tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    shaved = [{"shave": {"x": 3, "y": 5}}]
    _, report = run(paths, tmp_path / "out", prepare=shaved, options="--max", output={"slices": str(folder)})
    names = [Path(path).name for path in paths]
    assert sorted(path.name for path in folder.iterdir()) == names
    for path, expected in zip(names, stack[:, 5:-5, 3:-3], strict=True):
        np.testing.assert_array_equal(tifffile.imread(folder / path), expected)
    assert str(folder / names[0]) in report.outputs
    again = fusestack.plan(config([str(folder)], tmp_path / "again", options="--max"))
    assert len(again.images[0].components["inputs"]) == 3
    fusestack.run(again)
    one, other = (tifffile.imread(tmp_path / name / "sharp.tif") for name in ("out", "again"))
    assert one.tobytes() == other.tobytes()


def test_slices_keep_their_names_in_any_order(tmp_path: Path) -> None:
    """Natural order is not that of letters, and stacks may be turned round."""
    planes = textured(SHAPE, 11)[0]
    paths = write(tmp_path / "in", planes)
    for reverse in (False, True):
        folder = tmp_path / f"slices{reverse}"
        data = config([str(tmp_path / "in")], tmp_path / f"out{reverse}", options="--max", reverse=reverse)
        data["focus"]["output"]["slices"] = str(folder)
        fusestack.run(data)
        for path in paths:
            np.testing.assert_array_equal(tifffile.imread(folder / Path(path).name), tifffile.imread(path))


def test_another_order_is_aligned_anew(shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path) -> None:
    plans = [fusestack.plan(config(shaken[0], tmp_path, align=True, reverse=reverse)) for reverse in (False, True)]
    assert plans[0].pending != plans[1].pending


def test_planes_of_volumes_are_not_written_one_by_one(tmp_path: Path) -> None:
    path = volume(tmp_path, np.zeros((1, 1, 3, 20, 30), np.uint16))
    output = {"path": str(tmp_path / "o.ome.zarr"), "slices": str(tmp_path / "s")}
    with pytest.raises(ConfigError, match=r"focus\.output\.slices: photographs are written one by one"):
        fusestack.plan({"version": 1, "focus": {"input": path, "output": output}})


def test_without_opencv_it_is_said_what_helps(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"pip install 'fusestack\[align\]' \(or give align\.transforms\)"):
        run(shaken[0], tmp_path, align=True)
    assert not list(tmp_path.glob("**/transforms.json"))


def test_the_command_says_what_it_found(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config(shaken[0], tmp_path, align=True)))
    assert main(["plan", str(path)]) == 0
    assert not list(tmp_path.glob("**/transforms.json"))  # it reads metadata only
    assert "slices are aligned when the run begins" in capsys.readouterr().err
    assert main(["run", "--dry-run", str(path)]) == 0
    assert not list(tmp_path.glob("**/transforms.json"))
    assert main(["run", str(path)]) == 0
    said = capsys.readouterr().err
    assert "aligning 6 slices (similarity)" in said
    assert "aligned: shifts up to" in said
    assert main(["plan", str(path)]) == 0
    assert "aligned (similarity): " in capsys.readouterr().out


def test_bad_slices_end_a_run_before_anything_is_made(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = write(tmp_path / "other", scene(6, seed=9)[2:3, ..., None])
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config([*shaken[0][:3], *strange, *shaken[0][3:]], tmp_path / "out", align=True)))
    assert main(["run", str(path)]) == 3
    said = capsys.readouterr().err
    assert "other/slice_1.tif: shows nothing that slice_3.tif and slice_4.tif show, too" in said
    assert not (tmp_path / "out" / "sharp.tif").exists()


def test_reports_keep_the_alignment_in_the_cache(
    shaken: tuple[list[str], list[NDArray[np.float64]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed and freed with the stages; then the copy beside the output is taken; without both it is made again."""
    run(shaken[0], tmp_path, align=True)
    cache = str(tmp_path / "cache.fusestack")
    (entry,) = [one for one in cache_entries(cache) if one.stage == "align"]
    assert left_alone(entry) is None
    remove_entries(cache, [entry])
    assert not list(tmp_path.glob("cache.fusestack/align-*/transforms.json"))
    (kept,) = (tmp_path / "sharp.tif.fusestack").glob("transforms-*.json")
    data = config(shaken[0], tmp_path, align=True)
    assert not fusestack.plan(data).pending
    with monkeypatch.context() as patch:
        patch.setattr(WantedAlignment, "estimate", None)
        assert fusestack.run(data).reused_all
    (entry,) = [one for one in cache_entries(cache) if one.stage == "align"]
    remove_entries(cache, [entry])
    kept.unlink()
    assert fusestack.plan(data).pending
    assert fusestack.run(data).reused_all
    assert kept.exists()
