"""A light-sheet acquisition with known truth: tiles of stained nuclei as a BDV-HDF5 project, and a score of what is
fused from them.

`specimen` (what is there), `acquisition` (stage and camera), `project` (the files), `quality` (the score). The specimen
is a smooth function of the world, so every tile is sampled at its own sub-pixel place and the truth on whole world
pixels; neither is interpolated from the other.
"""

from __future__ import annotations

from fusestack.simulate.acquisition import Simulation, Truth, simulate_acquisition
from fusestack.simulate.quality import Score, score

__all__ = ["Score", "Simulation", "Truth", "score", "simulate_acquisition"]
