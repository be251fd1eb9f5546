"""What of the slices is decoded before focus stacking begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fusestack.focus.slices import PictureSlices, VolumeSlices
from fusestack.sources.base import open_source
from fusestack.sources.probe import Sample

if TYPE_CHECKING:
    from fusestack.focus.input import StackInput


def samples_of(stack: StackInput) -> tuple[Sample, ...]:
    """Every picture, or a chunk of each volume; none of what is fused first, or held in memory."""
    itemsize = np.dtype(stack.dtype).itemsize
    if isinstance(stack.slices, PictureSlices):
        row = itemsize * len(stack.colours) * stack.shape[4]
        pictures = stack.slices.pictures
        return tuple(Sample("", picture, nbytes=row * (picture.piece or picture.shape[0])) for picture in pictures)
    if isinstance(stack.slices, VolumeSlices) and isinstance(stack.slices.volumes, tuple):
        chunk = itemsize * math.prod(open_source(stack.slices.volumes[0][0]).levels[0].chunks)
        several = stack.shape[0] * stack.shape[1] > 1
        return tuple(
            Sample(f"(timepoint {t}, channel {c})" if several else "", volume, nbytes=chunk)
            for t, channels in enumerate(stack.slices.volumes)
            for c, volume in enumerate(channels)
        )
    return ()
