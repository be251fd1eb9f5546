"""What is looked at around highlights alone is what looking at all of a slice finds."""

from __future__ import annotations

import numpy as np
import pytest

from fusestack.focus.coarse_mixing import FINE
from fusestack.focus.scales import Levels, Scales


@pytest.mark.parametrize("where", [(0, 0), (203, 150), (100, 301), (96, 160), (203, 301)])
@pytest.mark.parametrize("colours", [1, 3])
def test_highlights_are_found_where_they_are(where: tuple[int, int], colours: int) -> None:
    rng = np.random.default_rng(colours)
    planes = 0.5 + 0.02 * rng.standard_normal((colours, 211, 307)).astype(np.float32)
    y, x = where
    planes[:, y : y + 9, x : x + 5] = 1
    whites = (planes >= 0.9).all(axis=0)[None].astype(np.float32)
    scales = Scales(FINE, 1.5, 8, base=False)
    room = Levels(planes.shape, FINE)
    room.fill(planes)
    floors = scales.floors(0.02, colours)
    whole = scales.not_highlights(scales.energies(room.planes, floors), whites)
    found = scales.not_highlights_around(room.planes, floors, whites)
    assert min(one.min() for one in whole) < 0.7
    for one, other in zip(found, whole, strict=True):
        assert one.tobytes() == np.ascontiguousarray(other).tobytes()
