"""Image loaders: which pixel source reads the views of a project.

A new format is a function ``(loader, description) -> SourceOf`` in a file of its family and a row in the table here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.project.loaders import wrapped
from fusestack.project.loaders.bdv import bdv_hdf5, bdv_n5
from fusestack.project.loaders.files import file_map, file_pattern
from fusestack.project.loaders.zarr import multimg_zarr

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import Description, SourceOf

_VENDOR = "is the format of one microscope or server and is not read"
_VENDORS = (
    "bigstitcher.smartspim",
    "spimreconstruction.lightsheetz1",
    "spimreconstruction.micromanager",
    "spimreconstruction.simview",
    "spimreconstruction.dhm",
    "catmaid",
    "openconnectome",
    "bdv.remote",
    "ims",
)


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
        raise ValueError(f"the loader '{name}' {_VENDOR if name in _VENDORS else 'is unknown'}")
    return _READERS[name](loader, description)


def _split(loader: Element, description: Description) -> SourceOf:
    return wrapped.split(loader, description, sources_of)


def _flat_field(loader: Element, description: Description) -> SourceOf:
    return wrapped.flat_field(loader, description, sources_of)


_READERS: dict[str, Callable[[Element, Description], SourceOf]] = {
    "bdv.hdf5": bdv_hdf5,
    "bdv.n5": bdv_n5,
    "bdv.n5.cloud": bdv_n5,
    "bdv.multimg.zarr": multimg_zarr,
    "spimreconstruction.filemap2": file_map,
    "spimreconstruction.filelist": file_map,
    "spimreconstruction.stack.ij": file_pattern,
    "spimreconstruction.stack.loci": file_pattern,
    "split.viewerimgloader": _split,
    "split.imgloader": _split,
    "split.multiresolutionimgloader": _split,
    "spimreconstruction.wrapped.flatfield.default": _flat_field,
    "spimreconstruction.wrapped.flatfield.multiresolution": _flat_field,
}
