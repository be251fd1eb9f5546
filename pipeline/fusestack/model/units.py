"""Units of length, as people write them."""

from __future__ import annotations

from fusestack.model.errors import InputError

_UNITS = {
    "nanometer": ("nm", "nanometer", "nanometre", "nanometers"),
    "micrometer": ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers"),
    "millimeter": ("mm", "millimeter", "millimetre", "millimeters"),
    "centimeter": ("cm", "centimeter", "centimetre"),
    "meter": ("m", "meter", "metre"),
    "angstrom": ("å", "angstrom"),
    "inch": ("inch", "inches"),
}
UDUNITS = {written: unit for unit, spellings in _UNITS.items() for written in spellings}
"""What people write, in small letters, to UDUNITS name."""
MICROMETRES = {
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "angstrom": 1e-4,
    "inch": 25400.0,
}
"""Micrometers in a unit, by its UDUNITS name."""
_PIXELS = ("", "px", "pixel", "pixels", "world pixel", "world pixels")


def unit_of(text: str) -> str | None:
    """UDUNITS name of a unit as people write it; None of pixels.

    Raises
    ------
    InputError
        If it is no unit of length that is known.
    """
    written = str(text).strip().lower()
    if written in _PIXELS:
        return None
    if written not in UDUNITS:
        raise InputError(f"unit: '{text}' is not known; use one of {', '.join(_UNITS)}")
    return UDUNITS[written]
