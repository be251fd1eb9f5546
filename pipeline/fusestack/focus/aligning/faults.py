"""Slices that do not belong where they are: what is said of them, and what helps."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

_SHORTER = 0.8
"""Another order is meant where the way from slice to slice is so much shorter in it."""
_SAME = 1e-3
"""Natural logarithm of details that do not differ."""
_MOST_NAMED = 8
_FEWEST = 16
"""Parts that all slices cover, which say something of their order."""
_OUT = "leave it out of input.images, or give align.transforms"


def components(count: int, linked: Collection[tuple[int, int]]) -> list[list[int]]:
    """Groups of slices that are linked with one another, the largest first."""
    group = list(range(count))
    for i, j in linked:
        old, new = group[j], group[i]
        group = [new if one == old else one for one in group]
    found = [[k for k in range(count) if group[k] == one] for one in dict.fromkeys(group)]
    return sorted(found, key=lambda one: (-len(one), one[0]))


def refuse_misfits(names: Sequence[str], lost: Sequence[int], turned: Mapping[int, float]) -> None:
    """Refuse slices that fit none of the others.

    Raises
    ------
    InputError
        If there are any.
    """
    if not lost:
        return
    problems = []
    for k in lost[:_MOST_NAMED]:
        name = names[k]
        if k in turned:
            problems.append(
                f"{name}: is turned by {abs(turned[k]):.0f} degrees beside the slices next to it; turn it back, or "
                f"{_OUT}"
            )
        else:
            beside = " and ".join(Path(names[j]).name for j in (k - 1, k + 1) if 0 <= j < len(names))
            problems.append(
                f"{name}: shows nothing that {beside} show, too: another subject, or nothing in focus; {_OUT}"
            )
    if len(lost) > _MOST_NAMED:
        problems.append(f"focus.align: {len(lost) - _MOST_NAMED} more slices do not fit those beside them")
    raise InputError(*problems)


def order_doubt(names: Sequence[str], detail: Sequence[NDArray[np.float32]], seen: Sequence[int]) -> list[str]:
    """Say if slices seem to be in another order, by which of their parts are sharp.

    Parameters
    ----------
    names : sequence of str
    detail : sequence of float32[y, x]
        Of each slice, over one another; NaN where nothing is.
    seen : sequence of int
        Slices that show something.

    Notes
    -----
    Spectral seriation (Atkins, Boman and Hendrickson 1998) of how alike the details are.
    """
    if len(seen) < 4:
        return []
    every = np.stack([detail[k] for k in seen]).astype(float)
    rows = np.log(every[:, np.isfinite(every).all(axis=0)] + 1e-3)
    if rows.shape[1] < _FEWEST:
        return []
    rows -= rows.max(axis=0)
    rows -= rows.mean(axis=0)
    squares = (rows**2).sum(axis=1)
    far = np.sqrt(np.maximum(0, squares[:, None] + squares - 2 * rows @ rows.T) / rows.shape[1])
    if far.max() < _SAME:
        return []
    alike = np.exp(-((far / np.median(far[far > _SAME])) ** 2))
    laplacian = np.diag(alike.sum(axis=1)) - alike
    other = np.argsort(np.linalg.eigh(laplacian)[1][:, 1], kind="stable")
    if other[0] > other[-1]:
        other = other[::-1]

    def way(order: NDArray[np.intp] | range) -> float:
        return float(sum(far[a, b] for a, b in itertools.pairwise(order)))

    if way(other) > _SHORTER * way(range(len(seen))):
        return []
    listed = ", ".join(Path(names[seen[k]]).name for k in other[:12]) + (" ..." if len(other) > 12 else "")
    return [
        f"{Path(names[0]).parent}: by what is sharp in them, slices seem to lie in another order: {listed}; if so, "
        "list them in input.images in that order"
    ]
