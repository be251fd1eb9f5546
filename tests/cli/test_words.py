"""What commands say reads as a person would say it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
import zarr
from PIL import Image

from fusestack.cli.main import run
from tests.real.test_shared_projects import DATA

PIXELS = np.random.default_rng(0).integers(1, 999, (6, 40, 60)).astype(np.uint16)


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert run(argv) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


def write_config(folder: Path, **sections: Any) -> str:
    path = folder / "fuse.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **sections}))
    return str(path)


def pictures(folder: Path, *names: str, mode: str = "RGB") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for name in names:
        grey = rng.integers(0, 255, (30, 40)).astype(np.uint8)
        Image.fromarray(grey).convert(mode).save(folder / name)


def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "board", *(f"b_{k}.png" for k in (1, 2, 10)))
    focus = {"output": {"path": "sharp.png"}}
    config = write_config(tmp_path, input={"images": "board/*.png"}, focus=focus)
    text = said(capsys, "plan", config)
    place = tmp_path / "board"
    assert f"3 pictures in {place}, front to back b_1.png to b_10.png, 40 x 30 pixels, 3 colours, uint8\n" in text
    assert "\n          40 x 30 pixels, 3 colours, uint8, 4 KiB\n" in text
    assert "world pixels" not in text
    assert "x 1 pixels" not in text
    assert "seconds, by what is written" in text
    text = said(capsys, "plan", config, "--set", "input.reverse=true")
    assert "front to back b_10.png to b_1.png" in text
    pictures(tmp_path / "more", "c.png")
    text = said(capsys, "plan", config, "--set", "input.images=[board/b_1.png, more/c.png]")
    assert f"2 pictures in 2 folders, front to back {place}/b_1.png to {tmp_path}/more/c.png, " in text


@pytest.mark.beside("data/pcb")
def test_photographs_of_a_board(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = str(tmp_path / "fuse.yaml")
    said(capsys, "init", str(DATA / "pcb"), "-o", config)
    place = DATA.resolve() / "pcb"
    names = "front to back pcb_001.jpg to pcb_007.jpg"
    wanted = f"7 pictures in {place}, {names}, 2,048 x 1,536 pixels, 3 colours, uint8"
    assert f"{config}: valid, {wanted}, a chunk of each of 7 inputs was checked\n" in said(capsys, "validate", config)
    lines = said(capsys, "plan", config, "--no-probe").splitlines()
    assert lines[0] == f"input     {wanted}"
    assert lines[2:4] == [
        f"output    {tmp_path / 'pcb.tif'}",
        "          2,048 x 1,536 pixels, 3 colours, uint8, 9.0 MiB",
    ]


def volume(path: Path, **transforms: Any) -> None:
    """OME-Zarr of two channels, c, z, y, x."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=np.stack([PIXELS, PIXELS]), chunks=(1, 6, 40, 60))
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 0.5, 0.5]}]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset], **transforms}]
    group.attrs["omero"] = {"channels": [{"label": "GFP", "color": "00FF00"}, {"label": "DAPI", "color": "0000FF"}]}


def focus_of(folder: Path, name: str) -> str:
    return write_config(folder, focus={"input": name, "output": {"path": "sharp.ome.zarr"}})


def test_a_volume_says_what_was_taken_from_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume(tmp_path / "v.ome.zarr")
    text = said(capsys, "plan", focus_of(tmp_path, "v.ome.zarr"))
    assert f"{tmp_path / 'v.ome.zarr'}: 6 slices of 60 x 40 pixels along z, 2 channels, uint16\n" in text
    for line in ("channel names: omero metadata", "channel colours: omero metadata", "voxel size: NGFF"):
        assert f"\n          {line}\n" in text
    assert "warning" not in text


