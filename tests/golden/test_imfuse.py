"""Focus stacking beside the original: every case of the golden data, from the photographs to the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

import fusestack
from fusestack.model.geometry import Box
from fusestack.planning.plan import Plan
from tests.conftest import SHARED
from tests.programs import NO_IMAGEMAGICK, has_imagemagick

FOLDER = SHARED / "golden" / "imfuse"
pytestmark = pytest.mark.beside("golden/imfuse")

GOLDEN: dict[str, Any] = json.loads((FOLDER / "cases.json").read_text()) if FOLDER.exists() else {"cases": []}
CASES = {case["name"]: case for case in GOLDEN["cases"]}
ENFUSE = {"gen_enfuse", "final_alpha_bg_enfuse"}
IMPROVED = {
    # the original is wrong here, and ours does something better
    "gen_blur_single",
    "gen_dog",
    "gen_sobel",
    "gen_roberts",
    "gen_laplacian",
    "gen_comet",
    "mask_merge_weights",
    "mask_threshold_despeckle",
    "final_gamma_sharpen",
}
COPIED = sorted(set(CASES) - IMPROVED)


def png(path: Path) -> NDArray[np.float64]:
    pixels = imagecodecs.png_decode(path.read_bytes())
    return pixels / np.iinfo(pixels.dtype).max


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    error = float(np.mean((np.asarray(one, dtype=np.float64) - other) ** 2))
    return 999.0 if error == 0 else -10 * np.log10(error)


def slices(name: str) -> list[str]:
    return [str(FOLDER / file) for file in GOLDEN["inputs"][name]["files"]]


def planned(name: str, folder: Path, options: list[str] | None = None) -> Plan:
    case = CASES[name]
    words = [word.replace("inputs/", f"{FOLDER}/inputs/") for word in options or case["options"]]
    output = {"path": "result.tif", "mask": "mask.png", "depth": "depth.tif"}
    return fusestack.plan(
        {
            "version": 1,
            "input": {"images": slices(case["input"])},
            "focus": {"options": words, "output": {key: str(folder / file) for key, file in output.items()}},
            "execution": {"workers": 2},
        }
    )


class Made:
    """What a case made, beside what the original made."""

    def __init__(self, name: str, folder: Path, options: list[str] | None = None) -> None:
        self.case = CASES[name]
        self.files = self.case["files"]
        self.plan = planned(name, folder, options)
        fusestack.run(self.plan)
        pixels = tifffile.imread(folder / "result.tif")
        self.result = pixels / np.iinfo(pixels.dtype).max
        self.mask = png(folder / "mask.png")
        self.depth = tifffile.imread(folder / "depth.tif")

    def golden(self, kind: str) -> NDArray[np.float64]:
        return png(FOLDER / self.files[kind])

    @property
    def winners(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slices in front as the original numbers depths, ours and its own, where both know them."""
        count = self.case.get("images") or len(slices(self.case["input"]))
        golden = self.golden("depth")
        known = np.isfinite(self.depth)
        if "depth_alpha" in self.files:
            known &= self.golden("depth_alpha") > 0.5
        return ((count - 1 - self.depth) / count)[known], golden[known]


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_is_equal(name: str, tmp_path: Path) -> None:
    made = Made(name, tmp_path)
    least = 38.0 if name in ENFUSE else 60.0
    if "result" in made.files:
        golden = made.golden("result")
        assert made.result.shape == golden.shape, "opaque results have no alpha, others have one"
        if golden.shape[-1] == 4:  # what is behind transparent pixels is nobody's business
            assert psnr(made.result[..., 3], golden[..., 3]) > least
            made.result[..., :3] *= made.result[..., 3:]
            golden[..., :3] *= golden[..., 3:]
        assert psnr(made.result, golden) > least
    if "mask" in made.files:
        assert psnr(made.mask, made.golden("mask")) > (38 if name in ENFUSE else 70)
    if "depth" in made.files:
        ours, golden = made.winners
        wrong = np.mean(np.abs(ours - golden) > 0.5 / 8)
        assert wrong < (0.05 if name in ENFUSE else 0.001)
    if "depth_alpha" in made.files:
        known = np.isfinite(made.depth)
        assert np.array_equal(known, made.golden("depth_alpha") > 0)


