"""What every image loader is given, and how the paths of a project are read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

from fusestack.storage import is_address, slashed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fusestack.model.view import SourceRef, ViewId
    from fusestack.project.elements import Names
    from fusestack.project.model import Setup

SourceOf: TypeAlias = "Callable[[ViewId], SourceRef]"

_DRIVE = re.compile(r"[A-Za-z]:/")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


@dataclass(frozen=True)
class Description:
    """What a loader may need of its project besides its own element.

    Parameters
    ----------
    folder : str
        Absolute path or URL where relative paths begin.
    timepoints : tuple of int
        Ids, ascending.
    setups : mapping of int to Setup
    names : mapping
        Kind of attribute (``illumination``, ``channel``, ``tile``, ``angle``) -> id -> name.
    """

    folder: str
    timepoints: tuple[int, ...] = ()
    setups: Mapping[int, Setup] = field(default_factory=dict)
    names: Names = field(default_factory=dict)


def base_folder(base_path: Element | None, folder: str) -> str:
    """Where the relative paths of a project begin: its ``BasePath``, seen from the folder of the XML."""
    if base_path is None or not (base_path.text or "").strip():
        return folder
    return resolve_path(base_path, folder)


def resolve_path(element: Element, folder: str) -> str:
    """Absolute path or URL that an element names.

    Only ``type="relative"`` begins at `folder`, whatever the text begins with; other texts are absolute paths or
    addresses, and those that are neither begin at `folder`, too. Backslashes count as slashes; ``file:`` addresses
    become paths.

    Raises
    ------
    ValueError
        If the text is empty.

    Notes
    -----
    spimdata's ``XmlHelpers.loadPath``.
    """
    text = (element.text or "").strip().replace("\\", "/")
    if not text:
        raise ValueError(f"{element.tag} names no path")
    if element.get("type") == "relative":
        return join(folder, text.lstrip("/"))
    if _DRIVE.match(text):
        return text
    scheme = _SCHEME.match(text)
    if scheme is None:
        return join(folder, text)
    if scheme[1].lower() != "file":
        return text
    local = unquote(urlsplit(text).path)
    return local[1:] if _DRIVE.match(local[1:]) else local


def resolve_uri(element: Element, folder: str) -> str:
    """Absolute path or URL that an element names as a URI, ``%20`` for a blank: the containers of N5 and Zarr.

    Raises
    ------
    ValueError
        If the text is empty.
    """
    path = Element(element.tag, element.attrib)
    path.text = unquote(element.text or "").strip().rstrip("/")
    return resolve_path(path, folder)


def join(folder: str, text: str) -> str:
    """Path below a folder or a URL; a path that is absolute stays as it is."""
    if not is_address(folder):
        return slashed(os.path.normpath(os.path.join(folder, text)))  # noqa: PTH118 - also for paths of other machines
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return "/".join([folder.rstrip("/"), *parts])
