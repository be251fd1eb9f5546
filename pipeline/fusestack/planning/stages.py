"""Stages from what they compute: fingerprint, needs and memory come from the compute itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import arrays_of, digest, facts_of
from fusestack.model.stage import Stage
from fusestack.planning.stored import CODEC, stored_target

if TYPE_CHECKING:
    from typing import Any

    from fusestack.model.image import Level
    from fusestack.model.stage import Compute, Target
    from fusestack.planning.resources import Resources


def make_stage(name: str, compute: Compute, target: Target, resources: Resources, layout: Any = ()) -> Stage:
    """A stage that writes one level of an output.

    Parameters
    ----------
    name : str
    compute : Compute
        Its fields say what it needs and what its result depends on.
    target : Target
    resources : Resources
    layout : anything that JSON can say
        What the files are besides their pixels.

    Raises
    ------
    ConfigError
        If a block does not fit the memory of a worker.
    """
    fingerprint = _fingerprint(name, compute, target.image.levels[target.level], layout)
    return _stage(name, compute, target, fingerprint, resources, "output.shards, output.chunks or execution.workers")


def make_cached_stage(
    name: str,
    title: str,
    compute: Compute,
    cache: str,
    level: Level,
    resources: Resources,
    dtype: str = "float32",
) -> Stage:
    """A stage that writes an array of its own to the cache, in a folder that is named after its fingerprint.

    Parameters
    ----------
    name : str
    title : str
        For people.
    compute : Compute
    cache : str
        Folder of the cache.
    level : Level
        Shape and cut of the array.
    resources : Resources
    dtype : str

    Raises
    ------
    ConfigError
        If a block does not fit the memory of a worker.
    """
    layout = dtype if level.shards else [dtype, CODEC.name]  # tables of earlier versions have another one
    fingerprint = _fingerprint(name, compute, level, layout)
    target = stored_target(cache, name, fingerprint, title, dtype, level)
    return _stage(name, compute, target, fingerprint, resources, "execution.workers")


def _fingerprint(name: str, compute: Compute, level: Level, layout: Any) -> str:
    return digest([name, facts_of(compute), facts_of(level), layout])


def _stage(name: str, compute: Compute, target: Target, fingerprint: str, resources: Resources, lower: str) -> Stage:
    level = target.image.levels[target.level]
    grid = level.grid
    held = compute.held_bytes(grid)
    peak = compute.peak_bytes(level.block) + held
    if peak > resources.block_bytes:
        raise ConfigError(
            f"a block of stage {name} needs {peak / 2**20:,.0f} MiB, a worker has "
            f"{resources.block_bytes / 2**20:,.0f} MiB: lower {lower}, {rechunk(held)}or raise execution.memory"
        )
    needs = tuple(array.key for array in arrays_of(compute))
    return Stage(name, grid, compute, target, fingerprint, peak, needs, held)


def rechunk(held: int) -> str:
    """What can be done about the memory of arrays of a dask graph, where there are any."""
    return f"rechunk the array (a block reads chunks of {held / 2**20:,.0f} MiB), " if held else ""
