"""Rectangles of a plane, and how they grow by a halo."""

from __future__ import annotations

from dataclasses import dataclass

from fusestack.model.geometry import Box


@dataclass(frozen=True)
class Region:
    """Rows ``top <= y < bottom`` and columns ``left <= x < right``."""

    top: int
    bottom: int
    left: int
    right: int

    @staticmethod
    def of(box: Box) -> Region:
        """Last two axes of a box."""
        return Region(box.start[-2], box.stop[-2], box.start[-1], box.stop[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def origin(self) -> tuple[int, int]:
        """First row and column."""
        return self.top, self.left

    @property
    def parts(self) -> tuple[slice, slice]:
        """Slices along y and x."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, halo: int | None, shape: tuple[int, int], step: int = 1) -> Region:
        """With a halo where the plane goes on; None is all of it. Its first row and column are multiples of `step`."""
        if halo is None:
            return Region(0, shape[0], 0, shape[1])
        top, left = (max(0, start - halo) // step * step for start in self.origin)
        return Region(top, min(shape[0], self.bottom + halo), left, min(shape[1], self.right + halo))

    def coarser(self, factor: int) -> Region:
        """Pixels of a level in which so many are one, of a region that begins at one of them; the last may be cut."""
        return Region(*(-(-edge // factor) for edge in (self.top, self.bottom, self.left, self.right)))

    def finer(self, factor: int) -> Region:
        """Pixels of a level that is so many times as fine."""
        return Region(*(factor * edge for edge in (self.top, self.bottom, self.left, self.right)))

    def within_plane(self, shape: tuple[int, int]) -> Region:
        """What there is of it in a plane."""
        return Region(self.top, min(self.bottom, shape[0]), self.left, min(self.right, shape[1]))

    def within(self, outer: Region) -> tuple[slice, slice]:
        """Where this region lies in an array of a larger one."""
        rows = slice(self.top - outer.top, self.bottom - outer.top)
        return rows, slice(self.left - outer.left, self.right - outer.left)

    def box(self, t: int, c: tuple[int, int], k: tuple[int, int]) -> Box:
        """Box t, c, k, y, x of one timepoint, channels ``c[0] <= c < c[1]`` and slices ``k[0] <= k < k[1]``."""
        return Box((t, c[0], k[0], self.top, self.left), (t + 1, c[1], k[1], self.bottom, self.right))
