"""Stacks in TIFF files that name their axes: OME-TIFF, hyperstacks of ImageJ and the like."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import InputError
from fusestack.model.units import length_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.geometry import Float3

_AXES = {"T": "t", "C": "c", "Z": "z"}
_WORDS = {"t": "timepoints", "c": "channels", "z": "planes"}
_COLOURS = "S"


@dataclass(frozen=True)
class ColourStack:
    """Pages in colour, or of one axis that is no z, of a file that says more about them.

    Parameters
    ----------
    pixel_size : (float, float, float)
        z, y, x, in `unit`.
    unit : str or None
    warnings : tuple of str
    """

    pixel_size: Float3
    unit: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Hyperstack:
    """A volume t, c, z, y, x in a TIFF file, or in several that make one OME-TIFF.

    Parameters
    ----------
    path : str
    series : int
        Number of the image in the file.
    files : tuple of str
        All that hold planes of it.
    shape : tuple of int
        t, c, z, y, x.
    dtype : str
    chunks : tuple of int
        What is decoded together, t, c, z, y, x.
    channels : tuple of str
        Names.
    pixel_size : (float, float, float)
        z, y, x, in `unit`.
    unit : str or None
    warnings : tuple of str
    """

    path: str
    series: int
    files: tuple[str, ...]
    shape: tuple[int, int, int, int, int]
    dtype: str
    chunks: tuple[int, int, int, int, int]
    channels: tuple[str, ...]
    pixel_size: Float3
    unit: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Described:
    """Axes of the image of a file, longer than 1: t, c, z, and S of colours; files that hold its planes.

    `series` is its number where there are smaller images beside it, `letters` are its axes where some are colours.
    """

    axes: dict[str, int]
    files: tuple[str, ...]
    warnings: tuple[str, ...]
    series: int | None = None
    letters: str | None = None


def hyperstack_of(files: Sequence[str]) -> Hyperstack | ColourStack | None:
    """What a TIFF file says of its axes, where it says that it has any but those of a picture.

    Parameters
    ----------
    files : sequence of str
        All files of a stack.

    Returns
    -------
    Hyperstack, ColourStack or None
        None where pages are slices and nothing is known of them.

    Raises
    ------
    InputError
        If what is described is no stack, or several files describe axes.
    """
    found = {path: described for path in dict.fromkeys(files) if (described := _described(path)) is not None}
    if not found:
        return None
    path, one = next(iter(found.items()))
    if len(set(files)) > 1 and not set(files) <= set(one.files):
        raise InputError(
            f"{path}: holds {_counted(one.axes)}, and is one of {len(set(files))} files; which of them are slices is "
            "not said; write one file with the axes t, c, z, y, x (OME-TIFF, ImageJ hyperstack), or one for each slice"
        )
    if _COLOURS in one.axes or "z" not in one.axes:
        return _pages(path, one)
    return _volume(path, one)


def _counted(axes: dict[str, int]) -> str:
    return " and ".join(f"{count} {_WORDS[axis]}" for axis, count in axes.items() if axis in _WORDS)


def _described(path: str) -> _Described | None:
    """Axes that a TIFF file names; None of what is no TIFF file, cannot be read, or has none but those of a picture."""
    from fusestack.sources.pictures import kind_of, opened_tiff

    try:
        if kind_of(path) != "TIFF":
            return None
        with opened_tiff(path) as tiff:
            large = _largest(tiff.series)
            image = large[0]
            lengths = zip(image.get_axes(squeeze=False), image.get_shape(squeeze=False), strict=True)
            axes = {_AXES.get(axis, axis): int(n) for axis, n in lengths if n > 1 and axis not in "YX"}
            kept = {str(page.parent.filehandle.path) for page in image.pages if page is not None}
            others = len(tiff.series) - len(large)
            number = next(k for k, one in enumerate(tiff.series) if one is image)
    except Exception:  # whoever reads its pages says what is wrong
        return None
    if not axes.keys() & set(_WORDS):
        return None
    if unknown := axes.keys() - {*_WORDS, _COLOURS}:
        raise InputError(
            f"{path}: has axes besides t, c, z, y, x ({', '.join(sorted(unknown))}); write it again without them"
        )
    if len(large) > 1:
        raise InputError(
            f"{path}: holds {len(large)} images (series), of which one can be focused; name it in input.views, "
            "{path: ..., series: 0}, with output.path for the fused image, and leave focus.input out"
        )
    smaller = "1 smaller image is" if others == 1 else f"{others} smaller images are"
    said = (f"{path}: {smaller} not used: taken for labels or thumbnails",) if others else ()
    files = tuple(sorted(kept)) if image.is_multifile else (path,)
    letters = "".join("c" if axis == _COLOURS else axis.lower() for axis in image.axes) if _COLOURS in axes else None
    return _Described(axes, files, said, number if others else None, letters)


def _largest(series: Sequence[Any]) -> list[Any]:
    """Images whose planes are at least half as large as the largest ones."""
    sizes = [one.keyframe.imagelength * one.keyframe.imagewidth for one in series]
    return [one for one, size in zip(series, sizes, strict=True) if 2 * size > max(sizes)]


def _pages(path: str, found: _Described) -> ColourStack:
    """Pages that are read one by one: of colours along one axis, or along an axis that is no z."""
    stacked = [axis for axis in found.axes if axis != _COLOURS]
    if len(stacked) > 1:
        kind = "pictures in colour" if _COLOURS in found.axes else "no z axis, but"
        raise InputError(
            f"{path}: holds {kind} of {_counted(found.axes)}; a stack in colour has one such axis, others have z; "
            "split the colours into channels, or write a file for each of the others"
        )
    size, unit, said = _places(path, found, along_z=stacked == ["z"])
    if stacked != ["z"]:
        said = (
            *said,
            f"{path}: has no z axis; its {_counted(found.axes)} are taken for slices; write it again with z to say so",
        )
    return ColourStack(size, unit, (*found.warnings, *said))


def _volume(path: str, found: _Described) -> Hyperstack:
    from fusestack.sources.tiff import TiffSource
    from fusestack.sources.tiff_facts import tiff_facts

    source = TiffSource(path, series=found.series or 0)
    level = source.levels[0]
    t, c = source.counts
    z, y, x = level.shape
    size, unit, said = _places(path, found, along_z=True)
    names = tiff_facts(path, series=found.series).names
    counts = Counter(names)
    channels = tuple(
        str(names[k]) if k < len(names) and names[k] and counts[names[k]] == 1 else f"channel {k}" for k in range(c)
    )
    return Hyperstack(
        path=path,
        series=found.series or 0,
        files=found.files,
        shape=(t, c, z, y, x),
        dtype=source.dtype.name,
        chunks=(1, 1, *level.chunks),
        channels=channels,
        pixel_size=size,
        unit=unit,
        warnings=(*found.warnings, *said, *_orientation(path)),
    )


def _orientation(path: str) -> tuple[str, ...]:
    from fusestack.sources.picture_notes import camera_facts

    if camera_facts(path).orientation == 1:
        return ()
    return (f"{path}: says that it is to be turned (Orientation), which is not done to hyperstacks; turn the result",)


def _places(path: str, found: _Described, *, along_z: bool) -> tuple[Float3, str | None, tuple[str, ...]]:
    """Size of a pixel z, y, x in micrometers, its unit, and what is to be said; 1 and None where nothing is known."""
    from fusestack.sources.tiff_facts import tiff_facts

    facts = tiff_facts(path, series=found.series, axes=found.letters)
    if facts.unit is None or not any(facts.sizes):
        return (1.0, 1.0, 1.0), None, ()
    factor = length_factor(facts.unit, "micrometer")
    if factor is None:
        return (1.0, 1.0, 1.0), None, (f"{path}: unit '{facts.unit}' is not known; places are counted in pixels",)
    z, y, x = (None if size is None else size * factor for size in facts.sizes)
    if z is None and along_z:
        return (
            (1.0, 1.0, 1.0),
            None,
            (f"{path}: does not say how far its planes are apart; places are counted in pixels, heights in planes",),
        )
    return (z or 1.0, y or x or 1.0, x or y or 1.0), "micrometer", ()
