"""Tiles of planes, and how far around each tile every array of a chain is needed: whole numbers, no pixels."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.model.stage import Along, Reach

Spans: TypeAlias = "tuple[tuple[int, int], ...]"
"""First and last (exclusive) pixel of each tile along one axis."""

_BYTES = 2**28
"""About how much a tile may have: its slices, and masks of them."""
_SMALLEST, _LARGEST = 128, 2048


@dataclass(frozen=True)
class Tiling:
    """A plane cut into tiles, none smaller than the others by more than a pixel.

    Parameters
    ----------
    plane : (int, int)
        Rows and columns.
    counts : (int, int)
        Tiles along y and x.
    """

    plane: tuple[int, int]
    counts: tuple[int, int]

    @classmethod
    def of(cls, plane: tuple[int, int], tile: tuple[int, int]) -> Tiling:
        """Cut a plane into tiles of at least a size, as far as there are so many pixels."""
        rows, columns = (max(1, n // max(1, size)) for n, size in zip(plane, tile, strict=True))
        return cls(plane, (rows, columns))

    def spans(self, plane: tuple[int, int]) -> tuple[Spans, Spans]:
        """The tiles on this plane, or on one of another size that shows the same."""
        y, x = (_parts(n, count) for n, count in zip(plane, self.counts, strict=True))
        return y, x

    def with_tiles_of(self, rows: int, columns: int) -> Tiling:
        """Fewer tiles, if these are smaller than so many rows and columns."""
        fewer = Tiling.of(self.plane, (rows, columns))
        return Tiling(self.plane, (min(self.counts[0], fewer.counts[0]), min(self.counts[1], fewer.counts[1])))


def _parts(size: int, count: int) -> Spans:
    edges = [size * i // count for i in range(count + 1)]
    return tuple(itertools.pairwise(edges))


def usual_tile(plane: tuple[int, int], slices: int, slice_bytes: int) -> tuple[int, int]:
    """Rows and columns of a tile: all slices of it, and their masks, fit into 256 MiB.

    Parameters
    ----------
    plane : (int, int)
        Rows and columns of the slices.
    slices : int
    slice_bytes : int
        Of one pixel of a slice with all its channels.
    """
    side = math.isqrt(_BYTES // max(1, slices * (slice_bytes + 8)))
    side = min(max(side, _SMALLEST), _LARGEST)
    rows, columns = (n // -(-n // side) for n in plane)
    return rows, columns


@dataclass(frozen=True)
class Need:
    """What one step of a chain reads, tile by tile.

    Parameters
    ----------
    plane : (int, int)
        Rows and columns of what the step makes.
    reads : mapping of str to (reach, plane)
        Arrays by key: `Reach`, and rows and columns of each.
    halo : int or None
        Pixels around each tile that are looked at of all that is read, in place of the reaches; for statistics.
    """

    plane: tuple[int, int]
    reads: Mapping[str, tuple[Reach, tuple[int, int]]]
    halo: int | None = None


def spans_needed(tiling: Tiling, steps: Mapping[str, Need]) -> dict[str, tuple[Spans, Spans]]:
    """Which part of each array is needed for each tile, by key: its own, and what later steps look at around it.

    Parameters
    ----------
    tiling : Tiling
    steps : mapping of str to Need
        In order: each after those that it reads.
    """
    found = {key: tiling.spans(need.plane) for key, need in steps.items()}
    for key, need in reversed(list(steps.items())):
        for read, (reach, plane) in need.reads.items():
            if read not in found:
                found[read] = tiling.spans(plane)
            own = found[key] if need.halo is None else tiling.spans(plane)
            y, x = (
                tuple(
                    _union(known, _looked(span, reach[3 + axis], need.halo, plane[axis]))
                    for known, span in zip(found[read][axis], own[axis], strict=True)
                )
                for axis in (0, 1)
            )
            found[read] = y, x
    return found


def _looked(span: tuple[int, int], along: Along | None, halo: int | None, size: int) -> tuple[int, int]:
    if halo is not None:
        return max(0, span[0] - halo), min(size, span[1] + halo)
    return (0, size) if along is None else along.span(*span, size)


def _union(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return min(a[0], b[0]), max(a[1], b[1])


def depth_of(spans: Spans, tiles: Spans) -> int:
    """Most pixels that are needed before or behind a tile."""
    return max(max(tile[0] - span[0], span[1] - tile[1]) for span, tile in zip(spans, tiles, strict=True))


def widened(tiles: Spans, depth: int, size: int) -> Spans:
    """Tiles with so many pixels around each of them, as far as there are."""
    return tuple((max(0, a - depth), min(size, b + depth)) for a, b in tiles)


def starts(spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """First pixels."""
    return tuple(a for a, _ in spans)


def sizes(spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Numbers of pixels."""
    return tuple(b - a for a, b in spans)
