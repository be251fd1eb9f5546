"""How far kernels of several scales look: what planning must know, without what compiles them."""

from __future__ import annotations

PYRAMID = 2
"""Pixels of a level on either side of which a pixel of the next one is made, and which it is expanded to."""
DETAIL = 4
"""Pixels on either side whose detail counts for the energy of a pixel."""
EVEN = 5
"""Pixels of every second one on either side that a depth is evened with."""
