"""Stages before the fusion: content-based weights, stored in the cache beside the output."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusestack.fusion import content
from fusestack.model.fingerprint import digest, source_facts
from fusestack.model.image import Level
from fusestack.planning.stored import stored_stage, stored_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.fusion.content_steps import ContentRow
    from fusestack.fusion.design import FusedImage
    from fusestack.model.stage import Stage
    from fusestack.planning.resources import Resources

_STEPS = ("mean", "contrast", "weights")


def prepare_content(
    fused: FusedImage, identities: Mapping[str, str], cache: str, resources: Resources
) -> tuple[FusedImage, tuple[Stage, ...]]:
    """Have the content-based weights of an image computed by stages of their own, once for each view.

    Parameters
    ----------
    fused : FusedImage
    identities : mapping of str to str
        Identity of every input by path.
    cache : str
        Folder where the weights are kept, under names made of all they depend on, so that other options of the fusion
        find them again.
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
    prints = [digest([base, step]) for step in _STEPS]
    level = Level((1, 1, 1), weights.shape, weights.block, None, weights.block)
    targets = [
        stored_target(cache, f"content/{step}", found, f"content-based weights: {step}", "float32", level)
        for step, found in zip(_STEPS, prints, strict=True)
    ]
    read, steps = content.stored(weights, targets)
    stages: list[Stage] = []
    for name, step, target, found in zip(_STEPS, steps, targets, prints, strict=True):
        peak = step.peak_bytes(weights.block)
        needs = tuple(stage.key for stage in stages)
        stages.append(stored_stage(f"content/{name}", target, step, found, peak, needs, resources))
    return replace(fused, compute=replace(fused.compute, content=read)), tuple(stages)


def _row_facts(row: ContentRow, identities: Mapping[str, str]) -> list[Any]:
    """What the weights of a view depend on."""
    read = [identities[path] for path in row.source.paths]
    axes = [(axis.size, axis.count) for axis in row.axes]
    return [source_facts(row.source), read, row.level, axes, row.sigma1, row.sigma2, row.needed.start, row.needed.stop]
