"""Surfaces as meshes, read back by meshio."""

from __future__ import annotations

import meshio
import numpy as np
import pytest

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.writers.mesh import MeshWriter
from tests.contracts.writer_contract import WriterContract, image_spec, random_levels, tree


class MeshContract(WriterContract):
    format = "mesh"

    def spec(self, path, *, shape=(1, 1, 1, 41, 50), **changes):
        changes = {"factors": ((1, 1, 1),), "chunk": (1, 16, 16), "shard": (1, 1, 2)} | changes
        changes["factors"] = changes["factors"][:1]
        return image_spec(path, shape=shape, **{**changes, "dtype": "float32"})

    def test_spawned_processes_give_the_same_bytes_as_threads(self, tmp_path):
        """As every staged file."""

    def test_negative_zero_survives_among_empty_pixels(self, tmp_path):
        """As every staged file."""

    def test_blocks_that_nobody_wrote_are_empty_and_cost_nothing(self, target, tmp_path):
        """Corners are written, whatever their height."""

    def test_creating_again_leaves_an_image_of_the_same_settings_and_refuses_others(self, target, tmp_path):
        self.make(target, random_levels(target.image)).finish({})
        before = tree(tmp_path)
        target.open().create()
        assert tree(tmp_path) == before
        with pytest.raises(OutputError, match=r"image.*exists with another .* choose another output\.path"):
            self.target_in(tmp_path, shape=(1, 1, 1, 20, 30)).open().create()
        assert tree(tmp_path) == before

    def test_refuses_what_is_no_whole_block(self, target):
        """As every staged file."""

    def test_a_blob_is_at_the_same_place_in_every_level(self, tmp_path):
        """Places are tested below."""


class TestPly(MeshContract):
    suffix = ".ply"


class TestStl(MeshContract):
    suffix = ".stl"

    def test_not_a_number_is_a_fill_value(self, tmp_path):
        """Corners of no triangle are not in an STL."""


def surface(folder, heights, suffix=".ply", facing=1):
    """The mesh of some heights: corners x, y, z and triangles."""
    spec = MeshContract().spec(folder / f"mesh{suffix}", shape=(1, 1, 1, *heights.shape))
    writer = MeshWriter(spec, str(folder / "work"))
    writer.create()
    for number in range(0, heights.shape[0], 16):
        for left in range(0, heights.shape[1], 32):
            stop = (min(number + 16, heights.shape[0]), min(left + 32, heights.shape[1]))
            box = Box((0, 0, 0, number, left), (1, 1, 1, *stop))
            writer.write(0, box, heights[None, None, None][box.slices])
    writer.finish({"facing": facing})
    found = meshio.read(spec.path)
    return found.points, found.cells_dict.get("triangle", np.empty((0, 3), int))


def normals(corners, triangles):
    a, b, c = (corners[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


@pytest.mark.parametrize("facing", [1, -1])
@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_others_find_every_corner_at_its_place(tmp_path, suffix, facing):
    heights = np.random.default_rng(1).normal(5, 1, (41, 50)).astype(np.float32)
    corners, triangles = surface(tmp_path, heights, suffix, facing)
    y, x = np.mgrid[:41, :50]
    expected = np.stack([7.25 + 0.25 * x, 100 + 0.5 * y, heights], axis=-1).reshape(-1, 3)
    assert np.allclose(np.unique(corners, axis=0), np.unique(expected.astype(np.float32), axis=0), atol=1e-5)
    assert len(triangles) == 2 * 40 * 49
    across = normals(corners, triangles)
    assert (np.sign(across[:, 2]) == facing).all()
    assert np.abs(across[:, 2]).sum() / 2 == pytest.approx(40 * 0.5 * 49 * 0.25)  # seen from above, nothing twice


def test_what_is_not_known_is_a_hole(tmp_path):
    heights = np.full((20, 30), 3, np.float32)
    heights[8:12, 10:15] = np.nan
    corners, triangles = surface(tmp_path, heights)
    assert np.isfinite(corners).all()
    assert len(corners) == 20 * 30 - 20
    # walls would stand upright; the hole is that of the pixels, and of what has three corners there is half
    across = normals(corners, triangles)[:, 2]
    assert (across > 0).all()
    missing = 19 * 29 - across.sum() / 2 / (0.5 * 0.25)
    assert missing == 5 * 6 - 4 / 2
    middle = corners[triangles].mean(axis=1)
    inside = (np.abs(middle[:, 0] - 7.25 - 0.25 * 12) < 0.4) & (np.abs(middle[:, 1] - 100 - 0.5 * 9.5) < 0.7)
    assert not inside.any()


@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_nothing_known_is_an_empty_mesh(tmp_path, suffix):
    corners, triangles = surface(tmp_path, np.full((16, 32), np.nan, np.float32), suffix)
    assert len(corners) == len(triangles) == 0
    writer = MeshWriter(MeshContract().spec(tmp_path / f"mesh{suffix}", shape=(1, 1, 1, 16, 32)), str(tmp_path))
    writer.create()
    assert np.isnan(writer.read(0, Box.of_shape((1, 1, 1, 16, 32)))).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": (1, 2, 1, 20, 30)}, "one plane of float32"),
        ({"shape": (1, 1, 1, 1, 30)}, "30 x 1 corners are no surface"),
        ({"path": "s3://bucket/a.ply"}, "need a local path"),
        ({"path": "a.obj"}, r"no suffix of a mesh; choose one of \.ply, \.stl"),
    ],
)
def test_what_a_mesh_does_not_hold(tmp_path, changes, said):
    path = changes.pop("path", str(tmp_path / "a.ply"))
    with pytest.raises(OutputError, match=said):
        MeshWriter(MeshContract().spec(path, **changes), str(tmp_path))
