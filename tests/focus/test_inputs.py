"""What photographers have in their folders: earlier results, odd numbers, holes, cameras that were turned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

import fusestack
from fusestack.model.errors import ConfigError, FusestackWarning, InputError
from fusestack.sources.pictures import made_by_us
from tests.focus.stacks import config, run, scene, write


def planned(images: Any, folder: Path, **focus: Any) -> fusestack.planner.Plan:
    return fusestack.plan(config(images, folder, **focus))


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_results_are_no_slices(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    paths = write(folder, scene()[0])
    names = {key: str(folder / f"a_{key}{suffix}") for key in ("path", "mask", "depth", "depth_colour")}
    data = config(str(folder / "*"), folder, output=names)  # type: ignore[arg-type]
    fusestack.run(data)
    assert sum(made_by_us(str(path)) for path in folder.iterdir()) == 4
    again = fusestack.plan(data)
    assert "5 pictures" in again.source
    assert "4 results of fusestack are left out (a_depth" in again.warnings[0]
    with pytest.warns(FusestackWarning, match="4 results of fusestack are left out"):
        assert not any(stage.computed for stage in fusestack.run(data).stages)
    # a folder is a pattern, too, and who names a result means it
    assert "5 pictures" in planned(str(folder), tmp_path).source
    assert (
        "6 pictures" in planned([*paths, str(folder / f"a_path{suffix}")], tmp_path).source
        if suffix == ".tif"
        else True
    )


def test_a_folder_of_results_only(tmp_path: Path) -> None:
    run(write(tmp_path / "in", scene()[0]), tmp_path / "out")
    with pytest.raises(InputError, match="all pictures here were made by fusestack"):
        planned(str(tmp_path / "out"), tmp_path)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ("in/*.jpg", r"no file fits the pattern \(its folder holds .tif\)"),
        ("none/*.jpg", "there is no such folder"),
        ("in/slice_9.tif", "no such file or folder"),
        ("empty", "holds no JPEG, PNG or TIFF file"),
    ],
)
def test_what_is_not_there(images: str, sentence: str, tmp_path: Path) -> None:
    write(tmp_path / "in", scene()[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=sentence):
        planned(str(tmp_path / images), tmp_path)


def test_a_camera_that_was_turned_and_slices_named_twice(tmp_path: Path) -> None:
    stack = (scene()[0] * 255).astype(np.uint8)
    paths = [str(tmp_path / f"{k}.jpg") for k in range(len(stack))]
    for k, path in enumerate(paths):
        exif = Image.Exif()
        exif[274] = 6 if k == 3 else 1
        Image.fromarray(stack[k]).save(path, quality=95, exif=exif.tobytes())
    (warning,) = planned(paths, tmp_path).warnings
    assert warning.startswith(f"{paths[3]}: says that the camera was held in another way than for 0.jpg; pixels")
    assert "is named more than once" in planned([*paths[:3], paths[0]], tmp_path).warnings[0]


def transparent(folder: Path, rows: int) -> list[str]:
    """Slices whose first rows nobody sees, in a colour that nobody should."""
    folder.mkdir()
    paths = []
    for k, plane in enumerate(scene()[0]):
        pixels = np.concatenate([plane, np.ones((*plane.shape[:2], 1))], axis=-1)
        pixels[:rows] = (1, 0, 0, 0)
        paths.append(str(folder / f"{k}.png"))
        Path(paths[-1]).write_bytes(imagecodecs.png_encode((pixels * 255).astype(np.uint8)))
    return paths


@pytest.mark.parametrize("options", [None, "--blur --maskblur=s4 --bg=mean"])
def test_what_no_slice_shows_stays_transparent(options: str | None, tmp_path: Path) -> None:
    paths = transparent(tmp_path / "in", 30)
    said = {"options": options} if options else {}
    run(paths, tmp_path, **said)
    sharp = tifffile.imread(tmp_path / "sharp.tif")
    assert (sharp[:30, :, 3] == 0).all()
    assert (sharp[30:, :, 3] == 255).all()
    run(paths, tmp_path / "two", output={"path": str(tmp_path / "sharp.jpg")}, **said)
    assert np.asarray(Image.open(tmp_path / "sharp.jpg"))[:24].max() < 12  # black, not the hidden red


def test_unknown_depth_is_not_the_first_slice(tmp_path: Path) -> None:
    paths = transparent(tmp_path / "in", 30)
    names = {"depth": str(tmp_path / "depth.png"), "depth_colour": str(tmp_path / "colour.jpg")}
    run(paths, tmp_path, output=names)
    depth = imagecodecs.png_decode((tmp_path / "depth.png").read_bytes())
    assert (depth[:30, :, 1] == 0).all()
    assert (depth[30:, :, 1] == 65535).all()
    assert np.asarray(Image.open(tmp_path / "colour.jpg"))[:24].max() < 12
    # where all depths are known, there is no opacity
    run(write(tmp_path / "all", scene()[0]), tmp_path / "all", output={"depth": str(tmp_path / "known.png")})
    assert imagecodecs.png_decode((tmp_path / "known.png").read_bytes()).ndim == 2


def test_pixels_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    stack = scene(colours=1)[0]
    holes = stack.copy()
    holes[2, 40, 60], holes[3, 41, 61] = np.nan, np.inf
    run(write(tmp_path / "whole", stack, "float32"), tmp_path / "one")
    run(write(tmp_path / "holes", holes, "float32"), tmp_path / "two")
    one, two = (tifffile.imread(tmp_path / name / "sharp.tif") for name in ("one", "two"))
    assert np.isfinite(two).all()
    away = np.ones(one.shape, bool)
    away[41 - 36 : 41 + 36, 61 - 36 : 61 + 36] = False  # as far as the masks look
    assert np.mean(np.abs(one - two)[away] > 0.01) < 0.01
    assert two.min() >= 0
    assert two.max() <= 1


def test_the_options_that_are_written_down_make_the_same_picture(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0], "uint16")
    run(paths, tmp_path / "one", reverse=True)
    with tifffile.TiffFile(tmp_path / "one" / "sharp.tif") as file:
        said = file.pages.first.description
    options = said.removeprefix("image: ").partition(" [")[0]
    assert "--between=p100" in options
    assert "--revert" in options
    run(paths, tmp_path / "two", options=options)
    for name in ("sharp.tif", "depth.tif"):
        one, two = (tifffile.imread(tmp_path / folder / name) for folder in ("one", "two"))
        assert np.array_equal(one, two), name


def test_slices_that_the_input_counts_from_the_back_are_written_down(tmp_path: Path) -> None:
    data = config(write(tmp_path / "in", scene()[0]), tmp_path)
    data["input"]["reverse"] = True
    assert "--revert" in fusestack.plan(data).facts[0]
    assert "--revert" not in fusestack.plan(config(data["input"]["images"], tmp_path)).facts[0]


def test_smooth_areas_are_not_patched_together(tmp_path: Path) -> None:
    """Grain of a sensor beside an edge: the slices far out of focus are brighter here, and must not show."""
    rng = np.random.default_rng(5)
    stack = np.empty((5, 120, 200, 1))
    for k in range(5):
        stack[k] = 0.4 + 0.03 * k + 0.004 * rng.standard_normal((120, 200, 1))
        stack[k, :, 90:110] = 0.8 if k == 0 else 0.6  # sharp in the first slice
    run(write(tmp_path / "in", stack, "uint16"), tmp_path)
    depth = tifffile.imread(tmp_path / "depth.tif")
    beside = np.r_[75:86, 114:125]
    assert np.mean(depth[:, beside] < 0.5) > 0.75  # noise alone: 0.2


@pytest.mark.parametrize(
    ("focus", "sentence"),
    [
        ({"bananas": None}, "bananas"),
        ({"options": "--blur=s1", "S2": None}, "put quotes around the string"),
        ({"options": "--blur=s1", "S2 --maskblur=s4": None}, "put quotes around the string"),
        ({"output": {"path": "a.png", "dtype": "float32"}}, "a .png file does not hold float32; use uint8 or uint16"),
        ({"output": {"path": "a.jpg", "dtype": "uint16"}}, "a .jpg file does not hold uint16; use uint8"),
    ],
)
def test_mistakes_are_refused_by_the_plan(focus: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    write(tmp_path / "in", scene()[0])
    file = tmp_path / "fuse.yaml"
    file.write_text(json.dumps({"version": 1, "input": {"images": "in/*.tif"}, "focus": focus}))
    with pytest.raises(ConfigError, match=sentence):
        fusestack.plan(file)


def test_a_project_is_no_stack(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"focus.input: .*sample.xml is a project.*name it in input.project"):
        fusestack.plan({"version": 1, "focus": {"input": str(tmp_path / "sample.xml")}})


def test_float_slices_in_png(tmp_path: Path) -> None:
    run(write(tmp_path / "in", scene()[0], "float32"), tmp_path, output={"path": str(tmp_path / "sharp.png")})
    assert imagecodecs.png_decode((tmp_path / "sharp.png").read_bytes()).dtype == np.uint16


def test_stacks_in_python(tmp_path: Path) -> None:
    stack = (scene()[0] * 255).astype(np.uint8)
    paths = write(tmp_path / "in", scene()[0])
    first = fusestack.focus_stack(np.floor(scene()[0] * 255 + 0.5).astype(np.uint8))
    for same in (paths, [Path(path) for path in paths], str(tmp_path / "in"), str(tmp_path / "in" / "*.tif")):
        assert np.array_equal(fusestack.focus_stack(same).image, first.image)
    assert fusestack.focus_stack(list(stack)).image.shape == stack.shape[1:]
    alpha = np.concatenate([stack, np.full((*stack.shape[:3], 1), 255, np.uint8)], axis=-1)
    alpha[:, :30, :, 3] = 0
    found = fusestack.focus_stack(alpha)
    assert found.image.shape == (*stack.shape[1:3], 3)
    assert (found.opacity.values[:30] == 0).all()
    assert (found.opacity.values[40:] == 1).any()


@pytest.mark.parametrize(
    ("stack", "sentence"),
    [
        (np.zeros((300, 400, 3), np.uint8), "looks like one picture in colour"),
        (np.zeros((0, 40, 40), np.uint8), r"has the shape \(0, 40, 40\); give slices"),
        ([], "has the shape"),
        (None, "is no array of numbers"),
        ([np.zeros((4, 4)), np.zeros((5, 5))], "differ in size"),
        (np.zeros((3, 40, 40)), "pixels of type float64; convert"),
    ],
)
def test_what_is_no_stack_in_python(stack: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        fusestack.focus_stack(stack)


def test_backgrounds_of_transparent_slices_bring_the_slices_along(tmp_path: Path) -> None:
    paths = transparent(tmp_path / "in", 30)
    run(paths, tmp_path, options="--blur --maskblur=s4 --bg=mean")
    first = tifffile.imread(tmp_path / "sharp.tif")
    for entry in (tmp_path / "cache.fusestack").glob("slices*"):
        shutil.rmtree(entry)
    for entry in (tmp_path / "cache.fusestack").glob("picture*"):
        shutil.rmtree(entry)
    run(paths, tmp_path, options="--blur --maskblur=s4 --bg=mean", output={"dtype": "uint16", "overwrite": True})
    assert np.array_equal(tifffile.imread(tmp_path / "sharp.tif") // 257, first)
