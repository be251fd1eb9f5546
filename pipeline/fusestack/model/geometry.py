"""Boxes, affines and per-axis values; the only place where x, y, z order turns into z, y, x."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fusestack.model.summary import Shown, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

Float3: TypeAlias = tuple[float, float, float]
Int3: TypeAlias = tuple[int, int, int]


def float3(values: Iterable[float]) -> Float3:
    """Three numbers, z, y, x, of an array or anything else that holds them."""
    z, y, x = (float(value) for value in values)
    return (z, y, x)


def flip3(values: Sequence[float]) -> Float3:
    """Turn three numbers from x, y, z order into z, y, x order, or back."""
    first, second, third = values
    return (float(third), float(second), float(first))


@dataclass(frozen=True)
class Box:
    """Half-open integer region ``start <= i < stop``, one entry per axis.

    Parameters
    ----------
    start, stop : tuple of int
        In array order: z, y, x for a volume, t, c, z, y, x for an image.

    Examples
    --------
    >>> box = Box((0, 0, 0), (32, 160, 160))
    >>> box.intersect(Box((16, 0, 150), (48, 160, 310)))
    Box(start=(16, 0, 150), stop=(32, 160, 160))
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """Box of a whole array, starting at 0."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @classmethod
    def from_inclusive(cls, low_xyz: Sequence[int], high_xyz: Sequence[int]) -> Box:
        """Box (z, y, x) from the x, y, z corners of XML and configuration, whose maximum is included."""
        return cls(
            tuple(int(v) for v in reversed(low_xyz)),
            tuple(int(v) + 1 for v in reversed(high_xyz)),
        )

    def inclusive(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Corners in x, y, z order with the maximum included, as XML and messages write them."""
        return tuple(reversed(self.start)), tuple(v - 1 for v in reversed(self.stop))

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis, never negative."""
        return tuple(max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no pixel."""
        return any(b <= a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Index of this region in a NumPy array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def shift(self, offset: Sequence[int]) -> Box:
        """Move by whole pixels."""
        return Box(
            tuple(a + o for a, o in zip(self.start, offset, strict=True)),
            tuple(b + o for b, o in zip(self.stop, offset, strict=True)),
        )

    def intersect(self, other: Box) -> Box:
        """Common region; may be empty."""
        start = tuple(map(max, self.start, other.start))
        stop = tuple(map(min, self.stop, other.stop))
        return Box(start, tuple(map(max, start, stop)))

    def union(self, other: Box) -> Box:
        """Smallest box that holds both."""
        return Box(tuple(map(min, self.start, other.start)), tuple(map(max, self.stop, other.stop)))


@dataclass(frozen=True, eq=False, repr=False)
class Affine(Shown):
    """Affine map of z, y, x points: ``q = linear @ p + offset``, float64, immutable.

    Name instances ``from_to`` (``pixel_to_world``); ``b @ a`` applies a first, then b.

    Parameters
    ----------
    linear : float64[3, 3]
        Rows and columns in z, y, x order.
    offset : float64[3]
        In z, y, x order.

    Examples
    --------
    >>> pixel_to_world = Affine.translation((5, 0, 30.5)) @ Affine.scaling((3, 1, 1))
    >>> pixel_to_world
    Affine.from_xyz([1, 0, 0, 30.5, 0, 1, 0, 0, 0, 0, 3, 5])
    >>> pixel_to_world.apply((2, 0, 0)).tolist()
    [11.0, 0.0, 30.5]
    """

    linear: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, shape in (("linear", (3, 3)), ("offset", (3,))):
            array = np.array(getattr(self, name), dtype=np.float64).reshape(shape)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def identity(cls) -> Affine:
        """Map that changes nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def scaling(cls, factors: ArrayLike) -> Affine:
        """Scale by z, y, x factors about the origin."""
        return cls(np.diag(np.broadcast_to(np.asarray(factors, dtype=np.float64), 3)), np.zeros(3))

    @classmethod
    def translation(cls, offset: ArrayLike) -> Affine:
        """Shift by z, y, x."""
        return cls(np.eye(3), np.asarray(offset, dtype=np.float64))

    @classmethod
    def from_xyz(cls, numbers: Iterable[float]) -> Affine:
        """Read 12 numbers, row-major 3x4 in x, y, z order, as BigStitcher writes them.

        Raises
        ------
        ValueError
            If there are not exactly 12 numbers.
        """
        rows = np.array(list(numbers), dtype=np.float64)
        if rows.size != 12:
            raise ValueError(f"an affine has 12 numbers (3 rows of 4), got {rows.size}")
        rows = rows.reshape(3, 4)
        return cls(rows[::-1, 2::-1], rows[::-1, 3])

    def to_xyz(self) -> tuple[float, ...]:
        """12 numbers, row-major 3x4 in x, y, z order."""
        rows = np.concatenate([self.linear[::-1, ::-1], self.offset[::-1, None]], axis=1)
        return tuple(float(v) for v in rows.ravel())

    def __repr__(self) -> str:
        rows = [", ".join(row) for row in self.rows_xyz()]
        line = f"Affine.from_xyz([{', '.join(rows)}])"
        return line if len(line) <= 100 else "Affine.from_xyz([\n    {},\n    {},\n    {}])".format(*rows)

    def rows_xyz(self) -> list[tuple[str, ...]]:
        """Its 12 numbers for people: rows and columns in x, y, z order, six digits each."""
        numbers = [f"{number:.6g}" for number in self.to_xyz()]
        return [tuple(numbers[start : start + 4]) for start in (0, 4, 8)]

    def summary(self) -> Summary:
        """Its numbers as a table."""
        rows = zip("xyz", self.rows_xyz(), strict=True)
        return Summary("Affine", (), ("", "x", "y", "z", "offset"), tuple((axis, *row) for axis, row in rows))

    def __matmul__(self, first: Affine) -> Affine:
        return Affine(self.linear @ first.linear, self.linear @ first.offset + self.offset)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Affine):
            return NotImplemented
        return np.array_equal(self.linear, other.linear) and np.array_equal(self.offset, other.offset)

    def __hash__(self) -> int:
        return hash((self.linear.tobytes(), self.offset.tobytes()))

    @property
    def is_finite(self) -> bool:
        """Whether no entry is NaN or infinite."""
        return bool(np.isfinite(self.linear).all() and np.isfinite(self.offset).all())

    @property
    def is_singular(self) -> bool:
        """Whether the map flattens space, so that it has no inverse."""
        lengths = np.linalg.norm(self.linear, axis=0)
        return bool(abs(np.linalg.det(self.linear)) <= 1e-12 * np.prod(lengths))

    def inverse(self) -> Affine:
        """Map back.

        Raises
        ------
        ValueError
            If the map is singular or not finite.
        """
        if not self.is_finite or self.is_singular:
            raise ValueError("the affine is singular or not finite and has no inverse")
        linear = np.linalg.inv(self.linear).astype(np.float64)
        return Affine(linear, -linear @ self.offset)

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map points, ``float64[..., 3]`` in z, y, x order."""
        return np.asarray(points, dtype=np.float64) @ self.linear.T + self.offset

    def bounds(self, low: ArrayLike, high: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Axis-aligned bounds of the image of the closed box ``low .. high``."""
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        start = self.apply(low)
        reach = self.linear * (high - low)
        return start + np.minimum(reach, 0).sum(axis=1), start + np.maximum(reach, 0).sum(axis=1)

    @property
    def column_lengths(self) -> NDArray[np.float64]:
        """Length of one input pixel step along z, y, x after the map."""
        lengths: NDArray[np.float64] = np.linalg.norm(self.linear, axis=0)
        return lengths


def corners(shape: Sequence[int]) -> NDArray[np.float64]:
    """Pixel centres at the corners of an array, ``float64[2**n, n]``."""
    return np.array(list(itertools.product(*((0.0, n - 1.0) for n in shape))))


def round_half_up(value: float) -> int:
    """Nearest integer, ties towards plus infinity, as Java's ``Math.round``."""
    return math.floor(value + 0.5)
