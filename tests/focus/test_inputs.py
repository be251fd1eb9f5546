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
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

import fusestack
from fusestack.model.errors import ConfigError, FusestackWarning, InputError
from fusestack.sources.picture_notes import made_by_us
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
    assert warning.startswith(
        f"{paths[3]}: says that the camera was held in another way than for 0.jpg; all are turned"
    )
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
    assert two.max() <= 1.002  # where white is, is found to a bin of a histogram


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
    run(write(tmp_path / "in", stack, "uint16"), tmp_path, method="masks")
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


def shifted(dtype: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Grey slices whose numbers no other type holds."""
    ends = {"int8": (-100, 120), "int16": (-30000, 30000), "uint32": (100_000, 160_000)}[dtype]
    return np.rint(ends[0] + scene(colours=1)[0][..., 0] * (ends[1] - ends[0])).astype(dtype)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32"])
@pytest.mark.parametrize("said", [{}, {"method": "masks"}, {"options": "--blur=s1,S2 --maskblur=s4 --bg=max"}])
def test_signed_and_wide_numbers_are_kept(dtype: str, said: dict[str, Any], tmp_path: Path) -> None:
    stack = shifted(dtype)
    (tmp_path / "in").mkdir()
    for k, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / "in" / f"{k}.tif", plane)
    run([str(tmp_path / "in" / f"{k}.tif") for k in range(len(stack))], tmp_path, output={"sharpen_between": 0}, **said)
    sharp = tifffile.imread(tmp_path / "sharp.tif")
    assert sharp.dtype == dtype
    beyond = 1 if said else 0.15 * np.ptp(stack.astype(float))  # what is mixed may be a little more than any slice has
    assert (sharp >= stack.min(0).astype(float) - beyond).all()
    assert (sharp <= stack.max(0).astype(float) + beyond).all()
    # the same slices in memory, and the same picture in the range of another type
    lazy = fusestack.focus_stack(stack, output={"sharpen_between": 0}, **said)
    np.testing.assert_array_equal(lazy.image, sharp)


@pytest.mark.parametrize("dtype", ["int32", "uint64"])
def test_wider_numbers_are_refused(dtype: str, tmp_path: Path) -> None:
    for k in range(2):
        tifffile.imwrite(tmp_path / f"{k}.tif", np.ones((9, 9), dtype))
    with pytest.raises(InputError, match=rf"0.tif: pixels of type {dtype} are not read; convert"):
        planned(str(tmp_path), tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("largest", [1.0, 0.01, 5000.0])
def test_float_photographs_keep_their_colours(suffix: str, largest: float, tmp_path: Path) -> None:
    tint = (scene()[0] * (1, 0.6, 0.25) * largest).astype(np.float32)
    clean = write(tmp_path / "clean", tint, "float32")
    hot = tint.copy()
    hot[:, 20, 30, 0] = 1000 * largest  # of the sensor, so of every slice
    with_hot = write(tmp_path / "hot", hot, "float32")
    shares = []
    for name, paths in (("a", clean), ("b", with_hot)):
        run(paths, tmp_path / name, output={"path": str(tmp_path / name / f"sharp{suffix}")})
        path = tmp_path / name / f"sharp{suffix}"
        found = tifffile.imread(path) if suffix == ".tif" else np.asarray(Image.open(path).convert("RGB"))
        if suffix == ".png":
            found = imagecodecs.png_decode(path.read_bytes())
        found = found.astype(float)
        if suffix == ".tif":
            assert found.max() <= hot.max() * 1.001
        found[15:25, 25:35] = 0  # what is around the hot pixel
        shares.append(found.mean((0, 1)))
    expected = tint.mean((0, 1, 2))
    for share in shares:
        np.testing.assert_allclose(share / share[0], expected / expected[0], rtol=0.05)
    np.testing.assert_allclose(shares[1], shares[0], rtol=0.05)  # a hot pixel does not make the others dark


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_out_upright(orientation: int, tmp_path: Path) -> None:
    stack = (scene()[0] * 255).astype(np.uint8)
    upright = write(tmp_path / "up", scene()[0])
    back = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    turns |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    paths = []
    (tmp_path / "in").mkdir()
    for k, path in enumerate(upright):
        picture = Image.fromarray(tifffile.imread(path))
        stored = picture if back == 1 else picture.transpose(getattr(Image.Transpose, turns[back]))
        exif = Image.Exif()
        exif[274] = orientation
        paths.append(str(tmp_path / "in" / f"{k}.png"))
        stored.save(paths[-1], exif=exif)
    run(upright, tmp_path / "a")
    run(paths, tmp_path / "b")
    for name in ("sharp.tif", "depth.tif", "mask.tif"):
        one, two = (tifffile.imread(tmp_path / folder / name) for folder in "ab")
        assert np.array_equal(one, two), name
    with tifffile.TiffFile(tmp_path / "b" / "sharp.tif") as file:
        assert file.pages.first.tags.valueof(274, default=1) == 1
    assert stack.shape[1:3] == one.shape


def test_pictures_that_only_fit_upright_are_turned_each(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0])
    turned = Image.fromarray(tifffile.imread(paths[2])).transpose(Image.Transpose.ROTATE_90)
    tifffile.imwrite(paths[2], np.asarray(turned), photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    plan = planned(paths, tmp_path)
    assert not plan.warnings
    assert plan.images[0].target.image.shape[3:] == (90, 130)


def test_pictures_that_were_taken_in_another_order_are_told(tmp_path: Path) -> None:
    stack = (scene()[0] * 255).astype(np.uint8)
    paths = [str(tmp_path / f"{k}.jpg") for k in range(len(stack))]
    for k, path in enumerate(paths):
        exif = Image.Exif()
        exif.get_ifd(34665).update({36867: f"2024:05:06 07:08:{(k + 2) % 5:02d}"})
        Image.fromarray(stack[k]).save(path, exif=exif)
    (warning,) = planned(paths, tmp_path).warnings
    assert warning.startswith(f"{paths[3]}: was taken at 2024:05:06 07:08:00, before 2.jpg (2024:05:06 07:08:04)")
    assert planned([*paths[3:], *paths[:3]], tmp_path).warnings == ()


def test_cut_pictures_are_refused_by_name(tmp_path: Path) -> None:
    stack = (scene()[0] * 255).astype(np.uint8)
    for suffix in (".jpg", ".png", ".tif"):
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        for k, plane in enumerate(stack):
            Image.fromarray(plane).save(folder / f"{k}{suffix}")
        cut = folder / f"3{suffix}"
        cut.write_bytes(cut.read_bytes()[:-4000])
        with pytest.raises(InputError, match=rf"3{suffix}: "):
            planned(str(folder), tmp_path)


@pytest.mark.parametrize(
    ("suffix", "dtype", "premultiplied"),
    [(".png", "uint8", False), (".tif", "uint16", True), (".tif", "float32", False)],
)
def test_mattes_keep_their_silhouette(suffix: str, dtype: str, premultiplied: bool, tmp_path: Path) -> None:
    """The matte of a slice out of focus is wider than the body; the opacity is that of the slice that is shown."""
    stack, _, depth = scene((120, 120), 5)
    body = np.hypot(*(np.indices(depth.shape) - 60)) < 36
    blurred = np.stack([body * 1.0, *(np.clip(2 * gaussian_filter(body * 1.0, 1.2 * r), 0, 1) for r in range(1, 5))])
    paths = []
    for k, colours in enumerate(stack):
        distance = np.rint(abs(depth - k)).astype(int)
        matte = np.choose(distance, blurred)[..., None]
        pixels = np.concatenate([colours * matte if premultiplied else colours, matte], axis=-1)
        full = 1 if dtype == "float32" else np.iinfo(dtype).max
        pixels = (np.rint(pixels * full) if full > 1 else pixels).astype(dtype)
        paths.append(str(tmp_path / f"{k}{suffix}"))
        if suffix == ".png":
            Image.fromarray(pixels).save(paths[-1])
        else:
            kind = "assocalpha" if premultiplied else "unassalpha"
            tifffile.imwrite(paths[-1], pixels, photometric="rgb", extrasamples=[kind])
    run(paths, tmp_path / "out")
    sharp = tifffile.imread(tmp_path / "out" / "sharp.tif")
    opaque = sharp[..., 3] > full / 2
    assert (opaque & ~binary_dilation(body, iterations=2)).sum() < 0.05 * body.sum()
    assert opaque[binary_erosion(body, iterations=2)].mean() > 0.98


@pytest.mark.parametrize("colour", [0.0, 1.0, 0.4, None], ids=["black", "white", "grey", "twice"])
def test_a_slice_that_shows_nothing_does_no_harm(colour: float | None, tmp_path: Path) -> None:
    stack, truth, _ = scene((90, 130), 6)

    def quality(slices: Any) -> float:
        found = fusestack.focus_stack(np.rint(slices * 255).astype(np.uint8)).image / 255
        return float(-10 * np.log10(np.mean((found - truth) ** 2)))

    for place in (0, 3, 5, 6):
        without = np.delete(stack, min(place, 5), axis=0)
        if colour is None:
            expected, other = quality(stack), stack[min(place, 5)]
            assert quality(np.insert(stack, place, other, axis=0)) > expected - 1.6
        else:
            broken = np.insert(without, min(place, 5), colour, axis=0)
            assert quality(broken) > quality(without) - 1
