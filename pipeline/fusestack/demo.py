"""The demo: a simulated acquisition with known truth, fused like any other, and how close it came."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fusestack import api
from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.planner import make_plan
from fusestack.simulate import Score, score, simulate_acquisition

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

    folder = folder.absolute()
    simulation = simulate_acquisition(folder, seed=seed)
    config = folder / "fuse.yaml"
    try:
        config.write_text(_CONFIG)
    except OSError as error:
        raise OutputError(f"{config}: cannot be written: {error.strerror or error}; choose another folder") from error
    plan = make_plan(load_config(config))
    api.run(plan, progress=progress)
    (image,) = plan.images
    fused = image.target.open().read(0, Box.of_shape(image.target.image.shape))
    found = score(fused, simulation.truth, plan.design.frame.box if plan.design else None)
    return DemoResult(simulation.project, config, folder / "fused.ome.zarr", found)
