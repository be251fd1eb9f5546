"""What a plan says to people: facts for `fusestack plan`, for terminals and for notebooks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from fusestack.model.amounts import counted, size, times_xyz
from fusestack.model.summary import Summary
from fusestack.planning.pictures import is_picture
from fusestack.planning.resources import WORKER_BYTES

if TYPE_CHECKING:
    from fusestack.model.image import ImageSpec
    from fusestack.model.stage import Stage
    from fusestack.planning.plan import Plan, PlannedImage

Facts: TypeAlias = list[tuple[str, str]]

_PUT_TOGETHER = ("bdv-hdf5", "tiff", "bdv-tiff", "dzi", "mesh")
_MOST_IMAGES = 3
_MOST_WARNINGS = 2
_MOST_FACTS = 6
_COARSE = 2
"""Pixels of a view in one of the fused image, from which on coarser levels would do."""

_OPACITY = "and opacity where not all is opaque"
_COLOURS = {"L": "grey", "LA": f"grey {_OPACITY}", "RGB": "3 colours", "RGBA": f"3 colours {_OPACITY}"}


def overview(plan: Plan) -> Summary:
    """Outputs, workers, warnings, and what the stages cost, on one screen."""
    facts = _first(input_facts(plan), _MOST_FACTS, "fact")
    for number, image in enumerate(plan.images[:_MOST_IMAGES]):
        said = output_facts(image.target.image, image.file_format)
        facts += said[:2] if number else said  # most lie where the first one does
    if (more := len(plan.images) - _MOST_IMAGES) > 0:
        facts.append(("", f"... {counted(more, 'more image')}"))
    facts += [("workers", workers(plan)), ("memory", memory(plan))]
    facts += _first([("warning", warning) for warning in plan.warnings], _MOST_WARNINGS, "warning")
    head = ("stage", "blocks", "pixels", "memory of a block")
    return Summary(f"Plan of {counted(len(plan.images), 'image')}", tuple(facts), head, tuple(_stages(plan)))


def _first(facts: Facts, most: int, noun: str) -> Facts:
    more = len(facts) - most
    return facts[:most] + ([("", f"... {counted(more, f'more {noun}')}")] if more > 0 else [])


def input_facts(plan: Plan) -> Facts:
    """What is read: the source, its views or slices."""
    facts = [("input", plan.source)]
    if plan.inputs is not None and plan.design is not None:
        views = counted(len(plan.inputs.views), "view")
        facts.append(("", f"{views}, {plan.design.input_dtype}, {_levels_used(plan)}"))
        facts += [("", fact) for fact in plan.inputs.facts]
    facts += [("", line) for line in plan.found]
    return facts + [("focus", fact) for fact in plan.facts]


def input_bytes(plan: Plan) -> int:
    """Bytes of the views at full resolution, as they lie in memory."""
    opened = () if plan.design is None else plan.design.opened.values()
    return sum(math.prod(one.shape) * one.dtype.itemsize for one in opened)


def bytes_of_levels(spec: ImageSpec) -> tuple[int, int]:
    """Bytes of full resolution, and of all levels above it, uncompressed."""
    first = math.prod(spec.shape) * spec.itemsize
    return first, spec.nbytes - first


def memory_needed(plan: Plan) -> int:
    """Bytes that all workers need at once, at most: the program, blocks of their threads, and what is read again."""
    resources = plan.resources
    peak = plan.peak_bytes
    processes = 1 if resources.scheduler == "threads" else resources.workers
    threads = resources.workers if resources.scheduler == "threads" else resources.threads_per_worker
    return processes * (WORKER_BYTES + threads * peak) + resources.kept_bytes(peak)


def output_facts(spec: ImageSpec, file_format: str = "") -> Facts:
    """What is written: pixels and their place."""
    t, c, *zyx = spec.shape
    picture = _is_picture(spec, file_format)
    axes = f"{counted(c, 'channel')}, {counted(t, 'timepoint')}{'' if spec.time is None else f' of {spec.time}'}"
    shape = f"{times_xyz(zyx)} pixels (xyz)"
    if picture:
        axes = _COLOURS.get("".join(channel.name for channel in spec.channels), counted(c, "channel"))
        shape = f"{times_xyz(zyx[1:])} pixels" + (f", {counted(zyx[0], 'page')}" if zyx[0] > 1 else "")
    if file_format == "mesh":
        grid = f"{zyx[2]:,} x {zyx[1]:,} corners at most, one every {times_xyz(spec.pixel_size[1:])}"
        return [("output", spec.path), ("", f"surface of {grid} {spec.unit or 'pixels'} (xy)")]
    facts = [("output", spec.path), ("", f"{shape}, {axes}, {spec.dtype}, {size(spec.nbytes)}")]
    if picture and spec.unit is None:  # nothing says where photographs are
        return facts
    place = f"pixel {times_xyz(spec.pixel_size)} {spec.unit or 'world pixels'} (xyz)"
    first = ", ".join(f"{axis} {number:.6g}" for axis, number in zip("xyz", reversed(spec.origin), strict=True))
    return [*facts, ("", f"{place}, first pixel at {first}")]


def layout_facts(image: PlannedImage) -> Facts:
    """How it is cut into levels, chunks and blocks."""
    facts = []
    stored = () if _is_picture(image.target.image, image.file_format) else image.target.image.levels
    for number, level in enumerate(stored):
        cut = [f"factors {_plain(level.factors)}", f"chunks {_plain(level.chunks[2:])}"]
        if level.shards:
            cut.append(f"shards {_plain(level.shards[2:])}")
        facts.append(("", f"level {number}: {times_xyz(level.shape[2:])}, {', '.join(cut)}"))
    if image.fusion is not None:
        found = image.fusion.statistics
        views = f"views per block: {found.mean_views:.1f} on average, {found.most_views} at most"
        facts.append(("", f"{counted(found.blocks, 'block')}, {found.touched:,} with data; {views}"))
    if image.file_format in _PUT_TOGETHER:
        facts.append(("", "put together from blocks, which need the same space on the disk until it is there"))
    if image.project:
        adds = "added to " if image.appended else ""
        facts.append(("", f"{adds}project {image.project}"))
    return facts


def _is_picture(spec: ImageSpec, file_format: str) -> bool:
    """Whether it has no axes but those of its planes; a stack is a volume."""
    return is_picture(spec.path) and file_format not in ("tiff", "bdv-tiff")


def workers(plan: Plan) -> str:
    """Who computes, and what a block needs."""
    resources = plan.resources
    peak = plan.peak_bytes
    each = f"{size(resources.memory)} each; a block needs at most {size(peak)}"
    return f"{resources.workers} ({resources.scheduler}), {each}"


def memory(plan: Plan) -> str:
    """What all workers need at once, beside what is read and written."""
    levels_of_images = [bytes_of_levels(image.target.image) for image in plan.images]
    full, above = sum(first for first, _ in levels_of_images), sum(more for _, more in levels_of_images)
    read = f"{size(input_bytes(plan))} of input, " if plan.design is not None else ""
    levels = f" and {size(above)} of levels above it" if above else ""
    return f"{size(memory_needed(plan))} in all; {read}{size(full)} at full resolution{levels}, uncompressed"


def _stages(plan: Plan) -> list[tuple[str, ...]]:
    """A row for each name of a stage, of all images that have one."""
    found: dict[str, list[Stage]] = {}
    for stage in plan.stages:
        found.setdefault(stage.name, []).append(stage)
    return [
        (
            name if len(stages) == 1 else f"{name} ({len(stages):,} images)",
            f"{sum(stage.grid.count for stage in stages):,}",
            size(sum(stage.nbytes for stage in stages)),
            size(max(stage.peak_bytes for stage in stages)),
        )
        for name, stages in found.items()
    ]


def _levels_used(plan: Plan) -> str:
    levels = {
        view.pixels.level
        for image in plan.images
        if image.fusion is not None
        for table in image.fusion.image.compute.tables.values()
        for view in table.placed
    }
    if levels != {0}:
        return f"read at resolution levels {sorted(levels)}"
    return f"full resolution{', since coarser levels mix what was recorded with no_data' if _would_do(plan) else ''}"


def _would_do(plan: Plan) -> bool:
    """Whether views have coarser levels that are not read where a value means that nothing was recorded."""
    if plan.design is None or max(plan.design.frame.spacing) < _COARSE:
        return False
    return any(opened.view.no_data is not None and len(opened.levels) > 1 for opened in plan.design.opened.values())


def _plain(zyx: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(zyx))
