"""Fused images added to a project that is there, of which everything else is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent

from fusestack.model.errors import OutputError
from fusestack.project import elements
from fusestack.project.append_loader import add_to_loader
from fusestack.project.appended import Appended, appended_in, mark_appended
from fusestack.project.document import read_tree, write_tree
from fusestack.project.loaders.base import base_folder
from fusestack.project.model import ATTRIBUTES
from fusestack.project.more_settings import add_to_settings, lack_setups
from fusestack.project.write import attribute_entry, missing_view, registration, view_setup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.project.settings import Shade
    from fusestack.project.write import FusedImage

_SETUPS = "SequenceDescription/ViewSetups"


@dataclass(frozen=True)
class AppendedProject:
    """Fused images that are to be added to a project.

    Parameters
    ----------
    path : str
        XML file, absolute.
    output : str
        Which output they are: another fusion of the same file or Zarr image takes its place.
    fingerprint : str
        Of the images; where it is there already, nothing is done.
    images : tuple of FusedImage
        As `numbered` has them.
    """

    path: str
    output: str
    fingerprint: str
    images: tuple[FusedImage, ...]

    @property
    def is_written(self) -> bool:
        """Whether the project has these images, and its settings, where there are some, their setups."""
        root = read_tree(self.path).getroot()
        added = next(filter(self._is, appended_in(root, _folder(root, self.path))), None)
        return added is not None and not lack_setups(self.path, _ids(root), added.setups)

    def add_to_settings(self, shades: Mapping[int, Shade]) -> None:
        """Add the images to the settings beside the project, which has them; see `more_settings.add_to_settings`.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        add_to_settings(self.path, _ids(read_tree(self.path).getroot()), shades)

    def _is(self, entry: Appended) -> bool:
        return (entry.path, entry.fingerprint) == (self.output, self.fingerprint)

    def write(self) -> None:
        """Add them in one step: until the XML is exchanged, the project is as it was.

        Pixels are there already. Earlier versions are kept as ``~1`` to ``~5``.

        Raises
        ------
        OutputError
            If the project has changed meanwhile, or cannot be written.
        """
        tree = read_tree(self.path)
        root = tree.getroot()
        folder = _folder(root, self.path)
        entries = appended_in(root, folder)
        if any(map(self._is, entries)):
            return
        replaced = _replaced(root, entries, self.output, self.fingerprint)
        old = {number for entry in replaced for number in entry.setups}
        _take_out(root, old)
        numbers = tuple(image.setup.id for image in self.images)
        if not _ids(root).isdisjoint(numbers):
            raise OutputError(f"{self.path}: has changed since this run was planned; run again")
        _add_setups(root, self.images)
        _add_views(root, self.images)
        add_to_loader(root, folder, self.images, without=old)
        kept = [entry for entry in entries if entry not in replaced]
        mark_appended(root, folder, [*kept, Appended(self.output, self.fingerprint, numbers)])
        indent(root)
        write_tree(tree, self.path)


def numbered(
    path: str, output: str, fingerprint: str, images: Sequence[FusedImage], new: Sequence[str]
) -> tuple[FusedImage, ...]:
    """Give fused images ids that a project has not yet: behind the last ones, or those that they have there already.

    Parameters
    ----------
    path : str
        Project XML.
    output, fingerprint : str
        As in `AppendedProject`.
    images : sequence of FusedImage
        Numbered from 0.
    new : sequence of str
        Attributes that get new ids, one for all images; ``tile`` alone gets one for each.

    Notes
    -----
    BigStitcher's ``AppendSpimData2HDF5``.
    """
    root = read_tree(path).getroot()
    entries = appended_in(root, _folder(root, path))
    own = next((entry for entry in entries if entry.fingerprint == fingerprint), None)
    own = own or next(iter(_replaced(root, entries, output, fingerprint)), None)
    old = () if own is None else own.setups
    others = _ids(root) - set(old)
    first = max(others, default=-1) + 1
    ids = old if len(old) == len(images) else tuple(range(first, first + len(images)))
    last = {kind: max(_attribute_ids(root, kind, others), default=-1) for kind in ATTRIBUTES}
    found = []
    for number, image in enumerate(images):
        setup = replace(image.setup, id=ids[number])
        for kind in new:
            setup = replace(setup, **{kind: last[kind] + 1 + (number if tuple(new) == ("tile",) else 0)})  # type: ignore[arg-type]
        found.append(replace(image, setup=setup))
    return tuple(found)


