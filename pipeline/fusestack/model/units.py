"""Units of length, as people write them."""

from __future__ import annotations

from fusestack.model.errors import InputError

_UNITS = {
    "nanometer": ("nm", "nanometer", "nanometre", "nanometers"),
    "micrometer": ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers"),
    "millimeter": ("mm", "millimeter", "millimetre", "millimeters"),
    "centimeter": ("cm", "centimeter", "centimetre"),
    "meter": ("m", "meter", "metre", "meters"),
    "picometer": ("pm", "picometer", "picometre"),
    "angstrom": ("å", "\u212b", "angstrom"),
    "inch": ("in", "inch", "inches", '"'),
}
UDUNITS = {written: unit for unit, spellings in _UNITS.items() for written in spellings}
"""What people write, in small letters, to UDUNITS name."""
_METERS = {
    "picometer": 1e-12,
    "angstrom": 1e-10,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "inch": 0.0254,
    "meter": 1.0,
}
_PIXELS = ("", "px", "pixel", "pixels", "world pixel", "world pixels")


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
    return float(f"{_METERS[have] / _METERS[want]:.12g}")


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
