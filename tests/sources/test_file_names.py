"""Names of files: patterns, natural order, companions; the same for projects of tiles, stacks and init."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import fusestack
from fusestack.cli.proposal import describe
from fusestack.config.load import from_mapping
from fusestack.fusion.inputs import read_inputs
from fusestack.model.errors import InputError
from fusestack.sources.file_names import is_pattern, named_files

PIXELS = np.arange(4 * 20 * 30).reshape(4, 20, 30).astype(np.uint16)


def tiles(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for value, name in enumerate(names):
        tifffile.imwrite(folder / name, PIXELS + np.uint16(value), photometric="minisblack", metadata={"axes": "ZYX"})


def test_patterns_and_names(tmp_path: Path) -> None:
    names = ("t10.tif", "t2.tif", "t[1].tif", "._t2.tif")
    tiles(tmp_path / "in [1]", *names)
    at = str(tmp_path / "in [1]")
    assert named_files([f"{at}/t*.tif"]) == [f"{at}/{name}" for name in ("t2.tif", "t10.tif", "t[1].tif")]
    assert named_files([f"{at}/t[1].tif", f"{at}/t[0-9]*.tif"]) == [
        f"{at}/{name}" for name in ("t[1].tif", "t2.tif", "t10.tif")
    ]
    assert not is_pattern("s3://bucket/[a]/t*.zarr")
    assert named_files(["gone.tif"]) == ["gone.tif"]
    with pytest.raises(InputError, match="no file fits the pattern"):
        named_files([f"{at}/x*.tif"])


@pytest.mark.filterwarnings("ignore::fusestack.model.errors.FusestackWarning")
def test_fuse_takes_patterns(tmp_path: Path) -> None:
    """In natural order, so that positions= belong to the tiles that people mean."""
    tiles(tmp_path, "t10.tif", "t2.tif", "._t1.tif")
    places = [(0, 0, 0), (0, 0, 30)]
    fused = [
        fusestack.fuse(given, positions=places, blending=False).values
        for given in (
            f"{tmp_path}/t*.tif",
            tmp_path / "t*.tif",
            [f"{tmp_path}/t*.tif"],
            [tmp_path / "t2.tif", tmp_path / "t10.tif"],
        )
    ]
    assert fused[0].shape == (1, 1, 4, 20, 60)
    assert (fused[0][0, 0, ..., :30] == PIXELS + 1).all()
    assert (fused[0][0, 0, ..., 30:] == PIXELS).all()
    assert len({one.tobytes() for one in fused}) == 1
    with pytest.raises(InputError, match="no file fits the pattern"):
        fusestack.fuse(f"{tmp_path}/u*.tif")


@pytest.mark.filterwarnings("ignore::fusestack.model.errors.FusestackWarning")
def test_focus_stack_takes_patterns(tmp_path: Path) -> None:
    for value, name in enumerate(("s10.png", "s2.png", "u1.png")):
        Image.fromarray(np.full((20, 30), 60 * value, np.uint8)).save(tmp_path / name)
    options = "--lightness --bg=max"
    one = fusestack.focus_stack(f"{tmp_path}/s*.png", options=options)
    two = fusestack.focus_stack([f"{tmp_path}/s1*.png", tmp_path / "s2.png"], options=options)
    assert float(one.depth.max()) == 0  # s2 is in front, and brighter
    assert float(two.depth.max()) == 1


def test_a_view_is_one_file(tmp_path: Path) -> None:
    tiles(tmp_path, "t1.tif", "t2.tif")
    config = {"input": {"views": [{"path": "t*.tif"}]}, "output": {"path": "o.ome.zarr"}}
    with pytest.raises(InputError, match="fusestack init writes a view for each"):
        read_inputs(from_mapping(config, tmp_path))
    text = describe(str(tmp_path / "t*.tif"), tmp_path).text
    assert text.index("t1.tif") < text.index("t2.tif")
