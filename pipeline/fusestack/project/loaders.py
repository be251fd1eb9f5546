"""Image loaders: which pixel source reads the views of a project; a new format is one function and one row here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from fusestack.view import SourceRef, ViewId

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

SourceOf: TypeAlias = "Callable[[ViewId], SourceRef]"

_LATER = "is not supported yet (it comes in a later version)"
_VENDOR = "is the format of one microscope or server and is not read"

_DRIVE = re.compile(r"[A-Za-z]:/")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def sources_of(loader: Element, folder: Path) -> SourceOf:
    """Pixel source of every view of an ``ImageLoader`` element.

    Does not look whether the files exist: that is known when a source is opened.

    Parameters
    ----------
    loader : Element
    folder : Path
        Where relative paths begin.

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
    return _READERS[name](loader, folder)


def base_folder(base_path: Element | None, folder: Path) -> Path:
    """Where the relative paths of a project begin: its ``BasePath``, seen from the folder of the XML."""
    if base_path is None or not (base_path.text or "").strip():
        return folder
    return resolve_path(base_path, folder)


def resolve_path(element: Element, folder: Path) -> Path:
    """Absolute path that an element names.

    Only ``type="relative"`` begins at `folder`, whatever the text begins with; other texts are absolute paths or
    ``file:`` addresses, and those that are neither begin at `folder`, too. Backslashes count as slashes.

    Raises
    ------
    ValueError
        If the text is empty or a remote address.

    Notes
    -----
    BigStitcher reference, section 1.1 (paths).
    """
    text = (element.text or "").strip().replace("\\", "/")
    if not text:
        raise ValueError(f"{element.tag} names no path")
    if element.get("type") == "relative":
        return folder / text.lstrip("/")
    if _DRIVE.match(text):
        return Path(text)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return folder / text
    if scheme[1].lower() != "file":
        raise ValueError(f"{element.tag} '{text}' is a remote address, which {_LATER}")
    local = unquote(urlsplit(text).path)
    return Path(local[1:] if _DRIVE.match(local[1:]) else local)


def _bdv_hdf5(loader: Element, folder: Path) -> SourceOf:
    # Partition files need no look: the main file links to their datasets (reference 1.4).
    element = loader.find("hdf5")
    if element is None:
        raise ValueError("the loader 'bdv.hdf5' has no hdf5 element that names the file")
    path = str(resolve_path(element, folder))

    def source(view: ViewId) -> SourceRef:
        return SourceRef(
            reader="fusestack.sources.bdv_hdf5:BdvHdf5Source",
            path=path,
            options=(("setup", view.setup), ("timepoint", view.timepoint)),
        )

    return source


_READERS: dict[str, Callable[[Element, Path], SourceOf]] = {"bdv.hdf5": _bdv_hdf5}

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
            "split.viewerimgloader",
            "split.imgloader",
            "split.multiresolutionimgloader",
            "spimreconstruction.wrapped.flatfield.default",
            "spimreconstruction.wrapped.flatfield.multiresolution",
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
