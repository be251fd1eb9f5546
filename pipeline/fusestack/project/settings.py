"""Colours and contrast of a project: ``<name>.settings.xml`` beside it, which BigDataViewer opens with it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Comment, Element, ElementTree, SubElement, indent

from fusestack.model.errors import InputError, OutputError
from fusestack.project.document import bytes_of, read_tree
from fusestack.storage import identity_of
from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_GROUPS = 10
"""Groups of sources that BigDataViewer has; it reads no settings with another number."""
_IDENTITY = "1.0 0.0 0.0 0.0 0.0 1.0 0.0 0.0 0.0 0.0 1.0 0.0"
_SUM = re.compile(rb"<!-- fusestack ([0-9a-f]{64}), if nobody changed it -->")
_BLANK_SUM = b"0" * 64


@dataclass(frozen=True)
class Shade:
    """How a setup is shown.

    Parameters
    ----------
    channel : int
        Setups of one channel have one pair of sliders.
    color : str
        ``RRGGBB``.
    low, high : float
        Grey values that become black and the full colour.
    limits : (float, float)
        Range of the sliders.
    """

    channel: int
    color: str
    low: float
    high: float
    limits: tuple[float, float]


def settings_of(path: str) -> str:
    """Settings that BigDataViewer looks for beside a project."""
    return f"{path.removesuffix('.xml')}.settings.xml"


def write_settings(path: str, shades: Mapping[int, Shade]) -> None:
    """Write the settings of a project in one step, unless there are some that are not ours to the byte.

    Parameters
    ----------
    path : str
        XML file of the project.
    shades : mapping of int to Shade
        By the id of the setup; all of the project.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Notes
    -----
    As BigDataViewer's ``XmlIoViewerState``, ``SetupAssignments`` and ``XmlIoTransformedSources`` read them. Numbers of
    integer pixels are integers: earlier versions know no others.
    """
    target = Path(settings_of(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    content = _summed(bytes_of(_tree(shades)))
    try:
        try:
            temporary.write_bytes(content)
            if target.exists() and is_ours(target.read_bytes()):
                take_place(temporary, target)
                return
            _put(target, temporary, content)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error}); free some space") from error


def _put(target: Path, temporary: Path, content: bytes) -> None:
    """Never over what somebody has put there meanwhile; whole at once, where the disk has hard links."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        with target.open("xb") as file:
            file.write(content)


def has_settings(path: str) -> bool:
    """Whether there are settings beside a project on a disk."""
    return Path(settings_of(path)).is_file()


def may_write_settings(path: str) -> bool:
    """Whether there are no settings of a project, or such that nobody has changed since they were written here."""
    target = Path(settings_of(path))
    return not target.exists() or (target.is_file() and is_ours(target.read_bytes()))


def colors_in(path: str) -> dict[int, str]:
    """Colours ``RRGGBB`` of setups in the settings beside a project; none where there are no settings.

    White setups alone are as nobody coloured them.

    Parameters
    ----------
    path : str
        XML file of the project, or its address.

    Raises
    ------
    InputError
        If there are settings that cannot be read.
    """
    file = settings_of(path)
    if not path.endswith(".xml") or identity_of(file) is None:
        return {}
    found = {}
    for one in read_tree(file).getroot().iterfind("SetupAssignments/ConverterSetups/ConverterSetup"):
        try:
            number, argb = int(one.findtext("id") or ""), int(one.findtext("color") or "")
        except ValueError:
            raise InputError(
                f"{file}: the id or the color of a ConverterSetup is no integer; delete the file"
            ) from None
        found[number] = f"{argb & 0xFFFFFF:06X}"
    return found if set(found.values()) - {"FFFFFF"} else {}


