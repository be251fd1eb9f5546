"""A stack as it is asked for: its slices aligned, cut, and prepared by operators, before they are stacked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.config.focus import Align
from fusestack.focus.aligning.wanted import wanted_alignment
from fusestack.focus.channels import Scale, SharedScale
from fusestack.focus.mean_image import MeanCounts
from fusestack.focus.painted import reference_number
from fusestack.focus.prepared import PlacedSlices, TonedSlices, flattened, moved_frame
from fusestack.focus.slices import PictureSlices, RawPictures
from fusestack.focus.statistics import Bands, Extremes
from fusestack.model.errors import ConfigError, InputError
from fusestack.operators.preparations import Placing, Toning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.focus.aligning.alignment import Alignment
    from fusestack.focus.aligning.wanted import WantedAlignment
    from fusestack.focus.cached import CachedStages
    from fusestack.focus.stack import StackInput

    Matrix = NDArray[np.float64]


_FEWEST = 16
"""Pixels of what all slices cover, at least."""


def ready_stack(
    loaded: LoadedConfig, focus: Focus, stack: StackInput, cached: CachedStages
) -> tuple[StackInput, str | None]:
    """The stack as a section asks for it, and where its alignment will be, if nobody has made that yet.

    Raises
    ------
    ConfigError, InputError
        See `prepared_stack` and `alignment_of`.
    """
    if focus.align is None:
        return prepared_stack(loaded, focus, stack, cached, None), None
    wanted = alignment_of(loaded, focus, stack, cached.cache)
    known = wanted.known()
    return prepared_stack(loaded, focus, stack, cached, known), wanted.folder if known is None else None


def alignment_of(loaded: LoadedConfig, focus: Focus, stack: StackInput, cache: str) -> WantedAlignment:
    """The alignment that a section wants of a stack.

    Raises
    ------
    ConfigError
        If the stack is not there yet, or the reference channel is none.
    """
    channel = None
    if focus.reference_channel is not None and not stack.photographs:
        channel = reference_number(loaded, stack, focus.reference_channel)
    return wanted_alignment(loaded, stack, focus.align or Align(), cache, channel)


def prepared_stack(
    loaded: LoadedConfig, focus: Focus, stack: StackInput, cached: CachedStages, alignments: Sequence[Alignment] | None
) -> StackInput:
    """The stack whose slices are aligned and prepared; the same one where nothing is asked for.

    Parameters
    ----------
    loaded : LoadedConfig
        For messages.
    focus : Focus
    stack : StackInput
    cached : CachedStages
        Where a statistic of the mean image is collected.
    alignments : sequence of Alignment, optional
        Of each timepoint.

    Raises
    ------
    ConfigError
        If an operator leaves nothing.
    InputError
        If no part is in all slices.
    """
    if alignments is None and not focus.prepare:
        return stack
    columns, rows = stack.shape[4], stack.shape[3]
    inner, size = np.eye(3), (columns, rows)
    said: list[str] = []
    if alignments is not None:
        said += list(dict.fromkeys(sentence for one in alignments for sentence in one.said))
        if focus.align is not None and focus.align.crop:
            top, bottom, left, right = _common([one.covered() for one in alignments])
            inner, size = np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]]), (right - left, bottom - top)
            if min(size) < _FEWEST:
                raise InputError("focus.align: no part is in all slices; leave out what moved far, or use crop: false")
    tones: list[Toning] = []
    for number, one in enumerate(focus.prepare):
        if isinstance(one, Placing):
            try:
                matrix, size = one.place(size)
            except ValueError as error:
                raise ConfigError(f"{loaded.cite('focus.prepare')}: {one.name}: {error}") from error
            inner = inner @ matrix
            late = next((tone for tone in tones if tone.measures or tone.halo()), None)
            if late is not None:
                what = "looks at what is left after it" if late.measures else "is done after it"
                said.append(
                    f"focus.prepare: {late.name} comes before {one.name}, but {what}, since pixels are taken from "
                    f"other places once (operator {number + 1})"
                )
        elif isinstance(one, Toning):
            tones.append(one)
    placed = _placed(focus, stack, alignments, inner, size)
    slices: PlacedSlices | TonedSlices = placed
    if tones:
        slices = _toned(stack, placed, tones, cached)
    plane_size, origin = moved_frame(stack.plane_size, stack.plane_origin, inner)
    return replace(
        stack,
        source=f"{stack.source}; {_told(alignments, focus, size)}",
        shape=placed.shape,
        slices=slices,
        direct=isinstance(slices, PlacedSlices) and placed.copies and stack.direct,
        plane_size=plane_size,
        plane_origin=origin,
        warnings=(*stack.warnings, *said),
    )


def _toned(stack: StackInput, placed: PlacedSlices, tones: Sequence[Toning], cached: CachedStages) -> TonedSlices:
    """Slices whose values are changed; what the type of pixels does not say is measured: white, and the mean image."""
    colours = stack.painted if stack.photographs else 0
    whole = isinstance(placed.source, PictureSlices)
    scale = Scale(stack.dtype)
    if np.dtype(stack.dtype).kind == "f":
        limits = Extremes(placed, Bands(placed.shape, whole=whole))
        found = cached.statistic("unprepared limits", "limits/unprepared", limits)
        scale = SharedScale(stack.dtype, found, colours) if colours else Scale(stack.dtype, found)
    mean = None
    if any(one.measures for one in tones):
        times, channels, *rest = placed.shape
        bands = Bands((times, 1 if colours else channels, *rest), deep=True, whole=whole)
        mean = cached.statistic("mean image", "counts/mean", MeanCounts(placed, scale, colours, bands))
    return TonedSlices(placed, tuple(tones), scale, colours, mean)


def _placed(
    focus: Focus, stack: StackInput, alignments: Sequence[Alignment] | None, inner: Matrix, size: tuple[int, int]
) -> PlacedSlices:
    times, channels, count = stack.shape[:3]
    source: Any = stack.slices
    if isinstance(source, PictureSlices) and stack.direct:
        source = RawPictures(source.pictures)
    places, gains = [], []
    for t in range(times):
        motions = [] if alignments is None else alignments[t].slices
        places.append(
            tuple(flattened((np.linalg.inv(motions[k].matrix) if motions else np.eye(3)) @ inner) for k in range(count))
        )
        gains.append(tuple(_gains(motions[k].gains if motions else np.ones(1), channels, stack) for k in range(count)))
    return PlacedSlices(
        source,
        (times, channels, count, size[1], size[0]),
        stack.dtype,
        (stack.shape[3], stack.shape[4]),
        tuple(places),
        tuple(gains),
        focus.align.interpolation if focus.align is not None else "lanczos",
        stack.colours.endswith("A"),
    )


def _gains(found: NDArray[np.float64], channels: int, stack: StackInput) -> tuple[float, ...]:
    """One number for each channel; an opacity stays."""
    made = np.ones(channels)
    made[: stack.painted] = found
    return tuple(float(value) for value in made)


def _common(parts: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    """What is in all of some parts: top, bottom, left, right."""
    tops, bottoms, lefts, rights = zip(*parts, strict=True)
    return max(tops), min(bottoms), max(lefts), min(rights)


def _told(alignments: Sequence[Alignment] | None, focus: Focus, size: tuple[int, int]) -> str:
    """What became of the slices, for people."""
    done = []
    if alignments is not None:
        done.append(f"aligned ({alignments[0].model})")
    if focus.prepare:
        done.append(f"prepared ({', '.join(one.name for one in focus.prepare)})")
    return f"{' and '.join(done)}: {size[0]:,} x {size[1]:,} pixels"
