"""Every view on its way into the fused image: which level of it is read, and where its pixels go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.fusion.intensity import CoefficientMap
from fusestack.model.clock import reading
from fusestack.model.fingerprint import facts_of, source_facts
from fusestack.model.geometry import Affine, Box
from fusestack.sources.base import open_source
from fusestack.sources.graph import graph_array

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.frame import Frame
    from fusestack.fusion.intensity import Adjustment
    from fusestack.model.geometry import Float3, Int3
    from fusestack.model.graph_array import GraphArray
    from fusestack.model.view import SourceRef, View
    from fusestack.sources.base import SourceLevel

_NEAR_ONE = 1.02
_SAME_STEP = np.float64(np.float32(0.02))


@dataclass(frozen=True)
class OpenedView:
    """What the pixel source of a view says."""

    view: View
    dtype: np.dtype[np.generic]
    levels: tuple[SourceLevel, ...]

    @property
    def shape(self) -> Int3:
        """Pixels at full resolution, z, y, x."""
        return self.levels[0].shape


@dataclass(frozen=True)
class Edges:
    """What becomes of views towards their borders.

    Parameters
    ----------
    range, border : float
        Width of the fade and of the dark rim outside it, in pixels of the fused image; range 0 is a hard edge.
    to_data : bool
        The fade follows pixels that have no data as well.
    widened : (float, float, float) or None
        Method ``mask``: by how many pixels of the input views are widened, z, y, x (negative: narrowed). No pixel is
        read then, so full resolution is used, and borders are closed whatever the numerics.
    """

    range: float
    border: float
    widened: Float3 | None = None
    to_data: bool = False


def choose_level(model: Affine, levels: Sequence[SourceLevel]) -> int:
    """Coarsest level that loses nothing, as BigStitcher chooses it (`DownsampleTools.openDownsampled2`).

    Parameters
    ----------
    model : Affine
        Pixel of level 0 to pixel of the fused image.
    levels : sequence of SourceLevel
    """
    steps = model.column_lengths
    factors = np.array([level.factors for level in levels])
    sizes = steps * factors
    valid = ((sizes < _NEAR_ONE) | (np.abs(sizes - steps) < _SAME_STEP)).all(axis=1)
    return int(np.argmax(np.where(valid, factors.prod(axis=1), 0.0)))  # of equal ones the first


def level_to_pixel(factors: Float3) -> Affine:
    """Pixel of a level to pixel of level 0: ``f * i + (f - 1) / 2``, as BigDataViewer places levels."""
    scale = np.array(factors, dtype=np.float64)
    return Affine(np.diag(scale), (scale - 1) / 2)


def diagonal_scale(level_to_output: Affine, full_shape: Int3) -> NDArray[np.float64]:
    """Pixels of the fused image in one pixel of the level, z, y, x, as BigStitcher estimates them.

    Exact for scalings; otherwise the diagonal that is left when the best rotation has been taken off
    (`TransformationTools.scaling`).
    """
    linear = level_to_output.linear
    if np.count_nonzero(linear - np.diag(np.diagonal(linear))) == 0 and (np.diagonal(linear) > 0).all():
        return np.diagonal(linear).copy()
    _, height, width = full_shape
    plane = np.array([[0, 0, 0], [0, 0, width], [0, height, 0], [0, height, width]], dtype=np.float64)
    image = plane @ linear.T
    centred, target = image - image.mean(axis=0), plane - plane.mean(axis=0)
    u, _, vt = np.linalg.svd(centred.T @ target)
    proper = np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)])
    rotation = vt.T @ proper @ u.T
    scale: NDArray[np.float64] = np.abs(np.diagonal(rotation @ linear))
    return scale


@dataclass(frozen=True)
class LevelPixels:
    """Pixels of one level of a view.

    Parameters
    ----------
    source : SourceRef
    level : int
    shape : (int, int, int)
        Pixels of the level, z, y, x.
    factors : (float, float, float)
        Pixels of the source at full resolution in one pixel of the level, z, y, x.
    chunk_bytes : int
        One chunk of the level, which is decoded whole; 0 of arrays of a dask graph.
    identities : tuple of str
        Size and time of change of the files, where they were asked for; names of arrays.
    no_data : float or None
        Value that means that nothing was recorded.
    """

    source: SourceRef
    level: int
    shape: Int3
    factors: Float3
    chunk_bytes: int
    identities: tuple[str, ...] = ()
    no_data: float | None = None

    def facts(self) -> list[Any]:
        """What they are, wherever the files lie."""
        return [source_facts(self.source), list(self.identities), self.level, *self.no_data_facts()]

    def no_data_facts(self) -> list[float]:
        """The value that means no data, if there is one."""
        return [] if self.no_data is None else [self.no_data]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type of what is read: of the source, or one that has NaN for no data."""
        found = open_source(self.source).dtype
        return found if self.no_data is None else kernels.convert.value_dtype(found)

    @property
    def may_lack_data(self) -> bool:
        """Whether there may be pixels without data, which are NaN when they are read."""
        return self.dtype.kind == "f"

    def read(self, box: Box) -> NDArray[Any]:
        """Read a region z, y, x; where a value means no data, it becomes NaN."""
        with reading():
            found = open_source(self.source).read(self.level, box)
        if self.no_data is None:
            return found
        pixels = found.astype(kernels.convert.value_dtype(found.dtype))
        pixels[found == self.no_data] = np.nan
        return pixels

    def inputs(self, box: Box) -> dict[GraphArray, Box]:
        """See `Compute.inputs`: the region itself where it is read of an array of a dask graph."""
        array = graph_array(self.source, self.level)
        return {} if array is None or box.is_empty else {array: box}


