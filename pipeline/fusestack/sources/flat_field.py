"""Views corrected by images of an even field (BigStitcher reference, section 1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.errors import InputError
from fusestack.geometry import Box
from fusestack.sources.base import check_box, open_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.sources.base import SourceLevel
    from fusestack.view import SourceRef


class FlatFieldSource:
    """``(I - dark) * mean(bright - dark) / (bright - dark)``, 0 where bright and dark are equal.

    Integers are rounded half up and clamped. The fields of coarser levels are the mean of their pixels.

    Parameters
    ----------
    path : str
        Of the image, for messages.
    image : SourceRef
    bright, dark : SourceRef or None
        Images of one plane that serve all planes of the image; without one it is 1, or 0.

    Raises
    ------
    InputError
        If a field has another size than the planes of the image, or several planes.
    """

    def __init__(
        self, path: str, *, image: SourceRef, bright: SourceRef | None = None, dark: SourceRef | None = None
    ) -> None:
        self._path = path
        self._image = open_source(image)
        self._refs = (bright, 1.0), (dark, 0.0)
        self._fields: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], float]] = {}
        plane = self._image.levels[0].shape[1:]
        for ref in (bright, dark):
            if ref is not None and (found := open_source(ref).levels[0].shape) != (1, *plane):
                raise InputError(
                    f"{ref.path}: this flat field has {found} pixels (zyx), the planes of {path} have {plane}; "
                    "give one plane of the same size"
                )

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type of the image."""
        return self._image.dtype

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions of the image, full resolution first."""
        return self._image.levels

    def _level(self, level: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Dark field and bright minus dark, y, x, on the grid of a level, and the mean of the latter."""
        if level not in self._fields:
            first, here = self.levels[0].shape[1:], self.levels[level]
            bright, dark = (
                _coarser(_field(ref, default, first), here.shape[1:], here.factors[1:]) for ref, default in self._refs
            )
            self._fields[level] = dark, bright - dark, float((bright - dark).mean())
        return self._fields[level]

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If the image or a field cannot be read.
        """
        check_box(self._path, self.levels, level, box)
        pixels = self._image.read(level, box)
        dark, span, mean = self._level(level)
        dark, span = dark[box.slices[1:]], span[box.slices[1:]]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(span == 0, 0.0, (pixels - dark) * (mean / span))
        if self.dtype.kind == "f":
            return np.asarray(values, dtype=self.dtype)
        limits = np.iinfo(self.dtype)
        return np.asarray(np.clip(np.floor(values + 0.5), limits.min, limits.max), dtype=self.dtype)


def _field(ref: SourceRef | None, default: float, plane: tuple[int, ...]) -> NDArray[np.float64]:
    if ref is None:
        return np.full(plane, default)
    return np.asarray(open_source(ref).read(0, Box.of_shape((1, *plane)))[0], dtype=np.float64)


def _coarser(field: NDArray[np.float64], shape: tuple[int, ...], factors: tuple[float, ...]) -> NDArray[np.float64]:
    """Means of the pixels of a field under each pixel of a level."""
    for axis, (count, factor) in enumerate(zip(shape, factors, strict=True)):
        starts = np.minimum((np.arange(count + 1) * factor).astype(int), field.shape[axis])
        used = np.take(field, range(starts[-1]), axis=axis)
        sizes = np.diff(starts).reshape((-1, 1) if axis == 0 else (1, -1))
        field = np.asarray(np.add.reduceat(used, starts[:-1], axis=axis) / sizes)
    return field
