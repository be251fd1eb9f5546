"""Meshes out: a plane of heights as triangles, in PLY or STL, by trimesh."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.image import MESH_SUFFIXES
from fusestack.storage import is_address
from fusestack.writers.staged import StagedWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec


class MeshWriter(StagedWriter):
    """A surface: every pixel that is not NaN is a corner, at its place in world units; neighbours make triangles.

    Where a height is NaN there is a hole. Files hold float32; PLY has each corner once, STL once for each triangle.

    Parameters
    ----------
    spec : ImageSpec
        One level (1, 1, 1, y, x), float32: heights along z.
    work : str
        Local folder that all workers see.

    Raises
    ------
    OutputError
        If the path is an address, or a mesh does not hold the image.

    Notes
    -----
    `finish` takes ``facing``, 1 or -1: whether the outside of the surface looks to larger or smaller z.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        self._kind = Path(spec.path).suffix.lower().lstrip(".")
        problems = []
        if is_address(spec.path) or is_address(work):
            problems.append("meshes need a local path; only OME-Zarr goes to addresses")
        if f".{self._kind}" not in MESH_SUFFIXES:
            problems.append(f"has no suffix of a mesh; choose one of {', '.join(MESH_SUFFIXES)}")
        if len(spec.levels) != 1 or spec.shape[:3] != (1, 1, 1) or spec.dtype != "float32":
            problems.append(f"a mesh is made of one plane of float32, not of {spec.dtype}{spec.shape}")
        if min(spec.shape[3:]) < 2:
            problems.append(f"{spec.shape[4]} x {spec.shape[3]} corners are no surface: allow more of them")
        if problems:
            raise OutputError(*(f"{spec.path}: {problem}" for problem in problems))
        super().__init__(spec, work)

    @property
    def _decodes_parts(self) -> bool:
        return False

    def _encode(self, path: Path, options: Mapping[str, Any]) -> None:
        import trimesh

        heights = self._store.read(0, Box.of_shape(self.spec.shape))[0, 0, 0]
        known = np.isfinite(heights)
        rows, columns = np.nonzero(known)
        (_, dy, dx), (_, y, x) = self.spec.pixel_size, self.spec.origin
        corners = np.stack([x + dx * columns, y + dy * rows, heights[known]], axis=1)
        faces = _triangles(known, facing=int(options.get("facing", 1)))
        with path.open("wb") as file:
            trimesh.Trimesh(corners, faces, process=False).export(file, file_type=self._kind)

    def _decode(self, level: int, box: Box) -> NDArray[Any]:
        heights = np.full(self.spec.shape, np.nan, np.float32)
        (rows, columns), corners = self._found()
        heights[0, 0, 0, rows, columns] = corners[:, 2]
        return heights[box.slices]

    def _found(self) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]:
        """Pixels of the corners of the finished file, and the corners x, y, z."""
        import trimesh

        with self.path.open("rb") as file:
            corners = np.asarray(trimesh.load_mesh(file, file_type=self._kind, process=False).vertices, np.float64)
        (_, dy, dx), (_, y, x) = self.spec.pixel_size, self.spec.origin
        columns, rows = (corners[:, 0] - x) / dx, (corners[:, 1] - y) / dy
        return (np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64)), corners

    def _is_ours(self) -> bool:
        try:
            (rows, columns), _ = self._found()
        except Exception as error:  # the library has many
            raise OutputError(
                f"{self.path}: is no mesh of ours, and is left alone: choose another output.path"
            ) from error
        height, width = self.spec.shape[3:]
        return bool(((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)).all())


def _triangles(known: NDArray[np.bool_], *, facing: int) -> NDArray[np.int64]:
    """Triangles of neighbours that are all known: int64[n, 3], numbers of known pixels in the order of rows.

    Parameters
    ----------
    known : bool[y, x]
    facing : int
        The sign of z of their normals, with x, y, z right-handed.
    """
    numbers = np.cumsum(known.ravel()).reshape(known.shape) - 1
    numbers[~known] = -1
    a, b, c, d = numbers[:-1, :-1], numbers[:-1, 1:], numbers[1:, :-1], numbers[1:, 1:]
    # two triangles where four are known; where one is missing, that of the other three
    found = []
    for corners, instead in (((a, b, c), None), ((b, d, c), None), ((a, b, d), c), ((a, d, c), b)):
        complete = np.logical_and.reduce([corner >= 0 for corner in corners])
        if instead is not None:
            complete &= instead < 0
        found.append(np.stack([corner[complete] for corner in corners], axis=1))
    faces = np.concatenate(found)
    return faces if facing > 0 else faces[:, ::-1]
