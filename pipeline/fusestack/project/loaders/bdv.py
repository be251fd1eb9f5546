"""Loaders of BigDataViewer's own containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.model.view import SourceRef
from fusestack.project.loaders.base import resolve_path, resolve_uri

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fusestack.model.view import ViewId
    from fusestack.project.loaders.base import Description, SourceOf


def bdv_hdf5(loader: Element, description: Description) -> SourceOf:
    """``bdv.hdf5``; partition files need no look, the main file links to their datasets (``Hdf5ImageLoader``)."""
    path = resolve_path(_named(loader, "hdf5"), description.folder)
    return _views_in("fusestack.sources.bdv_hdf5:BdvHdf5Source", path)


def bdv_n5(loader: Element, description: Description) -> SourceOf:
    """``bdv.n5`` and ``bdv.n5.cloud``; both may name a folder or an address (``N5ImageLoader``)."""
    path = resolve_uri(_named(loader, "n5"), description.folder)
    return _views_in("fusestack.sources.bdv_n5:BdvN5Source", path)


def _named(loader: Element, tag: str) -> Element:
    element = loader.find(tag)
    if element is None:
        raise ValueError(f"the loader '{loader.get('format')}' has no {tag} element that names the file")
    return element


def _views_in(reader: str, path: str) -> SourceOf:
    def source(view: ViewId) -> SourceRef:
        return SourceRef(reader, path, (("setup", view.setup), ("timepoint", view.timepoint)))

    return source
