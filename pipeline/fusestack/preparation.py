"""Stages before the fusion: content-based weights, stored in the cache beside the output."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.errors import ConfigError
from fusestack.fingerprint import digest, source_facts
from fusestack.fusion import content
from fusestack.grid import Grid
from fusestack.image import Channel, Codec, ImageSpec, Level
from fusestack.stage import Stage, Target
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.fusion.content_steps import ContentRow
    from fusestack.fusion.design import FusedImage
    from fusestack.resources import Resources

_STEPS = ("mean", "contrast", "weights")


def prepare_content(
    fused: FusedImage, identities: Mapping[str, str], work: str, resources: Resources
) -> tuple[FusedImage, tuple[Stage, ...]]:
    """Have the content-based weights of an image computed by stages of their own, once for each view.

    Parameters
    ----------
    fused : FusedImage
    identities : mapping of str to str
        Identity of every input by path.
    work : str
        Folder beside the output; the weights are kept in ``cache/`` of it, under a name made of all they depend on, so
        that other options of the fusion find them again.
    resources : Resources

    Returns
    -------
    FusedImage
        Reads the weights from there.
    tuple of Stage
        None where the image has no such weights.

    Raises
    ------
    ConfigError
        If a block does not fit the memory of a worker.
    """
    weights = fused.compute.content
    if weights is None:
        return fused, ()
    base = digest([content.VERSION, weights.block, [_row_facts(row, identities) for row in weights.rows]])
    folder = f"{work}/cache/content-{base[:12]}"
    targets = [Target(WRITERS["ome-zarr"], _spec(weights, f"{folder}/{step}.ome.zarr"), 0, work) for step in _STEPS]
    read, steps = content.stored(weights, targets)
    itemsize = np.dtype(fused.compute.input_dtype).itemsize
    stages = []
    for name, step, target in zip(_STEPS, steps, targets, strict=True):
        grid = Grid(weights.shape, weights.block)
        peak = step.peak_bytes(weights.block, itemsize)
        if peak > resources.block_bytes:
            raise ConfigError(
                f"a block of content-based weights needs {peak / 2**20:,.0f} MiB, a worker has "
                f"{resources.block_bytes / 2**20:,.0f} MiB: raise execution.memory, or lower the sigmas of "
                "fusion.content_based"
            )
        stages.append(Stage(f"content/{name}", grid, step, target, digest([base, name]), peak))
    return replace(fused, compute=replace(fused.compute, content=read)), tuple(stages)


def _row_facts(row: ContentRow, identities: Mapping[str, str]) -> list[Any]:
    """What the weights of a view depend on."""
    read = [identities[path] for path in row.source.paths]
    axes = [(axis.size, axis.count) for axis in row.axes]
    return [source_facts(row.source), read, row.level, axes, row.sigma1, row.sigma2, row.needed.start, row.needed.stop]


def _spec(weights: content.ContentWeights, path: str) -> ImageSpec:
    level = Level((1, 1, 1), weights.shape, weights.block, None, weights.block)
    return ImageSpec(
        path=path,
        name="content-based weights",
        dtype="float32",
        levels=(level,),
        codec=Codec("blosc", 1),
        pixel_size=(1.0, 1.0, 1.0),
        origin=(0.0, 0.0, 0.0),
        unit=None,
        timepoints=tuple(range(len(weights.rows))),
        channels=(Channel(0, "weight"),),
    )
