"""Loaders of BigDataViewer's own containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.project.loaders.base import resolve_path
from fusestack.view import SourceRef

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import Description, SourceOf
    from fusestack.view import ViewId


def bdv_hdf5(loader: Element, description: Description) -> SourceOf:
    """``bdv.hdf5``; partition files need no look, the main file links to their datasets (reference 1.4)."""
    element = loader.find("hdf5")
    if element is None:
        raise ValueError("the loader 'bdv.hdf5' has no hdf5 element that names the file")
    path = resolve_path(element, description.folder)

    def source(view: ViewId) -> SourceRef:
        return SourceRef(
            reader="fusestack.sources.bdv_hdf5:BdvHdf5Source",
            path=path,
            options=(("setup", view.setup), ("timepoint", view.timepoint)),
        )

    return source
