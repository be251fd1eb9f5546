"""``fusestack plan``: the preview of a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, add_no_probe, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.running.inspection import StageState
    from fusestack.sources.probe import Probed

# A first guess, for an estimate that says "about": uncompressed bytes per second and worker.
_BYTES_PER_SECOND = 120e6
_MOST_IMAGES = 3
MOST_LISTED = 20
"""Images that are listed for machines: more are counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_configuration(parser)
    add_no_probe(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Plan and print."""
    from fusestack.planner import make_plan
    from fusestack.running.damage import find_damage
    from fusestack.running.inspection import inspect
    from fusestack.running.places import check_places, folders_made
    from fusestack.running.probing import probe_plan

    plan = make_plan(load(arguments))
    check_places(plan)
    damage = find_damage(plan)
    states = inspect(plan, damage=damage)
    probed = None if arguments.no_probe else probe_plan(plan, states)
    warnings = [*plan.warnings, *damage.said, *(() if probed is None else probed.warnings), *refusals(plan, states)]
    warn(warnings)
    note(folders_made(plan), quiet=arguments.quiet)
    if not arguments.quiet:
        print_plan(plan, states, probed)
    return summary_of_plan(plan, states, probed) | {"warnings": warnings}


def refusals(plan: Plan, states: Sequence[StageState]) -> list[str]:
    """What a run would refuse unless it is told to replace it, and what will not fit the disk."""
    from fusestack.model.errors import OutputError
    from fusestack.running.inspection import check_outputs
    from fusestack.running.places import scarce_space

    try:
        check_outputs(plan)
    except OutputError as error:
        return [f"a run would refuse: {problem}" for problem in error.problems]
    return scarce_space(plan, states)


def warn(warnings: Iterable[str]) -> None:
    """Print warnings."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def note(sentences: Iterable[str], *, quiet: bool) -> None:
    """Print what is no matter of concern, but good to know."""
    for sentence in () if quiet else sentences:
        print(f"note: {sentence}", file=sys.stderr)


def print_plan(plan: Plan, states: Sequence[StageState], probed: Probed | None) -> None:
    """Print what a run would make."""
    from fusestack.model.amounts import counted, duration, size
    from fusestack.planning.overview import input_facts, layout_facts, memory, output_facts, workers
    from fusestack.running.places import amounts_left

    facts = input_facts(plan)
    if probed is not None and probed.total:
        facts.append(("", str(probed)))
    for image in plan.images[:_MOST_IMAGES]:
        facts += [*output_facts(image.target.image, image.file_format), *layout_facts(image)]
    if more := plan.images[_MOST_IMAGES:]:
        facts.append(("", f"and {counted(len(more), 'more image')}, the last {more[-1].target.image.path}"))
    for label, fact in (*facts, ("workers", workers(plan)), ("memory", memory(plan))):
        print(f"{label:<9} {fact}")
    print("stages")
    for name, action, blocks, count, reason in _rows(plan, states):
        print(f"  {name:<16} {action:<9} {counted(blocks, 'block'):>16}  {size(count):>11}  {reason}")
    left = amounts_left(plan, states)
    seconds = (left.output + left.cache) / _BYTES_PER_SECOND / plan.resources.workers
    print(f"bytes     {left} left to write, uncompressed")
    print(f"time      {'seconds' if seconds < 1 else f'{duration(seconds)} or more'}, by what is written")


def _rows(plan: Plan, states: Sequence[StageState]) -> list[tuple[str, str, int, int, str]]:
    """Stages: name, what becomes of them, blocks, bytes and why; those of many images in a row each."""
    if len(plan.images) <= _MOST_IMAGES:
        return [(one.stage.name, one.action, one.stage.grid.count, one.stage.nbytes, one.reason) for one in states]
    alike: dict[tuple[str, str], list[StageState]] = {}
    for state in states:
        alike.setdefault((state.stage.name, state.action), []).append(state)
    return [(name, action, *_together(some)) for (name, action), some in alike.items()]


def _together(states: Sequence[StageState]) -> tuple[int, int, str]:
    """Blocks and bytes of the same stage of several images, and why."""
    from fusestack.model.amounts import counted

    reasons = list(dict.fromkeys(state.reason for state in states))
    more = f" and {counted(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else ""
    of = f" ({len(states):,} images)" if len(states) > 1 else ""
    blocks, count = sum(one.stage.grid.count for one in states), sum(one.stage.nbytes for one in states)
    return blocks, count, f"{reasons[0]}{more}{of}"


def summary_of_plan(plan: Plan, states: Sequence[StageState], probed: Probed | None) -> dict[str, Any]:
    """The plan for machines; shapes and sizes in t, c, z, y, x order. Of many images the first ones are listed."""
    from fusestack.planning.overview import bytes_of_levels, input_bytes, memory_needed
    from fusestack.running.places import amounts_left

    named = {(s.stage.target.image.path, s.stage.name): s for s in states}
    left = amounts_left(plan, states)
    images = []
    for image in plan.images[:MOST_LISTED]:
        spec = image.target.image
        images.append(
            {
                "path": spec.path,
                "shape": list(spec.shape),
                "dtype": spec.dtype,
                "bytes": spec.nbytes,
                "bytes_of_levels": dict(zip(("full", "above"), bytes_of_levels(spec), strict=True)),
                "unit": spec.unit,
                "voxel_size": list(spec.pixel_size),
                "origin": list(spec.origin),
                "levels": [
                    {
                        "factors": list(level.factors),
                        "shape": list(level.shape),
                        "chunks": list(level.chunks),
                        "shards": list(level.shards) if level.shards else None,
                        "block": list(level.block),
                    }
                    for level in spec.levels
                ],
                **_views_of_blocks(image),
                "stages": [
                    {
                        "stage": stage.name,
                        "blocks": stage.grid.count,
                        "peak_bytes": stage.peak_bytes,
                        "action": named[stage.target.image.path, stage.name].action,
                        "done": named[stage.target.image.path, stage.name].done,
                        "reason": named[stage.target.image.path, stage.name].reason,
                    }
                    for stage in (*image.preparation, *image.stages)
                ],
            }
        )
    resources = plan.resources
    return {
        "images": images,
        "image_count": len(plan.images),
        "input_bytes": input_bytes(plan),
        "memory_needed": memory_needed(plan),
        "bytes_left": {"output": left.output, "cache": left.cache},
        "views": len(plan.inputs.views) if plan.inputs is not None else 0,
        "probed": None if probed is None else probed.count,
        "scheduler": resources.scheduler,
        "workers": resources.workers,
        "memory": resources.memory,
        "warnings": list(plan.warnings),
    }


def _views_of_blocks(image: PlannedImage) -> dict[str, Any]:
    """Blocks of a fused image and the views in them; of another image its blocks."""
    if image.fusion is None:
        return {"blocks": image.stages[0].grid.count}
    facts = image.fusion.statistics
    return {
        "blocks": facts.blocks,
        "blocks_with_data": facts.touched,
        "views_per_block": {"mean": facts.mean_views, "max": facts.most_views},
    }
