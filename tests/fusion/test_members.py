"""Files that belong to an image of a project and are named nowhere: where one changes, the image is made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.model.errors import OutputError
from tests.sources.test_tiff_sets import WORLD, image_of_files

if TYPE_CHECKING:
    from pathlib import Path


def planes(folder: Path) -> tuple[Path, Path]:
    """A file for each plane; the first one is named, the last one changes."""
    for z in range(3):
        tifffile.imwrite(folder / f"a_z{z}.tif", WORLD[z], photometric="minisblack")
    return folder / "a_z0.tif", folder / "a_z2.tif"


def ome_set(folder: Path) -> tuple[Path, Path]:
    """An OME-TIFF of three files; the first one is named, the second one changes."""
    files = image_of_files(folder, {"C": 1, "Z": 3, "T": 1})
    return files[0], files[1]


def project(folder: Path, name: str, *, grouped: bool, split: bool) -> Path:
    height, width = WORLD.shape[1:]
    size = f"{width} {height} 3"
    loader = (
        f'<ImageLoader format="spimreconstruction.filemap2"><ZGrouped>{str(grouped).lower()}</ZGrouped><files>'
        f'<FileMapping view_setup="0" timepoint="0" series="0" channel="0"><file type="relative">{name}</file>'
        "</FileMapping></files></ImageLoader>"
    )
    sequence = (
        f"<SequenceDescription>{loader}<ViewSetups><ViewSetup><id>0</id><size>{size}</size></ViewSetup></ViewSetups>"
        '<Timepoints type="pattern"><integerpattern>0</integerpattern></Timepoints></SequenceDescription>'
    )
    if split:
        definition = (
            "<SetupIdDefinition><NewId>0</NewId><OldId>0</OldId><min>0 0 0</min>"
            f"<max>{width - 1} {height - 1} 2</max></SetupIdDefinition>"
        )
        sequence = (
            '<SequenceDescription><ImageLoader format="split.viewerimgloader">'
            f"{loader}{sequence}<SetupIds>{definition}</SetupIds></ImageLoader>"
            f"<ViewSetups><ViewSetup><id>0</id><size>{size}</size></ViewSetup></ViewSetups>"
            '<Timepoints type="pattern"><integerpattern>0</integerpattern></Timepoints></SequenceDescription>'
        )
    path = folder / "dataset.xml"
    path.write_text(
        f'<SpimData version="0.2"><BasePath type="relative">.</BasePath>{sequence}<ViewRegistrations>'
        '<ViewRegistration timepoint="0" setup="0"><ViewTransform type="affine">'
        "<affine>1 0 0 0 0 1 0 0 0 0 1 0</affine></ViewTransform></ViewRegistration></ViewRegistrations></SpimData>"
    )
    return path


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("write", [planes, ome_set])
def test_a_member_that_changed(tmp_path: Path, write: object, split: bool) -> None:
    named, changed = (planes if write is planes else ome_set)(tmp_path)
    path = project(tmp_path, named.name, grouped=write is planes, split=split)
    config = {"input": {"project": str(path)}, "output": {"path": str(tmp_path / "o.ome.zarr"), "pyramid": "none"}}
    assert fusestack.run(config, progress=False).outputs
    assert fusestack.run(config, progress=False).reused_all
    with tifffile.TiffFile(changed) as file:
        pixels, text = file.pages.first.asarray(), file.pages.first.description
    tifffile.imwrite(
        changed, pixels + np.uint16(1), photometric="minisblack", metadata=None, description=text.encode() or None
    )
    with pytest.raises(OutputError, match=rf"the input .*{changed.name} has changed"):
        fusestack.run(config, progress=False)
    config["output"]["overwrite"] = True
    assert not fusestack.run(config, progress=False).reused_all
    assert (fusestack.fuse(path).values[0, 0].astype(int) - WORLD[:3]).max() == 1
