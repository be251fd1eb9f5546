"""What goes in and what comes out: photographs, stacks, volumes; pictures, arrays, names, what is said in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

import fusestack
from fusestack.cli.main import run as command
from fusestack.config.focus import Focus
from fusestack.focus import blocks, lowpass
from fusestack.focus.recipe import recipe_of
from fusestack.model.errors import ConfigError, InputError, OutputError
from fusestack.sources.picture_notes import made_by_us
from fusestack.sources.tiff_facts import tiff_facts
from tests.conftest import SHARED
from tests.focus.stacks import config, run, scene, write

KIDNEY = SHARED / "data" / "kidney"


def sharpness(image: Any, truth: Any) -> float:
    """Peak signal to noise of an image 0..1."""
    return float(-10 * np.log10(np.mean((np.asarray(image) - truth)[8:-8, 8:-8] ** 2)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("colours", [1, 3])
def test_types_and_colours(dtype: str, colours: int, tmp_path: Path) -> None:
    stack, truth, depth = scene(colours=colours)
    run(write(tmp_path / "in", stack, dtype), tmp_path)
    sharp = tifffile.imread(tmp_path / "sharp.tif")
    assert sharp.dtype == dtype
    assert sharp.shape == (truth.shape[:2] if colours == 1 else truth.shape)
    full = 1 if dtype == "float32" else np.iinfo(dtype).max
    best = max(sharpness(plane, truth) for plane in stack)
    assert sharpness(sharp.reshape(truth.shape) / full, truth) > best + 3
    found = tifffile.imread(tmp_path / "depth.tif")
    assert found.dtype == np.float32
    assert np.nanmean(np.abs(found - depth)) < 0.5


def test_float_pixels_of_any_size(tmp_path: Path) -> None:
    stack = scene(colours=1)[0]
    run(write(tmp_path / "small", stack, "float32"), tmp_path / "one")
    run(write(tmp_path / "large", stack * 4000, "float32"), tmp_path / "two")
    one, two = (tifffile.imread(tmp_path / name / "sharp.tif") for name in ("one", "two"))
    assert np.allclose(two, one * 4000, rtol=2e-2, atol=40)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".ome.zarr"])
def test_suffixes(suffix: str, tmp_path: Path) -> None:
    stack, truth, _ = scene()
    names = {key: str(tmp_path / f"{key}{suffix}") for key in ("path", "mask", "depth", "depth_colour")}
    run(write(tmp_path / "in", stack), tmp_path, output=names)
    if suffix == ".ome.zarr":
        sharp = np.moveaxis(zarr.open_array(Path(names["path"]) / "0")[0, :, 0], 0, -1)
        depth = zarr.open_array(Path(names["depth"]) / "0")[0, 0, 0]
        assert depth.dtype == np.float32
    else:
        sharp = np.asarray(Image.open(names["path"]))
        assert np.asarray(Image.open(names["mask"])).shape[:2] == truth.shape[:2]
        assert np.asarray(Image.open(names["depth_colour"])).shape[2] in (3, 4)
    assert sharpness(sharp / 255, truth) > 25


def test_sixteen_bits_and_alpha_in_png(tmp_path: Path) -> None:
    stack = scene()[0]
    output = {"path": str(tmp_path / "sharp.png"), "depth": str(tmp_path / "depth.png")}
    run(write(tmp_path / "in", stack, "uint16"), tmp_path, output=output, options="--blur --finalthreshold=t50")
    sharp = imagecodecs.png_decode(Path(output["path"]).read_bytes())
    assert sharp.dtype == np.uint16
    assert sharp.shape[2] == 4
    assert 0 < (sharp[..., 3] == 0).mean() < 1
    depth = imagecodecs.png_decode(Path(output["depth"]).read_bytes())
    assert depth.dtype == np.uint16
    assert depth.max() <= 65535


def test_opaque_results_have_no_alpha(tmp_path: Path) -> None:
    run(write(tmp_path / "in", scene()[0]), tmp_path, options="--statistic=r5 --maskblur=s3")
    assert tifffile.imread(tmp_path / "sharp.tif").shape[2] == 3


def test_alpha_of_the_slices_keeps_them_away(tmp_path: Path) -> None:
    stack = scene()[0]
    folder = tmp_path / "in"
    folder.mkdir()
    paths = []
    for k, plane in enumerate(stack):
        pixels = np.concatenate([plane, np.ones((*plane.shape[:2], 1))], axis=-1)
        pixels[: 20 + 5 * k, :, 3] = 0  # cut off by an alignment
        pixels[: 20 + 5 * k, :, :3] = (1, 0, 0)
        paths.append(str(folder / f"{k}.png"))
        Path(paths[-1]).write_bytes(imagecodecs.png_encode((pixels * 255).astype(np.uint8)))
    run(paths, tmp_path, options="--blur=s1")
    sharp = tifffile.imread(tmp_path / "sharp.tif")
    assert (sharp[:20, :, 3] == 0).all()
    visible = sharp[20:][sharp[20:, :, 3] > 0]
    assert not ((visible[:, 0] == 255) & (visible[:, 1] == 0)).any()


def test_natural_order_and_reverse(tmp_path: Path) -> None:
    stack, _, depth = scene(slices=12)
    folder = tmp_path / "in"
    folder.mkdir()
    for k, plane in enumerate(stack):
        tifffile.imwrite(folder / f"img{k + 1}.tif", (plane * 255).astype(np.uint8), photometric="rgb")
    for reverse in (False, True):
        place = tmp_path / str(reverse)
        data = config([], place)
        data["input"] = {"images": str(folder / "img*.tif"), "reverse": reverse}
        fusestack.run(data)
        found = tifffile.imread(place / "depth.tif")
        assert np.nanmean(np.abs((11 - found if reverse else found) - depth)) < 0.6


def test_stacks_in_one_file_and_folders(tmp_path: Path) -> None:
    stack = scene(colours=1)[0]
    paths = write(tmp_path / "in", stack)
    tifffile.imwrite(tmp_path / "stack.tif", (np.floor(stack[..., 0] * 255 + 0.5)).astype(np.uint8))
    run(paths, tmp_path / "one")
    for name, source in (("two", tmp_path / "stack.tif"), ("three", tmp_path / "in")):
        folder = tmp_path / name
        data = config([], folder, input=str(source))
        del data["input"]
        fusestack.run(data)
        assert (folder / "sharp.tif").exists()
        assert np.array_equal(tifffile.imread(folder / "sharp.tif"), tifffile.imread(tmp_path / "one" / "sharp.tif"))


def test_what_a_camera_said_and_what_was_done(tmp_path: Path) -> None:
    stack = scene()[0]
    folder = tmp_path / "in"
    folder.mkdir()
    exif = Image.Exif()
    exif[271], exif[272] = "Camera & Co", "Model 7"
    for k, plane in enumerate(stack):
        Image.fromarray((plane * 255).astype(np.uint8)).save(folder / f"{k}.jpg", quality=95, exif=exif)
    data = config([], tmp_path, options="--blur=s1 --maskblur=s2")
    data["input"] = {"images": str(folder / "*.jpg")}
    fusestack.run(data)
    with tifffile.TiffFile(tmp_path / "sharp.tif") as tiff:
        tags = tiff.pages[0].tags
        assert tags[271].value == "Camera & Co"
        assert "--blur=s1 --maskblur=s2" in tags[270].value
        assert "0.jpg, 1.jpg" in tags[270].value


def test_default_names_are_made_of_sources_and_options(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0])
    output = {"path": None, "mask": None, "depth": None, "folder": str(tmp_path / "out"), "basename": "moss_"}

    def name(**focus: Any) -> Path:
        return Path(fusestack.plan(config(paths, tmp_path, output=output, **focus)).output)

    first = name(options="--blur")
    assert first == name(options="--blur=s0.3"), "the same options, spelled otherwise"
    assert first.name.startswith("moss_")
    assert first.name.endswith(".result.tif")
    other = name(options="--blur=s1")
    assert other.name.split("_")[1] == first.name.split("_")[1], "the same sources"
    assert other != first
    assert name(masks=[{"blur": {"sigma": 1}}]) == other
    long_name = fusestack.plan(config(paths, tmp_path, output={**output, "long_name": True}, options="--blur=s1"))
    assert "--blur=s1" in long_name.output
    run(paths, tmp_path, output=output, options="--blur")
    assert first.exists()
    assert run(paths, tmp_path, output=output, options="--blur")[1].reused_all


def test_layers(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0])
    run(paths, tmp_path, options="--statistic=r4 --substacks=n2,r1 --finalthreshold --bg=max --bg=white --layered")
    pages = tifffile.imread(tmp_path / "sharp.tif")
    assert pages.shape[0] == 1 + 2 + 2
    assert (pages[2][..., :3] == 255).all()
    data = config(paths, tmp_path, options="--blur --layered", output={"path": str(tmp_path / "x.png")})
    with pytest.raises(ConfigError, match=r"only TIFF files have pages"):
        fusestack.plan(data)


def test_backgrounds_fill_what_is_transparent(tmp_path: Path) -> None:
    stack = scene()[0]
    paths = write(tmp_path / "in", stack)
    options = "--statistic=r4 --finalthreshold=t60"
    for background in ("max", "mean", "red", "#102030", "wave", "wavedark", "enfuse", "overlay2"):
        place = tmp_path / background.strip("#")
        run(paths, place, options=options, background=background)
        sharp = tifffile.imread(place / "sharp.tif")
        assert sharp.shape[2] == 3, background
    red = tifffile.imread(tmp_path / "red" / "sharp.tif")
    assert (red == (255, 0, 0)).all(axis=-1).mean() > 0.1
    dark = tifffile.imread(tmp_path / "102030" / "sharp.tif")
    assert (dark == (16, 32, 48)).all(axis=-1).sum() > 100
    with pytest.raises(ConfigError, match=r"focus\.background: 'rde' is no background"):
        run(paths, tmp_path, options=options, background="rde")


def test_a_depth_map_gives_the_picture_again(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0], "uint16")
    run(paths, tmp_path / "one", options="--statistic=r5 --maskblur=s2", output={"between_slices": False})
    run(paths, tmp_path / "two", options=f"--depthmap={tmp_path / 'one' / 'depth.tif'} --masklevel=off")
    one, two = (tifffile.imread(tmp_path / name / "sharp.tif") for name in ("one", "two"))
    assert np.array_equal(one, two)
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((5, 5), np.float32))
    with pytest.raises(InputError, match="must have the size of the slices"):
        run(paths, tmp_path / "three", options=f"--depthmap={tmp_path / 'small.tif'}")


def test_functions_of_the_user(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0], "uint16")
    run(paths, tmp_path / "own", masks=[{"cmd": {"command": "tests.focus.test_files:twice_blurred", "reach": 12}}])
    run(paths, tmp_path / "ours", masks=[{"blur": {"sigma": 1, "sigma2": 2}}])
    own, ours = (tifffile.imread(tmp_path / name / "sharp.tif").astype(float) for name in ("own", "ours"))
    assert np.mean(own != ours) < 0.01
    with pytest.raises(ConfigError, match=r"cmd: there is no function tests\.focus\.test_files:nothing"):
        run(paths, tmp_path / "none", masks=[{"cmd": {"command": "tests.focus.test_files:nothing"}}])


def lightest(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """What sees whole planes."""
    return np.asarray(planes * (1 / max(planes.max(), 0.1)), dtype=np.float32)


def test_functions_that_see_everything_get_whole_planes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path / "in", scene()[0] * 0.8, "uint16")
    own = {"cmd": {"command": "tests.focus.test_files:lightest"}}
    options: dict[str, Any] = {"masks": [{"blur": {"sigma": 1}}], "cut": [own], "final": [own]}
    run(paths, tmp_path / "whole", **options)
    monkeypatch.setattr(blocks, "BLOCK", 32)
    run(paths, tmp_path / "blocks", **options)
    whole, cut = (tifffile.imread(tmp_path / name / "sharp.tif") for name in ("whole", "blocks"))
    assert whole.tobytes() == cut.tobytes()
    assert whole[..., :3].max() == 65535
    monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    for kind in ("cut", "final"):
        with pytest.raises(ConfigError, match=f"{kind}cmd sees whole slices, which are too large .* declare how far"):
            run(paths, tmp_path / "large", masks=[{"blur": {}}], **{kind: [own]})


@pytest.mark.parametrize("command", ["-auto-level", "-normalize"])
def test_limits_are_those_of_the_whole_stack(command: str, tmp_path: Path) -> None:
    grey = np.linspace(0.2, 0.4, 40 * 50).reshape(40, 50)
    paths = write(tmp_path / "in", np.stack([grey, grey + 0.2])[..., None], "uint16")
    run(
        paths,
        tmp_path / "out",
        masks=[{"cmd": {"command": command, "level": False}}],
        merge=[{"level": {"over": "off"}}],
    )
    # the mask is three quarters of what is seen; the second slice is the brighter one, and in it 0.2 lies at 1/2
    mask = tifffile.imread(tmp_path / "out" / "mask.tif") / 65535
    assert mask[20:].min() == pytest.approx(0.75 * 0.75, abs=2e-3)
    assert mask[0, 0] == pytest.approx(0.375, abs=2e-3)


def test_functions_in_hand(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0], "uint16")
    named = {"command": "tests.focus.test_files:twice_blurred", "reach": 12}
    run(paths, tmp_path / "named", masks=[{"cmd": named}])
    run(paths, tmp_path / "given", masks=[{"cmd": {"command": twice_blurred, "reach": 12}}])
    run(paths, tmp_path / "enclosed", masks=[{"cmd": {"command": lambda planes: twice_blurred(planes), "reach": 12}}])
    sharp = [tifffile.imread(tmp_path / name / "sharp.tif") for name in ("named", "given", "enclosed")]
    assert sharp[0].tobytes() == sharp[1].tobytes() == sharp[2].tobytes()
    found = fusestack.focus_stack(
        [str(path) for path in paths], masks=[{"cmd": {"command": twice_blurred, "reach": 12}}]
    )
    assert found.image.values.tobytes() == sharp[0].tobytes()
    for wrong, said in ((3, "3 is not allowed; use text: module:function"), (lambda: 1, "called as \\(planes\\)")):
        with pytest.raises(ConfigError, match=said):
            run(paths, tmp_path / "none", masks=[{"cmd": {"command": wrong, "reach": 1}}])


def test_an_edited_function_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it tells files apart by whole seconds and their size
    paths = write(tmp_path / "in", scene()[0], "uint16")
    options: Any = {"masks": [{"blur": {"sigma": 1, "sigma2": 2}}, {"cmd": {"command": "my_mask:mask", "reach": 1}}]}
    pictures = []
    for factor in (0, 1):
        (tmp_path / "my_mask.py").write_text(f"def mask(planes):\n    return planes * {factor}\n")
        sys.modules.pop("my_mask", None)
        importlib.invalidate_caches()
        if factor:
            with pytest.raises(OutputError, match=r"focus\.functions\.my_mask:mask: \w+ -> \w+"):
                run(paths, tmp_path, **options)
            options["output"] = {"overwrite": True}
        run(paths, tmp_path, **options)
        pictures.append((tmp_path / "sharp.tif").read_bytes())
    sys.modules.pop("my_mask", None)
    assert pictures[0] != pictures[1]


def twice_blurred(planes: Any) -> Any:
    from fusestack.kernels import smooth

    return np.abs(smooth.blur(planes, 0, 1) - smooth.blur(planes, 0, 2))


def volume(folder: Path) -> tuple[Path, Any]:
    """An OME-Zarr with two timepoints and channels whose second channel has other textures."""
    stacks = [[scene((48, 64), 6, 1, seed=10 * t + c)[0][..., 0] for c in range(2)] for t in range(2)]
    pixels = (np.array(stacks) * 3000 + 100).astype(np.uint16)
    group = zarr.open_group(folder / "volume.ome.zarr", mode="w")
    array = group.create_array("0", shape=pixels.shape, chunks=(1, 1, 3, 32, 32), dtype="uint16")
    array[:] = pixels
    axes = [{"name": n, "type": {"t": "time", "c": "channel"}.get(n, "space")} for n in "tczyx"]
    for axis in axes[2:]:
        axis["unit"] = "micrometer"
    scale = [
        {"type": "scale", "scale": [1, 1, 2.0, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 0, 10, 0, 0]},
    ]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}],
        "omero": {"channels": [{"label": "GFP", "color": "00FF00"}, {"label": "RFP", "color": "FF0000"}]},
    }
    return folder / "volume.ome.zarr", pixels


def focus_volume(source: Path, folder: Path, **focus: Any) -> Path:
    output = {key: str(folder / f"{key}.ome.zarr") for key in ("path", "depth", "height")}
    fusestack.run({"version": 1, "focus": {"input": str(source), "output": output, **focus}})
    return folder


def read(folder: Path, name: str) -> Any:
    return zarr.open_array(folder / f"{name}.ome.zarr" / "0")[:]


def test_volumes_channel_by_channel(tmp_path: Path) -> None:
    source, pixels = volume(tmp_path)
    made = focus_volume(source, tmp_path / "each")
    sharp, depth, height = (read(made, name) for name in ("path", "depth", "height"))
    assert sharp.shape == depth.shape == (2, 2, 1, 48, 64)
    assert sharp.dtype == np.uint16
    assert np.allclose(height, 10 + 2.0 * depth, equal_nan=True)
    attributes = zarr.open_group(made / "path.ome.zarr").attrs["ome"]
    assert [channel["label"] for channel in attributes["omero"]["channels"]] == ["GFP", "RFP"]
    # every channel and timepoint by itself, as if there were no others
    group = zarr.open_group(tmp_path / "single.ome.zarr", mode="w")
    group.create_array("0", shape=(1, 1, *pixels.shape[2:]), chunks=(1, 1, 6, 48, 64), dtype="uint16")[:] = pixels[
        1:, 1:
    ]
    group.attrs.update(
        {
            "ome": {
                "version": "0.5",
                "multiscales": [{"axes": [{"name": n} for n in "tczyx"], "datasets": [{"path": "0"}]}],
            }
        }
    )
    alone = focus_volume(tmp_path / "single.ome.zarr", tmp_path / "alone")
    assert np.array_equal(read(alone, "path")[0, 0], sharp[1, 1])


def test_volumes_named_as_images(tmp_path: Path) -> None:
    source, _ = volume(tmp_path)
    output = {"path": str(tmp_path / "out.ome.zarr")}
    by_input = fusestack.plan({"version": 1, "focus": {"input": str(source), "output": output}})
    by_images = fusestack.plan({"version": 1, "input": {"images": str(source)}, "focus": {"output": output}})
    assert by_images.source == by_input.source
    for images, message in (
        ([str(source), str(tmp_path)], "is a volume, which is a stack of its own: name it alone"),
        (["dataset.xml"], "is a project, which has to be fused first: name it in input.project"),
    ):
        with pytest.raises(ConfigError, match=message):
            fusestack.plan({"version": 1, "input": {"images": images}, "focus": {}})


def test_masks_of_one_channel_for_all(tmp_path: Path) -> None:
    source, pixels = volume(tmp_path)
    options = {"options": "--blur=s1 --maskblur=s2"}
    each = focus_volume(source, tmp_path / "each", **options)
    one = focus_volume(source, tmp_path / "one", reference_channel=1, **options)
    assert read(one, "depth").shape == (2, 1, 1, 48, 64)
    assert np.array_equal(read(one, "depth")[:, 0], read(each, "depth")[:, 1], equal_nan=True)
    depth = read(one, "depth")[0, 0, 0]
    known = np.isfinite(depth)
    chosen = np.take_along_axis(pixels[0, 0], np.nan_to_num(depth).astype(int)[None], 0)[0]
    assert np.array_equal(read(one, "path")[0, 0, 0][known], chosen[known])
    with pytest.raises(ConfigError, match="there is no channel 7; the stack has 0, 1"):
        focus_volume(source, tmp_path / "none", reference_channel=7)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_axes_and_directions(axis: str, tmp_path: Path) -> None:
    source, pixels = volume(tmp_path)
    options = {"options": "--statistic=r3", "axis": axis}
    found = read(focus_volume(source, tmp_path / "one", **options), "path")
    place = 2 + "zyx".index(axis)
    assert found.shape == (2, 2, 1, *(n for i, n in enumerate(pixels.shape[2:]) if i + 2 != place))
    stack = np.moveaxis(pixels[0, 0], place - 2, 0)
    assert ((found[0, 0, 0] == stack).any(axis=0)).mean() > 0.99
    mirrored = read(focus_volume(source, tmp_path / "two", reverse=True, **options), "depth")
    straight = read(tmp_path / "one", "depth")
    same = np.abs((len(stack) - 1 - mirrored) - straight) < 0.5
    assert np.mean(same[np.isfinite(straight)]) > 0.95  # ties go to the front, whichever that is


@pytest.mark.beside("data/kidney")
def test_fuse_and_focus_in_one_configuration(tmp_path: Path) -> None:
    data = {
        "version": 1,
        "input": {"project": str(KIDNEY / "kidney.xml")},
        "output": {"path": str(tmp_path / "fused.ome.zarr")},
        "focus": {"output": {"path": str(tmp_path / "sharp.ome.zarr"), "depth": str(tmp_path / "depth.ome.zarr")}},
    }
    report = fusestack.run(data)
    assert fusestack.run(data).reused_all
    fused, sharp, depth = (zarr.open_array(tmp_path / f"{n}.ome.zarr" / "0")[:] for n in ("fused", "sharp", "depth"))
    assert sharp.shape == depth.shape == (1, 3, 1, *fused.shape[3:])
    inside = np.isfinite(depth[0, :, 0])
    assert inside.mean() > 0.9
    low, high = fused[0].min(axis=1), fused[0].max(axis=1)
    assert ((sharp[0, :, 0] >= low * 0.8) & (sharp[0, :, 0] <= high * 1.2)).mean() > 0.98
    # a later option leaves the fusion alone
    data["focus"]["output"]["overwrite"] = True
    data["focus"]["options"] = "--statistic=r4"
    again = fusestack.run(data)
    assert "fuse" not in [stage.stage for stage in again.stages if stage.computed]
    assert "fuse" in [stage.stage for stage in report.stages if stage.computed]


MISTAKES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no file": ({"images": "nothing/*.jpg"}, InputError, "there is no such folder; correct input.images"),
    "no picture": ({"images": "notes.txt"}, InputError, "notes.txt"),
    "other size": (
        {"images": ["in/slice_1.tif", "small.tif"]},
        InputError,
        "small.tif: is 9 x 9 pixels, but slice_1.tif is 130 x 90 pixels",
    ),
    "other colours": (
        {"images": ["in/slice_1.tif", "grey.tif"]},
        InputError,
        "grey.tif: is grey, but slice_1.tif is in colour",
    ),
    "other type": (
        {"images": ["in/slice_1.tif", "deep.tif"]},
        InputError,
        "deep.tif: has uint16 pixels, but slice_1.tif has uint8 pixels",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_stacks_that_do_not_fit(mistake: str, tmp_path: Path) -> None:
    write(tmp_path / "in", scene()[0])
    (tmp_path / "notes.txt").write_text("no picture")
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((9, 9, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", np.zeros((90, 130), np.uint8))
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((90, 130, 3), np.uint16), photometric="rgb")
    images, error, sentence = MISTAKES[mistake]
    file = tmp_path / "fuse.yaml"
    file.write_text(json.dumps({"version": 1, "input": images, "focus": {"output": {"path": "sharp.tif"}}}))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=sentence):
        fusestack.run(file)
    assert sorted(tmp_path.iterdir()) == before, "nothing is left behind"
    assert command(["validate", str(file)]) == 3


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0])
    for output, sentence in (
        ({"path": "sharp.bmp"}, "has no suffix that is known"),
        ({"mask": str(tmp_path / "sharp.tif")}, "is the name of two outputs"),
        ({"height": str(tmp_path / "height.png")}, "physical depths are numbers"),
        ({"path": paths[0]}, "is an input of this run"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            fusestack.plan(config(paths, tmp_path, output=output))
    with pytest.raises(ConfigError, match="needs hard cuts"):
        fusestack.plan(
            config(paths, tmp_path, options="--blur --cutwave", output={"sharpen_between": 50, "between_slices": True})
        )


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in", scene()[0])
    file = tmp_path / "fuse.yaml"
    file.write_text("version: 1\ninput: {images: 'in/*.tif'}\nfocus: {output: {path: sharp.png, depth: depth.tif}}\n")
    assert command(["validate", str(file)]) == 0
    said = capsys.readouterr().out
    assert (
        f"5 pictures in {tmp_path / 'in'}, front to back slice_1.tif to slice_5.tif, 130 x 90 pixels, 3 colours, uint8"
        in said
    )
    assert command(["plan", str(file), "--json"]) == 0
    text = capsys.readouterr().out
    assert "--multiscale" in text
    assert '"coarse"' in text
    assert command(["run", str(file), "--set", "focus.options=--statistic=r4"]) == 0
    assert "cache:" in capsys.readouterr().out
    assert command(["preview", str(tmp_path / "sharp.png"), "-o", str(tmp_path / "p.png")]) in (0, 3)
    assert (tmp_path / "sharp.png.report.html").exists()
    record = json.loads((tmp_path / "sharp.png.run.json").read_text())
    assert {"slices", "masks/statistic", "merge", "write/image"} <= {stage["stage"] for stage in record["stages"]}


def test_a_python_user(tmp_path: Path) -> None:
    stack, truth, depth = scene()
    pixels = np.floor(stack * 65535 + 0.5).astype(np.uint16)
    found = fusestack.focus_stack(pixels)
    assert found.image.dims == ("y", "x", "colour")
    assert sharpness(found.image.values[..., :3] / 65535, truth) > 25
    assert float(np.nanmean(np.abs(found.depth.values - depth))) < 0.4
    assert float(found["mask"].max()) <= 1
    grey = fusestack.focus_stack(pixels[..., 0], options="--blur=s1 --maskblur=s2")
    assert grey.image.dims == ("y", "x")
    source, _ = volume(tmp_path)
    assert fusestack.focus_stack(source, reference_channel=0).image.sizes == {"t": 2, "c": 2, "y": 48, "x": 64}
    with pytest.raises(InputError, match="give slices"):
        fusestack.focus_stack(np.zeros((4, 4)))


def test_the_defaults_are_what_they_say() -> None:
    assert recipe_of(Focus(), photographs=True).option_string() == "--multiscale --between=p100"
    preset = recipe_of(Focus(method="masks"), photographs=True)
    assert preset.option_string() == "--blur=s1,S2 --maskwave=p100 --maskblur=s4 --bg=max --between=p100"


@pytest.mark.parametrize("suffix", [".ome.tif", ".OME.TIFF"])
def test_ome_tiff_of_photographs(suffix: str, tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene()[0], "uint16")
    output = {"path": str(tmp_path / f"sharp{suffix}"), "depth": str(tmp_path / "d.ome.tif")}
    plan, _ = run(paths, tmp_path, output=output | {"pyramid": [1, {"x": 2, "y": 2, "z": 1}]})
    run(paths, tmp_path / "plain")
    with tifffile.TiffFile(tmp_path / f"sharp{suffix}") as file:
        assert file.is_ome
        assert file.series[0].axes == "YXS"
        assert "--multiscale" in file.ome_metadata
        whole = tifffile.imread(tmp_path / "plain" / "sharp.tif")
        assert np.array_equal(file.asarray(), whole)
        (half,) = file.series[0].levels[1:]
        height, width = (n // 2 for n in whole.shape[:2])
        means = whole[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
        assert np.array_equal(half.asarray(), np.floor(means + 0.5))
    with tifffile.TiffFile(tmp_path / "d.ome.tif") as file:
        assert file.series[0].axes == "YX"
        assert np.array_equal(file.asarray(), tifffile.imread(tmp_path / "plain" / "depth.tif"), equal_nan=True)
    assert made_by_us(str(tmp_path / f"sharp{suffix}"))
    assert not any(stage.computed for stage in fusestack.run(plan).stages)


def test_ome_tiff_of_channels(tmp_path: Path) -> None:
    stack = np.floor(scene(colours=2)[0] * 60000).astype(np.uint16)
    stored = np.moveaxis(stack, -1, 1)
    facts = {"axes": "ZCYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, resolution=(4, 4), metadata=facts)
    output = {"path": str(tmp_path / "o.ome.tif"), "height": str(tmp_path / "h.ome.tif")}
    fusestack.run({"version": 1, "focus": {"input": str(tmp_path / "a.tif"), "output": output}})
    facts_found = tiff_facts(str(tmp_path / "o.ome.tif"))
    assert facts_found.names == ("channel 0", "channel 1")
    assert facts_found.pixel_size[1:] == (0.25, 0.25)
    with tifffile.TiffFile(tmp_path / "o.ome.tif") as file:
        assert file.series[0].axes == "CYX"
        assert file.asarray().shape == (2, 90, 130)
    # a lazy image, stored by its suffix
    lazy = fusestack.focus_stack(tmp_path / "a.tif").image[0]
    fusestack.write(lazy, tmp_path / "w.ome.tif")
    with tifffile.TiffFile(tmp_path / "w.ome.tif") as file:
        assert file.series[0].axes == "CYX"
        assert np.array_equal(file.asarray(), tifffile.imread(tmp_path / "o.ome.tif"))
