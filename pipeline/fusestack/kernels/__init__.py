"""Arithmetic on arrays, nothing else: no files, no configuration, no scheduler.

Most modules load numba, so each is imported on first use: ``fuse`` with ``views`` (what it must know of views) and its
compiled half ``rows``; ``aligned`` (views for functions of the user's); ``mask``; ``contrast`` (content-based weights)
on ``nodes``; ``rims``; ``data_borders``; ``intensity``; ``downsample``; ``pixels``; ``convert``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusestack.kernels import (
        aligned,
        begin,
        blend,
        cleaning,
        colour,
        compose,
        contrast,
        convert,
        data_borders,
        detail,
        downsample,
        fourier,
        fuse,
        gaussians,
        intensity,
        levels,
        mask,
        mixing,
        morphology,
        multiscale,
        nodes,
        paint,
        pixels,
        polygon,
        pyramid,
        reaches,
        resample,
        rims,
        sharpen,
        smooth,
        stencils,
        surface,
        tones,
        views,
        warp,
        wavelet,
        window,
    )

__all__ = [
    "aligned",
    "begin",
    "blend",
    "cleaning",
    "colour",
    "compose",
    "contrast",
    "convert",
    "data_borders",
    "detail",
    "downsample",
    "fourier",
    "fuse",
    "gaussians",
    "intensity",
    "levels",
    "mask",
    "mixing",
    "morphology",
    "multiscale",
    "nodes",
    "paint",
    "pixels",
    "polygon",
    "pyramid",
    "reaches",
    "resample",
    "rims",
    "sharpen",
    "smooth",
    "stencils",
    "surface",
    "tones",
    "views",
    "warp",
    "wavelet",
    "window",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
