from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image

import fusestack
from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.stage import Target
from fusestack.writers import WRITERS
from tests.contracts.writer_contract import image_spec, tree

RNG = np.random.default_rng(2)


def target_in(folder: Path, channels: int = 1, size: tuple[int, int] = (530, 1041), **changes: Any) -> Target:
    shape = (1, channels, 1, *size)
    facts = {"factors": ((1, 1, 1),), "chunk": (1, 64, 64), "shard": (1, 2, 4), "dtype": "uint8"} | changes
    spec = image_spec(folder / "out" / "a.dzi", shape=shape, **facts)
    return Target(WRITERS["dzi"], spec, 0, str(folder / "work"))


def written(target: Target) -> Any:
    pixels = RNG.integers(0, 256, target.image.shape).astype(np.uint8)
    writer, level = target.open(), target.image.levels[0]
    writer.create()
    grid = Grid(level.shape, level.block)
    for box in map(grid.box, range(grid.count)):
        writer.write(0, box, pixels[box.slices])
    return writer, pixels


def whole(path: Path, level: int, height: int, width: int) -> Any:
    """A level, put together as OpenSeadragon does: tiles of 256 pixels, and one more on every inner side."""
    rows = []
    for row in range(-(-height // 256)):
        tiles = []
        for column in range(-(-width // 256)):
            with Image.open(path.with_name("a_files") / str(level) / f"{column}_{row}.png") as tile:
                pixels = np.array(tile)
            y, x = min(row, 1), min(column, 1)
            tiles.append(pixels[y : y + 256, x : x + 256])
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_tiles_of_all_levels(tmp_path: Path, channels: int) -> None:
    target = target_in(tmp_path, channels)
    writer, pixels = written(target)
    writer.finish({})
    path = Path(target.image.path)
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://schemas.microsoft.com/deepzoom/2008}Image"
    assert (root.attrib["TileSize"], root.attrib["Overlap"], root.attrib["Format"]) == ("256", "1", "png")
    assert dict(root[0].attrib) == {"Width": "1041", "Height": "530"}
    expected = np.moveaxis(pixels[0, :, 0], 0, -1).astype(float)
    if channels == 2:
        expected = np.dstack([expected, np.zeros(expected.shape[:2])])
    for level in range(math.ceil(math.log2(1041)), -1, -1):
        height, width = expected.shape[:2]
        found = whole(path, level, height, width)
        np.testing.assert_array_equal(np.atleast_3d(found), expected)
        padded = np.pad(expected, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        parts = padded.reshape(-(-height // 2), 2, -(-width // 2), 2, -1)
        expected = np.floor(parts.mean(axis=(1, 3)) + 0.5)
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.dzi", "a_files"]
    assert np.array_equal(
        writer.read(0, Box((0, 0, 0, 200, 250), (1, channels, 1, 300, 600))), pixels[..., 200:300, 250:600]
    )
    writer.create()
    writer.remove()
    assert list(path.parent.iterdir()) == []


def test_a_finish_that_was_killed_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    target = target_in(tmp_path)
    writer, pixels = written(target)
    for name in ("touch", "rename", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, killed)
            with pytest.raises(Killed):
                writer.finish({})
    writer.create()
    writer.finish({})
    before = tree(Path(target.image.path).parent)
    assert np.array_equal(writer.read(0, Box.of_shape(pixels.shape)), pixels)
    assert list(Path(target.work).iterdir()) == []
    box = Grid(target.image.levels[0].shape, target.image.levels[0].block).box(0)
    writer.write(0, box, pixels[box.slices])
    writer.finish({})
    assert tree(Path(target.image.path).parent) == before


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    target = target_in(tmp_path)
    folder = Path(target.image.path).parent
    (folder / "a_files").mkdir(parents=True)
    (folder / "a_files" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"a_files: is there already, and is left alone"):
        target.open().create()
    (folder / "a.dzi").write_text("<Image/>")
    for refused in (target.open().create, target.open().remove):
        with pytest.raises(OutputError, match="left alone"):
            refused()
    assert (folder / "a_files" / "mine.txt").exists()


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds uint8, not uint16") as caught:
        target_in(tmp_path, 4, dtype="uint16").open()
    assert "at most 3 channels" in str(caught.value)
    with pytest.raises(OutputError, match=r"one plane, not 13"):
        Target(WRITERS["dzi"], image_spec(tmp_path / "a.dzi", dtype="uint8"), 0, str(tmp_path)).open()


def test_a_plane_is_fused(tmp_path: Path) -> None:
    views = []
    for number in range(2):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, RNG.integers(1, 255, (70, 300), dtype=np.uint8))
        views.append({"path": str(path), "translation": {"x": 250 * number, "y": 0, "z": 0}, "tile": number})
    config = {"version": 1, "input": {"views": views}, "output": {"path": str(tmp_path / "a.dzi")}}
    fusestack.run(config)
    expected = fusestack.fuse({**config, "output": None}).to_numpy()[0, 0, 0]
    np.testing.assert_array_equal(whole(tmp_path / "a.dzi", 10, 70, 550), expected)
    assert fusestack.run(config).reused_all
    with pytest.raises(OutputError, match=r"holds uint8, not uint16; set fusion.dtype to uint8"):
        fusestack.plan(config, ["fusion.dtype=uint16", "output.overwrite=true"])
