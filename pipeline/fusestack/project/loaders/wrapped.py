"""Loaders that wrap another one: splitting into intervals, flat-field correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.geometry import Box
from fusestack.project import elements
from fusestack.project.loaders.base import Description, resolve_path
from fusestack.view import SourceRef, ViewId

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import SourceOf

    Inner = Callable[[Element, Description], SourceOf]


def split(loader: Element, description: Description, inner: Inner) -> SourceOf:
    """``split.*``: every new setup is an interval of an old one (reference 1.4)."""
    wrapped, sequence = loader.find("ImageLoader"), loader.find("SequenceDescription")
    if wrapped is None or sequence is None:
        raise ValueError(f"the loader '{loader.get('format')}' has no ImageLoader or SequenceDescription inside")
    before = _described(sequence, description.folder)
    source_of = inner(wrapped, before)
    intervals: dict[int, tuple[int, Box]] = {}
    for entry in (*loader.findall("SetupIds/SetupIdDefinition"), *loader.findall("SetupIdDefinition")):
        new, old = (elements.integer(_value(entry, key), key) for key in ("NewId", "OldId"))
        low, high = (elements.integers3(_value(entry, key), key, low=0) for key in ("min", "max"))
        box = Box.from_inclusive(low, high)
        if new in intervals:
            raise ValueError(f"setup {new} is defined twice by the loader")
        shape = before.setups[old].shape if old in before.setups else None
        if box.is_empty or (shape and any(b > n for b, n in zip(box.stop, shape, strict=True))):
            raise ValueError(f"setup {new}: its interval {low} to {high} (xyz) is not inside the old setup {old}")
        intervals[new] = old, box

    def source(view: ViewId) -> SourceRef:
        if view.setup not in intervals:
            raise ValueError(f"the loader does not say which part of an old setup setup {view.setup} is")
        old, box = intervals[view.setup]
        whole = source_of(ViewId(view.timepoint, old))
        options = (("whole", whole), ("start", box.start), ("stop", box.stop))
        return SourceRef("fusestack.sources.cropped:CroppedSource", whole.path, options)

    return source


def _described(sequence: Element, folder: str) -> Description:
    """What a nested ``SequenceDescription`` says."""
    names: elements.Names = {}
    for element in sequence.findall("ViewSetups/Attributes"):
        kind, entries = elements.attribute_names(element)
        names.setdefault(kind, {}).update(entries)
    setups = [elements.setup(element, names) for element in sequence.findall("ViewSetups/ViewSetup")]
    timepoints = sequence.find("Timepoints")
    found = () if timepoints is None else elements.timepoints(timepoints)
    return Description(folder, found, {setup.id: setup for setup in setups}, names)


def _value(entry: Element, key: str) -> str | None:
    return entry.get(key) or entry.findtext(key)


def flat_field(loader: Element, description: Description, inner: Inner) -> SourceOf:
    """``spimreconstruction.wrapped.flatfield.*``: views divided by the image of an even field (reference 1.4)."""
    wrapped = loader.find("WrappedImgLoader/ImageLoader")
    if wrapped is None:
        raise ValueError(f"the loader '{loader.get('format')}' has no WrappedImgLoader/ImageLoader inside")
    source_of = inner(wrapped, description)
    if (loader.get("Active") or "true").strip().lower() == "false":
        return source_of
    fields: dict[ViewId, dict[str, SourceRef]] = {}
    for entry in loader.findall("FlatFields/FlatField"):
        view = ViewId(
            elements.integer(_value(entry, "Timepoint"), "Timepoint of a FlatField"),
            elements.integer(_value(entry, "ViewSetup"), "ViewSetup of a FlatField"),
        )
        fields[view] = {
            name: SourceRef("fusestack.sources.tiff:TiffSource", resolve_path(element, description.folder))
            for name, tag in (("bright", "BrightImg"), ("dark", "DarkImg"))
            if (element := entry.find(tag)) is not None and (element.text or "").strip()
        }

    def source(view: ViewId) -> SourceRef:
        whole = source_of(view)
        found = fields.get(view)
        if not found:
            return whole
        options = (("image", whole), *found.items())
        return SourceRef("fusestack.sources.flat_field:FlatFieldSource", whole.path, options)

    return source
