"""What the formats of pictures share: pages that are read band by band, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fusestack.model.image import Codec

BAND_BYTES = 16 * 1024**2
"""Pixels of a page that are held at a time."""

EXIF_TAG, GPS_TAG = 34665, 34853
KEPT_TAGS = (271, 272, 306, 315, 33432)
"""Make, Model, DateTime, Artist and Copyright; the other tags beside them describe how the old file stored pixels."""

_DESCRIPTION, _ORIENTATION, _SOFTWARE = 270, 274, 305
_WIDTH, _HEIGHT, _INTEROPERABILITY, _MAKER_NOTE = 0xA002, 0xA003, 0xA005, 0x927C
_ICC_SPACES = {b"GRAY": (1, 2), b"RGB ": (3, 4)}


@dataclass(frozen=True)
class Page:
    """One picture whose pixels are read when they are encoded.

    Parameters
    ----------
    shape : (int, int, int)
        Pixels along y, x and colours: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    dtype : dtype
    read : callable
        Pixels [y, x, colour] of a region, from its slices along y and x.
    smaller : tuple of Page
        The same picture at lower resolutions.
    tiles : callable or None
        Gives its tiles as a TIFF file has them, where they are encoded already.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[slice, slice], NDArray[Any]]
    smaller: tuple[Page, ...] = ()
    tiles: Callable[[], Iterator[bytes]] | None = None

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all colours of one pixel."""
        return self.shape[2] * self.dtype.itemsize

    def bands(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield pixels [y, x, colour] from top to bottom, `rows` at a time."""
        height, width, _ = self.shape
        for top in range(0, height, rows):
            yield self.read(slice(top, min(top + rows, height)), slice(0, width))


@dataclass(frozen=True)
class Notes:
    """What is said about a picture in its file.

    Parameters
    ----------
    description, software : str
    exif : bytes or None
        Of the picture that stands for the others; see `exif_of`.
    icc : bytes or None
        Colour profile.
    resolution : float or None
        Pixels per inch.
    """

    description: str = ""
    software: str = "fusestack"
    exif: bytes | None = None
    icc: bytes | None = None
    resolution: float | None = None

    @classmethod
    def of_options(cls, options: Mapping[str, Any], colours: int) -> Notes:
        """Notes from JSON values; EXIF and ICC are hexadecimal. A profile for other colours is left out."""
        exif, icc = (bytes.fromhex(options.get(name) or "") or None for name in ("exif", "icc"))
        if icc is not None and colours not in _ICC_SPACES.get(icc[16:20], ()):
            icc = None
        resolution = options.get("resolution")
        return cls(
            str(options.get("description") or ""),
            str(options.get("software") or "fusestack"),
            exif,
            icc,
            None if resolution is None else float(resolution),
        )


@dataclass(frozen=True)
class Layout:
    """Pages, colours and pixels along y, x of a finished file, its dtype, and the pixels of smaller versions."""

    pages: int
    colours: int
    shape: tuple[int, int]
    dtype: str
    smaller: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class PictureFormat:
    """One format of files.

    Parameters
    ----------
    name : str
    dtypes : tuple of str
    colours : tuple of int
    longest_side : int
        Most pixels along y and x.
    write : callable
        Encode pages into a new local file.
    layout : callable
        What is in a file; raises whatever a library raises where it is none of this format.
    read : callable
        Pixels [y, x, colour] of a region of a page, from its number, and the number of the level.
    many_pages : bool
        Whether a file may hold several pages.
    """

    name: str
    dtypes: tuple[str, ...]
    colours: tuple[int, ...]
    longest_side: int
    write: Callable[[Path, Sequence[Page], Notes, Codec], None]
    layout: Callable[[Path], Layout]
    read: Callable[[Path, int, int, slice, slice], NDArray[Any]]
    many_pages: bool = False


def power_of_two(most: int) -> int:
    """Largest power of two that is not more than `most`, at least 1: bands then rarely cut the chunks of a store."""
    return 1 << (max(1, most).bit_length() - 1)


def exif_of(notes: Notes, shape: tuple[int, ...], most_bytes: int | None = None) -> Any:
    """EXIF of a new picture, as a `PIL.Image.Exif`, from that of an old one.

    Pixels are upright, whatever the old one says; the size is that of the picture. Thumbnails are left out, and
    everything of an old EXIF that is damaged.

    Parameters
    ----------
    notes : Notes
    shape : (int, int, ...)
        Pixels along y, x.
    most_bytes : int, optional
        The maker note, the description and at last everything is left out of what is larger.
    """
    said = {_DESCRIPTION: notes.description.encode(), _SOFTWARE: notes.software.encode()}
    for exif in (notes.exif, None):
        try:
            made = _carried(exif, shape)
            for tag, text in said.items():
                if text:
                    made[tag] = text
            for too_large in (_MAKER_NOTE, _DESCRIPTION):
                if most_bytes is not None and len(made.tobytes()) > most_bytes:
                    made.get_ifd(EXIF_TAG).pop(too_large, None)
                    if too_large in made:
                        del made[too_large]
            if most_bytes is None or len(made.tobytes()) <= most_bytes:
                return made
        except Exception:  # cameras write, and a library raises, whatever there is
            continue
    return _carried(None, shape)


def _carried(exif: bytes | None, shape: tuple[int, ...]) -> Any:
    import warnings

    from PIL import Image

    made = Image.Exif()
    made.endian = "<"
    made[_ORIENTATION] = 1
    if exif is None:
        return made
    found = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.load(exif)
        for tag in KEPT_TAGS:
            if tag in found:
                made[tag] = str(found[tag]).encode("latin-1", "replace")  # as the bytes were read
        photo, place = dict(found.get_ifd(EXIF_TAG)), dict(found.get_ifd(GPS_TAG))
    photo.pop(_INTEROPERABILITY, None)  # a place in the old file
    photo |= {_WIDTH: shape[1], _HEIGHT: shape[0]}
    made.get_ifd(EXIF_TAG).update(photo)
    if place:
        made.get_ifd(GPS_TAG).update(place)
    made.tobytes()  # raises here what cannot be written
    return made
