"""Projects: the views of an acquisition, what is known of them, and which of them do not exist."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.amounts import counted, span_xyz, times_xyz
from fusestack.model.summary import Shown, Summary
from fusestack.model.view import View, ViewId, Views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.model.geometry import Affine, Box, Float3, Int3
    from fusestack.model.view import SourceRef

ATTRIBUTES = ("illumination", "channel", "tile", "angle")
"""Kinds of attributes that a setup has, in the order of project files."""


@dataclass(frozen=True)
class Setup:
    """What the views of one setup have in common at all timepoints.

    Parameters
    ----------
    id : int
    name : str
        For people.
    shape : (int, int, int) or None
        Pixels along z, y, x at full resolution; None where the project does not say.
    voxel_size : (float, float, float) or None
        Physical size of a pixel along z, y, x in `unit`.
    unit : str or None
        As written in the project.
    channel, illumination, angle, tile : int
        Ids of the attributes.
    channel_name : str
        For people.
    channel_color : str
        ``RRGGBB``; empty where nobody says one.
    """

    id: int
    name: str = ""
    shape: Int3 | None = None
    voxel_size: Float3 | None = None
    unit: str | None = None
    channel: int = 0
    illumination: int = 0
    angle: int = 0
    tile: int = 0
    channel_name: str = ""
    channel_color: str = ""

    def view(self, timepoint: int, pixel_to_world: Affine, source: SourceRef) -> View:
        """View of this setup at a timepoint."""
        return View(
            id=ViewId(timepoint, self.id),
            shape=self.shape,
            pixel_to_world=pixel_to_world,
            source=source,
            channel=self.channel,
            illumination=self.illumination,
            angle=self.angle,
            tile=self.tile,
            name=self.name,
            channel_name=self.channel_name,
            channel_color=self.channel_color,
            voxel_size=self.voxel_size,
            unit=self.unit,
        )


@dataclass(frozen=True, repr=False)
class Project(Shown):
    """An acquisition before any pixel is read.

    Every pair of a timepoint and a setup is in exactly one of `views`, `missing`, `unregistered` and `flaws`;
    only a project of placed files may leave pairs out.

    Parameters
    ----------
    path : str
        Absolute path of the project XML, or of the folder that placed files are relative to.
    loader : str
        ``format`` of the image loader such as ``bdv.hdf5``; ``files`` for placed files.
    views : tuple of View
        Views that exist and have a registration, ordered by timepoint, then setup.
    timepoints : tuple of int
        Ids, ascending.
    setups : mapping of int to Setup
        Ascending.
    missing : frozenset of ViewId
        Views that were never acquired.
    unregistered : frozenset of ViewId
        Views that exist but have no ``ViewRegistration``: their place is unknown, so they cannot be fused.
    flaws : mapping of ViewId to str
        Views that cannot be used because of what the file says of them, and what that is, with the way out.
    bounding_boxes : mapping of str to Box
        Named boxes in world pixels, z, y, x, in the order of the file.
    intensity : mapping of ViewId to (float, float)
        Linear models of the intensity, ``I' = a * I + b``; views without one are not in it.
    flawed_boxes : mapping of str to str
        Named boxes that cannot be used, and why.
    flawed_intensity : mapping of ViewId to str
        Views whose model cannot be used, and why.
    appended : mapping of int to str
        Setups that a fusion has added, and the output that they are.
    said : tuple of str
        What is beside it and cannot be used.
    """

    path: str
    loader: str
    views: tuple[View, ...]
    timepoints: tuple[int, ...]
    setups: Mapping[int, Setup]
    missing: frozenset[ViewId] = frozenset()
    unregistered: frozenset[ViewId] = frozenset()
    flaws: Mapping[ViewId, str] = field(default_factory=dict)
    bounding_boxes: Mapping[str, Box] = field(default_factory=dict)
    intensity: Mapping[ViewId, tuple[float, float]] = field(default_factory=dict)
    flawed_boxes: Mapping[str, str] = field(default_factory=dict)
    flawed_intensity: Mapping[ViewId, str] = field(default_factory=dict)
    appended: Mapping[int, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", Views(self.views))

    def summary(self) -> Summary:
        """Number and kinds of views, their sizes, named boxes."""
        kinds = [(len(self.timepoints), "timepoint")]
        kinds += [
            (len({getattr(setup, kind) for setup in self.setups.values()}), kind)
            for kind in ("channel", "angle", "illumination", "tile")
        ]
        facts = [("loader", self.loader), ("views", f"{len(self.views):,}")]
        facts += [("", " x ".join(counted(*kind) for kind in kinds))]
        lost = [(len(self.missing), "never acquired"), (len(self.unregistered), "without registration")]
        lost.append((len(self.flaws), "that cannot be used"))
        facts += [("", f"{counted(count, 'view')} {why}") for count, why in lost if count]
        shapes = Counter(f"{times_xyz(setup.shape)} (xyz)" for setup in self.setups.values() if setup.shape)
        facts += _commonest("pixels", shapes)
        sizes = ((setup.voxel_size, setup.unit or "") for setup in self.setups.values())
        facts += _commonest("voxel", Counter(f"{times_xyz(size)} {unit} (xyz)" for size, unit in sizes if size))
        if self.intensity:
            facts.append(("intensity", f"models of {counted(len(self.intensity), 'view')}"))
        boxes = tuple((name, span_xyz(box), times_xyz(box.shape)) for name, box in self.bounding_boxes.items())
        head = ("box", "world pixels", "pixels (xyz)")
        return Summary(f"Project {self.path}", tuple(facts), head, boxes)


def _commonest(label: str, found: Counter[str]) -> list[tuple[str, str]]:
    """What most setups have, and how many others there are."""
    if not found:
        return []
    (first, count), others = found.most_common(1)[0], len(found) - 1
    return [(label, f"{first} in {counted(count, 'setup')}, {counted(others, 'other')}" if others else first)]


def check_registration(pixel_to_world: Affine) -> None:
    """Make sure that a view has one place and one place only.

    Raises
    ------
    ValueError
        If the affine is singular, NaN or infinite.
    """
    if not pixel_to_world.is_finite:
        raise ValueError("its registration has numbers that are NaN or infinite")
    with np.errstate(all="ignore"):
        flat = pixel_to_world.is_singular
    if flat:
        raise ValueError("its registration is singular: it flattens the image onto a plane, a line or a point")
