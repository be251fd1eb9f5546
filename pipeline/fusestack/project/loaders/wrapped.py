"""Loaders around another loader: parts of its images, and images corrected by flat fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef, ViewId
from fusestack.project import elements
from fusestack.project.loaders.base import Description, resolve_path

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from xml.etree.ElementTree import Element

    from fusestack.project.loaders.base import SourceOf
    from fusestack.project.model import Setup

    Inner = Callable[[Element, Description], SourceOf]

_MOST_LOADERS = 100
_SWITCH = {
    **dict.fromkeys(("true", "on", "1", "yes"), True),
    **dict.fromkeys(("false", "off", "0", "no"), False),
}


def split(loader: Element, description: Description, inner: Inner) -> SourceOf:
    """``split.*``: every setup is a box of a setup of the project that was split, whose description it carries.

    Parameters
    ----------
    loader : Element
    description : Description
    inner : callable
        Reads the loader that is wrapped.

    Raises
    ------
    ValueError
        If a setup is not defined exactly once, or lies outside the setup it is a part of.
    """
    old = _old_description(_child(loader, "SequenceDescription"), description.folder)
    source_of = inner(_wrapped(loader), old)
    parts = _parts(loader, description.setups, old.setups)

    def source(view: ViewId) -> SourceRef:
        setup, box = parts[view.setup]
        whole = source_of(ViewId(view.timepoint, setup))
        return SourceRef(
            reader="fusestack.sources.cropped:CroppedSource",
            path=whole.path,
            options=(("whole", whole), ("start", box.start), ("stop", box.stop)),
        )

    return source


def flat_field(loader: Element, description: Description, inner: Inner) -> SourceOf:
    """``spimreconstruction.wrapped.flatfield.*``; a view without bright and dark image is left as it is."""
    source_of = inner(_wrapped(_child(loader, "WrappedImgLoader")), description)
    if not _is_active(loader):
        return source_of
    fields: dict[ViewId, tuple[tuple[str, Hashable], ...]] = {}
    for element in loader.findall("FlatFields/FlatField"):
        timepoint = elements.integer(element.get("Timepoint"), "Timepoint of a FlatField")
        view = ViewId(timepoint, elements.integer(element.get("ViewSetup"), "ViewSetup of a FlatField"))
        if view in fields:
            raise ValueError(f"view {view} has two FlatFields")
        fields[view] = tuple(
            (key, SourceRef("fusestack.sources.tiff:TiffSource", resolve_path(field, description.folder)))
            for key, tag in (("bright", "BrightImg"), ("dark", "DarkImg"))
            if (field := element.find(tag)) is not None
        )

    def source(view: ViewId) -> SourceRef:
        image, fields_of_view = source_of(view), fields.get(view)
        if not fields_of_view:
            return image
        return SourceRef(
            reader="fusestack.sources.flat_field:FlatFieldSource",
            path=image.path,
            options=(("image", image), *fields_of_view),
        )

    return source


def _child(parent: Element, tag: str) -> Element:
    child = parent.find(tag)
    if child is None:
        raise ValueError(f"{_named(parent)} has no {tag}")
    return child


def _named(element: Element) -> str:
    return f"the loader '{element.get('format')}'" if element.get("format") else f"the element {element.tag}"


def _wrapped(parent: Element) -> Element:
    """Loader inside an element, which may wrap another one again, but not without end."""
    if sum(1 for _ in parent.iter("ImageLoader")) > _MOST_LOADERS:
        raise ValueError(f"{_named(parent)} wraps more than {_MOST_LOADERS} loaders")
    return _child(parent, "ImageLoader")


def _is_active(loader: Element) -> bool:
    word = loader.get("Active", "").strip().lower()
    if word not in _SWITCH:
        raise ValueError(f"Active of {_named(loader)} must be true or false, not '{word}'")
    return _SWITCH[word]


def _old_description(sequence: Element, folder: str) -> Description:
    """Description of the project that was split."""
    names: elements.Names = {}
    for element in sequence.findall("ViewSetups/Attributes"):
        kind, entries = elements.attribute_names(element)
        names.setdefault(kind, {}).update(entries)
    found = [elements.setup(element, names)[0] for element in sequence.findall("ViewSetups/ViewSetup")]
    setups = {setup.id: setup for setup in sorted(found, key=lambda setup: setup.id)}
    if len(setups) < len(found) or not found:
        raise ValueError("the SequenceDescription inside the loader has no ViewSetup, or two of one id")
    return Description(folder, elements.timepoints(_child(sequence, "Timepoints")), setups, names)


def _parts(loader: Element, setups: Mapping[int, Setup], old: Mapping[int, Setup]) -> dict[int, tuple[int, Box]]:
    """New setup -> old setup and box in it, z, y, x."""
    parts: dict[int, tuple[int, Box]] = {}
    for element in loader.findall("SetupIds/SetupIdDefinition"):
        new = elements.integer(element.findtext("NewId"), "NewId of a SetupIdDefinition")
        if new in parts:
            raise ValueError(f"setup {new} has two SetupIdDefinitions")
        parts[new] = _part(element, f"SetupIdDefinition of setup {new}", old)
    if missing := [str(number) for number in setups if number not in parts]:
        more = " ..." if len(missing) > 10 else ""
        raise ValueError(f"there is no SetupIdDefinition of setup {', '.join(missing[:10])}{more}")
    return parts


def _part(element: Element, what: str, old: Mapping[int, Setup]) -> tuple[int, Box]:
    number = elements.integer(element.findtext("OldId"), f"OldId in the {what}")
    if number not in old:
        raise ValueError(f"OldId in the {what} is {number}, a setup that the project before the split does not have")
    low = elements.integers3(element.findtext("min"), f"min in the {what}", low=0)
    high = elements.integers3(element.findtext("max"), f"max in the {what}", low=0)
    box, shape = Box.from_inclusive(low, high), old[number].shape
    if box.is_empty:
        raise ValueError(f"min {low} lies above max {high} (x, y, z) in the {what}")
    if shape is not None and box.intersect(Box.of_shape(shape)) != box:
        size = " x ".join(str(n) for n in reversed(shape))
        raise ValueError(f"{low} to {high} (x, y, z) in the {what} reaches beyond the {size} pixels of setup {number}")
    return number, box
