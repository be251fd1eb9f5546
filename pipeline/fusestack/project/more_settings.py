"""Settings of a project to which setups were added: BigDataViewer reads none with another number of setups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ElementTree, indent

from fusestack.model.errors import InputError
from fusestack.project.document import bytes_of, read_tree, write_document
from fusestack.project.settings import converter, is_ours, seen, settings_of, slider, summed_anew, unmoved
from fusestack.storage import identity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fusestack.project.settings import Shade


def lack_setups(path: str, setups: Collection[int], new: Collection[int]) -> bool:
    """Whether there are settings beside a project that have all of its setups, but for those that were added.

    Parameters
    ----------
    path : str
        XML file of the project.
    setups : collection of int
        All that it has.
    new : collection of int
        Those that were added.
    """
    found = _settings(path)
    if found is None:
        return False
    there = set(found.converters)
    return set(setups) - set(new) <= there and not set(new) <= there


def add_to_settings(path: str, setups: Collection[int], shades: Mapping[int, Shade]) -> None:
    """Add setups to the settings beside a project, and take out those that it has no longer; all else stays.

    Where there are none, none are made. What somebody has chosen for a setup that is replaced stays, too. The earlier
    version is kept as ``~1``.

    Parameters
    ----------
    path : str
        XML file of the project.
    setups : collection of int
        All that it has.
    shades : mapping of int to Shade
        Of those that were added.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Notes
    -----
    As BigDataViewer's ``ViewerState``: sources and their transforms have no ids, they are in the order of the setups.
    """
    found = _settings(path)
    if found is None or not set(setups) - set(shades) <= set(found.converters):
        return
    file = settings_of(path)
    ours = is_ours(Path(file).read_bytes())
    found.set_out(setups, shades, replaced=set(shades) if ours else set())
    content = bytes_of(found.tree)
    write_document(summed_anew(content) if ours else content, file)


class _Settings:
    """Parts of settings that BigDataViewer reads."""

    def __init__(self, tree: ElementTree[Element]) -> None:
        self.tree = tree
        converters = self._part("SetupAssignments/ConverterSetups").findall("ConverterSetup")
        self.converters = {int(_text(one, "id")): one for one in converters}
        sliders = self._part("SetupAssignments/MinMaxGroups").findall("MinMaxGroup")
        self.sliders = {int(_text(one, "id")): one for one in sliders}
        self.sources = self._part("ViewerState/Sources").findall("Source")
        self.transforms = self._part("ManualSourceTransforms").findall("SourceTransform")
        counts = {len(part) for part in (converters, self.converters, self.sources, self.transforms)}
        groups = {int(_text(one, "groupId")) for one in converters}
        places = {int(one.text or "") for one in self._places()}
        if len(counts) > 1 or not groups <= set(self.sliders) or not places <= set(range(len(converters))):
            raise ValueError("BigDataViewer does not read them")

    def set_out(self, setups: Collection[int], shades: Mapping[int, Shade], replaced: Collection[int]) -> None:
        """Arrange everything for other setups."""
        before, wanted = sorted(self.converters), sorted(setups)
        sources = dict(zip(before, self.sources, strict=True))
        transforms = dict(zip(before, self.transforms, strict=True))
        self._put("ViewerState/Sources", [sources[one] if one in sources else seen() for one in wanted])
        self._put("ManualSourceTransforms", [transforms[one] if one in transforms else unmoved() for one in wanted])
        self._renumber([wanted.index(one) if one in wanted else None for one in before])
        new = {one: shade for one, shade in shades.items() if one not in before or one in replaced}
        self._put_contrast(wanted, new)
        indent(self.tree)

    def _put_contrast(self, wanted: list[int], new: Mapping[int, Shade]) -> None:
        """New setups have sliders of their own, one pair a channel; sliders without setups go."""
        kept = {one: int(_text(self.converters[one], "groupId")) for one in wanted if one not in new}
        used = {old: number for number, old in enumerate(one for one in self.sliders if one in kept.values())}
        channels = {shade.channel: shade for _, shade in sorted(new.items(), reverse=True)}
        own = {channel: len(used) + number for number, channel in enumerate(sorted(channels))}
        for one, group in kept.items():
            _set(self.converters[one], "groupId", used[group])
        for old, number in used.items():
            _set(self.sliders[old], "id", number)
        self._put("SetupAssignments/ConverterSetups", [
            converter(one, new[one], channels[new[one].channel], own[new[one].channel])
            if one in new
            else self.converters[one]
            for one in wanted
        ])  # fmt: skip
        added = [slider(number, channels[channel]) for channel, number in own.items()]
        self._put("SetupAssignments/MinMaxGroups", [self.sliders[old] for old in used] + added)

    def _renumber(self, places: list[int | None]) -> None:
        """Groups of sources, and which one is looked at, name them by their place."""
        for group in self._part("ViewerState").iterfind("SourceGroups/SourceGroup"):
            for one in group.findall("id"):
                if places[int(one.text or "")] is None:
                    group.remove(one)
        for one in self._places():
            one.text = str(places[int(one.text or "")] or 0)

    def _places(self) -> list[Element]:
        """Elements that name a source by its place."""
        state = self._part("ViewerState")
        return [*state.iterfind("SourceGroups/SourceGroup/id"), *state.iterfind("CurrentSource")]

    def _part(self, path: str) -> Element:
        found = self.tree.getroot().find(path)
        if found is None:
            raise ValueError(f"no {path}")
        return found

    def _put(self, path: str, elements: list[Element]) -> None:
        self._part(path)[:] = elements


def _settings(path: str) -> _Settings | None:
    """Settings beside a project; None where there are none, or none that BigDataViewer reads."""
    file = settings_of(path)
    if not path.endswith(".xml") or identity_of(file) is None:
        return None
    try:
        return _Settings(read_tree(file))
    except (InputError, ValueError, LookupError):  # said where the project is opened
        return None


def _text(element: Element, tag: str) -> str:
    return element.findtext(tag) or ""


def _set(element: Element, tag: str, value: int) -> None:
    found = element.find(tag)
    if found is not None:
        found.text = str(value)
