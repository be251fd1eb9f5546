"""Which views make one fused image, and where it stands in t and c.

Rules and titles are those of BigStitcher ("Produce one fused image for", `FusionGUI.splittingTypes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.model.image import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from fusestack.model.view import View

_COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


@dataclass(frozen=True)
class Group:
    """Views that are fused into one 3-D image, ordered by view id."""

    title: str
    views: tuple[View, ...]

    @property
    def timepoint(self) -> int:
        """Timepoint of the first view."""
        return self.views[0].id.timepoint


_RULES: dict[str, tuple[Callable[[View], Hashable], Callable[[View], str]]] = {
    "timepoint_channel": (
        lambda v: (v.id.timepoint, v.channel),
        lambda v: f"fused_tp_{v.id.timepoint}_ch_{v.channel}",
    ),
    "timepoint_channel_illumination": (
        lambda v: (v.id.timepoint, v.channel, v.illumination),
        lambda v: f"fused_tp_{v.id.timepoint}_ch_{v.channel}_illum_{v.illumination}",
    ),
    "all": (lambda _: (), lambda _: "fused"),
    "view": (lambda v: v.id, lambda v: f"fused_tp_{v.id.timepoint}_vs_{v.id.setup}"),
}


def group_views(views: Sequence[View], group_by: str) -> tuple[Group, ...]:
    """Group views by a rule of the configuration; groups are ordered by their smallest view id."""
    key_of, title_of = _RULES[group_by]
    members: dict[Hashable, list[View]] = {}
    for view in sorted(views, key=lambda v: v.id):
        members.setdefault(key_of(view), []).append(view)
    return tuple(Group(title_of(group[0]), tuple(group)) for group in members.values())


def channel_color(number: int) -> str:
    """Colour ``RRGGBB`` of one of several channels."""
    return _COLORS[number % len(_COLORS)]


def channels_of(views: Sequence[View]) -> tuple[Channel, ...]:
    """Channels of views, by their ids, with the first name and colour that a view has for each."""
    names = {view.channel: view.channel_name or f"channel {view.channel}" for view in views}
    colors = {view.channel: view.channel_color for view in reversed(views) if view.channel_color}
    if len(names) == 1:
        return tuple(Channel(i, name, colors.get(i, "FFFFFF")) for i, name in names.items())
    return tuple(Channel(i, names[i], colors.get(i) or channel_color(n)) for n, i in enumerate(sorted(names)))


def channel_of(group: Group, views: Sequence[View]) -> Channel:
    """The one channel of an image of a group, in the colour that it has among all views; of several the first."""
    mixed = len({view.channel for view in group.views}) > 1
    found = channels_of(group.views if mixed else views)
    return next(channel for channel in found if mixed or channel.id == group.views[0].channel)
