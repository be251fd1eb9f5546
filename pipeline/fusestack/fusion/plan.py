"""The stages of a fusion."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.fusion import blocks as fusion_blocks
from fusestack.fusion.content_plan import prepare_content
from fusestack.fusion.design import Design, FusedImage, design_images
from fusestack.fusion.inputs import read_inputs
from fusestack.fusion.intensity import CoefficientMap
from fusestack.fusion.statistics import BlockStatistics, block_statistics
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest, identities, source_facts
from fusestack.model.grid import Grid
from fusestack.model.image import Codec, ImageSpec
from fusestack.model.stage import Stage, Target
from fusestack.planning import pyramid
from fusestack.planning.layout import cut_levels
from fusestack.planning.levels import cut_facts, int3, layout_facts, level_facts, with_pyramid
from fusestack.planning.plan import PlannedFusion, PlannedImage
from fusestack.planning.resources import WORKER_BYTES
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Output
    from fusestack.fusion.groups import Group
    from fusestack.fusion.inputs import Inputs
    from fusestack.fusion.intensity import Adjustment
    from fusestack.model.geometry import Int3
    from fusestack.planning.resources import Resources

# Output, its encoded copy, and what the codec needs beside them.
_COPIES_OF_OUTPUT = 2.5
_SMALLEST_PART = 16 * 2**20
_LARGEST_PART = 512 * 2**20
_MOST_KEPT = 128 * 2**20


@dataclass(frozen=True)
class FusionPlan:
    """The fused images of a configuration, and what they are made of."""

    path: str
    images: tuple[PlannedImage, ...]
    inputs: Inputs
    design: Design
    read: tuple[str, ...]


def plan_fusion(loaded: LoadedConfig, output: Output, resources: Resources, cache: str) -> FusionPlan:
    """Plan the fused images of a configuration.

    Parameters
    ----------
    loaded : LoadedConfig
    output : Output
        What is written.
    resources : Resources
    cache : str
        Folder of the stages before the fusion.

    Raises
    ------
    ConfigError
        If it asks for what does not fit the memory.
    InputError
        If an input is missing, unreadable or contradictory.
    """
    config = loaded.config
    inputs = read_inputs(loaded)
    design = design_of(loaded, inputs)
    path = str(loaded.resolve_path(output.path))
    read = identities(_paths_read(inputs, design))
    options = config.fusion.model_dump(mode="json")
    images = tuple(_plan_image(fused, design, output, path, options, read, resources, cache) for fused in design.images)
    refuse_inputs_as_outputs(images, [*read, inputs.project.path])
    return FusionPlan(path, images, inputs, design, tuple(read))


def design_of(loaded: LoadedConfig, inputs: Inputs, **changes: Any) -> Design:
    """Design the fused images of a configuration.

    Parameters
    ----------
    loaded : LoadedConfig
    inputs : Inputs
    **changes
        Other values of options of the fusion.
    """
    options = loaded.config.fusion.model_copy(update=changes)
    adjustment = options.intensity_adjustment
    if adjustment is not None and adjustment.coefficients is not None:
        container = loaded.resolve_path(adjustment.coefficients)
        adjustment = adjustment.model_copy(update={"coefficients": container})
        options = options.model_copy(update={"intensity_adjustment": adjustment})
    project = inputs.project
    return design_images(inputs.views, project.views, project.bounding_boxes, options, project.intensity)


def _paths_read(inputs: Inputs, design: Design) -> list[str]:
    paths = {path for view in inputs.views for path in view.source.paths}
    paths |= {found.container for found in design.adjustments.values() if isinstance(found, CoefficientMap)}
    return sorted(paths)


def _plan_image(
    fused: FusedImage,
    design: Design,
    output: Output,
    path: str,
    options: Mapping[str, Any],
    read: Mapping[str, str],
    resources: Resources,
    cache: str,
) -> PlannedImage:
    single = len(design.images) == 1
    spec = _image_spec(fused, output, path if single else _titled(path, fused.title), design.anisotropy)
    target = Target(WRITERS[output.format], spec, 0, f"{path}.fusestack")
    _, _, *shape = spec.shape
    _, _, *block = spec.levels[0].block
    statistics = block_statistics(fused.compute.tables.values(), int3(shape), int3(block), fused.compute.input_itemsize)
    fused, preparation = prepare_content(fused, read, cache, resources)
    compute, peak = _fit(fused, statistics, spec, resources)
    layout = layout_facts(spec, output.format)
    components = {
        "fusion": options,
        "grid": _grid_facts(fused, design.input_dtype),
        "inputs": read,
        "views": digest([_view_facts(group, design) for group in fused.groups]),
        "output": layout,
    }
    versions = [fusion_blocks.VERSION, *(stage.fingerprint for stage in preparation)]
    fingerprint = digest([versions, components, level_facts(spec, 0)])
    needs = tuple(stage.key for stage in preparation)
    first = Stage("fuse", Grid(spec.shape, spec.levels[0].block), compute, target, fingerprint, peak, needs)
    stages = with_pyramid(first, resources)
    return PlannedImage(
        title=fused.title,
        target=target,
        preparation=preparation,
        stages=stages,
        components={**components, "output": {**layout, **cut_facts(spec)}},
        fingerprint=digest([stage.fingerprint for stage in stages]),
        fusion=PlannedFusion(fused, statistics),
        project=_project_path(output, spec.path, single=single),
        overwrite=output.overwrite,
        notes={"setup_names": [channel.name for channel in spec.channels]},
    )


def _image_spec(fused: FusedImage, output: Output, path: str, anisotropy: float) -> ImageSpec:
    shape = int3(fused.shape[2:])
    factors = pyramid_factors(output, shape, anisotropy)
    sharded = output.format == "ome-zarr" and output.ome_zarr_version == "0.5" and output.shards != "none"
    shards = None if isinstance(output.shards, str) else int3(int(v) for v in output.shards.zyx)
    if shards and not sharded:
        raise ConfigError(
            f"output.shards: {output.format} {output.ome_zarr_version} has no shards; "
            "use ome_zarr_version '0.5', or shards: auto"
        )
    hdf5 = output.format == "bdv-hdf5"
    levels = cut_levels(
        fused.shape,
        factors,
        int3(int(v) for v in output.resolved_chunks.zyx),
        shards,
        sharded=sharded,
        chunks_per_block=4 if hdf5 else None,
    )
    codec = output.resolved_codec
    return ImageSpec(
        path=path,
        name=fused.title,
        dtype=fused.dtype,
        levels=levels,
        codec=Codec(codec.codec, codec.level),
        pixel_size=fused.pixel_size,
        origin=fused.origin,
        unit=fused.unit,
        timepoints=fused.timepoints,
        channels=fused.channels,
        fill=fused.compute.rule.fill,
        ome_zarr_version=output.ome_zarr_version,
    )


def pyramid_factors(output: Output, shape: Int3, anisotropy: float) -> tuple[Int3, ...]:
    """Factors of the levels (z, y, x) that the configuration asks for; an axis of one pixel is never divided."""
    if output.pyramid == "auto":
        return pyramid.propose_factors(shape, anisotropy)
    if output.pyramid == "none":
        return ((1, 1, 1),)
    wanted = [int3(int(v) for v in level.zyx) for level in output.pyramid]
    return tuple(int3(1 if n == 1 else f for n, f in zip(shape, level, strict=True)) for level in wanted)


def _fit(
    fused: FusedImage, statistics: BlockStatistics, spec: ImageSpec, resources: Resources
) -> tuple[fusion_blocks.FuseBlocks, int]:
    """Give the input of a block the memory that the output leaves, and refuse what cannot fit."""
    pixels = int(np.prod(spec.levels[0].block))
    output_bytes = int(_COPIES_OF_OUTPUT * pixels * spec.itemsize)
    part = min(_LARGEST_PART, resources.block_bytes - output_bytes)
    if part < _SMALLEST_PART:
        need, have = output_bytes + _SMALLEST_PART + WORKER_BYTES, resources.memory
        raise ConfigError(
            f"a block needs {need / 2**20:,.0f} MiB, a worker has {have / 2**20:,.0f} MiB "
            f"({WORKER_BYTES / 2**20:,.0f} MiB of it for the program): "
            "lower output.shards or output.chunks, or raise execution.memory"
        )
    compute = fused.compute
    kept = min(_MOST_KEPT, part // 4, 2 * compute.whole_bytes)
    peak = output_bytes + kept + min(part - kept, compute.most_bytes(statistics.most_input))
    return replace(compute, part_bytes=part - kept, kept_bytes=kept), peak


def refuse_inputs_as_outputs(images: Sequence[PlannedImage], paths: Sequence[str], key: str = "output.path") -> None:
    """Never write over what is read, not even where overwriting is allowed; `key` is said to be wrong."""
    read = {os.path.realpath(path) for path in paths}
    for image in images:
        for where, written in ((key, image.target.image.path), ("output.project", image.project)):
            if written is None:
                continue
            place = os.path.realpath(written)
            if any(place == path or path.startswith(place + os.sep) for path in read if path != os.sep):
                raise ConfigError(
                    f"{where}: {written} is an input of this run, and would be replaced; choose another name"
                )


def _titled(path: str, title: str) -> str:
    """``fused.ome.zarr`` -> ``fused_<title>.ome.zarr``."""
    folder, name = os.path.split(path)
    for suffix in (".ome.zarr", ".ome.tiff", ".ome.tif"):
        if name.lower().endswith(suffix):
            return str(Path(folder) / f"{name[: -len(suffix)]}_{title}{name[-len(suffix) :]}")
    plain = Path(path)
    return str(plain.with_name(f"{plain.stem}_{title}{plain.suffix}"))


def _project_path(output: Output, path: str, *, single: bool) -> str | None:
    if output.format != "bdv-hdf5":
        return None
    if output.project and single:
        return output.project
    return str(Path(path).with_suffix(".xml"))


def _grid_facts(fused: FusedImage, input_dtype: str) -> dict[str, Any]:
    low, high = fused.frame.box.inclusive()
    rule = fused.compute.rule
    return {
        "box": {"min": list(low), "max": list(high)},
        "spacing": [f"{v:.9g}" for v in reversed(fused.frame.spacing)],
        "flat": fused.frame.flat,
        "pixel types": f"{input_dtype} to {rule.dtype}",
        "intensity range": rule.intensity_range and list(rule.intensity_range),
    }


def _view_facts(group: Group, design: Design) -> list[Any]:
    """What the pixels of a group depend on besides the options; numbers rounded as they are written in projects."""
    return [
        (
            *view.id,
            source_facts(view.source),
            [f"{v:.9g}" for v in view.pixel_to_world.to_xyz()],
            _adjustment_facts(design.adjustments.get(view.id)),
        )
        for view in group.views
    ]


def _adjustment_facts(found: Adjustment | None) -> list[Any] | None:
    if isinstance(found, CoefficientMap):
        return [Path(found.container).name, found.group, found.dataset]
    return None if found is None else [found.factor, found.offset]
