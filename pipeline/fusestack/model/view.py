"""Views: acquired 3-D images with their place in the world; metadata only."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fusestack.model.amounts import counted, times_xyz
from fusestack.model.summary import LINES, Shown, Summary

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fusestack.model.geometry import Affine, Float3, Int3
    from fusestack.model.units import TimeStep


class ViewId(NamedTuple):
    """Name of a view; views are ordered by timepoint, then setup."""

    timepoint: int
    setup: int

    def __str__(self) -> str:
        return f"(timepoint {self.timepoint}, setup {self.setup})"


@dataclass(frozen=True)
class SourceRef:
    """Where the pixels of a view are and who reads them; picklable and hashable, opened where it is used.

    Parameters
    ----------
    reader : str
        ``"module:Class"`` of the pixel source, resolved when it is opened.
    path : str
        Absolute path or URL of the file or container; empty where there is none, for arrays of a dask graph.
    options : tuple of (str, value)
        Further arguments of the reader, such as the dataset inside the container; hashable. A `SourceRef` among them
        is a source that this one wraps.
    files : tuple of str
        Other files that the image lies in, as those of an OME-TIFF set.
    part : str
        Folder of the container that holds all of the image; what else is in the container may change.
    """

    reader: str
    path: str
    options: tuple[tuple[str, Hashable], ...] = ()
    files: tuple[str, ...] = ()
    part: str = field(default="", compare=False)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file and container that is read: its own, and those of the sources it wraps."""
        wrapped = [ref.paths for _, ref in self.options if isinstance(ref, SourceRef)]
        own = (f"{self.path}/{self.part}" if self.part else self.path,) if self.path else ()
        return tuple(dict.fromkeys((*own, *self.files, *itertools.chain.from_iterable(wrapped))))


@dataclass(frozen=True)
class SourceLevel:
    """One resolution of a source.

    Parameters
    ----------
    shape : (int, int, int)
        Pixels along z, y, x.
    factors : (float, float, float)
        Pixels of level 0 in one pixel of this level, z, y, x.
    chunks : (int, int, int)
        Smallest region that is decoded in one piece, z, y, x; for estimates of memory.
    """

    shape: Int3
    factors: tuple[float, float, float]
    chunks: Int3


@dataclass(frozen=True)
class StoredPixels:
    """What the file of a view says of its pixels, so that nobody has to open it again to plan.

    Parameters
    ----------
    dtype : str
        NumPy name.
    levels : tuple of SourceLevel
        Resolutions, full resolution first.
    """

    dtype: str
    levels: tuple[SourceLevel, ...]


@dataclass(frozen=True, repr=False)
class View(Shown):
    """One acquired 3-D image.

    Parameters
    ----------
    id : ViewId
    shape : (int, int, int) or None
        Pixels along z, y, x at full resolution; None where only the source knows.
    pixel_to_world : Affine
        Registration: pixel index to world pixels.
    source : SourceRef
    channel, illumination, angle, tile : int
        Ids of the attributes.
    name, channel_name : str
        For people.
    channel_color : str
        ``RRGGBB``; empty where nobody says one.
    voxel_size : (float, float, float) or None
        Physical size of a pixel along z, y, x in `unit`; None where the project gives none.
    unit : str or None
        As written in the project.
    no_data : float or None
        Value of pixels where nothing was recorded.
    world_origin : (float, float, float)
        Physical place of world pixel 0 along z, y, x, in `unit`; the same for all views of a project.
    world_pixel : (float, float, float) or None
        Physical size of a world pixel along z, y, x, in `unit`; None where it follows from voxel size and registration.
    pixels : StoredPixels or None
        None where only the source knows.
    time : TimeStep or None
        From one timepoint to the next, as its file says.
    """

    id: ViewId
    shape: Int3 | None
    pixel_to_world: Affine
    source: SourceRef
    channel: int = 0
    illumination: int = 0
    angle: int = 0
    tile: int = 0
    name: str = ""
    channel_name: str = ""
    channel_color: str = ""
    voxel_size: Float3 | None = None
    unit: str | None = None
    no_data: float | None = None
    world_origin: Float3 = (0.0, 0.0, 0.0)
    world_pixel: Float3 | None = None
    pixels: StoredPixels | None = None
    time: TimeStep | None = None

    def __repr__(self) -> str:
        pixels = "size unknown" if self.shape is None else f"{times_xyz(self.shape)} pixels (xyz)"
        place = f"channel {self.channel}, angle {self.angle}, illumination {self.illumination}, tile {self.tile}"
        return f"<View {self.id}: {pixels}, {place}>"

    def summary(self) -> Summary:
        """Everything but the pixels."""
        reader = self.source.reader.rpartition(":")[2]
        facts = [("name", self.name), ("source", self.source.path or "an array"), ("reader", reader)]
        if self.shape is not None:
            facts.append(("pixels", f"{times_xyz(self.shape)} (xyz)"))
        if self.voxel_size is not None:
            facts.append(("voxel", f"{times_xyz(self.voxel_size)} {self.unit or ''} (xyz)"))
        facts += [(kind, str(getattr(self, kind))) for kind in ("channel", "angle", "illumination", "tile")]
        facts.append(("channel name", self.channel_name))
        known = tuple((label, said) for label, said in facts if said)
        world = self.pixel_to_world.summary()
        return Summary(f"View {self.id}", known, ("to world", *world.head[1:]), world.rows)


class Views(Shown, tuple[View, ...]):
    """Views in their order: a tuple that fits on a screen."""

    __slots__ = ()

    def summary(self) -> Summary:
        """How many there are, and the first ones."""
        head = ("", "timepoint", "setup", "pixels (xyz)", "channel", "angle", "illumination", "tile")
        rows = []
        for number, view in enumerate(self[:LINES]):
            pixels = "" if view.shape is None else times_xyz(view.shape)
            attributes = (str(getattr(view, kind)) for kind in head[4:])
            rows.append((str(number), *map(str, view.id), pixels, *attributes))
        return Summary(counted(len(self), "view"), (), head, tuple(rows), more=max(0, len(self) - LINES))
