from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources.plane_files import plane_files
from tests.contracts.source_contract import Example, SourceContract, assert_refused, open_fresh, pixels


def ref_of(path):
    return SourceRef("fusestack.sources.plane_files:PlaneFilesSource", str(path), (("channel", 0),))


class TestPlaneFiles(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((12, 40, 50))
        for z, plane in enumerate(array):
            tifffile.imwrite(tmp_path / f"tile3_z{z}.tif", plane, photometric="minisblack", compression="zlib")
        damage = lambda _: [path.write_bytes(path.read_bytes()[:300]) for path in tmp_path.glob("*_z7.tif")]  # noqa: E731
        return Example(ref_of(tmp_path / "tile3_z5.tif"), (array,), damage=damage)

    def test_damage(self, example):
        example.damage(0)
        with pytest.raises(InputError, match=r"tile3_z7\.tif.*restore"):
            open_fresh(example.ref).read(0, Box.of_shape((12, 40, 50)))


@pytest.mark.parametrize(
    ("names", "named", "wanted"),
    [
        (
            ["a_z0.tif", "a_z1.tif", "a_z10.tif", "a_z2.tif"],
            "a_z1.tif",
            ["a_z0.tif", "a_z1.tif", "a_z2.tif", "a_z10.tif"],
        ),
        (["z0_c0.tif", "z1_c0.tif", "z0_c1.tif"], "z0_c0.tif", ["z0_c0.tif", "z1_c0.tif"]),
        (["t0_001.tif", "t1_001.tif", "t0_002.tif"], "t0_001.tif", ["t0_001.tif", "t0_002.tif"]),
        (["7.tif", "notes.txt"], "7.tif", ["7.tif"]),
        (["plain.tif", "1.tif"], "plain.tif", ["plain.tif"]),
    ],
)
def test_which_files_are_planes(tmp_path, names, named, wanted):
    for name in names:
        (tmp_path / name).touch()
    assert [Path(path).name for path in plane_files(str(tmp_path / named))] == wanted


def test_files_that_are_no_planes_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "a_z0.tif", np.zeros((3, 8, 9), "u2"), photometric="minisblack")
    assert_refused(ref_of(tmp_path / "a_z0.tif"), "holds 3 planes")
    tifffile.imwrite(tmp_path / "a_z0.tif", np.zeros((8, 9), "u2"))
    tifffile.imwrite(tmp_path / "a_z1.tif", np.zeros((8, 10), "u2"))
    with pytest.raises(InputError, match=r"a_z1\.tif: holds \(1, 8, 10\) pixels"):
        open_fresh(ref_of(tmp_path / "a_z0.tif")).read(0, Box.of_shape((2, 8, 9)))
