"""Which pixel source reads a file of an image, by its suffix."""

from __future__ import annotations

from pathlib import PurePosixPath

_TIFF = "fusestack.sources.tiff:TiffSource"
_BIOIO = "fusestack.sources.bioio:BioioSource"

READERS = {
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".zarr": "fusestack.sources.ome_zarr:OmeZarrSource",
    **dict.fromkeys((".czi", ".nd2", ".lif", ".dv", ".r3d", ".sldy", ".oib", ".oif", ".vsi", ".lsm"), _BIOIO),
}
"""Last suffix of a file -> its pixel source, so ``.ome.tif`` is read as ``.tif``."""


def reader_of(path: str) -> str:
    """Pixel source of a file or an address.

    Raises
    ------
    ValueError
        If files of its suffix are not read.
    """
    suffix = PurePosixPath(path.rstrip("/")).suffix.lower()
    if suffix not in READERS:
        raise ValueError(f"files of suffix '{suffix}' are not read; known are {', '.join(READERS)}")
    return READERS[suffix]
