"""Loader of BigStitcher's OME-Zarr projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.model.view import SourceRef, ViewId
from fusestack.project.elements import integer
from fusestack.project.loaders.base import join, resolve_uri

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import Description, SourceOf


def multimg_zarr(loader: Element, description: Description) -> SourceOf:
    """``bdv.multimg.zarr``, versions 1.0 to 3.0: every view is an image in a container."""
    element = loader.find("zarr")
    if element is None:
        raise ValueError("the loader 'bdv.multimg.zarr' has no zarr element that names the container")
    bucket = (loader.findtext("s3bucket") or "").strip()
    if bucket:
        container = join(f"s3://{bucket}", (element.text or "").strip().replace("\\", "/"))
    else:
        container = resolve_uri(element, description.folder)
    sources: dict[ViewId, SourceRef] = {}
    for group in loader.findall("zgroups/zgroup"):
        view = ViewId(
            integer(group.get("tp", group.get("timepoint")), "tp of a zgroup"),
            integer(group.get("setup"), "setup of a zgroup"),
        )
        name = (group.findtext("path") or group.get("path") or "").strip().replace("\\", "/").strip("/")
        channel, timepoint = _indices(group.get("indicies", ""), view)
        options = (("timepoint", timepoint), ("channel", channel), ("numbered", True))
        path = join(container, name) if name else container
        sources[view] = SourceRef("fusestack.sources.ome_zarr:OmeZarrSource", path, options)

    def source(view: ViewId) -> SourceRef:
        if view not in sources:
            raise ValueError("the loader 'bdv.multimg.zarr' has no zgroup for it")
        return sources[view]

    return source


def _indices(text: str, view: ViewId) -> tuple[int, int]:
    """Index along channels and along time; images with neither have 0."""
    words = text.strip("[] ").replace(",", " ").split()
    if not all(word.isdecimal() for word in words) or len(words) > 2:
        raise ValueError(f"the indicies of view {view} are '{text}', not the index of a channel and of a timepoint")
    channel, timepoint = (*(int(word) for word in words), 0, 0)[:2]
    return channel, timepoint
