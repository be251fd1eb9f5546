"""Which axes the array of a TIFF image has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import select_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAMES = {"T": "t", "C": "c", "Z": "z", "Q": "z", "I": "z"}
"""Our axes by tifffile's letters; Q and I are axes without a name."""
_UNNAMED = "QI"
SAMPLES = "S"
"""Axis of the colours of a pixel."""


@dataclass(frozen=True)
class Axes:
    """Axes of the planes of an image.

    Parameters
    ----------
    lengths : tuple of (str, int)
        Of t, c and z, in the order of the file; axes of length 1 may be left out.
    plane : (int, int)
        y, x.
    samples : bool
        The last of `lengths` is the colours of each pixel.
    guesses : tuple of str
        What planes without a name are taken for, as in arrays that people hold.
    """

    lengths: tuple[tuple[str, int], ...]
    plane: tuple[int, int]
    samples: bool = False
    guesses: tuple[str, ...] = ()

    @classmethod
    def of_lengths(cls, lengths: Mapping[str, int]) -> Axes:
        """Axes by the lengths of t, c, z, y, x."""
        return cls(tuple((axis, lengths[axis]) for axis in "tcz"), (lengths["y"], lengths["x"]))

    @property
    def shape(self) -> tuple[int, ...]:
        """t, c, z, y, x."""
        found = dict(self.lengths)
        return (*(found.get(axis, 1) for axis in "tcz"), *self.plane)

    def planes(self, timepoint: int, channel: int, path: str) -> tuple[list[int], int]:
        """Numbers of the planes of one timepoint and channel, front to back, and which colour of their pixels.

        Raises
        ------
        InputError
            If there is no such timepoint or channel.
        """
        found = dict(self.lengths)
        chosen: dict[str, Any] = {
            "t": select_index(path, "timepoint", found.get("t", 1), timepoint),
            "c": select_index(path, "channel", found.get("c", 1), channel),
        }
        listed = self.lengths[:-1] if self.samples else self.lengths
        shape = [length for _, length in listed]
        numbers = np.arange(math.prod(shape)).reshape(shape)
        picked = numbers[tuple(chosen.get(axis, slice(None)) for axis, _ in listed)]
        return [int(number) for number in np.atleast_1d(picked)], chosen["c"] if self.samples else 0


def long_axes(series: Any) -> dict[str, int]:
    """Axes of an image that are longer than 1, but for y and x: t, c, z by our letters where the file names them."""
    lengths = zip(series.get_axes(squeeze=False), map(int, series.get_shape(squeeze=False)), strict=True)
    return {
        axis if axis in _UNNAMED else _NAMES.get(axis, axis): length
        for axis, length in lengths
        if length > 1 and axis not in "YX"
    }


def axes_of_series(series: Any, path: str, axes: str | None = None) -> Axes:
    """Axes of an image of a TIFF file: those that the user says, or those of the file.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
    path : str
        For messages.
    axes : str, optional
        Letters of t, c, z, y, x, slowest first.

    Raises
    ------
    InputError
        If they cannot be fused, or are not clear.
    """
    every = list(zip(series.get_axes(squeeze=False), map(int, series.get_shape(squeeze=False)), strict=True))
    long = [(axis, length) for axis, length in every if length > 1 or axis in "YX"]
    letters = "".join(axis for axis, _ in long)
    guesses: tuple[str, ...] = ()
    if axes is not None:
        long = _named(every, long, axes, path)
        names = list(axes)
    else:
        if SAMPLES in letters:
            raise InputError(
                f"{path}: holds colours (axes {_listed(long)}); axes: {_guess(letters)} takes them for channels, or "
                "says what these planes are, if they were not named"
            )
        names = [_NAMES.get(axis, axis) for axis, _ in long]
        unnamed = [length for axis, length in long if axis in _UNNAMED]
        if len(unnamed) == 1 and names.count("z") == 1:
            others = " or ".join(
                f"axes: {''.join(names).lower().replace('z', axis)}" for axis in "tc" if axis not in names
            )
            guesses = (f"planes without a name are taken for z; {others} says otherwise",)
    samples = axes is not None and letters.endswith("YXS") and len(long) == len(axes)
    if samples:
        names = [*names[:-3], names[-1], *names[-3:-1]]
        long = [*long[:-3], long[-1], *long[-3:-1]]
    names = [name.lower() if name in "YX" else name for name in names]
    if names[-2:] != ["y", "x"] or not set(names[:-2]) <= set("tcz") or len(set(names)) != len(names):
        raise InputError(
            f"{path}: its axes are {_listed(long)}, not t, c, z, y, x; say what they are, slowest first, such as "
            f"axes: {'tczyx'[-len(names) :] if len(names) < 6 else 'tczyx'}, or write the image again as OME-TIFF or "
            "ImageJ hyperstack with such axes"
        )
    if samples and names[-3] != "c":
        raise InputError(f"{path}: axes: the colours of a pixel are its channels; name them c, as in yxc")
    lengths = [length for _, length in long]
    return Axes(tuple(zip(names[:-2], lengths[:-2], strict=True)), (lengths[-2], lengths[-1]), samples, guesses)


def _named(
    every: Sequence[tuple[str, int]], long: Sequence[tuple[str, int]], axes: str, path: str
) -> list[tuple[str, int]]:
    """Axes of the array that the user's letters are: all, or those longer than 1."""
    for listed in (long, every, [one for one in every if one[0] != SAMPLES]):
        if len(listed) == len(axes):
            return list(listed)
    raise InputError(
        f"{path}: axes: {axes} names {len(axes)} axes, its array has {len(long)}: {_listed(long)}; name each of them"
    )


def _listed(axes: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{axis} ({length})" for axis, length in axes)


def _guess(letters: str) -> str:
    """Axes that take colours for channels."""
    return "".join("c" if axis == SAMPLES else _NAMES.get(axis, axis.lower()) for axis in letters)