def colors_of_channels(colors: Mapping[int, str], channels: Iterable[tuple[int, int]]) -> dict[int, str]:
    """Colours of channels whose setups all have the same: others tell tiles or angles apart.

    Parameters
    ----------
    colors : mapping of int to str
        By setup.
    channels : iterable of (int, int)
        Setups and the channel of each.
    """
    found: dict[int, set[str]] = {}
    for setup, channel in channels:
        found.setdefault(channel, set()).add(colors.get(setup, ""))
    return {channel: next(iter(some)) for channel, some in found.items() if len(some) == 1 and some != {""}}


def _tree(shades: Mapping[int, Shade]) -> ElementTree[Element]:
    root = Element("Settings")
    root.append(Comment(f" fusestack {_BLANK_SUM.decode()}, if nobody changed it "))
    root.append(_viewer_state(len(shades)))
    assignments = SubElement(root, "SetupAssignments")
    ordered = sorted(shades.items())
    sliders = {shade.channel: shade for _, shade in reversed(ordered)}
    groups = {channel: number for number, channel in enumerate(sorted(sliders))}
    setups = SubElement(assignments, "ConverterSetups")
    setups.extend(converter(number, shade, sliders[shade.channel], groups[shade.channel]) for number, shade in ordered)
    minima = SubElement(assignments, "MinMaxGroups")
    minima.extend(slider(number, sliders[channel]) for channel, number in groups.items())
    SubElement(root, "ManualSourceTransforms").extend(unmoved() for _ in shades)
    SubElement(root, "Bookmarks")
    indent(root)
    return ElementTree(root)


def converter(setup: int, shade: Shade, sliders: Shade, group: int) -> Element:
    """How a setup is shown, with the contrast of the sliders that it shares; a new element."""
    argb = int(shade.color, 16) - 2**24  # a Java int, opaque
    facts = {"id": setup, "min": _number(sliders.low), "max": _number(sliders.high), "color": argb}
    return _filled(Element("ConverterSetup"), **facts, groupId=group)


def slider(number: int, shade: Shade) -> Element:
    """A pair of sliders; a new element."""
    low, high = map(_number, shade.limits)
    ranges = {"fullRangeMin": low, "fullRangeMax": high, "rangeMin": low, "rangeMax": high}
    current = {"currentMin": _number(shade.low), "currentMax": _number(shade.high)}
    return _filled(Element("MinMaxGroup"), id=number, **ranges, **current)


def seen() -> Element:
    """A source that is seen; a new element."""
    return _filled(Element("Source"), active="true")


def unmoved() -> Element:
    """A source that nobody has moved; a new element."""
    return _filled(Element("SourceTransform", type="affine"), affine=_IDENTITY)


def _viewer_state(count: int) -> Element:
    """All sources are seen, together where there are several."""
    state = Element("ViewerState")
    SubElement(state, "Sources").extend(seen() for _ in range(count))
    groups = SubElement(state, "SourceGroups")
    for number in range(_GROUPS):
        group = SubElement(groups, "SourceGroup")
        _filled(group, active="true", name=f"group {number + 1}")
        if number < count:
            _filled(group, id=number)
    mode = "fs" if count > 1 else "ss"
    current = {"CurrentSource": 0, "CurrentGroup": 0, "CurrentTimePoint": 0}
    return _filled(state, DisplayMode=mode, Interpolation="nearestneighbor", **current)


def _filled(parent: Element, **texts: object) -> Element:
    for tag, text in texts.items():
        SubElement(parent, tag).text = str(text)
    return parent


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def summed_anew(content: bytes) -> bytes:
    """Content that has a sum of something else, with one of itself."""
    return _summed(_SUM.sub(b"<!-- fusestack " + _BLANK_SUM + b", if nobody changed it -->", content, count=1))


def _summed(content: bytes) -> bytes:
    """Content with a sum of itself, which tells whether somebody has changed it."""
    return content.replace(_BLANK_SUM, hashlib.sha256(content).hexdigest().encode(), 1)


def is_ours(content: bytes) -> bool:
    """Whether nobody has changed settings since they were written here."""
    found = _SUM.search(content)
    return found is not None and _summed(content.replace(found[1], _BLANK_SUM, 1)) == content
