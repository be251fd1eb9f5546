"""What a stack is before any pixel of it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.focus.prepared import PlacedSlices, TonedSlices
    from fusestack.focus.slices import ArraySlices, PictureSlices, VolumeSlices
    from fusestack.model.image import Channel
    from fusestack.model.units import TimeStep


@dataclass(frozen=True)
class StackInput:
    """A stack before any pixel is read.

    Parameters
    ----------
    title : str
        For names of files where there are several.
    source : str
        For people.
    shape : tuple of int
        t, c, k, y, x.
    dtype : str
    slices : PictureSlices, VolumeSlices, ArraySlices, PlacedSlices or TonedSlices
    read : mapping
        Identities of the files, by path.
    photographs : bool
        Whether channels are the colours of photographs.
    colours : str
        Of photographs: ``L``, ``RGB``, with ``A`` for opacity.
    channels : tuple of Channel
        Of volumes.
    depth_chunk : int
        Slices that are decoded together.
    direct : bool
        Whether slices need not be stored again.
    plane_size, plane_origin : (float, float)
        Physical size and place of the first pixel along y and x of the slices.
    step, first : float
        Physical distance of the slices, place of the first one.
    unit : str or None
    timepoints : tuple of int
    time : TimeStep or None
        From one timepoint to the next.
    fused : bool
        Whether it is made by other stages of the plan.
    no_data : float or None
        Value of the pixels that no view covers.
    files : tuple of str
        Of photographs: where each slice lies, front first.
    notes : mapping
        EXIF and colour profile.
    found : tuple of str
        What was taken from where: "voxel size: NGFF".
    warnings : tuple of str
    """

    title: str
    source: str
    shape: tuple[int, ...]
    dtype: str
    slices: PictureSlices | VolumeSlices | ArraySlices | PlacedSlices | TonedSlices
    read: Mapping[str, str]
    photographs: bool
    colours: str = ""
    channels: tuple[Channel, ...] = ()
    depth_chunk: int = 1
    direct: bool = False
    plane_size: tuple[float, float] = (1.0, 1.0)
    plane_origin: tuple[float, float] = (0.0, 0.0)
    step: float = 1.0
    first: float = 0.0
    unit: str | None = None
    timepoints: tuple[int, ...] = (0,)
    time: TimeStep | None = None
    fused: bool = False
    no_data: float | None = None
    files: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def painted(self) -> int:
        """Channels that are colours, without an opacity; all of a volume."""
        return len(self.colours.rstrip("A")) if self.photographs else self.shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the slices, for people: files, or numbers from 1 where files hold several."""
        if self.files and len(set(self.files)) == len(self.files):
            return self.files
        return tuple(f"slice {k + 1}" for k in range(self.shape[2]))
