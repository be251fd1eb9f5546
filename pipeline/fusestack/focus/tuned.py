"""Pictures of sets of options, as numbers 0 to 1, and their scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.scores import SliceDetail, scores_of, truth_scores
from fusestack.model.errors import InputError
from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fusestack.focus.channels import Scale
    from fusestack.focus.region import Region
    from fusestack.focus.stack import StackInput
    from fusestack.focus.tuning import PlannedTuning

    Planes = NDArray[np.float32]

_AHEAD = 4


def scored(planned: PlannedTuning, part: Region, truth: str | None, workers: int) -> list[dict[str, float]]:
    """Scores of every set; what is transparent is black.

    Parameters
    ----------
    planned : PlannedTuning
        Whose pictures are there.
    part : Region
    truth : str or None
        Path of a picture.
    workers : int
        Threads.
    """
    painted = planned.slices.painted

    def slices() -> Iterator[Planes]:
        with ThreadPoolExecutor(1) as ahead:  # one is read while another one is looked at
            numbers = range(painted.slices)
            waiting = [ahead.submit(painted.read, 0, 0, k, part) for k in numbers[:_AHEAD]]
            for k in numbers:
                yield waiting.pop(0).result()
                if k + _AHEAD < painted.slices:
                    waiting.append(ahead.submit(painted.read, 0, 0, k + _AHEAD, part))

    shown = SliceDetail.of(slices())
    wanted = None if truth is None else _truth_planes(planned, part, truth)

    def reader(number: int) -> Callable[[], Planes]:
        def read() -> Planes:
            colours, opacity = picture_of(planned, number)
            return colours * opacity

        return read

    readers = [reader(number) for number in range(len(planned.sets))]
    found = scores_of(readers, slices, shown, workers)
    if wanted is None:
        return found
    with ThreadPoolExecutor(max(1, workers)) as pool:
        known = pool.map(lambda read: truth_scores(read(), wanted), readers)
        return [one | other for one, other in zip(found, known, strict=True)]


def picture_of(planned: PlannedTuning, number: int) -> tuple[Planes, Planes]:
    """Colours float32[c, y, x] and opacity float32[y, x] of the picture of a set, 0 to 1, of the first mask set."""
    one = planned.sets[number]
    stored, pages = planned.image.stages[0].array, one.picture.pages
    t, c, _, y, x = stored.shape
    box = Box((0, 0, number * pages, 0, 0), (t, c, (number + 1) * pages, y, x))
    pixels = stored.read(box)[0].reshape(-1, y, x)
    first = [i for i, (m, plane) in enumerate(one.picture.channels) if m == 0 and plane >= 0]
    channels = one.picture.painted[0]
    planes = [
        _unit(pixels[i], one.picture.scale, channels[one.picture.channels[i][1]], one.picture.dtype) for i in first
    ]
    alpha = next((i for i, (m, plane) in enumerate(one.picture.channels) if m == 0 and plane < 0), None)
    opaque = np.ones((y, x), np.float32)
    return np.stack(planes), opaque if alpha is None else _unit(pixels[alpha], None, 0, one.picture.dtype)


def _unit(pixels: NDArray[Any], scale: Scale | None, channel: int, dtype: str) -> NDArray[np.float32]:
    kind = np.dtype(dtype)
    low, high = (0.0, 1.0) if kind.kind == "f" else (0.0, float(np.iinfo(kind).max))
    if scale is not None:
        low, high = scale.black_white(0, channel)
    found = np.clip((pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(np.nan_to_num(found, copy=False), np.float32)


def check_truth(path: str, stack: StackInput, said: str) -> None:
    """Refuse a truth that is no picture of the size of the slices.

    Raises
    ------
    InputError
    """
    from fusestack.sources.pictures import describe_picture

    page = describe_picture(path)[0]
    if page.shape != stack.shape[3:]:
        (height, width), (rows, columns) = page.shape, stack.shape[3:]
        raise InputError(
            f"{said}: {path} has {width:,} x {height:,} pixels, the slices have {columns:,} x {rows:,}; "
            "give a picture of the whole stack"
        )


def _truth_planes(planned: PlannedTuning, part: Region, path: str) -> Planes:
    """The truth of a part, with as many colours as the pictures."""
    from fusestack.sources.pictures import describe_picture, read_picture

    page = describe_picture(path)[0]
    pixels = read_picture(page)[(slice(None), *part.parts)]
    count = len(planned.slices.painted.sets[0])
    pixels = pixels[: len(page.colours.rstrip("A"))]
    own = planned.sets[0].picture.scale if page.dtype == planned.stack.dtype else None
    planes = np.stack([_unit(plane, own, 0, page.dtype) for plane in pixels])
    if len(planes) != count:
        planes = np.repeat(planes.mean(axis=0, keepdims=True), count, axis=0)
    return planes