@dataclass(frozen=True)
class PlacedView:
    """A view on its way into a fused image: where its pixels come from and go to, and what becomes of them.

    Parameters
    ----------
    pixels : LevelPixels
    full_shape : (int, int, int)
        Pixels of the source at full resolution, z, y, x.
    registration : Affine
        Pixel at full resolution to world, flattened where the frame is flat.
    adjustment : Adjustment or None
        Correction of the intensities.
    """

    pixels: LevelPixels
    full_shape: Int3
    registration: Affine
    adjustment: Adjustment | None = None

    @classmethod
    def of(
        cls,
        opened: OpenedView,
        registration: Affine,
        frame: Frame,
        edges: Edges,
        adjustment: Adjustment | None = None,
        identities: Mapping[str, str] = MappingProxyType({}),
    ) -> PlacedView:
        """Choose the level of a view that is read.

        Parameters
        ----------
        opened : OpenedView
        registration : Affine
            Pixel to world (flattened where the frame is flat).
        frame : Frame
        edges : Edges
        adjustment : Adjustment or None
        identities : mapping of str to str
            Size and time of change of files by path, where they matter.
        """
        steps, no_data = frame.world_to_output @ registration, opened.view.no_data
        # coarser levels mix what was recorded with what was not
        number = choose_level(steps, opened.levels) if edges.widened is None and no_data is None else 0
        level, source = opened.levels[number], opened.view.source
        known = [*source.paths, *([adjustment.container] if isinstance(adjustment, CoefficientMap) else [])]
        found = tuple(identities[path] for path in known if path in identities)
        array = graph_array(source, number)
        if array is not None:
            found = (array.name,)
        chunk = 0 if array is not None else math.prod(level.chunks) * opened.dtype.itemsize
        pixels = LevelPixels(source, number, level.shape, level.factors, chunk, found, no_data)
        return cls(pixels, opened.shape, registration, adjustment)

    def facts(self) -> list[Any]:
        """What a result depends on."""
        return [list(self.pixels.identities), self.pixels.level, self.place_facts()]

    def place_facts(self) -> list[Any]:
        """Which view it is and where it goes; numbers as in projects, not to the last bit of a machine."""
        place = [f"{v:.9g}" for v in self.registration.to_xyz()]
        return [source_facts(self.pixels.source), place, facts_of(self.adjustment), *self.pixels.no_data_facts()]

    @property
    def place(self) -> Hashable:
        """What decides where its pixels go."""
        affine = (self.registration.linear.tobytes(), self.registration.offset.tobytes())
        return (*affine, self.full_shape, self.pixels.shape, self.pixels.factors)

    def level_to_output(self, frame: Frame) -> Affine:
        """Pixel of the level to pixel of the fused image."""
        return frame.world_to_output @ self.registration @ level_to_pixel(self.pixels.factors)

    def read(self, box: Box) -> NDArray[Any]:
        """Read a region z, y, x of the level, corrected."""
        found = self.pixels.read(box)
        if self.adjustment is None:
            return found
        return kernels.intensity.adjust(found, box.start, self.pixels.shape, self.adjustment.read())
