"""How the slices of a stack moved, estimated from their details: read once, one after the other."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.aligning.alignment import Alignment, SliceMotion
from fusestack.focus.aligning.chain import Pair, chained, refined
from fusestack.focus.aligning.faults import components, order_doubt, refuse_misfits
from fusestack.focus.aligning.light import gains_of
from fusestack.focus.aligning.motions import Motion, move, turn_of
from fusestack.focus.aligning.small import Small, seen_of, sharpest_of
from fusestack.focus.aligning.tracks import look_at, recognise, track
from fusestack.model.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import TypeAlias

    from numpy.typing import NDArray

    from fusestack.focus.aligning.motions import Matrix, Model
    from fusestack.focus.aligning.tracks import Look, Tracks

    Planes = NDArray[np.float32]
    Followed: TypeAlias = tuple[Tracks, Matrix | None]

_SIDE = 3072
"""Pixels of the longer side of pictures that are compared, at most: larger ones are made smaller."""
_UNEQUAL = 0.5
"""How much less a point counts that is sharper in one slice: the power of the ratio of its details."""
_TURN = 30.0
"""Degrees: what is turned by more between two slices is no shake."""
_BRIGHTER = 0.25
"""Natural logarithm of a brightness by which slices may differ."""
_PASSES = 2


@dataclass(frozen=True)
class Wanted:
    """What is asked of an alignment.

    Parameters
    ----------
    model : Model
    reference : str or int
        ``first``, ``middle``, ``last``, or the number of a slice, from 0.
    exposure, white_balance : bool
        Whether the brightness, and that of each colour, is measured, too.
    """

    model: Model
    reference: str | int
    exposure: bool
    white_balance: bool


def estimate(
    read: Callable[[int], NDArray[Any]],
    white: Planes,
    names: Sequence[str],
    size: tuple[int, int],
    wanted: Wanted,
    *,
    workers: int = 1,
    tell: Callable[[int], None] | None = None,
) -> Alignment:
    """Estimate how slices moved.

    Parameters
    ----------
    read : callable
        Gives a slice [c, y, x] by its number.
    white : float32[c, 1, 1]
        Values that are white.
    names : sequence of str
        Of the slices, for people.
    size : (int, int)
        Columns and rows.
    wanted : Wanted
    workers : int
        Threads; each holds a few slices.
    tell : callable, optional
        Called with the number of slices that were looked at.

    Raises
    ------
    ConfigError
        If the library of computer vision is missing, or the reference is no slice.
    InputError
        If slices do not fit the others; all of them are named.

    Notes
    -----
    Details that are sharp in two neighbours are followed from one to the other, and to the one after next; motions of
    all slices follow from all of them at once, where details count by how sharp they are in both, beside the sharpest
    slice.
    """
    try:
        import cv2
    except ImportError as error:
        raise ConfigError(
            "focus.align: estimating needs OpenCV: pip install 'fusestack[align]' (or give align.transforms)"
        ) from error
    reference = _reference(wanted.reference, len(names))
    factor = max(1, -(-max(size) // _SIDE))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        compared = _compared(lambda k: _reduced(read(k), white, factor), len(names), workers, tell)
    finally:
        cv2.setNumThreads(threads)
    pairs, small = compared.pairs, compared.small
    seen = seen_of(small)
    if len(seen) < 2:
        raise InputError("focus.align: fewer than two slices show any detail; use align: false")
    main = set(components(len(names), [(p.first, p.second) for p in pairs])[0])
    refuse_misfits(names, [k for k in seen if k not in main], compared.turned)
    usual = _as_bright(small)
    choices = [k for k in main if usual[k] or k == wanted.reference] or list(main)
    fixed = min(choices, key=lambda k: (abs(k - reference), k))
    motion = Motion(wanted.model, (size[0] // factor, size[1] // factor))
    start = chained(len(names), fixed, pairs)
    matrices = [start[min(start, key=lambda j: abs(j - k))] for k in range(len(names))]
    for _ in range(_PASSES):
        matrices = refined(motion, pairs, _sharpness(pairs, small, matrices), matrices, fixed)
    colours = [one.over(matrix, one.colours) for one, matrix in zip(small, matrices, strict=True)]
    detail = [one.over(matrix, one.detail[None])[0] for one, matrix in zip(small, matrices, strict=True)]
    gains = gains_of(colours, seen)
    if not wanted.white_balance:
        gains = np.repeat(gains.mean(axis=1, keepdims=True), gains.shape[1], axis=1)
    if not (wanted.exposure or wanted.white_balance):
        gains = np.ones_like(gains)
    full = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])
    found = []
    for k, matrix in enumerate(matrices):
        points, off = _agreement(k, pairs, matrices)
        whole = full @ matrix @ np.linalg.inv(full)
        found.append(SliceMotion(names[k], whole / whole[2, 2], gains[k], points, off * factor))
    said = [f"{names[k]}: shows no detail, and could not be aligned" for k in range(len(names)) if k not in seen]
    return Alignment(wanted.model, fixed, size, tuple(found), (*said, *order_doubt(names, detail, seen)))


def _reference(wanted: str | int, count: int) -> int:
    if isinstance(wanted, str):
        return {"first": 0, "middle": count // 2, "last": count - 1}[wanted]
    if wanted >= count:
        raise ConfigError(f"focus.align.reference: there is no slice {wanted}; they are 0 to {count - 1}")
    return wanted


def _as_bright(small: Sequence[Small]) -> NDArray[Any]:
    """Which slices are about as bright as the others: what is cut off elsewhere is a bad reference."""
    level = np.array([one.colours.mean() for one in small])
    return np.asarray(np.abs(np.log(np.maximum(level, 1e-6) / max(1e-6, float(np.median(level))))) < _BRIGHTER)


def _reduced(pixels: NDArray[Any], white: Planes, factor: int) -> Planes:
    """Means of squares of pixels, 0 black, 1 white; what is left over at the right and the bottom is not used."""
    import cv2

    height, width = (n // factor for n in pixels.shape[1:])
    made = np.empty((len(pixels), height, width), np.float32)
    for plane, own, one in zip(pixels, made, white, strict=True):
        numbers = np.nan_to_num(plane[: height * factor, : width * factor].astype(np.float32))
        own[:] = numbers if factor == 1 else cv2.resize(numbers, (width, height), interpolation=cv2.INTER_AREA)
        np.clip(own / one, 0, 1, out=own)
    return made


@dataclass
class _Compared:
    """Pairs of slices that fit, what is kept of all slices, and degrees by which some are turned."""

    pairs: list[Pair]
    small: list[Small]
    turned: dict[int, float]


def _compared(read: Callable[[int], Planes], count: int, workers: int, tell: Callable[[int], None] | None) -> _Compared:
    """Compare each slice with the next two; a few are in memory at once."""

    def looked(k: int) -> tuple[Look, Small]:
        planes = read(k)
        look = look_at(np.ascontiguousarray(planes.mean(axis=0)))
        return look, Small.of(planes, look)

    small: list[Small] = []
    done: list[tuple[int, int, Future[Followed]]] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="fusestack-align") as pool:
        coming = deque(pool.submit(looked, k) for k in range(min(count, workers)))
        before: deque[Look] = deque(maxlen=2)
        steps: list[Future[Followed]] = []
        for k in range(count):
            look, kept = coming.popleft().result()
            small.append(kept)
            if k + workers < count:
                coming.append(pool.submit(looked, k + workers))
            if k > 0:
                steps.append(pool.submit(_step, before[-1], look))
                done.append((k - 1, k, steps[-1]))
            if k > 1:
                done.append((k - 2, k, pool.submit(_leap, before[0], look, steps[-2], steps[-1])))
            before.append(look)
            if len(done) > 2 * workers:  # so that few slices wait
                done[-2 * workers - 1][2].result()
            if tell is not None:
                tell(k + 1)
        found = _Compared([], small, {})
        for i, j, future in done:
            _take(found, i, j, future.result())
    _bridge(found, lambda k: looked(k)[0])
    return found


def _step(here: Look, there: Look) -> Followed:
    """Follow details, also of slices that moved far."""
    found, motion = track(here, there)
    if motion is None:
        guess = recognise(here, there)
        if guess is not None:
            found, motion = track(here, there, guess)
            return found, guess if motion is None and abs(turn_of(guess)) > _TURN else motion
    return found, motion


def _leap(here: Look, there: Look, first: Future[Followed], second: Future[Followed]) -> Followed:
    """Follow details to the slice after next."""
    one, two = first.result()[1], second.result()[1]
    if one is None or two is None or max(abs(turn_of(one)), abs(turn_of(two))) > _TURN:
        return _step(here, there)
    return track(here, there, two @ one)


def _take(found: _Compared, i: int, j: int, followed: Followed) -> None:
    """Keep what two slices say of one another."""
    tracks, motion = followed
    if motion is None:
        return
    if abs(turn_of(motion)) > _TURN:
        found.turned |= {i: turn_of(motion), j: turn_of(motion)}
    else:
        found.pairs.append(Pair(i, j, tracks, motion))


def _bridge(found: _Compared, look: Callable[[int], Look]) -> None:
    """Compare what lies on both sides of slices that fit neither."""
    groups = components(len(found.small), [(p.first, p.second) for p in found.pairs])
    main, seen = set(groups[0]), set(seen_of(found.small))
    for group in groups[1:]:
        if not seen & set(group):
            continue
        i, j = min(((i, j) for i in main for j in group), key=lambda pair: abs(pair[0] - pair[1]))
        if abs(i - j) <= 2:  # they were compared
            continue
        first, second = sorted((i, j))
        pairs = len(found.pairs)
        _take(found, first, second, _step(look(first), look(second)))
        if len(found.pairs) > pairs:
            main |= set(group)


def _sharpness(pairs: Sequence[Pair], small: list[Small], matrices: list[Matrix]) -> list[NDArray[np.float64]]:
    """How sharp points are in both slices of their pair, beside the sharpest slice there: 0..1."""
    best = sharpest_of(small, matrices)
    found = []
    for pair in pairs:
        here, there = small[pair.first].at(pair.tracks.here), small[pair.second].at(pair.tracks.there)
        less, more = np.minimum(here, there), np.maximum(here, there)
        most = np.fmax(best.at(move(matrices[pair.first], pair.tracks.here)), more)
        found.append(np.nan_to_num(less / np.maximum(most, 1e-9) * (less / np.maximum(more, 1e-9)) ** _UNEQUAL))
    return found


def _agreement(k: int, pairs: Sequence[Pair], matrices: list[Matrix]) -> tuple[int, float]:
    """How many points say where a slice lies, and by how many pixels they are off: the median."""
    apart = [
        np.hypot(*(move(matrices[p.first], p.tracks.here) - move(matrices[p.second], p.tracks.there)).T)
        for p in pairs
        if k in (p.first, p.second)
    ]
    every = np.concatenate(apart) if apart else np.zeros(0)
    return len(every), float(np.median(every)) if len(every) else 0.0
