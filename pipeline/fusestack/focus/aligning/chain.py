"""Slices of a stack brought over one another all at once: from the tracks of pairs to a motion of each slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack.focus.aligning.motions import move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.focus.aligning.motions import Matrix, Motion
    from fusestack.focus.aligning.tracks import Tracks

    Numbers = NDArray[np.float64]

_SURE, _UNSURE, _POWER = 0.05, 4.0, 3.0
"""Pixels by which details are off that are sharp in both slices, and more that are nowhere near sharp: blur that
changes from place to place moves what it blurs, and moves all that is near alike."""
_BREATHING = 0.3
"""Pixels at the corner by which the size of a slice differs from the mean of its neighbours."""
_SHAKE = 30.0
"""The same of how a hand shifts and turns it."""
_WARP = 0.5
"""Pixels at the corner by which a camera stretches and tilts a picture."""
_OUTLIER = 3.0
"""Times what is expected of a point from where on it hardly counts."""
_STEP = 1e-3
_ROUNDS = 12


@dataclass(frozen=True)
class Pair:
    """Two slices, the details that are in both, and the motion from the first to the second that they say.

    Parameters
    ----------
    first, second : int
    tracks : Tracks
    motion : float64[3, 3]
    """

    first: int
    second: int
    tracks: Tracks
    motion: Matrix


def chained(count: int, reference: int, pairs: Sequence[Pair]) -> dict[int, Matrix]:
    """Matrices to the reference from each slice that leads there by pairs, neighbours first."""
    steps: dict[tuple[int, int], Matrix] = {(p.first, p.second): p.motion for p in pairs}
    steps |= {(p.second, p.first): np.asarray(np.linalg.inv(p.motion)) for p in pairs}
    made = {reference: np.eye(3)}
    for k in sorted(range(count), key=lambda k: (abs(k - reference), k)):
        near = [j for j in made if (k, j) in steps]
        if k not in made and near:
            j = min(near, key=lambda j: abs(k - j))
            matrix = made[j] @ steps[k, j]
            made[k] = matrix / matrix[2, 2]
    return made


def refined(
    motion: Motion, pairs: Sequence[Pair], sharp: Sequence[Numbers], start: Sequence[Matrix], reference: int
) -> list[Matrix]:
    """Motions of all slices to the reference that fit the tracks of all pairs best.

    Parameters
    ----------
    motion : Motion
    pairs : sequence of Pair
    sharp : sequence of float64[n]
        For each pair and point, how sharp it is in both slices, 0..1.
    start : sequence of float64[3, 3]
        Where they are, about.
    reference : int
        Slice that stays where it is.

    Notes
    -----
    Least squares (Gauss and Newton) of what all points differ by in the reference, each in units of what is expected of
    it, where great differences hardly count (Cauchy weights); and of how the motion of a slice differs from the mean of
    its neighbours, which decides where points say little: a lens breathes smoothly.
    """
    count, n = len(start), motion.numbers
    numbers = np.array([motion.fitted(matrix) for matrix in start])
    numbers[reference] = 0
    expected = [_SURE + _UNSURE * (1 - share) ** _POWER for share in sharp]
    smooth = _smooth(motion, count)
    free = np.repeat(np.arange(count) != reference, n)
    for _ in range(_ROUNDS):
        matrices = [motion.matrix(one) for one in numbers]
        normal = smooth.copy()
        right = -smooth @ numbers.ravel()
        for pair, one in zip(pairs, expected, strict=True):
            here, slope_here = _moved(motion, numbers[pair.first], matrices[pair.first], pair.tracks.here)
            there, slope_there = _moved(motion, numbers[pair.second], matrices[pair.second], pair.tracks.there)
            rest = here - there
            weight = 1 / (one**2 + (rest**2).sum(axis=1) / _OUTLIER**2)
            slopes = np.concatenate([slope_here, -slope_there], axis=2)
            weighted = slopes * weight[:, None, None]
            places = np.concatenate([pair.first * n + np.arange(n), pair.second * n + np.arange(n)])
            normal[np.ix_(places, places)] += np.einsum("pai,paj->ij", weighted, slopes)
            right[places] -= np.einsum("pai,pa->i", weighted, rest)
        change = np.zeros(count * n)
        change[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
        numbers = numbers + change.reshape(count, n)
        if np.abs(change).max() < _STEP:
            break
    return [motion.matrix(one) for one in numbers]


def _moved(motion: Motion, numbers: Numbers, matrix: Matrix, points: Numbers) -> tuple[Numbers, Numbers]:
    """Points where a motion puts them, and how that changes with each of its numbers: [n, 2], [n, 2, numbers]."""
    here = move(matrix, points)
    slopes = []
    for i in range(motion.numbers):
        more = numbers.copy()
        more[i] += _STEP
        slopes.append((move(motion.matrix(more), points) - here) / _STEP)
    return here, np.stack(slopes, axis=2)


def _smooth(motion: Motion, count: int) -> Numbers:
    """What it costs that motions are not smooth, and not those of a camera: a matrix of their numbers, by slice."""
    n = motion.numbers
    bends = np.zeros((max(0, count - 2), count))
    for k in range(count - 2):
        bends[k, k : k + 3] = -0.5, 1, -0.5
    each = np.full(n, 1 / _SHAKE**2)
    warp = np.zeros(n)
    each[3:4] = 1 / _BREATHING**2
    warp[4:] = 1 / _WARP**2
    level = np.full(n, 1e-9)  # a slice that nothing leads to
    return np.asarray(np.kron(bends.T @ bends, np.diag(each)) + np.kron(np.eye(count), np.diag(warp + level)))