def _replaced(root: Element, entries: Sequence[Appended], output: str, fingerprint: str) -> list[Appended]:
    """What is replaced: another fusion of an output, the same one under another name; a container of N5 holds all."""
    loader = root.find("SequenceDescription/ImageLoader")
    if loader is not None and loader.get("format") == "bdv.n5":
        return []
    return [entry for entry in entries if output == entry.path or fingerprint == entry.fingerprint]


def _folder(root: Element, path: str) -> str:
    return base_folder(root.find("BasePath"), path.rpartition("/")[0])


def _ids(root: Element) -> set[int]:
    return {elements.integer(one.findtext("id"), "id") for one in root.findall(f"{_SETUPS}/ViewSetup")}


def _attribute_ids(root: Element, kind: str, setups: set[int]) -> set[int]:
    """Ids of an attribute that some setups use."""
    used = (
        one.findtext(f"attributes/{kind}")
        for one in root.findall(f"{_SETUPS}/ViewSetup")
        if elements.integer(one.findtext("id"), "id") in setups
    )
    return {elements.integer(text, kind) for text in used if text is not None} | {0}


def _take_out(root: Element, setups: set[int]) -> None:
    """Take setups and their views out, but not what others may have found in them."""
    if not setups:
        return
    before = {kind: _attribute_ids(root, kind, setups) for kind in ATTRIBUTES}
    parent = _part(root, _SETUPS)
    for one in parent.findall("ViewSetup"):
        if elements.integer(one.findtext("id"), "id") in setups:
            parent.remove(one)
    for path, tag in (("ViewRegistrations", "ViewRegistration"), ("SequenceDescription/MissingViews", "MissingView")):
        views = root.find(path)
        for one in [] if views is None else views.findall(tag):
            if elements.view_id(one).setup in setups:
                views.remove(one)  # type: ignore[union-attr]
    for kind, ids in before.items():
        unused = ids - _attribute_ids(root, kind, _ids(root))
        for attributes in parent.findall(f"Attributes[@name='{kind}']"):
            for entry in list(attributes):
                if (entry.findtext("id") or "").strip() in map(str, unused):
                    attributes.remove(entry)


def _add_setups(root: Element, images: Sequence[FusedImage]) -> None:
    parent = _part(root, _SETUPS)
    place = max((n for n, child in enumerate(parent) if child.tag == "ViewSetup"), default=-1) + 1
    for number, image in enumerate(images):
        parent.insert(place + number, view_setup(image.setup))
    for kind in ATTRIBUTES:
        attributes = parent.find(f"Attributes[@name='{kind}']")
        if attributes is None:
            attributes = SubElement(parent, "Attributes", name=kind)
        there = {(entry.findtext("id") or "").strip() for entry in attributes}
        for image in images:
            if str(getattr(image.setup, kind)) not in there:
                attributes.append(attribute_entry(image.setup, kind))
                there.add(str(getattr(image.setup, kind)))


def _add_views(root: Element, images: Sequence[FusedImage]) -> None:
    registrations = _part(root, "ViewRegistrations")
    missing = _part(root, "SequenceDescription/MissingViews")
    timepoints = elements.timepoints(_part(root, "SequenceDescription/Timepoints"))
    for timepoint in timepoints:
        for image in images:
            if timepoint in image.timepoints:
                registrations.append(registration(timepoint, image))
            else:
                missing.append(missing_view(timepoint, image))


def _part(root: Element, path: str) -> Element:
    """An element of the project; it is made where it is missing."""
    parent, _, tag = path.rpartition("/")
    above = root if not parent else _part(root, parent)
    found = above.find(tag)
    return SubElement(above, tag) if found is None else found
