"""Units of length, as people write them, and lengths of several units brought to one."""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UNITS = {
    "picometer": ("pm", "picometer", "picometre", "picometers"),
    "nanometer": ("nm", "nanometer", "nanometre", "nanometers"),
    "micrometer": ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers"),
    "millimeter": ("mm", "millimeter", "millimetre", "millimeters"),
    "centimeter": ("cm", "centimeter", "centimetre"),
    "meter": ("m", "meter", "metre", "meters"),
    "angstrom": ("å", "\u212b", "angstrom"),
    "inch": ("in", "inch", "inches", '"'),
}
UDUNITS = {written: unit for unit, spellings in _UNITS.items() for written in spellings}
"""What people write, in small letters, to UDUNITS name."""
_PIXELS = ("", "px", "pixel", "pixels", "world pixel", "world pixels")
_METERS = {
    "picometer": Fraction(1, 10**12),
    "nanometer": Fraction(1, 10**9),
    "micrometer": Fraction(1, 10**6),
    "millimeter": Fraction(1, 10**3),
    "centimeter": Fraction(1, 100),
    "meter": Fraction(1),
    "angstrom": Fraction(1, 10**10),
    "inch": Fraction(254, 10**4),
}


_TIMES = {
    "nanosecond": ("ns", "nanosecond", "nanoseconds"),
    "microsecond": ("us", "µs", "μs", "microsecond", "microseconds"),
    "millisecond": ("ms", "msec", "millisecond", "milliseconds"),
    "second": ("s", "sec", "second", "seconds"),
    "minute": ("min", "minute", "minutes"),
    "hour": ("h", "hr", "hour", "hours"),
    "day": ("d", "day", "days"),
}
_TIME_NAMES = {written: unit for unit, spellings in _TIMES.items() for written in spellings}
_SECONDS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}


class TimeStep(NamedTuple):
    """Time from one timepoint to the next, in a UDUNITS unit, and when the first one was."""

    value: float
    unit: str
    first: float = 0.0

    def __str__(self) -> str:
        return f"{self.value:.6g} {self.unit}"

    @property
    def seconds(self) -> float:
        """The step in seconds."""
        return self.value * _SECONDS[self.unit]

    def of(self, timepoints: Sequence[int]) -> TimeStep | None:
        """Step from one of some timepoints to the next; None where these are not evenly apart, or alone.

        Examples
        --------
        >>> TimeStep(5.0, "second", 2.0).of((1, 3, 5))
        TimeStep(value=10.0, unit='second', first=7.0)
        """
        apart = {b - a for a, b in itertools.pairwise(timepoints)}
        if len(apart) != 1:
            return None
        return TimeStep(self.value * apart.pop(), self.unit, self.first + self.value * timepoints[0])

    def labels(self, timepoints: Sequence[int]) -> dict[str, float | str]:
        """As attributes of an image: the step of one in the numbers of its timepoints, and the time of number 0.

        Parameters
        ----------
        timepoints : sequence of int
            Numbers, of which this is the step from one to the next.
        """
        each = self.value / (timepoints[1] - timepoints[0])
        return {"value": each, "unit": self.unit, "first": self.first - each * timepoints[0]}


def time_step(value: float | str | None, unit: str | None, first: float = 0.0) -> TimeStep | None:
    """Step in a unit of time as people write it; None where it is none.

    Examples
    --------
    >>> time_step(5, "sec"), time_step(0, "s"), time_step(5, "furlong")
    (TimeStep(value=5.0, unit='second', first=0.0), None, None)
    """
    known = _TIME_NAMES.get((unit or "").strip().lower())
    try:
        number = float(value or 0)
    except ValueError:
        return None
    return TimeStep(number, known, first) if known and 0 < number < float("inf") else None


def known_unit(text: str | None) -> str | None:
    """UDUNITS name of a unit as files write it; the text itself where it is not known, None of pixels and of nothing.

    Examples
    --------
    >>> known_unit("\u00b5m"), known_unit("px"), known_unit("furlong")
    ('micrometer', None, 'furlong')
    """
    written = (text or "").strip()
    if written.lower() in _PIXELS:
        return None
    return UDUNITS.get(written.lower(), written)


@functools.lru_cache(maxsize=256)
def length_factor(unit: str | None, into: str | None) -> float | None:
    """Factor from a number in one unit to the same length in another one; None where there is none.

    Parameters
    ----------
    unit, into : str or None
        As people write them.

    Examples
    --------
    >>> length_factor("nm", "micrometer"), length_factor("furlong", "furlong"), length_factor("furlong", "mm")
    (0.001, 1.0, None)
    """
    have, want = known_unit(unit), known_unit(into)
    if have == want:
        return 1.0
    if have not in _METERS or want not in _METERS:
        return None
    return conversion(have, want)


def unit_of(text: str) -> str | None:
    """UDUNITS name of a unit as people write it; None of pixels.

    Raises
    ------
    InputError
        If it is no unit of length that is known.
    """
    found = known_unit(str(text))
    if found is not None and found not in _UNITS:
        raise InputError(f"unit: '{text}' is not known; use one of {', '.join(_UNITS)}")
    return found


def conversion(unit: str, into: str) -> float:
    """How many of one unit are one of another, both UDUNITS names of `UDUNITS`.

    Examples
    --------
    >>> conversion("nanometer", "micrometer")
    0.001
    """
    return float(_METERS[unit] / _METERS[into])


def common_unit(written: Mapping[str, str | None]) -> tuple[str | None, dict[str, float]]:
    """One unit for the lengths of several things, and what their numbers are multiplied by.

    Parameters
    ----------
    written : mapping of str to (str or None)
        Unit as people write it, by what has it (for messages); None and pixels are no unit.

    Returns
    -------
    unit : str or None
        As the first one writes it.
    factors : mapping of str to float

    Raises
    ------
    InputError
        If units differ and one of them is unknown or none, so that nothing can be converted.

    Examples
    --------
    >>> common_unit({"tile 0": "um", "tile 1": "nm"})
    ('um', {'tile 0': 1.0, 'tile 1': 0.001})
    """
    names = {label: _name(unit) for label, unit in written.items()}
    first = next(iter(written), None)
    if first is None or len(set(names.values())) == 1:
        return (None if first is None else written[first]), dict.fromkeys(written, 1.0)
    strange = next((label for label, name in names.items() if name not in _METERS), None)
    if strange is not None:
        other = next(label for label, name in names.items() if name != names[strange])
        raise InputError(
            f"{_said(strange, written)}, {_said(other, written)}: they cannot be converted into one another; "
            f"give the sizes of all of them in one unit ({', '.join(_UNITS)})"
        )
    into = names[first]
    return written[first], {label: conversion(name, into) for label, name in names.items()}


def _name(unit: str | None) -> str:
    """UDUNITS name, or what was written of an unknown unit, in small letters; empty of pixels."""
    return (known_unit(unit) or "").lower()


def _said(label: str, written: Mapping[str, str | None]) -> str:
    return f"{label} has its sizes in {written[label] or 'no unit'}"
