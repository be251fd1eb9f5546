"""Smaller and larger again, on grids that belong to the whole plane."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fusestack import kernels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusestack.operators.base import Place

    Planes = NDArray[np.float32]


def resize_halo(percent: float) -> int:
    """Pixels that `there_and_back` looks at on each side."""
    share = min(percent, 100) / 100
    return math.ceil(3 / share) + 4


def there_and_back(planes: Planes, place: Place, percent: float, interpolation: str) -> Planes:
    """Resize to a percentage and back, on grids of the whole plane."""
    sizes = [max(1, math.floor(n * percent / 100 + 0.5)) for n in place.shape]
    small = [kernels.resample.Axis(n, m) for n, m in zip(place.shape, sizes, strict=True)]
    large = [kernels.resample.Axis(m, n) for n, m in zip(place.shape, sizes, strict=True)]
    wanted = [slice(o, o + n) for o, n in zip(place.origin, planes.shape[1:], strict=True)]
    middle = [slice(*axis.needed(part.start, part.stop)) for axis, part in zip(large, wanted, strict=True)]
    reduced = kernels.resample.resize(planes, (small[0], small[1]), place.origin, (middle[0], middle[1]), interpolation)
    origin = (middle[0].start, middle[1].start)
    return kernels.resample.resize(reduced, (large[0], large[1]), origin, (wanted[0], wanted[1]), interpolation)
