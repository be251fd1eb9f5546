"""How bright slices are beside one another, where they show the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

_DARK, _BRIGHT = 0.02, 0.95
"""What is darker is noise, what is brighter may be cut off."""


def gains_of(colours: Sequence[Planes], seen: Sequence[int]) -> NDArray[np.float64]:
    """By what the colours of each slice are multiplied to be as bright as the median slice.

    Parameters
    ----------
    colours : sequence of float32[c, y, x]
        Means of parts of each slice, over one another; NaN where nothing is.
    seen : sequence of int
        Slices that show something.

    Returns
    -------
    float64[k, c]
        1 for slices that show nothing.

    Notes
    -----
    The median over all parts of their ratio to the median slice: focus hardly changes means of parts, and what is there
    in one slice only does not count.
    """
    every = np.stack([colours[k] for k in seen]).astype(float)
    covered = np.isfinite(every).all(axis=(0, 1))
    found = np.ones((len(colours), colours[0].shape[0]))
    for c in range(found.shape[1]):
        own = every[:, c, covered]
        middle = np.median(own, axis=0)
        for k, one in zip(seen, own, strict=True):
            usable = (np.minimum(middle, one) > _DARK) & (np.maximum(middle, one) < _BRIGHT)
            found[k, c] = np.median(one[usable] / middle[usable]) if usable.any() else 1.0
    made = np.ones_like(found)
    made[list(seen)] = 1 / found[list(seen)]
    return made
