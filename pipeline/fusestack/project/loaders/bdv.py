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
    return _container(loader, "hdf5", "fusestack.sources.bdv_hdf5:BdvHdf5Source", description)


def bdv_n5(loader: Element, description: Description) -> SourceOf:
    """``bdv.n5``, and ``bdv.n5.cloud``, whose path is an address (reference 1.4)."""
    return _container(loader, "n5", "fusestack.sources.bdv_n5:BdvN5Source", description)


def _container(loader: Element, tag: str, reader: str, description: Description) -> SourceOf:
    element = loader.find(tag)
    if element is None:
        raise ValueError(f"the loader '{loader.get('format')}' has no {tag} element that names the file")
    path = resolve_path(element, description.folder)

    def source(view: ViewId) -> SourceRef:
        return SourceRef(reader, path, (("setup", view.setup), ("timepoint", view.timepoint)))

    return source
