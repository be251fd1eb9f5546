"""What cameras and programs say of a picture: EXIF, colour profile, how and when it was taken, who made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fusestack.sources.base import input_errors
from fusestack.sources.pictures import RESTORE, full_pages, header_of, kind_of, opened_tiff
from fusestack.sources.tiff_structure import check_structure

_CAMERA_TAGS = (271, 272, 306, 315, 33432)
"""Make, Model, DateTime, Artist, Copyright."""
_EXPOSURE_TAGS = (33434, 33437, 34850, 34855, 36867, 37377, 37378, 37380, 37385, 37386, 41989, 42036)
"""Times, apertures, speeds and lenses; some programs put them beside those of the camera."""
_EXIF_TAG, _GPS_TAG = 34665, 34853
_ORIENTATION, _SOFTWARE = 274, 305
_TAKEN, _FRACTION = 36867, 37521
_PLACES = frozenset({0xA005})
"""Tags whose value is a place in the file."""


@dataclass(frozen=True)
class Metadata:
    """What a camera or a program said about a picture.

    Parameters
    ----------
    exif : bytes or None
        As in a JPEG file: ``Exif``, two zero bytes, and a TIFF header with its directories.
    icc : bytes or None
        Colour profile.
    """

    exif: bytes | None
    icc: bytes | None


def read_metadata(path: str) -> Metadata:
    """Read EXIF and colour profile of a picture; of a TIFF file those of its first page of full size.

    Thumbnails are not read, nor what a camera maker keeps at a place that only its own programs find.

    Raises
    ------
    InputError
        As `describe_picture`.
    """
    kind = kind_of(path)
    with input_errors(path, "its metadata cannot be read", RESTORE):
        if kind == "TIFF":
            check_structure(path)
            with opened_tiff(path) as tiff:
                _, page = next(full_pages(path, tiff))
                return Metadata(_tiff_exif(page), page.iccprofile)
        header = header_of(path, kind, metadata=True)
        return Metadata(header.exif, header.icc)


def made_by_us(path: str) -> bool:
    """Whether fusestack wrote a picture; False for whatever cannot be read."""
    try:
        kind = kind_of(path)
        if kind == "TIFF":
            with opened_tiff(path) as tiff:
                said = str(tiff.pages.first.software)
        else:
            header = header_of(path, kind, metadata=True)
            said = header.software or _exif_tag(header.exif, _SOFTWARE)
    except Exception:  # damaged: whoever reads it says so
        return False
    return said.startswith("fusestack")


@dataclass(frozen=True)
class CameraFacts:
    """How a camera was held, and when.

    Parameters
    ----------
    orientation : int
        Of EXIF, 1 (upright) to 8.
    taken : str
        ``2024:05:06 07:08:09.50``, which sorts as time does; empty where nothing says it.
    """

    orientation: int = 1
    taken: str = ""


def camera_facts(path: str) -> CameraFacts:
    """What a picture says of the camera; of whatever cannot be read, that nothing is said."""
    try:
        kind, tagged = kind_of(path), 1
        if kind == "TIFF":
            with opened_tiff(path) as tiff:
                _, page = next(full_pages(path, tiff))
                exif, tagged = _tiff_exif(page), int(page.tags.valueof(_ORIENTATION, default=1))
        else:
            exif = header_of(path, kind, metadata=True).exif
        if exif is not None and kind != "TIFF":
            tagged = int(_exif_tag(exif, _ORIENTATION) or 1)
        return CameraFacts(tagged if 1 <= tagged <= 8 else 1, _time(exif))
    except Exception:  # pixels are what counts
        return CameraFacts()


def _time(exif: bytes | None) -> str:
    if exif is None:
        return ""
    from PIL import Image

    found = Image.Exif()
    found.load(exif)
    said = found.get_ifd(_EXIF_TAG)
    taken, fraction = (str(said.get(tag, "")).strip("\0 ") for tag in (_TAKEN, _FRACTION))
    return f"{taken}.{fraction}" if taken and fraction.isdecimal() else taken


def _exif_tag(exif: bytes | None, tag: int) -> str:
    if exif is None:
        return ""
    from PIL import Image

    found = Image.Exif()
    found.load(exif)
    return str(found.get(tag, ""))


def _tiff_exif(page: Any) -> bytes | None:
    """EXIF as in a JPEG file from the tags of a TIFF page; None where it has none of those that say something."""
    if not any(tag in page.tags for tag in (*_CAMERA_TAGS, *_EXPOSURE_TAGS, _EXIF_TAG, _GPS_TAG)):
        return None
    from PIL import Image

    found, made = Image.Exif(), Image.Exif()
    found.bigtiff, found.endian = page.parent.is_bigtiff, page.parent.byteorder
    file = page.parent.filehandle
    found.load_from_fp(file, page.offset)
    made.endian = "<"
    for tag in _CAMERA_TAGS:
        if tag in found:
            made[tag] = str(found[tag]).encode("latin-1", "replace")  # as the bytes were read
    exposure = {tag: found[tag] for tag in _EXPOSURE_TAGS if tag in found} | found.get_ifd(_EXIF_TAG)
    for tag in exposure.keys() & _PLACES:
        del exposure[tag]
    for group, values in ((_EXIF_TAG, exposure), (_GPS_TAG, found.get_ifd(_GPS_TAG))):
        if values:
            made.get_ifd(group).update(values)
    return made.tobytes() if made or exposure or found.get_ifd(_GPS_TAG) else None
