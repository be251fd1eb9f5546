"""Bytes, seconds and pixels as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.geometry import Box


def duration(seconds: float) -> str:
    """Time for people: ``8.2 s``, ``3 min 20 s``, ``2 h 5 min``.

    Examples
    --------
    >>> duration(8.21), duration(200), duration(7500)
    ('8.2 s', '3 min 20 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(count: float) -> str:
    """Bytes for people, in KiB, MiB, GiB or TiB.

    Examples
    --------
    >>> size(3 * 2**30)
    '3.0 GiB'
    """
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count / 2**10:,.0f} KiB"


def times_xyz(zyx: Sequence[float]) -> str:
    """Numbers per axis for people: (z, y, x) in x, y, z order.

    Examples
    --------
    >>> times_xyz((32, 1600, 0.25))
    '0.25 x 1,600 x 32'
    """
    return " x ".join(f"{n:,}" if isinstance(n, int) else f"{n:.6g}" for n in reversed(zyx))


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number of things; the plural has an s, or is given.

    Examples
    --------
    >>> counted(1, "tile"), counted(20000, "view"), counted(3, "retry", "retries")
    ('1 tile', '20,000 views', '3 retries')
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def bounded(lines: Sequence[str], most: int = 20) -> list[str]:
    """The first of many lines, and how many more there are.

    Examples
    --------
    >>> bounded(["a", "b", "c"], most=1)
    ['a', '... and 2 more']
    """
    more = len(lines) - most
    return [*lines[:most], *([f"... and {more:,} more"] if more > 0 else [])]


def several(paths: Sequence[str], most: int = 2) -> str:
    """Paths of which the same is said: the first one whole, of some others the names.

    Examples
    --------
    >>> several(["/a/b.tif"]), several(["/a/b.tif", "/a/c.tif"])
    ('/a/b.tif', '/a/b.tif and 1 more (c.tif)')
    """
    names = [path.rpartition("/")[2] for path in paths[1 : 1 + most]]
    if not names:
        return paths[0]
    dots = " ..." if len(paths) > 1 + len(names) else ""
    return f"{paths[0]} and {len(paths) - 1:,} more ({', '.join(names)}{dots})"


def span_xyz(box: Box) -> str:
    """A box for people, in x, y, z order, the last pixel included: ``x 0..63, y 0..63, z 0..15``."""
    low, high = box.inclusive()
    return ", ".join(f"{axis} {a}..{b}" for axis, a, b in zip("xyzct", low, high, strict=False))
