"""Loaders of projects whose views are files of images: by list, and by pattern."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.view import SourceRef, ViewId
from fusestack.project.elements import integer
from fusestack.project.loaders.base import join, resolve_path
from fusestack.project.readers import READERS, reader_of
from fusestack.storage import is_address

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import Description, SourceOf

_ONE, _FILE_PER, _IN_FILE = range(3)
_LAYOUTS = {"Timepoints": "t", "Channels": "c", "Illuminations": "i", "Angles": "a", "Tiles": "x"}
_PLACEHOLDER = re.compile(r"\{(t+|c+|i+|a+|x+)\}")


def file_map(loader: Element, description: Description) -> SourceOf:
    """``spimreconstruction.filemap2`` and ``filelist``: a file, a series and a channel for each view.

    The timepoint is the index along t where some file serves several timepoints, else 0. With ``ZGrouped``, the files
    beside the named one hold the other z planes.
    """
    grouped = (loader.findtext("ZGrouped") or "").strip().lower() == "true"
    places: dict[ViewId, tuple[str, int, int]] = {}
    timepoints: dict[str, set[int]] = {}
    for entry in loader.findall("files/FileMapping"):
        view = ViewId(
            integer(entry.get("timepoint"), "timepoint of a FileMapping"),
            integer(entry.get("view_setup"), "view_setup of a FileMapping"),
        )
        element = entry.find("file")
        if element is None:
            raise ValueError(f"the FileMapping of view {view} names no file")
        path = resolve_path(element, description.folder)
        series, channel = (integer(entry.get(key, "0"), f"{key} of a FileMapping") for key in ("series", "channel"))
        places[view] = (path, series, channel)
        timepoints.setdefault(path, set()).add(view.timepoint)
    shared = any(len(found) > 1 for found in timepoints.values())

    def source(view: ViewId) -> SourceRef:
        if view not in places:
            raise ValueError("the loader has no FileMapping for it")
        path, series, channel = places[view]
        image = _image(path, series, channel, view.timepoint if shared else 0)
        if not grouped:
            return image
        if image.reader != READERS[".tif"]:
            raise ValueError(f"the z planes of '{path}' are separate files (ZGrouped), which is read of TIFF only")
        return replace(image, reader="fusestack.sources.plane_files:PlaneFilesSource")

    return source


def file_pattern(loader: Element, description: Description) -> SourceOf:
    """``spimreconstruction.stack.ij`` and ``.loci``: names of files made of names of entities.

    Pixels have the type of the file; BigStitcher's ``.ij`` turns them into 16 bit.
    """
    folder_element = loader.find("imagedirectory")
    folder = description.folder if folder_element is None else resolve_path(folder_element, description.folder)
    named = (loader.findtext("filePattern") or "").replace("\\", "/")  # of Windows
    patterns = [text.strip() for text in named.split(";") if text.strip()]
    if not patterns:
        raise ValueError("the loader names no filePattern")
    layouts = {
        letter: integer(loader.findtext(f"layout{what}") or "0", f"layout{what}") for what, letter in _LAYOUTS.items()
    }
    if any(layouts[letter] == _IN_FILE for letter in "iax"):
        raise ValueError("several angles, illuminations or tiles in one file are not read by pattern")
    channels = sorted({setup.channel for setup in description.setups.values()})

    def source(view: ViewId) -> SourceRef:
        setup = description.setups[view.setup]
        ids = {"c": setup.channel, "i": setup.illumination, "a": setup.angle, "x": setup.tile}
        kinds = {"c": "channel", "i": "illumination", "a": "angle", "x": "tile"}
        known = {letter: description.names.get(kind, {}) for letter, kind in kinds.items()}
        names = {letter: known[letter].get(number, str(number)) for letter, number in ids.items()}
        names["t"] = str(view.timepoint)
        paths = [join(folder, _fill_in(pattern, names)) for pattern in patterns]
        channel = channels.index(setup.channel) if layouts["c"] == _IN_FILE else 0
        timepoint = description.timepoints.index(view.timepoint) if layouts["t"] == _IN_FILE else 0
        return _image(_first_existing(paths), 0, channel, timepoint)

    return source


def _fill_in(pattern: str, names: dict[str, str]) -> str:
    """Replace ``{tt}`` by the name of the timepoint, filled up with zeros to two digits, and so on."""
    return _PLACEHOLDER.sub(lambda found: names[found[1][0]].zfill(len(found[1])), pattern)


def _first_existing(paths: list[str]) -> str:
    return next((path for path in paths if not is_address(path) and Path(path).exists()), paths[0])


def _image(path: str, series: int, channel: int, timepoint: int) -> SourceRef:
    return SourceRef(reader_of(path), path, (("series", series), ("channel", channel), ("timepoint", timepoint)))
