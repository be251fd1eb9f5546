"""Stacks in TIFF files that name their axes: OME-TIFF, hyperstacks of ImageJ and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.model.errors import InputError
from fusestack.model.units import length_factor
from fusestack.project.readers import READERS
from fusestack.sources.facts import FactsWanted, facts_of
from fusestack.sources.tiff_axes import SAMPLES, long_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.geometry import Float3
    from fusestack.sources.facts import ImageFacts
    from fusestack.sources.tiff_series import OpenedTiff

_WORDS = {"t": "timepoints", "c": "channels", "z": "planes"}


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
    facts : ImageFacts
        What its file says of it.
    channels : tuple of str
        Names.
    pixel_size : (float, float, float)
        z, y, x, in `unit`.
    unit : str or None
    warnings : tuple of str
    """

    facts: ImageFacts
    channels: tuple[str, ...]
    pixel_size: Float3
    unit: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Described:
    """Axes of the image of a file, longer than 1: t, c, z, and S of colours; files that hold its planes.

    `series` is its number where there are others beside it, `letters` are its axes where some are colours.
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
    said: list[str] = []
    for path in dict.fromkeys(files):
        one = _described(path)
        if one is not None and one.axes:
            break
        said += () if one is None else one.warnings
    else:
        return ColourStack((1.0, 1.0, 1.0), None, tuple(said)) if said else None
    if len(set(files)) > 1 and not set(files) <= set(one.files):
        raise InputError(
            f"{path}: holds {_counted(one.axes)}, and is one of {len(set(files))} files; which of them are slices is "
            "not said; write one file with the axes t, c, z, y, x (OME-TIFF, ImageJ hyperstack), one for each slice, "
            "or one for each channel, called so (stack_C0.tif, stack_C1.tif)"
        )
    if SAMPLES in one.axes or "z" not in one.axes:
        if left := sorted(set(one.files) - set(files)):
            raise InputError(
                f"{path}: {_counted(one.axes)} lie in {len(one.files)} files, of which {len(left)} are not named "
                f"({left[0]}); name all of them, in their order"
            )
        return _pages(path, one)
    return _volume(path, one)


def _counted(axes: dict[str, int]) -> str:
    return " and ".join(f"{count} {_WORDS[axis]}" for axis, count in axes.items() if axis in _WORDS)


def _described(path: str) -> _Described | None:
    """Axes that a TIFF file names; None of what is no TIFF file, or has none but those of a picture.

    Of a file that cannot be understood it has no axes, but says why: whoever reads its pages refuses what is damaged.
    """
    from fusestack.sources.pictures import kind_of
    from fusestack.sources.tiff_series import open_tiff

    try:
        if kind_of(path) != "TIFF":
            return None
    except InputError:
        return None
    try:
        with open_tiff(path) as opened:
            if opened.master is not None:
                said = f"{path}: is a part of an image that {opened.master} describes; its pages are taken for slices"
                return _Described({}, (path,), (said,))
            large, others = _largest(opened)
            axes, letters = _axes(opened, large[0])
    except InputError as error:
        return _Described(
            {}, (path,), tuple(f"{problem}; its pages are taken for slices" for problem in error.problems)
        )
    if not axes.keys() & set(_WORDS):
        return None
    if unknown := axes.keys() - {*_WORDS, SAMPLES}:
        raise InputError(
            f"{path}: has axes besides t, c, z, y, x ({', '.join(sorted(unknown))}); write it again without them"
        )
    if len(large) > 1:
        raise InputError(
            f"{path}: holds {len(large)} images (series), of which one can be focused; name it in input.views, "
            "{path: ..., series: 0}, with output.path for the fused image, and leave focus.input out"
        )
    smaller = "1 smaller image is" if others == 1 else f"{others} smaller images are"
    small = (f"{path}: {smaller} not used: taken for labels or thumbnails",) if others else ()
    return _Described(axes, opened.files(large[0]) or (path,), small, large[0] if large[0] or others else None, letters)


def _axes(opened: OpenedTiff, number: int) -> tuple[dict[str, int], str | None]:
    """Axes of an image longer than 1, and all of them in its order where some are colours."""
    if opened.images and opened.images[number].samples == 1:
        lengths = opened.images[number].lengths
        return {axis: lengths[axis] for axis in opened.images[number].order if lengths[axis] > 1}, None
    with opened.series(number) as series:
        axes = long_axes(series)
        colours = "".join("c" if axis == SAMPLES else axis.lower() for axis in series.axes)
        return axes, colours if SAMPLES in axes else None


def _largest(opened: OpenedTiff) -> tuple[list[int], int]:
    """Images of the file whose planes are at least half as large as the largest ones, and how many others there are."""
    if opened.images:
        sizes = {number: opened.images[number].lengths for number in opened.own}
        areas = {number: lengths["y"] * lengths["x"] for number, lengths in sizes.items()}
    else:
        pages = enumerate(series.keyframe for series in opened.tiff.series)
        areas = {number: page.imagelength * page.imagewidth for number, page in pages}
    large = [number for number, area in areas.items() if 2 * area > max(areas.values())]
    return large, len(areas) - len(large)


def _pages(path: str, found: _Described) -> ColourStack:
    """Pages that are read one by one: of colours along one axis, or along an axis that is no z."""
    stacked = [axis for axis in found.axes if axis != SAMPLES]
    if len(stacked) > 1:
        kind = "pictures in colour" if SAMPLES in found.axes else "no z axis, but"
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
    facts = facts_of(FactsWanted(READERS[".tif"], path, found.series))
    size, unit, said = _places(path, found, along_z=True)
    channels = tuple(name or f"channel {k}" for k, name in enumerate(facts.names))
    told = (f"{path}: {sentence}" for sentence in facts.said)
    return Hyperstack(facts, channels, size, unit, (*found.warnings, *said, *told))


def _places(path: str, found: _Described, *, along_z: bool) -> tuple[Float3, str | None, tuple[str, ...]]:
    """Size of a pixel z, y, x in micrometers, its unit, and what is to be said; 1 and None where nothing is known."""
    facts = facts_of(FactsWanted(READERS[".tif"], path, found.series, found.letters))
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
