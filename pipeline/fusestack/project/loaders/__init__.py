"""Image loaders: which pixel source reads the views of a project.

A new format is a function ``(loader, description) -> SourceOf`` in a file of its family and a row in the table here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.project.loaders.bdv import bdv_hdf5
from fusestack.project.loaders.wrapped import flat_field, split

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import Description, SourceOf

_LATER = "is not supported yet (it comes in a later version)"
_VENDOR = "is the format of one microscope or server and is not read"


def sources_of(loader: Element, description: Description) -> SourceOf:
    """Pixel source of every view of an ``ImageLoader`` element.

    Does not look whether the files exist: that is known when a source is opened.

    Parameters
    ----------
    loader : Element
    description : Description
        What else the project says.

    Raises
    ------
    ValueError
        If this version does not read the format, or the element is incomplete.
    """
    name = loader.get("format")
    if not name:
        raise ValueError("the loader has no format")
    if name not in _READERS:
        raise ValueError(f"the loader '{name}' {_STATUS.get(name, 'is unknown')}")
    return _READERS[name](loader, description)


_READERS: dict[str, Callable[[Element, Description], SourceOf]] = {
    "bdv.hdf5": bdv_hdf5,
    "split.viewerimgloader": split,
    "split.imgloader": split,
    "split.multiresolutionimgloader": split,
    "spimreconstruction.wrapped.flatfield.default": flat_field,
    "spimreconstruction.wrapped.flatfield.multiresolution": flat_field,
}

_STATUS = {
    **dict.fromkeys(
        (
            "bdv.n5",
            "bdv.n5.cloud",
            "bdv.multimg.zarr",
            "spimreconstruction.filemap2",
            "spimreconstruction.filelist",
            "spimreconstruction.stack.ij",
            "spimreconstruction.stack.loci",
        ),
        _LATER,
    ),
    **dict.fromkeys(
        (
            "bigstitcher.smartspim",
            "spimreconstruction.lightsheetz1",
            "spimreconstruction.micromanager",
            "spimreconstruction.simview",
            "spimreconstruction.dhm",
            "catmaid",
            "openconnectome",
            "bdv.remote",
            "ims",
        ),
        _VENDOR,
    ),
}
