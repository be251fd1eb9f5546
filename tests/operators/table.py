"""One table of operators: options that show every branch. An operator without a row fails the suite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusestack.operators.choices import KERNELS, METHODS, STATISTICS

TABLE: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("prepare", "crop"): [{"geometry": "20x30+4+5"}, {"region": "T", "size": 40}, {"region": "M", "size": 40}],
    ("prepare", "shave"): [{"x": 3, "y": 4}],
    ("prepare", "resize"): [{}, {"percent": 150}, {"longest": 64}],
    ("prepare", "rotate"): [{"degrees": 90}, {"degrees": 180}, {"degrees": 270}, {"degrees": 3.5}],
    ("prepare", "gamma"): [{"value": 2.2}, {}],
    ("prepare", "level"): [{"black": 10, "white": 80}, {}],
    ("prepare", "contrast_stretch"): [{}],
    ("prepare", "sigmoidal"): [{}, {"contrast": 8, "middle": 30}],
    ("prepare", "sharpen"): [{}, {"sigma": 2.5, "amount": 120}],
    ("prepare", "compose"): [{}, {"mode": "Multiply"}],
    ("generator", "blur"): [
        {},
        {"sigma": 1, "sigma2": 2},
        {"sigma": 1, "sigma2": 0},
        {"kernel": "gaussian", "radius": 3},
    ],
    ("generator", "dog"): [{"sigma": 1}, {"sigma": 2, "sigma2": 0.5}, {}],
    ("generator", "log"): [{}, {"sigma": 0.8, "sigma2": 1.5}],
    ("generator", "laplacian"): [{"number": n} for n in (0, 1, 2, 3, 5, 7, 15, 19)],
    ("generator", "wavelet"): [{}, {"percent": 5, "percent2": 20}],
    ("generator", "resize"): [
        {},
        {"percent": 33},
        {"percent": 25, "interpolation": "Catrom"},
        {"interpolation": "Average"},
    ],
    ("generator", "fft"): [{}, {"radius": 11, "radius2": 13}],
    ("generator", "statistic"): [
        {"statistic": name, "window": w} for name, w in zip(STATISTICS, (2, 3, 4, 5, 2, 3, 4, 5, 3, 4), strict=True)
    ],
    ("generator", "diffstat"): [{}, {"window": 4, "window2": 7, "statistic": "Mode", "statistic2": "Nonpeak"}],
    ("generator", "morphology"): [
        *({"method": name, "radius": 2} for name in METHODS),
        *({"kernel": name, "radius": 3, "repeats": 2} for name in KERNELS),
    ],
    ("generator", "sobel"): [{}],
    ("generator", "prewitt"): [{}],
    ("generator", "freichen"): [{}, {"number": 10}, {"number": 14, "combine": "Lighten"}],
    ("generator", "roberts"): [{}],
    ("generator", "kirsch"): [{}],
    ("generator", "compass"): [{}, {"combine": "Screen"}],
    ("generator", "comet"): [{"sigma": 2}, {"sigma": 1, "combine": "Screen"}],
    ("generator", "channel"): [{"colorspace": "Lab", "channel": 0}],
    ("generator", "chroma"): [{}],
    ("generator", "darkness"): [{}],
    ("generator", "lightness"): [{}],
    ("generator", "saturation"): [{}],
    ("generator", "compose"): [{}],
    ("generator", "evaluate"): [{}],
    ("generator", "max"): [{}],
    ("generator", "min"): [{}],
    ("generator", "mean"): [{}],
    ("generator", "median"): [{}],
    ("generator", "enfuse"): [{}],
    ("generator", "depthmap"): [{"path": "depth.tif"}],
    ("generator", "cmd"): [
        {"command": "tests.operators.table:mean_of_nine", "reach": 1},
        {"command": "-statistic median 3x3 -blur 0x1 -negate"},
        {"command": "-gamma 1.7 -level 5%,80%,1.2 -sigmoidal-contrast 4x40% -evaluate Pow 0.7 -evaluate Sine 1.5"},
        {"command": "-blur 0x1 -threshold 40%"},
        {"command": "-auto-level -blur 0x1"},
        {"command": "-morphology Open:2 Disk:2 -wavelet-denoise 10% -gaussian-blur 2x1 -edge 2"},
    ],
    ("generator", "cmddiff"): [{"command": "tests.operators.table:mean_of_nine", "reach": 1}],
    ("mask", "blur"): [{}, {"sigma": 3, "percent": 60}],
    ("mask", "despeckle"): [{}, {"number": 2}],
    ("mask", "enhance"): [{}, {"number": 2}],
    ("mask", "fft"): [{}],
    ("mask", "guided"): [{}, {"sigma": 3, "edge": 20}],
    ("mask", "kuwahara"): [{"radius": 2}, {"radius": 3}],
    ("mask", "morphology"): [{}, {"radius": 2, "repeats": 2, "method": "Smooth", "kernel": "Disk"}],
    ("mask", "statistic"): [{}, {"window": 6}, {"statistic": "Contrast"}, {"statistic": "Mode", "window": 3}],
    ("mask", "threshold"): [{}, {"low": 30, "high": 60}],
    ("mask", "wave"): [{}, {"percent": 5, "percent2": 50}],
    ("mask", "resize"): [{}, {"percent": 30}],
    ("mask", "merge"): [{}, {"mode": "Plus"}],
    ("mask", "level"): [{}, {"step": 10, "low": 5}],
    ("mask", "cmd"): [{"command": "tests.operators.table:mean_of_nine", "reach": 1}, {"command": "-normalize"}],
    ("cut", "alpha"): [{"low": -25, "high": 150}],
    ("cut", "background"): [{}, {"use": "background"}, {"use": "off"}],
    ("cut", "blur"): [{}, {"sigma": 2, "percent": 50}],
    ("cut", "less"): [{}, {"percent": 5}, {"side": "far"}],
    ("cut", "max"): [{}, {"percent": 10}],
    ("cut", "morphology"): [{}, {"radius": 2, "method": "Dilate"}],
    ("cut", "soft"): [{}, {"sigma": 3}],
    ("cut", "threshold"): [{}],
    ("cut", "wave"): [{}, {"percent": 75}],
    ("cut", "fill"): [{}],
    ("cut", "cmd"): [{"command": "tests.operators.table:mean_of_nine", "reach": 1}, {"command": "-normalize"}],
    ("final", "alpha"): [{"low": -10, "high": 120}, {"off": True}],
    ("final", "blur"): [{}, {"threshold": 50, "sigma": 3, "border": 1}],
    ("final", "blur2"): [{}, {"radius": 2, "threshold": 60}],
    ("final", "gamma"): [{}, {"gamma": 1.4}],
    ("final", "sharpen"): [{}, {"sigma": 2, "radius": 1}],
    ("final", "threshold"): [{}, {"low": 10, "high": 70, "sigma": 2}],
    ("final", "cmd"): [
        {"command": "tests.operators.table:mean_of_nine", "reach": 1},
        {"command": "-edge 1 -normalize -blur 0x1 -auto-level"},
    ],
}


def mean_of_nine(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """An operator of the user's own."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    total = np.zeros_like(planes)
    for dy in range(3):
        for dx in range(3):
            total += padded[:, dy : dy + planes.shape[1], dx : dx + planes.shape[2]]
    return total / np.float32(9)
