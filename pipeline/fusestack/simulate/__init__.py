"""What is made up, with known truth: a light-sheet acquisition (tiles of stained nuclei as a BDV-HDF5 project), and
focus stacks of macro photographs (`macro`), whose slices may move (`shaken`); and scores of what is made from them.

`specimen` (what is there), `acquisition` (stage and camera), `project` (the files), `quality` (the score). The specimen
is a smooth function of the world, so every tile is sampled at its own sub-pixel place and the truth on whole world
pixels; neither is interpolated from the other.
"""

from __future__ import annotations

from fusestack.simulate.acquisition import Simulation, Truth, simulate_acquisition
from fusestack.simulate.macro import SCENES, MacroStack, best_choice, simulate_macro
from fusestack.simulate.quality import Score, decibels_of_picture, score

__all__ = [
    "SCENES",
    "MacroStack",
    "Score",
    "Simulation",
    "Truth",
    "best_choice",
    "decibels_of_picture",
    "score",
    "simulate_acquisition",
    "simulate_macro",
]
