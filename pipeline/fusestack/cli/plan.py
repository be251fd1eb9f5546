"""``fusestack plan``: the preview of a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, load

if TYPE_CHECKING:
    import argparse

    from fusestack.planning.plan import Plan, PlannedImage

# A first guess, for an estimate that says "about": uncompressed bytes per second and worker.
_BYTES_PER_SECOND = 120e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_configuration(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Plan and print."""
    from fusestack.planner import make_plan

    plan = make_plan(load(arguments))
    warn(plan)
    if not arguments.quiet:
        print_plan(plan)
    return summary_of_plan(plan)


def warn(plan: Plan, *, force: bool = False) -> None:
    """Print what is right but surprising, and what a run would refuse."""
    from fusestack.model.errors import OutputError
    from fusestack.running.inspection import check_outputs

    warnings = list(plan.warnings)
    try:
        check_outputs(plan, force=force)
    except OutputError as error:
        warnings += [f"a run would refuse: {problem}" for problem in error.problems]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def print_plan(plan: Plan, *, force: bool = False) -> None:
    """Print what a run would make."""
    from fusestack.cli.progress import duration, size
    from fusestack.running.inspection import inspect

    resources = plan.resources
    print(f"input     {plan.source}")
    if plan.inputs is not None and plan.design is not None:
        print(f"          {len(plan.inputs.views):,} views, {plan.design.input_dtype}, {_levels_used(plan)}")
    for fact in plan.facts:
        print(f"focus     {fact}")
    for image in plan.images:
        _print_image(image)
    peak = max(stage.peak_bytes for stage in plan.stages)
    print(
        f"workers   {resources.workers} ({resources.scheduler}), {size(resources.memory)} each; "
        f"a block needs at most {size(peak)}"
    )
    print("stages")
    left = 0
    for state in inspect(plan, force=force):
        stage = state.stage
        blocks = stage.grid.count
        level = stage.target.image.levels[stage.target.level]
        count = stage.target.image.itemsize
        for n in level.shape:
            count *= n
        left += round(count * (1 - state.done / max(1, blocks)))
        print(f"  {stage.name:<16} {state.action:<9} {blocks:>9,} blocks  {size(count):>11}  {state.reason}")
    print(f"time      about {duration(left / _BYTES_PER_SECOND / resources.workers)} for {size(left)}")


def _levels_used(plan: Plan) -> str:
    levels = {
        view.pixels.level
        for image in plan.images
        if image.fusion is not None
        for table in image.fusion.image.compute.tables.values()
        for view in table.placed
    }
    return "full resolution" if levels == {0} else f"read at resolution levels {sorted(levels)}"


def _print_image(image: PlannedImage) -> None:
    from fusestack.cli.progress import size

    spec = image.target.image
    t, c, z, y, x = spec.shape
    unit = spec.unit or "world pixels"
    print(f"output    {spec.path}")
    print(
        f"          {x:,} x {y:,} x {z:,} pixels (xyz), {c} channels, {t} timepoints, {spec.dtype}, {size(spec.nbytes)}"
    )
    print(f"          pixel {_xyz(spec.pixel_size)} {unit} (xyz), first pixel at {_xyz(spec.origin)}")
    for number, level in enumerate(spec.levels):
        shape = " x ".join(f"{n:,}" for n in reversed(level.shape[2:]))
        cut = " x ".join(str(n) for n in reversed(level.chunks[2:]))
        shard = f", shards {' x '.join(str(n) for n in reversed(level.shards[2:]))}" if level.shards else ""
        factors = " x ".join(str(n) for n in reversed(level.factors))
        print(f"          level {number}: {shape}, factors {factors}, chunks {cut}{shard}")
    if image.fusion is not None:
        facts = image.fusion.statistics
        print(
            f"          {facts.blocks:,} blocks, {facts.touched:,} with data; views per block: "
            f"{facts.mean_views:.1f} on average, {facts.most_views} at most"
        )
    if image.project:
        print(f"          project {image.project}")


def _xyz(values: tuple[float, float, float]) -> str:
    return " x ".join(f"{v:.6g}" for v in reversed(values))


def summary_of_plan(plan: Plan, *, force: bool = False) -> dict[str, Any]:
    """The plan for machines; shapes and sizes in t, c, z, y, x order."""
    from fusestack.running.inspection import inspect

    states = {(s.stage.target.image.path, s.stage.name): s for s in inspect(plan, force=force)}
    images = []
    for image in plan.images:
        spec = image.target.image
        images.append(
            {
                "path": spec.path,
                "shape": list(spec.shape),
                "dtype": spec.dtype,
                "bytes": spec.nbytes,
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
                        "action": states[stage.target.image.path, stage.name].action,
                        "done": states[stage.target.image.path, stage.name].done,
                        "reason": states[stage.target.image.path, stage.name].reason,
                    }
                    for stage in (*image.preparation, *image.stages)
                ],
            }
        )
    resources = plan.resources
    return {
        "images": images,
        "views": len(plan.inputs.views) if plan.inputs is not None else 0,
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
