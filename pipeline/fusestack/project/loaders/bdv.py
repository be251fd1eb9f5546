"""Loaders of BigDataViewer's own containers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.view import SourceRef, ViewId
from fusestack.project.elements import integer
from fusestack.project.loaders.base import resolve_path, resolve_uri
from fusestack.storage import is_address

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import Description, SourceOf


_HDF5 = "fusestack.sources.bdv_hdf5:BdvHdf5Source"


def bdv_hdf5(loader: Element, description: Description) -> SourceOf:
    """``bdv.hdf5``; the main file links to the datasets of partition files (``Hdf5ImageLoader``).

    Where such a file has a view under its own number, it is read there: so a view stays where it was when another main
    file is made.
    """
    path = resolve_path(_named(loader, "hdf5"), description.folder)
    main = _views_in(_HDF5, path)
    parts: dict[ViewId, SourceRef] = {}
    for element in loader.findall("partition"):
        name = element.find("path")
        if name is None or not (name.text or "").strip() or element.find("timepointsMapped") is not None:
            continue
        setups = (element.findtext("setups") or "").split()
        mapped = (element.findtext("setupsMapped") or "").split() or setups
        source = _views_in(_HDF5, resolve_path(name, description.folder))
        for timepoint in (element.findtext("timepoints") or "").split():
            for setup, number in zip(setups, mapped, strict=False):
                view = ViewId(integer(timepoint, "timepoint"), integer(setup, "setup"))
                parts[view] = source(ViewId(view.timepoint, integer(number, "setup")))

    def source_of(view: ViewId) -> SourceRef:
        part = parts.get(view)
        return part if part is not None and Path(part.path).is_file() else main(view)

    return source_of


def bdv_n5(loader: Element, description: Description) -> SourceOf:
    """``bdv.n5`` and ``bdv.n5.cloud``; both may name a folder or an address (``N5ImageLoader``)."""
    path = resolve_uri(_named(loader, "n5"), description.folder)
    whole = _views_in("fusestack.sources.bdv_n5:BdvN5Source", path)
    if is_address(path):  # of thousands of setups, each would be asked for
        return whole
    return lambda view: replace(whole(view), part=f"setup{view.setup}")


def _named(loader: Element, tag: str) -> Element:
    element = loader.find(tag)
    if element is None:
        raise ValueError(f"the loader '{loader.get('format')}' has no {tag} element that names the file")
    return element


def _views_in(reader: str, path: str) -> SourceOf:
    def source(view: ViewId) -> SourceRef:
        return SourceRef(reader, path, (("setup", view.setup), ("timepoint", view.timepoint)))

    return source