@pytest.mark.parametrize(
    "turn",
    [
        [{"type": "rotation", "rotation": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]]}],
        [{"type": "affine", "affine": [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, -1, 0]]}],
    ],
)
@pytest.mark.parametrize("command", ["validate", "plan"])
def test_the_orientation_of_a_volume(
    turn: list[Any], command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume(tmp_path / "v.ome.zarr", coordinateTransformations=turn)
    text = said(capsys, command, focus_of(tmp_path, "v.ome.zarr"))
    assert f"warning: {tmp_path / 'v.ome.zarr'}: its orientation is not used, slices are taken as they are" in text
    assert "name it in input.views" in text
    assert "orientation: NGFF" not in text


def test_which_image_of_a_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume(tmp_path / "v.ome.zarr")
    group = zarr.open_group(tmp_path / "v.ome.zarr")
    group.attrs["multiscales"] = [*group.attrs["multiscales"], *group.attrs["multiscales"]]  # type: ignore[misc]
    text = said(capsys, "plan", focus_of(tmp_path, "v.ome.zarr"), code=3)
    assert "v.ome.zarr: holds 2 images; choose one with series" in text
    assert "name it in input.views" in text


def test_zarr_by_its_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where only ``.zattrs`` is left of the metadata of the group, as views have it."""
    volume(tmp_path / "v.ome.zarr")
    shutil.move(tmp_path / "v.ome.zarr", tmp_path / "v")
    text = said(capsys, "plan", focus_of(tmp_path, "v"))
    assert "6 slices of 60 x 40 pixels" in text


@pytest.mark.beside("data/mosaic")
def test_tiles_of_a_mosaic(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nobody says where they are: what init proposes is a guess, for init, for the plan, and until it is corrected."""
    config = str(tmp_path / "fuse.yaml")
    text = said(capsys, "init", str(DATA / "mosaic"), "-o", config)
    assert "look at this: The translations are guesses, since no file says where it is" in text
    lines = said(capsys, "plan", config, "--no-probe").splitlines()
    assert f"input     2 files in {DATA.resolve() / 'mosaic'}, tile0.tif to tile1.tif" in lines
    assert any("tile0.tif and 1 more: 2 views lie edge to edge in a row, as init guessed" in line for line in lines)
    written = Path(config).read_text()
    (comment,) = [line for line in written.splitlines() if "The translations are guesses" in line]
    for mended in (written.replace("x: 924", "x: 832"), written.replace(comment, "")):  # they may truly touch
        Path(config).write_text(mended)
        assert "edge to edge" not in said(capsys, "validate", config, "--no-probe")


@pytest.mark.beside("data/kidney-tiles")
def test_a_project(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = str(tmp_path / "fuse.yaml")
    text = said(capsys, "init", str(DATA / "kidney-tiles"), "-o", config)
    assert "look at this" not in text
    lines = said(capsys, "plan", config, "--no-probe").splitlines()
    assert lines[:2] == [
        f"input     {DATA.resolve() / 'kidney-tiles' / 'dataset.xml'}",
        "          15 views, uint16, full resolution",
    ]


def test_what_init_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "board", "b_1.png", "b_2.png", "focus-stack-result.png")
    (tmp_path / "board" / "b_3.heic").write_bytes(b"heic")
    text = said(capsys, "init", str(tmp_path / "board"), "-o", str(tmp_path / "fuse.yaml"), "--json")
    assert "look at this: Are these results of a program? They are left out: focus-stack-result.png." in text
    assert "1 file .heic (b_3.heic) is not read" in text
    line = next(line for line in text.splitlines() if line.startswith("{"))
    assert len(json.loads(line)["warnings"]) == 2


def test_libraries_do_not_speak_before_us(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", PIXELS, metadata={"axes": "ZYX"})
    data = (tmp_path / "t.tif").read_bytes()
    (tmp_path / "t.tif").write_bytes(data[: len(data) // 2])
    config = write_config(tmp_path, input={"views": [{"path": "t.tif"}]}, output={"path": "o.ome.zarr"})
    done = subprocess.run(
        [sys.executable, "-m", "fusestack", "validate", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["fusestack"] * done.stderr.count("\n")


@pytest.mark.parametrize("command", ["validate", "plan"])
@pytest.mark.parametrize("trade", ["focus", "fusion"])
def test_the_orientation_of_a_hyperstack(
    trade: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag = [(274, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "h.tif", PIXELS, imagej=True, metadata={"axes": "ZYX"}, extratags=tag)
    views = {"input": {"views": [{"path": "h.tif"}]}, "output": {"path": "o.ome.zarr"}}
    config = focus_of(tmp_path, "h.tif") if trade == "focus" else write_config(tmp_path, **views)
    text = said(capsys, command, config)
    assert "h.tif: says that it is to be turned (Orientation 6), which is not done to volumes; affine turns it" in text
    assert ("name it in input.views" in text) == (trade == "focus")


def test_colours_statistics_and_opacity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path, "a.png", "b.png")
    focus = {"options": "--blur=s1,S2 --cutless=p20", "output": {"path": "sharp.png"}}
    config = write_config(tmp_path, input={"images": "*.png"}, focus=focus)
    assert "3 colours and opacity where not all is opaque, uint8" in said(capsys, "plan", config)
    lines = said(capsys, "run", config).splitlines()
    (line,) = [line for line in lines if line.startswith("limits/blur: ")]
    assert line.startswith("limits/blur: statistics of blur, 1 block,")
    assert any("40 x 30 x 2 (xyz)" in line for line in lines)


@pytest.mark.parametrize("images", [".", "*.png", ["s0.png", "s1.png", "s0 copy.png"]])
def test_the_same_picture_under_another_name(
    images: str | list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        grey = np.random.default_rng(number).integers(0, 255, (80, 90)).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / f"s{number}.png")
    shutil.copy(tmp_path / "s0.png", tmp_path / "s0 copy.png")
    config = write_config(tmp_path, input={"images": images}, focus={"output": {"path": "out/o.png"}})
    for command in ("validate", "plan"):
        text = said(capsys, command, config)
        assert "hold the same picture; leave copies out" in text
        assert "s0 copy.png" in text
    assert "hold the same picture" in said(capsys, "init", str(tmp_path), "-o", str(tmp_path / "i.yaml"))
