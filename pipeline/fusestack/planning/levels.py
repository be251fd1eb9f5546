"""Levels of an output: which ones, their stages, and what they are called in fingerprints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusestack import pyramid
from fusestack.errors import ConfigError
from fusestack.fingerprint import digest
from fusestack.grid import Grid
from fusestack.stage import Stage, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fusestack.geometry import Int3
    from fusestack.image import ImageSpec
    from fusestack.resources import Resources


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
    compute = pyramid.BlockMean(below.target, relative, slab=level.chunks[2])
    peak = compute.peak_bytes(level.block)
    if peak > resources.block_bytes:
        raise ConfigError(
            f"a block of pyramid level {number} needs {peak / 2**20:,.0f} MiB, a worker has "
            f"{resources.block_bytes / 2**20:,.0f} MiB: lower output.shards or output.chunks, or raise execution.memory"
        )
    fingerprint = digest([pyramid.VERSION, below.fingerprint, level_facts(image, number)])
    return Stage(
        f"pyramid/{number}",
        Grid(level.shape, level.block),
        compute,
        Target(below.target.writer, image, number, below.target.work),
        fingerprint,
        peak,
        (below.key,),
    )


def int3(values: Iterable[int]) -> Int3:
    """Three whole numbers."""
    z, y, x = (int(v) for v in values)
    return (z, y, x)
