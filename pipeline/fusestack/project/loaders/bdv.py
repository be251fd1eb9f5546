"""Loaders of BigDataViewer's own containers."""

from __future__ import annotations

import functools
import re
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
_PLACE = re.compile(r"t(\d+)/s(\d+)")


def bdv_hdf5(loader: Element, description: Description) -> SourceOf:
    """``bdv.hdf5``; the main file links to the datasets of partition files (``Hdf5ImageLoader``).

    Where such a file has a view under its own number, it is read there, whether the project names the file or the main
    file alone does: so a view stays where it was when another main file is made.
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

    linked = functools.cache(lambda: _linked(path))

    def source_of(view: ViewId) -> SourceRef:
        part = parts.get(view) or linked().get(view)
        return part if part is not None and Path(part.path).is_file() else main(view)

    return source_of


def bdv_n5(loader: Element, description: Description) -> SourceOf:
    """``bdv.n5`` and ``bdv.n5.cloud``; both may name a folder or an address (``N5ImageLoader``)."""
    path = resolve_uri(_named(loader, "n5"), description.folder)
    whole = _views_in("fusestack.sources.bdv_n5:BdvN5Source", path)
    if is_address(path):  # of thousands of setups, each would be asked for
        return whole

    def source_of(view: ViewId) -> SourceRef:
        """Identified by its own folder and what its setup says of it: other timepoints may come."""
        setup = f"setup{view.setup}"
        beside = (f"{path}/{setup}/attributes.json",)
        return replace(whole(view), part=f"{setup}/timepoint{view.timepoint}", files=beside)

    return source_of


def _linked(path: str) -> dict[ViewId, SourceRef]:
    """Views of a main file whose levels all lie in one other file, and where; none where pixels are in the main file.

    Nothing is said of what cannot be read: whoever opens it will say.
    """
    if not Path(path).is_file():
        return {}
    import h5py

    found: dict[ViewId, SourceRef] = {}
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            for timepoint in filter(re.compile(r"t\d+").fullmatch, file):
                for setup in file[timepoint]:
                    levels = file[timepoint][setup]
                    links = [levels[level].get("cells", getlink=True) for level in levels]
                    if not all(isinstance(link, h5py.ExternalLink) for link in links):
                        return {}
                    places = {(link.filename, *link.path.strip("/").split("/")[:2]) for link in links}
                    if len(places) == 1 and (place := _PLACE.fullmatch("/".join(next(iter(places))[1:]))):
                        source = _views_in(_HDF5, str(Path(path).parent / links[0].filename))
                        view = ViewId(int(timepoint[1:]), int(setup.removeprefix("s")))
                        found[view] = source(ViewId(int(place[1]), int(place[2])))
    except (OSError, KeyError, AttributeError, RuntimeError, ValueError):
        return {}
    return found


def _named(loader: Element, tag: str) -> Element:
    element = loader.find(tag)
    if element is None:
        raise ValueError(f"the loader '{loader.get('format')}' has no {tag} element that names the file")
    return element


def _views_in(reader: str, path: str) -> SourceOf:
    def source(view: ViewId) -> SourceRef:
        return SourceRef(reader, path, (("setup", view.setup), ("timepoint", view.timepoint)))

    return source
