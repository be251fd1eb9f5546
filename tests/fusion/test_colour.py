"""One plane of three channels of 8 bits becomes one large TIFF in colour, as BigStitcher's dialog has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.display.shown import show
from fusestack.model.errors import FusestackWarning
from fusestack.model.geometry import Box
from fusestack.planning.pyramid import block_means


def job(folder: Path, channels: int = 3, dtype: str = "uint8", name: str = "a.ome.tif", planes: int = 1) -> Any:
    rng = np.random.default_rng(0)
    views = []
    for number in range(2 * channels):
        channel, tile = divmod(number, 2)
        pixels = rng.integers(0, 255, (planes, 70, 600)).astype(dtype)
        tifffile.imwrite(folder / f"{number}.tif", pixels, photometric="minisblack")
        place = {"translation": {"x": 560 * tile - 30, "y": 7, "z": 0}}
        size = {"voxel_size": {"x": 0.5, "y": 0.5, "z": 2}, "unit": "um"}
        views.append({"path": str(folder / f"{number}.tif"), "channel": channel, "tile": tile, **place, **size})
    return {"version": 1, "input": {"views": views}, "output": {"path": str(folder / name)}}


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_three_channels_are_red_green_and_blue(codec: str, tmp_path: Path) -> None:
    config = job(tmp_path)
    config["output"]["compression"] = {"codec": codec}
    with pytest.warns(FusestackWarning, match=r"the channels 0, 1, 2 become red, green and blue of one OME-TIFF"):
        fusestack.run(config)
    path = tmp_path / "a.ome.tif"
    expected = np.asarray(fusestack.fuse(fusestack.plan(config).inputs.views))[0, :, 0]
    with tifffile.TiffFile(path) as file:
        assert (file.is_ome, file.pages[0].is_tiled, file.pages[0].photometric.name) == (True, True, "RGB")
        (series,) = file.series
        assert (series.axes, series.dtype) == ("YXS", np.uint8)
        assert np.array_equal(np.moveaxis(series.asarray(), -1, 0), expected)
        for number, level in enumerate(series.levels[1:], 1):
            finer = np.moveaxis(series.levels[number - 1].asarray(), -1, 0)
            shape = (1, 3, 1, *level.shape[:2])
            assert np.array_equal(
                level.asarray(), np.moveaxis(block_means(finer[None, :, None], (1, 2, 2), shape)[0, :, 0], 0, -1)
            )
        assert len(series.levels) >= 2
        assert 'PositionX="-15.0"' in file.ome_metadata
        assert 'PhysicalSizeX="0.5"' in file.ome_metadata
    (image,) = show(str(path)).scene.images
    assert [channel.name for channel in image.channels] == ["R", "G", "B"]
    for c in range(3):
        found = image.pixels.read(0, 0, c, Box.of_shape(image.levels[0].shape))
        assert np.array_equal(found, expected[c : c + 1])
    with pytest.warns(FusestackWarning, match="red, green and blue"):
        assert not any(stage.computed for stage in fusestack.run(config).stages)


@pytest.mark.parametrize(
    "changes", [{"channels": 2}, {"dtype": "uint16"}, {"planes": 2}, {"name": "a.tif"}, {"channels": 4}], ids=str
)
def test_others_are_a_file_of_each_channel(changes: dict[str, Any], tmp_path: Path) -> None:
    plan = fusestack.plan(job(tmp_path, **changes))
    assert len(plan.images) == changes.get("channels", 3)
    assert all(image.target.image.shape[1] == 1 for image in plan.images)


@pytest.mark.parametrize(
    ("colours", "files"), [(("FF0000", "00FF00", "0000FF"), 1), (("0000FF", "00FF00", "FF0000"), 3)]
)
def test_channels_with_names_keep_them_unless_they_are_red_green_and_blue(
    colours: tuple[str, ...], files: int, tmp_path: Path
) -> None:
    group = zarr.open_group(tmp_path / "in.ome.zarr", mode="w")
    group.create_array("0", shape=(3, 40, 50), chunks=(1, 40, 50), dtype="uint8")[:] = 7
    channels = [{"label": name, "color": colour} for name, colour in zip(("DAPI", "GFP", "RFP"), colours, strict=True)]
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}],
        "omero": {"channels": channels},
    }
    views = [{"path": str(tmp_path / "in.ome.zarr")}]
    output = {"path": str(tmp_path / "a.ome.tif")}
    plan = fusestack.plan({"version": 1, "input": {"views": views}, "output": output})
    assert len(plan.images) == files
