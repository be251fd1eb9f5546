"""What fusestack has added to a project, as the project says it: which setups, from where, of which fusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import SubElement

from fusestack.project.loaders.base import join
from fusestack.storage import relative

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

_MARK = "FusestackImages"


@dataclass(frozen=True)
class Appended:
    """Setups that were added to a project at once.

    Parameters
    ----------
    path : str
        ``output.path`` of the run, absolute.
    fingerprint : str
        Of its images.
    setups : tuple of int
    """

    path: str
    fingerprint: str
    setups: tuple[int, ...]


def appended_in(root: Element, folder: str) -> tuple[Appended, ...]:
    """What was added to a project; setups that were taken out again do not count.

    Parameters
    ----------
    root : Element
        Of the project.
    folder : str
        Where its relative paths begin.
    """
    there = {(one.findtext("id") or "").strip() for one in root.findall("SequenceDescription/ViewSetups/ViewSetup")}
    found = []
    for element in root.findall(f"{_MARK}/Image"):
        setups = (element.get("setups") or "").split()
        if setups and set(setups) <= there and all(setup.isdecimal() for setup in setups):
            path = join(folder, element.get("path", ""))
            found.append(Appended(path, element.get("fingerprint", ""), tuple(map(int, setups))))
    return tuple(found)


def mark_appended(root: Element, folder: str, entries: Sequence[Appended]) -> None:
    """Say what was added, in an element of our own, which BigStitcher keeps as it is."""
    for element in root.findall(_MARK):
        root.remove(element)
    marks = SubElement(root, _MARK)
    for entry in entries:
        path = relative(entry.path, folder)
        setups = " ".join(map(str, entry.setups))
        SubElement(marks, "Image", path=path, fingerprint=entry.fingerprint, setups=setups)
