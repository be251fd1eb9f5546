"""The demos: what is simulated with known truth, fused or focused like any other, and how close it came."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fusestack.api.configured import run
from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.planner import make_plan
from fusestack.simulate import (
    Score,
    best_choice,
    decibels_of_picture,
    score,
    simulate_acquisition,
    simulate_macro,
)

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """\
# Made by 'fusestack demo': four overlapping tiles in two channels, fused into one image.
version: 1
input:
  project: dataset.xml
fusion:
  bounding_box: all_views
  blending: true
output:
  path: fused.ome.zarr
  overwrite: true                   # the demo may be run again
"""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made, and its score."""

    project: Path
    config: Path
    output: Path
    score: Score

    def facts(self) -> dict[str, Any]:
        """The result for machines."""
        numbers = {k: None if math.isnan(v) else round(v, 4) for k, v in asdict(self.score).items()}
        return {"project": str(self.project), "config": str(self.config), "output": str(self.output), **numbers}


def run_demo(folder: Path, *, seed: int, progress: bool | None = None) -> DemoResult:
    """Simulate an acquisition in `folder`, fuse it there, and compare the fused image with the truth.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from fusestack.config.load import load_config
    from fusestack.config.schema import schema_line

    folder = folder.absolute()
    simulation = simulate_acquisition(folder, seed=seed)
    config = folder / "fuse.yaml"
    try:
        config.write_text(schema_line() + _CONFIG, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{config}: cannot be written: {error.strerror or error}; choose another folder") from error
    plan = make_plan(load_config(config))
    run(plan, progress=progress)
    (image,) = plan.images
    fused = image.target.open().read(0, Box.of_shape(image.target.image.shape))
    found = score(fused, simulation.truth, plan.design.frame.box if plan.design else None)
    return DemoResult(simulation.project, config, folder / "fused.ome.zarr", found)


_FOCUS_CONFIG = """\
# Made by 'fusestack demo --focus': hairs over a textured ground, focused nearer in each photograph.
version: 1
input:
  images: "photographs/*.tif"
focus:
  output:
    path: sharp.tif
    depth: depth.tif
    depth_colour: depth.png
    overwrite: true                 # the demo may be run again
"""


@dataclass(frozen=True)
class FocusDemoResult:
    """What the demo of focus stacking made, and its scores: decibel, slices."""

    config: Path
    output: Path
    psnr_db: float
    best_slice_psnr_db: float
    best_choice_psnr_db: float
    depth_error: float

    def facts(self) -> dict[str, Any]:
        """The result for machines."""
        return {k: round(v, 4) if isinstance(v, float) else str(v) for k, v in asdict(self).items()}


def run_focus_demo(folder: Path, *, seed: int, progress: bool | None = None) -> FocusDemoResult:
    """Simulate photographs of hairs in `folder`, stack them there, and compare the picture with the truth.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    import numpy as np
    import tifffile

    from fusestack.config.load import load_config
    from fusestack.config.schema import schema_line

    folder = folder.absolute()
    stack = simulate_macro("hairs", size=400, seed=seed)
    config = folder / "focus.yaml"
    try:
        (folder / "photographs").mkdir(parents=True, exist_ok=True)
        for k, one in enumerate(stack.slices, 1):
            pixels = np.rint(one * 65535).astype(np.uint16)
            tifffile.imwrite(folder / "photographs" / f"slice_{k}.tif", pixels, photometric="rgb")
        config.write_text(schema_line() + _FOCUS_CONFIG, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}; choose another folder") from error
    run(make_plan(load_config(config)), progress=progress)
    picture = tifffile.imread(folder / "sharp.tif")[..., :3] / np.float32(65535)
    off = np.abs(np.squeeze(tifffile.imread(folder / "depth.tif")) - stack.depth)[12:-12, 12:-12]
    return FocusDemoResult(
        config,
        folder / "sharp.tif",
        decibels_of_picture(picture, stack.truth),
        max(decibels_of_picture(one, stack.truth) for one in stack.slices),
        decibels_of_picture(best_choice(stack), stack.truth),
        float(np.nanmedian(off)),
    )
