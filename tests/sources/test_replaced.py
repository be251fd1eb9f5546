"""A process that lives long sees the file that is there, not the one that was."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources.base import open_source


def write_tiff(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(path, pixels, photometric="minisblack")


def write_hdf5(path: Path, pixels: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        file["t00000/s00/0/cells"] = pixels


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("reader", "name", "write", "options"),
    [
        ("fusestack.sources.tiff:TiffSource", "a.tif", write_tiff, ()),
        ("fusestack.sources.bdv_hdf5:BdvHdf5Source", "a.h5", write_hdf5, (("setup", 0), ("timepoint", 0))),
    ],
)
def test_a_replaced_file_is_read_anew(tmp_path: Path, reader, name, write, options, in_place: bool) -> None:
    ref = SourceRef(reader, str(tmp_path / name), options)
    for shape, value in (((3, 4, 5), 7), ((4, 4, 5), 9), ((4, 4, 5), 11)):
        new = tmp_path / f"new-{name}"
        write(new, np.full(shape, value, np.uint16))
        if in_place and (tmp_path / name).exists():
            (tmp_path / name).write_bytes(new.read_bytes())
        else:
            new.replace(tmp_path / name)
        source = open_source(ref)
        assert source.levels[0].shape == shape
        assert (source.read(0, Box.of_shape(shape)) == value).all()
        assert open_source(ref) is source
