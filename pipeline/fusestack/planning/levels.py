"""Levels of an output: which ones, their stages, and what they are called in fingerprints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusestack.model.stage import Stage, Target
from fusestack.planning import pyramid
from fusestack.planning.stages import make_stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fusestack.model.geometry import Int3
    from fusestack.model.image import ImageSpec
    from fusestack.planning.resources import Resources


def level_facts(spec: ImageSpec, number: int) -> dict[str, Any]:
    """How a level is cut."""
    level = spec.levels[number]
    return {"factors": level.factors, "chunks": level.chunks, "shards": level.shards, "block": level.block}


def layout_facts(spec: ImageSpec, file_format: str) -> dict[str, Any]:
    """What an output is besides its pixels, for people."""
    return {
        "format": f"{file_format} {spec.ome_zarr_version}" if file_format == "ome-zarr" else file_format,
        "shape": list(spec.shape),
        "compression": f"{spec.codec.name} {spec.codec.level}",
        "pixel size": [f"{v:.9g}" for v in reversed(spec.pixel_size)],
        "origin": [f"{v:.9g}" for v in reversed(spec.origin)],
        "unit": spec.unit,
        "timepoints": list(spec.timepoints),
        **({} if spec.time is None else {"time step": str(spec.time)}),
        **({} if spec.split is None else {"partitions": list(spec.split)}),
        "channels": [f"{channel.id} {channel.name}" for channel in spec.channels],
    }


def cut_facts(spec: ImageSpec) -> dict[str, Any]:
    """Levels, chunks and shards, x first, for people."""
    cuts: dict[str, Any] = {"pyramid": [list(reversed(level.factors)) for level in spec.levels]}
    return cuts | {name: list(reversed(cut)) for name, cut in level_facts(spec, 0).items() if cut and name != "factors"}


def with_pyramid(first: Stage, resources: Resources) -> tuple[Stage, ...]:
    """The stage of level 0, and one for each level above it."""
    stages = [first]
    for number in range(1, len(first.target.image.levels)):
        stages.append(_pyramid_stage(stages[-1], number, resources))
    return tuple(stages)


def _pyramid_stage(below: Stage, number: int, resources: Resources) -> Stage:
    image = below.target.image
    level, lower = image.levels[number], image.levels[number - 1]
    relative = int3(f // b for f, b in zip(level.factors, lower.factors, strict=True))
    compute = pyramid.BlockMean(below.array, relative, slab=level.chunks[2])
    target = Target(below.target.writer, image, number, below.target.work)
    return make_stage(f"pyramid/{number}", compute, target, resources)


def int3(values: Iterable[int]) -> Int3:
    """Three whole numbers."""
    z, y, x = (int(v) for v in values)
    return (z, y, x)
