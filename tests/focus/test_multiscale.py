"""Method multiscale: what it makes of stacks with truth, in any blocks; what it knows of slices; what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import fusestack
from fusestack import kernels
from fusestack.cli.main import run as command
from fusestack.config.focus import Focus, Multiscale
from fusestack.focus import exposures
from fusestack.focus.exposures import Exposures, SliceCounts
from fusestack.focus.mixing import Mixing
from fusestack.focus.recipe import recipe_of
from fusestack.focus.region import Region
from fusestack.focus.scales import reduced
from fusestack.focus.seen import SeenSlice
from fusestack.focus.statistics import Bands
from fusestack.model.errors import ConfigError, FusestackWarning
from fusestack.model.geometry import Box
from fusestack.operators.base import Place
from tests.focus.stacks import config, run, scene, write

Stack = NDArray[np.float32]


def noisy(deviation: float = 0.01, seed: int = 0, **options: Any) -> tuple[Stack, Stack, Stack]:
    stack, sharp, depth = scene((120, 160), 5, **options)
    rng = np.random.default_rng(seed)
    seen = np.clip(stack + deviation * rng.standard_normal(stack.shape), 0, 1)
    return seen.astype(np.float32), sharp.astype(np.float32), depth.astype(np.float32)


def decibel(found: Stack, truth: Stack) -> float:
    inner = (slice(12, -12), slice(12, -12))
    return float(-10 * np.log10(np.mean((found[inner].astype(float) - truth[inner]) ** 2)))


def focused(stack: Stack, folder: Path, **focus: Any) -> tuple[Stack, Stack, Stack]:
    """Picture 0..1, depth and mask of a stack."""
    folder.mkdir()
    run(write(folder / "in", stack, "uint16"), folder, **({"method": "multiscale"} | focus))
    picture, depth, mask = (np.squeeze(tifffile.imread(folder / f"{name}.tif")) for name in ("sharp", "depth", "mask"))
    return (picture / np.float32(65535)).astype(np.float32), depth, mask / np.float32(65535)


@pytest.mark.parametrize("places", [(0,), (3,), (4, 5), (8,)])
def test_slices_that_are_nowhere_sharp_do_no_harm(places: tuple[int, ...], tmp_path: Path) -> None:
    """A camera that was shaken: with its noise, such a slice is as bright and as noisy as the others."""
    stack, sharp, _ = scene((120, 160), 9)
    rng = np.random.default_rng(1)
    for k in places:
        stack[k] = gaussian_filter(stack[k], (8, 8, 0))
    seen = np.clip(stack + 0.01 * rng.standard_normal(stack.shape), 0, 1)
    with_them, without = (
        focused(one, tmp_path / name)[0] for name, one in (("a", seen), ("b", np.delete(seen, places, axis=0)))
    )
    assert decibel(with_them, sharp) > decibel(without, sharp) - 0.6


@pytest.mark.parametrize("steps", [(0, 1, 4, 5, 8), (0, 3, 4, 7, 8), (0, 1, 2, 3, 4, 8)])
def test_uneven_steps_between_slices(steps: tuple[int, ...]) -> None:
    """What lies between two slices is sharpened as if steps were even: little is lost where they are not."""
    stack, sharp, _ = scene((120, 160), 9)
    seen = np.clip(stack + 0.005 * np.random.default_rng(0).standard_normal(stack.shape), 0, 1)
    pixels = (seen[list(steps)] * 65535).astype(np.uint16)
    usual, as_mixed = (
        fusestack.focus_stack(pixels, output=output).image.values / 65535 for output in ({}, {"sharpen_between": 0})
    )
    assert decibel(usual, sharp) > decibel(as_mixed, sharp) - 0.2


def best_choice(stack: Stack, truth: Stack) -> Stack:
    from scipy import ndimage

    error = np.stack([ndimage.uniform_filter(((one - truth) ** 2).sum(-1), 5) for one in stack])
    found: Stack = np.take_along_axis(stack, error.argmin(0)[None, ..., None], 0)[0]
    return found


def test_about_as_good_as_the_best_slice_at_each_pixel(tmp_path: Path) -> None:
    stack, sharp, depth = noisy()
    picture, found, mask = focused(stack, tmp_path / "mixed")
    assert decibel(picture, sharp) > decibel(best_choice(stack, sharp), sharp) - 1.5
    assert np.nanmean(np.abs(found - depth)) < 0.15
    assert np.isfinite(found).mean() > 0.99
    assert mask.mean() > 0.8


def test_where_nothing_is_sharp_there_is_no_depth_and_little_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stack = (0.5 + 0.02 * rng.standard_normal((6, 120, 160, 3))).astype(np.float32)
    stack[2, :, :80] += 0.2 * rng.standard_normal((120, 80, 3)).astype(np.float32)
    picture, depth, mask = focused(np.clip(stack, 0, 1), tmp_path / "flat")
    smooth = (slice(None), slice(90, None))
    assert np.isnan(depth[smooth]).mean() > 0.95
    assert mask[smooth].mean() < 0.01
    assert picture[smooth].std() < 0.6 * stack[0][smooth].std(), "slices are averaged"
    assert np.nanmedian(depth[:, :70]) == pytest.approx(2, abs=0.05)
    assert mask[:, :70].min() > 0.5


def test_highlights_out_of_focus_are_kept_out(tmp_path: Path) -> None:
    from scipy import ndimage

    rng = np.random.default_rng(5)
    bright = np.full((128, 128), 0.2) + 0.05 * rng.standard_normal((128, 128))
    bright[32::64, 32::64] = 60
    slices = [ndimage.gaussian_filter(bright, sigma) for sigma in (0.6, 2, 3.5, 5)]
    stack = np.clip(slices, 0, 1)[..., None].repeat(3, -1).astype(np.float32)
    stack = np.clip(stack + 0.005 * rng.standard_normal(stack.shape), 0, 1).astype(np.float32)
    white = [(stack[0] > 0.9).sum()]
    for highlights in (32, 0):
        found, *_ = focused(stack, tmp_path / f"{highlights}", multiscale={"highlights": highlights})
        white.append((found > 0.9).sum())
    sharp, kept_out, let_in = white
    assert kept_out < 1.5 * sharp
    assert let_in > 2 * sharp


@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_a_faulty_slice_does_no_harm(factor: float, tmp_path: Path) -> None:
    stack, sharp, _ = noisy()
    without, *_ = focused(np.delete(stack, 3, axis=0), tmp_path / "without")
    stack[3] = np.clip(stack[3] * factor, 0, 1)
    picture, *_ = focused(stack, tmp_path / "with")
    assert decibel(picture, sharp) > decibel(without, sharp) - 0.3


def test_a_slice_that_is_there_twice_does_no_harm(tmp_path: Path) -> None:
    stack, sharp, _ = noisy()
    once, *_ = focused(stack, tmp_path / "once")
    twice, *_ = focused(stack[[0, 1, 2, 2, 3, 4]], tmp_path / "twice")
    assert decibel(twice, sharp) > decibel(once, sharp) - 0.05


def test_flicker_is_undone(tmp_path: Path) -> None:
    stack, sharp, _ = noisy()
    steady, *_ = focused(stack * np.float32(0.9), tmp_path / "steady")
    gains = np.array([0.92, 1.06, 0.95, 1.07, 1.0], np.float32)
    flickers, *_ = focused(stack * np.float32(0.9) * (gains / gains.mean())[:, None, None, None], tmp_path / "flickers")
    truth = sharp * np.float32(0.9)
    assert decibel(flickers, truth) > decibel(steady, truth) - 1


def test_volumes_keep_the_brightness_of_their_planes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    volume = np.full((5, 128, 160), 1000.0) * np.array([1, 1.3, 1, 0.7, 1])[:, None, None]
    texture = sum(rng.standard_normal((128 // n, 160 // n)).repeat(n, 0).repeat(n, 1) for n in (1, 4, 16, 32))
    volume[1, :, :80] += 100 * texture[:, :80]
    volume[3, :, 80:] += 100 * texture[:, 80:]
    volume += 5 * rng.standard_normal(volume.shape)
    named = xarray.DataArray(np.clip(volume, 0, None).astype(np.uint16), dims=("z", "y", "x"))
    found = fusestack.focus_stack(named, method="multiscale").image.to_numpy()
    assert found[:, :60].mean() == pytest.approx(volume[1, :, :60].mean(), rel=0.06)
    assert found[:, 100:].mean() == pytest.approx(volume[3, :, 100:].mean(), rel=0.06)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_block_has_the_same_bytes(data: st.DataObject) -> None:
    levels = data.draw(st.integers(1, 3))
    height, width = data.draw(st.integers(20, 130)), data.draw(st.integers(20, 130))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    stack = rng.random((3, 2, height, width), np.float32) ** 4
    stack[0, :, 5:9, 5:15] = 1
    opacity = np.ones((3, 1, height, width), np.float32)
    opacity[1, :, 10:15, 10:19] = 0.5
    mixing = Mixing(levels, 6, 1.5, 32, (0, 3), between=True, sharpen=1, clips=True, mattes=True)
    exposures = Exposures((1.0, 1.1, 0.9), (0, 1, 2), 0.02)

    def mixed(region: Region) -> Any:
        slices = [
            SeenSlice(k, one[:, *region.parts], one[:1, *region.parts], opacity[k, :, *region.parts])
            for k, one in enumerate(stack)
        ]
        return mixing(slices, exposures, None, Place(region.origin, (height, width)))

    whole = mixed(Region(0, height, 0, width))
    assert np.isfinite(whole).all()
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    inner = Region(top, data.draw(st.integers(top + 1, height)), left, data.draw(st.integers(left + 1, width)))
    outer = inner.grown(mixing.depth, (height, width), mixing.step)
    part = mixed(outer)[:, *inner.within(outer)]
    assert part.tobytes() == np.ascontiguousarray(whole[:, *inner.parts]).tobytes()


def test_the_halo_is_no_larger_than_it_must_be() -> None:
    """A pixel at its edge may count; a third of it would not do."""
    mixing = Mixing(2, 6, 1.5, 8, (0, 2), between=True, sharpen=1, clips=False)
    stack = np.random.default_rng(0).random((2, 1, 8, 200), np.float32)
    exposures = Exposures((1.0, 1.0), (0, 1), 0.02)
    place = Place((0, 0), (8, 200))
    before = mixing([SeenSlice(k, one.copy()) for k, one in enumerate(stack)], exposures, None, place)
    stack[0, :, :, 100] += 50
    changed = mixing([SeenSlice(k, one.copy()) for k, one in enumerate(stack)], exposures, None, place) != before
    reach = np.abs(np.flatnonzero(changed.any(axis=(0, 1))) - 100).max()
    assert mixing.depth // 3 < reach <= mixing.depth


@pytest.mark.parametrize("coarse", [True, False])
def test_what_is_white_only_because_it_was_made_brighter_is_no_highlight(coarse: bool) -> None:
    """A slice of half the light, whose brightest pixels no sensor has clipped."""
    stack = np.random.default_rng(0).random((2, 3, 64, 64), np.float32) * np.float32(0.5)
    stack[1, :, 20:30, 20:30] = 0.6
    exposures = Exposures((1.0, 0.5), (0, 1), 0.01)
    under = np.full((3, 8, 8), 0.5, np.float32) if coarse else None
    found = [
        Mixing(5 if coarse else 2, 6, 1.5, highlights, (0, 2), between=True, sharpen=1, clips=True)(
            [SeenSlice(k, one.copy()) for k, one in enumerate(stack)], exposures, under, Place((0, 0), (64, 64))
        )
        for highlights in (0, 32)
    ]
    assert np.array_equal(*found)


class Reduced:
    """Stands for reduced slices of a stack [k, c, y, x]."""

    def __init__(self, stack: Stack) -> None:
        small = [np.concatenate([reduced(one, 2), kernels.detail.grain(one, 4)[None]]) for one in stack]
        self.planes = np.stack(small, axis=1)

    def read(self, box: Box) -> Stack:
        first, last = box.start[2:], box.stop[2:]
        return self.planes[None, :, *(slice(a, b) for a, b in zip(first, last, strict=True))]


def counts(stack: Stack, rows: int = 10**6, columns: int = 10**6) -> NDArray[np.float64]:
    """Of all blocks of so many rows and columns."""
    small = Reduced(stack)
    planes, k, height, width = small.planes.shape
    bands = Bands((1, 1, k, height, width), deep=True)
    statistic = SliceCounts(small, (planes - 1, planes), bands)  # type: ignore[arg-type]
    found = np.zeros(statistic.NUMBERS)
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            found += statistic.measure(Box((0, 0, 0, y, x), (1, 1, k, min(y + rows, height), min(x + columns, width))))
    return found


def test_counts_do_not_depend_on_blocks() -> None:
    stack = np.random.default_rng(0).random((3, 2, 70, 90), np.float32) ** 3
    whole = counts(stack)
    for rows, columns in ((7, 11), (4, 9), (18, 1)):
        assert np.array_equal(counts(stack, rows, columns), whole)


def exposed(levels: Any, deviation: float = 0.01, **options: Any) -> Exposures:
    rng = np.random.default_rng(2)
    plane = 0.2 + 0.3 * rng.random((1, 1, 8, 10)).repeat(32, axis=2).repeat(32, axis=3)
    stack = plane * np.asarray(levels)[:, None, None, None] + deviation * rng.standard_normal(
        (len(levels), 3, 256, 320)
    )
    return Exposures.of(counts(stack.astype(np.float32)), **({"gains": True} | options))


def test_noise_is_measured() -> None:
    for deviation in (0.002, 0.01, 0.05):
        assert exposed(np.ones(5), deviation).noise == pytest.approx(deviation, rel=0.05)


def test_flicker_and_faults_are_measured() -> None:
    levels = np.array([1, 1.05, 0.95, 2, 1.04, 0, 0.96])
    found = exposed(levels)
    assert found.kept == (0, 1, 2, 3, 4, 6)
    assert np.array(found.gains)[list(found.kept)] == pytest.approx(levels[levels > 0], rel=0.01)
    assert set(exposed(levels, gains=False).gains) == {1.0}


def test_a_drift_belongs_to_the_scene() -> None:
    drift = np.exp(-0.1 * np.arange(8))
    assert exposed(drift).gains == pytest.approx(np.ones(8), abs=0.01)
    drift[3] *= 1.2
    assert exposed(drift).gains == pytest.approx([1, 1, 1, 1.2, 1, 1, 1, 1], abs=0.01)


def test_a_stack_that_is_black_is_black(tmp_path: Path) -> None:
    picture, depth, _ = focused(np.zeros((3, 40, 50, 3), np.float32), tmp_path / "black")
    assert not picture.any()
    assert np.isnan(depth).all()


def test_options_say_the_method() -> None:
    def recipe(**section: Any) -> Any:
        return recipe_of(Focus.model_validate(section), photographs=True)

    assert recipe(multiscale={}) == recipe(method="multiscale") == recipe(options="--multiscale")
    said = recipe(options="--multiscale=l4,s8,n2,h0")
    assert said.multiscale == Multiscale(levels=4, sharpness=8, noise=2, highlights=0)
    assert said == recipe(options=said.option_string())
    assert recipe() == recipe(method="multiscale") != recipe(method="masks")
    own = {"masks": [{"blur": {}}]}
    for named in ({"colorspace": {"space": "Lab"}}, {"mask_size": {}}, {"merge": []}, own):
        assert recipe(**named).multiscale is None, "what only masks have is named"
    assert recipe(method="multiscale", **own) == recipe(**own), "operators that are named make masks"


def test_operators_that_are_named_make_masks_and_that_is_told(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", noisy()[0])
    plan = fusestack.plan(config(paths, tmp_path, method="multiscale", options="--blur"))
    assert any("focus.method: multiscale is for stacks without" in one for one in plan.warnings)
    assert not fusestack.plan(config(paths, tmp_path, options="--blur")).warnings


def test_a_slice_alone_comes_back(tmp_path: Path) -> None:
    stack = noisy()[0][:1]
    picture, *_ = focused(stack, tmp_path / "one")
    assert picture == pytest.approx(stack[0], abs=1e-4)


@pytest.mark.parametrize(
    ("focus", "sentence"),
    [
        ({"masks": [{"blur": {}}], "multiscale": {}}, "focus.masks: belongs to method masks"),
        ({"cut": [], "multiscale": {}}, "focus.cut: belongs to method masks"),
        ({"mask_size": {}}, "focus.mask_size: belongs to method masks"),
        ({"colorspace": {"space": "Lab"}}, "focus.colorspace: belongs to method masks"),
        ({"method": "masks", "multiscale": {}}, "focus.multiscale: these are options of method multiscale"),
        ({"multiscale": {"levels": 0}}, "focus.multiscale.levels: 0 is not allowed; use at least 1"),
        ({"options": "--multiscale --blur"}, "belongs to method masks"),
        ({"options": "--multiscale=q2"}, "'q2' is no argument of multiscale"),
    ],
)
def test_what_belongs_to_masks_is_refused(focus: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    paths = write(tmp_path / "in", noisy()[0])
    with pytest.raises(ConfigError, match=sentence):
        fusestack.plan(config(paths, tmp_path, **({} if "options" in focus else {"method": "multiscale"}) | focus))


def test_opacity_that_hides_nothing_changes_nothing(tmp_path: Path) -> None:
    stack = noisy()[0]
    plain, *_ = focused(stack, tmp_path / "plain")
    whole = np.concatenate([stack, np.ones((5, 120, 160, 1), np.float32)], axis=-1)
    # but for the brightness of slices, which is left as it is where mattes may hide any part of them
    assert decibel(focused(whole, tmp_path / "whole")[0], plain) > 60


def test_slices_with_opacity_are_mixed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    stack = np.concatenate([noisy()[0], np.ones((5, 120, 160, 1), np.float32)], axis=-1)
    paths = write(tmp_path / "in", stack)
    assert fusestack.plan(config(paths, tmp_path)).facts[0].endswith("--bg=max --between=p100 (the default)")
    assert "--multiscale" in fusestack.plan(config(paths, tmp_path, method="multiscale")).facts[0]


def test_mattes(tmp_path: Path) -> None:
    """What a slice hides is taken from others, without the outline of the matte; what all hide is transparent."""
    stack, sharp, _ = noisy()
    seen = np.ones((5, 120, 160, 1), np.float32)
    seen[:, :30] = 0
    seen[::2, :, :50] = 0
    hidden = np.concatenate([stack * seen, seen], axis=-1)
    picture, depth, _ = focused(hidden, tmp_path / "mattes")
    opacity, colours = picture[..., 3], picture[..., :3]
    assert (opacity[:28] == 0).all()
    assert (opacity[32:] == 1).all()
    everything, without = focused(stack, tmp_path / "all")[0], focused(stack[1::2], tmp_path / "others")[0]
    for columns, reference in ((slice(0, 60), without), (slice(58, None), everything)):
        part = (slice(28, None), columns)
        assert decibel(colours[part], sharp[part]) > decibel(reference[part], sharp[part]) - 1
    assert set(np.unique(np.rint(depth[40:, :36])).tolist()) <= {1.0, 2.0, 3.0}
    assert np.isnan(depth[:20]).all()


def test_planes_of_a_volume_are_never_left_out() -> None:
    """Light that is absorbed on its way is no fault; of photographs, what is far too dark shows nothing."""
    counts = np.zeros((9, SliceCounts.BINS))
    for k in range(9):
        level = np.full(100, np.exp(-0.7 * (k - 4)), np.float32)
        counts[k, : SliceCounts.RATIO_BINS] = exposures._counts(level, exposures._RATIOS, exposures._RATIO_BITS)
        counts[k, SliceCounts.RATIO_BINS] = 1
    assert Exposures.of(counts.ravel(), gains=False).kept == tuple(range(9))
    assert Exposures.of(counts.ravel(), gains=True).kept == (2, 3, 4, 5, 6)


def test_photographs_that_are_left_out_are_named_after_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = noisy()[0]
    stack[3] = 0
    paths = write(tmp_path / "in", stack)
    name = Path(paths[3]).name
    file = tmp_path / "focus.json"
    file.write_text(json.dumps(config(paths, tmp_path / "one")))
    assert command(["run", str(file)]) == 0
    said = f"{name}: left out, since much darker or brighter than the others, blank, or the same"
    assert said in capsys.readouterr().err
    assert any(name in one for one in json.loads((tmp_path / "one" / "sharp.tif.run.json").read_text())["warnings"])
    assert f"{name}: left out" in (tmp_path / "one" / "sharp.tif.report.html").read_text()
    with pytest.warns(FusestackWarning, match=f"{name}: left out"):
        fusestack.run(config(paths, tmp_path / "two"))
    whole = write(tmp_path / "whole", noisy()[0])
    assert fusestack.run(config(whole, tmp_path / "three")).found == ()


def test_they_are_named_in_natural_order(tmp_path: Path) -> None:
    stack = np.concatenate([noisy()[0]] * 3)[:11] * np.linspace(0.95, 1, 11)[:, None, None, None]
    stack[9] = 0
    paths = write(tmp_path / "in", stack)
    with pytest.warns(FusestackWarning, match=r"slice_10\.tif: left out"):
        fusestack.run(config(paths, tmp_path / "out"))


def test_hot_pixels_of_float_photographs_stay_where_they_are() -> None:
    stack, sharp, _ = noisy()
    expected = decibel(fusestack.focus_stack(stack).image.values, sharp)
    stack[2, 40, 50], stack[1, 20, 80] = 1e7, 1e7
    picture = fusestack.focus_stack(stack).image.values
    beside = np.ones(picture.shape[:2], bool)
    beside[36:45, 46:55] = beside[16:25, 76:85] = False
    assert decibel(np.where(beside[..., None], picture, sharp), sharp) > expected - 0.5


def test_a_picture_alone_is_the_same_without_looking_for_the_depth(tmp_path: Path) -> None:
    stack = noisy()[0]
    picture, *_ = focused(stack, tmp_path / "both")
    data = config(write(tmp_path / "in", stack, "uint16"), tmp_path / "alone")
    data["focus"]["output"] = {"path": str(tmp_path / "alone" / "sharp.tif")}
    (written,) = (stage for stage in fusestack.plan(data).stages if stage.name == "write/image")
    (mixed,) = written.compute.pictures
    assert not mixed.compute.function.finds_depth
    fusestack.run(data)
    assert np.array_equal(tifffile.imread(tmp_path / "alone" / "sharp.tif") / np.float32(65535), picture)


def test_what_jpeg_makes_of_smooth_areas_is_no_depth(tmp_path: Path) -> None:
    """Two smooth halves, one of which has an object: the halo of its blur is no patchwork of slices."""
    from PIL import Image

    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.random((128, 64, 3)), (1, 1, 0))
    texture = (texture - texture.mean()) * 1.5
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(6):
        plane = np.full((128, 256, 3), (0.8, 0.7, 0.5)) + 0.002 * rng.standard_normal((128, 256, 3))
        plane[:, :64] += gaussian_filter(texture, (abs(k - 2), abs(k - 2), 0))
        Image.fromarray(np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8)).save(folder / f"{k}.jpg", quality=85)
    depth = fusestack.focus_stack(folder).depth.values
    assert np.abs(depth[:, 8:56] - 2).mean() < 0.1
    assert np.isnan(depth[:, 100:]).mean() > 0.98


def named_volume(seed: int = 0) -> tuple[xarray.DataArray, Stack]:
    """A volume [z, y, x] of floats about 300, and what is sharp."""
    stack, sharp, _ = noisy(0.005, seed, colours=1)
    scaled = [(300 + 400 * one[..., 0]).astype(np.float32) for one in (stack, sharp)]
    return xarray.DataArray(scaled[0], dims=("z", "y", "x")), scaled[1]


@pytest.mark.parametrize("shape", ["square", "half", "everywhere in one corner"])
def test_what_is_no_number_is_no_detail(shape: str) -> None:
    volume, _ = named_volume()
    whole = fusestack.focus_stack(volume).image.to_numpy()
    part = {"square": np.s_[2, 40:70, 50:90], "half": np.s_[1, :, :80], "everywhere in one corner": np.s_[:, :30, :40]}
    volume = volume.copy()
    volume.values[part[shape]] = np.nan
    found = fusestack.focus_stack(volume).image.to_numpy()
    hidden = np.zeros(found.shape, bool)
    if shape.startswith("everywhere"):
        hidden[:30, :40] = True
    assert np.isnan(found[hidden]).all()
    off = np.abs(found - whole)[~hidden]
    assert off.mean() < 8
    assert found[~hidden].min() > 250


def test_pixels_that_no_view_covers_are_no_detail(tmp_path: Path) -> None:
    """Tiles that do not reach all planes: 0 is what fusion writes there."""
    volume, _ = named_volume()
    planes = np.rint(volume.values).astype(np.uint16)
    for name, pixels in (("low", planes[:4]), ("high", planes[2:])):
        columns = slice(0, 100) if name == "low" else slice(60, None)
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ascontiguousarray(pixels[..., columns]), imagej=True)
    views = [
        {"path": "low.tif", "translation": {"x": 0, "y": 0, "z": 0}},
        {"path": "high.tif", "translation": {"x": 60, "y": 0, "z": 2}},
    ]
    data = {
        "version": 1,
        "input": {"views": [view | {"path": str(tmp_path / view["path"]), "axes": "zyx"} for view in views]},
        "output": {"path": str(tmp_path / "fused.ome.zarr")},
        "focus": {"output": {"path": str(tmp_path / "sharp.ome.zarr")}},
    }
    fusestack.run(data)
    found = zarr.open_array(tmp_path / "sharp.ome.zarr" / "0")[0, 0, 0].astype(float)
    expected = fusestack.focus_stack(planes).image.to_numpy().astype(float)
    assert np.abs(found - expected)[:, 65:95].mean() < 40
    assert found.min() > 200, "black shines through where a view ends"


def test_small_bright_things_of_float_photographs_stay() -> None:
    rng = np.random.default_rng(0)
    stack = (100 + 2 * rng.standard_normal((3, 120, 160, 3))).astype(np.float32)
    stack[:, 50:52, 60:62] = 1000
    assert fusestack.focus_stack(stack).image.values[50:52, 60:62].min() > 900


def test_one_hot_pixel_spoils_no_volume() -> None:
    volume, _ = named_volume()
    counts = np.rint(volume.values * 0.2).astype(np.uint16)
    expected = fusestack.focus_stack(xarray.DataArray(counts, dims=("z", "y", "x")))
    counts = counts.copy()
    counts[3, 5, 5] = 65535
    found = fusestack.focus_stack(xarray.DataArray(counts, dims=("z", "y", "x")))
    apart = np.s_[60:, 60:]
    assert np.isnan(found.depth.values[apart]).mean() < 0.05
    assert np.abs(found.image.values[apart] - expected.image.values[apart].astype(float)).mean() < 3


def test_half_transparent_everywhere_is_not_hidden(tmp_path: Path) -> None:
    stack, *_ = noisy()
    half = np.concatenate([stack, np.full((5, 120, 160, 1), 0.5, np.float32)], axis=-1)
    picture, depth, _ = focused(half, tmp_path / "half")
    plain = focused(stack, tmp_path / "plain")[0]
    assert decibel(picture[..., :3], plain) > 55
    assert picture[..., 3] == pytest.approx(0.5, abs=1e-3)
    assert np.isfinite(depth).mean() > 0.98


def test_substacks_are_for_masks(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", noisy()[0])
    substacks = {"substacks": {"number": 2, "radius": 1}, "final": [{"threshold": {"low": 20}}]}
    plan = fusestack.plan(config(paths, tmp_path, **substacks))
    assert not plan.warnings
    assert "--blur" in plan.facts[0]
    plan = fusestack.plan(config(paths, tmp_path, method="multiscale", **substacks))
    assert any("focus.substacks: the first one covers all others" in one for one in plan.warnings)