@pytest.mark.parametrize("name", [name for name in COPIED if "levelled_masks" in CASES[name]["files"]])
def test_levelled_masks_are_equal(name: str, tmp_path: Path) -> None:
    made = Made(name, tmp_path)
    written = next(stage.compute for stage in made.plan.stages if stage.name == "write/image")
    montage = written.pictures[0].compute  # type: ignore[attr-defined]
    merged = montage.masks
    for number, file in made.files["levelled_masks"].items():
        k = int(number) - 1
        mask = merged.read(Box((0, 0, k, 0, 0), (1, 1, k + 1, *merged.shape[3:])))[0, 0, 0]
        assert psnr(montage.level.apply(mask, 0, 0), png(FOLDER / file)) > 70


@pytest.mark.parametrize("name", ["gen_blur_single", "gen_dog", "gen_roberts", "gen_laplacian", "gen_sobel"])
def test_what_is_improved_finds_the_depth_better(name: str, tmp_path: Path) -> None:
    made = Made(name, tmp_path)
    truth = png(FOLDER / GOLDEN["inputs"]["syn"]["depth"]) * 7
    inner = (slice(12, -12), slice(12, -12))
    count = 8
    golden = count - 1 - made.golden("depth") * count
    ours = float(np.nanmean(np.abs(made.depth - truth)[inner]))
    theirs = float(np.mean(np.abs(golden - truth)[inner]))
    # sobel measures about the same, without the bias
    assert ours < theirs * (1.2 if name == "gen_sobel" else 0.5), (ours, theirs)


def test_comet_is_the_original_with_the_sigma_that_it_uses(tmp_path: Path) -> None:
    # the original reads no sigma and always takes 1
    made = Made("gen_comet", tmp_path, ["--comet=s1"])
    assert psnr(made.mask, made.golden("mask")) > 70
    ours, golden = made.winners
    assert np.mean(np.abs(ours - golden) > 0.5 / 8) < 0.001


def test_despeckle_differs_at_the_rim_only(tmp_path: Path) -> None:
    made = Made("mask_threshold_despeckle", tmp_path)
    golden = made.golden("result")
    inner = (slice(4, -4), slice(4, -4))
    assert np.array_equal(made.result[inner][..., 3], golden[inner][..., 3])
    assert psnr(made.result[inner], golden[inner]) > 60
    # the original sees black beyond the image, so that its rim is darker
    assert made.mask[0].mean() > made.golden("mask")[0].mean()


def test_merging_with_plus_begins_with_an_empty_mask(tmp_path: Path) -> None:
    made = Made("mask_merge_weights", tmp_path)
    merged = next(stage for stage in made.plan.stages if stage.name == "merge")
    masks = merged.target.open().read(0, Box.of_shape(merged.target.image.shape))
    # the original begins with grey: its masks are 0.498 at least, and saturate
    assert masks.min() < 0.1
    assert 0.9 < masks.max() <= 1


def test_automatic_gamma_makes_the_mean_one_half(tmp_path: Path) -> None:
    made = Made("final_gamma_sharpen", tmp_path, ["--statistic=r4", "--finalgamma"])
    assert made.result[..., :3].mean() == pytest.approx(0.5, abs=0.003)


def test_sharpening_is_that_of_the_original(tmp_path: Path) -> None:
    # with the gamma that the original found by counting the opacity as a colour
    made = Made("final_gamma_sharpen", tmp_path, ["--statistic=r4", "--finalgamma=g0.673", "--finalsharpen=s1"])
    assert psnr(made.result, made.golden("result")) > 48


@pytest.mark.skipif(not has_imagemagick(), reason=NO_IMAGEMAGICK)
def test_options_of_imagemagick_run(tmp_path: Path) -> None:
    # upside down twice does nothing, but it is not computed here
    made = Made("gen_cmd", tmp_path, ["--cmddiff=-blur 0x2 -flip -flip,halo=9"])
    blurred = Made("gen_cmd", tmp_path / "own", ["--blur=s2,S0"])
    assert psnr(made.mask, blurred.mask) > 40


def test_the_preset_beats_every_option_set(tmp_path: Path) -> None:
    pixels = np.stack([imagecodecs.png_decode(Path(path).read_bytes()) for path in slices("syn")])
    found = fusestack.focus_stack(pixels)
    truth = png(FOLDER / GOLDEN["inputs"]["syn"]["groundtruth"])
    depth = png(FOLDER / GOLDEN["inputs"]["syn"]["depth"]) * 7
    inner = (slice(12, -12), slice(12, -12))
    image = found.image.values[..., :3] / 65535
    assert psnr(image[inner], truth[inner]) > 39.2  # the best single choice of slices: 38.41
    assert structural_similarity(image[inner], truth[inner], data_range=1, channel_axis=-1) > 0.9925
    assert float(np.nanmean(np.abs(found.depth.values - depth)[inner])) < 0.05
