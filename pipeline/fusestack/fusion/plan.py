"""The stages of a fusion."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.config.functions import OwnFunction
from fusestack.fusion.design import Design, DesignedImage, design_images
from fusestack.fusion.ground import Ground, lay_out
from fusestack.fusion.inputs import read_inputs
from fusestack.fusion.samples import samples_of
from fusestack.fusion.unwritten import not_written
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import digest, identities
from fusestack.model.image import is_ome_tiff
from fusestack.model.stage import Target
from fusestack.planning.image_spec import image_spec
from fusestack.planning.levels import cut_facts, layout_facts, with_pyramid
from fusestack.planning.pictures import split_suffix
from fusestack.planning.plan import PlannedFusion, PlannedImage, refuse_inputs_as_outputs
from fusestack.planning.resources import WORKER_BYTES
from fusestack.planning.stages import make_stage, rechunk
from fusestack.sources.graph import graph_array, label_of
from fusestack.storage import is_address
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Fusion
    from fusestack.config.output import Output
    from fusestack.fusion.blocks import FuseBlocks
    from fusestack.fusion.inputs import Inputs
    from fusestack.model.stage import Stage
    from fusestack.planning.resources import Resources
    from fusestack.project.model import Project
    from fusestack.project.write import FusedImage
    from fusestack.sources.probe import Sample


_FUSED = "fused"
"""With which all titles begin."""
_COLOURS = ("FF0000", "00FF00", "0000FF")


@dataclass(frozen=True)
class FusionPlan:
    """The fused images of a configuration, and what they are made of."""

    path: str
    images: tuple[PlannedImage, ...]
    inputs: Inputs
    design: Design
    read: tuple[str, ...]
    samples: tuple[Sample, ...]


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
    if output.project is not None:
        output = output.model_copy(update={"project": loaded.resolve_path(output.project)})
    inputs = read_inputs(loaded)
    if output.append:
        from fusestack.fusion.appending import check_appendable, like_the_others

        check_appendable(output, str(loaded.resolve_path(output.path)), inputs)
        output = like_the_others(output, inputs)
    design = design_of(loaded, inputs, identities(paths_read(loaded, inputs)))
    read = design.read  # members of sets, too
    path = place_of(output, str(loaded.resolve_path(output.path)))
    design = replace(design, warnings=(*design.warnings, *not_written(design, output)))
    _refuse_project_inside(output, path)
    options = _option_facts(config.fusion)
    single = len(design.images) == 1
    of_no_view = read.keys() - {path for opened in design.opened.values() for path in opened.view.source.paths}
    places = [path if single else _titled(path, fused.title, output.format) for fused in design.images]

    def read_of(fused: DesignedImage) -> dict[str, str]:
        return {path: read[path] for path in sorted(of_no_view.union(fused.compute.paths) & read.keys())}

    def planned(places: Sequence[str]) -> tuple[PlannedImage, ...]:
        return tuple(
            _plan_image(fused, design, output, path, place, options, read_of(fused), resources, cache)
            for fused, place in zip(design.images, places, strict=True)
        )

    images = planned(places)
    if output.append:
        from fusestack.fusion.appending import appended_to

        images = appended_to(inputs.project, path, config.fusion.group_by, images, planned)
    elif images[0].project is not None:
        images = _with_setups(images, config.fusion.group_by, path, planned)
    refuse_inputs_as_outputs(images, [*read, inputs.project.path])
    return FusionPlan(path, images, inputs, design, tuple(read), samples_of(design))


def place_of(output: Output, path: str) -> str:
    """Where images are written: TIFF files, also where the path of a project of them names no file of this kind."""
    if output.format != "bdv-tiff" or path.lower().endswith((".tif", ".tiff")):
        return path
    return f"{path.removesuffix('.xml')}.tif"


def _with_setups(
    images: tuple[PlannedImage, ...],
    group_by: str,
    path: str,
    again: Callable[[Sequence[str]], tuple[PlannedImage, ...]],
) -> tuple[PlannedImage, ...]:
    """Say what the project beside images holds.

    Parameters
    ----------
    images : tuple of PlannedImage
    group_by : str
        As in the configuration.
    path : str
        ``output.path``: a project names one HDF5 or N5, so several HDF5 files are linked there, and one N5 holds all.
    again : callable
        Plans the same images at other paths: those of N5 are named by their setups.
    """
    from fusestack.fusion.projects import numbers_of, setups_of

    fused = [image.fusion.image for image in images if image.fusion is not None]
    numbers = numbers_of(fused, group_by)

    def setups(image: PlannedImage, designed: DesignedImage) -> tuple[FusedImage, ...]:
        return setups_of(designed, image.target.image, group_by, numbers)

    shared = len(images) > 1 and images[0].file_format in ("bdv-hdf5", "bdv-n5")
    if shared and images[0].file_format == "bdv-n5":
        first = [setups(*pair)[0] for pair in zip(images, fused, strict=True)]
        images = again([f"{path}/setup{one.setup.id}/timepoint{one.timepoints[0]}" for one in first])
    return tuple(
        replace(image, setups=setups(image, designed), container=path if shared else "")
        for image, designed in zip(images, fused, strict=True)
    )


def _refuse_project_inside(output: Output, path: str) -> None:
    """A project within its container would be deleted with it."""
    if output.project and not is_address(path):
        inside = os.path.realpath(output.project).startswith(os.path.realpath(path) + os.sep)
        if inside or os.path.realpath(output.project) == os.path.realpath(path):
            raise ConfigError(f"output.project: {output.project} lies in {path}; name a file beside it")


def design_of(loaded: LoadedConfig, inputs: Inputs, read: Mapping[str, str] | None = None, **changes: Any) -> Design:
    """Design the fused images of a configuration.

    Parameters
    ----------
    loaded : LoadedConfig
    inputs : Inputs
    read : mapping of str to str, optional
        Identities of the files by path, for fingerprints.
    **changes
        Other values of options of the fusion.
    """
    options = loaded.config.fusion.model_copy(update=changes)
    adjustment = options.intensity_adjustment
    if adjustment is not None and (container := _container(loaded)):
        adjustment = adjustment.model_copy(update={"coefficients": container})
        options = options.model_copy(update={"intensity_adjustment": adjustment})
    project = inputs.project
    _refuse_flawed(project, options, inputs)
    boxes = project.bounding_boxes
    output = loaded.config.output
    # one file for each group, as BigStitcher saves them; and views of a container are there one by one
    apart = output is not None and (output.is_stacks or (output.append and output.format == "bdv-n5"))
    design = partial(design_images, inputs.views, project.views, boxes, options, project.intensity, read or {})
    flat = all(view.shape is None or view.shape[0] == 1 for view in inputs.views[:1])  # else nothing is designed twice
    coloured = output is not None and output.format == "tiff" and is_ome_tiff(output.path) and flat
    found = design(apart=apart and not coloured)
    if coloured and not is_coloured(found.images[0]):
        found = design(apart=True)
    return replace(found, warnings=(*inputs.warnings, *found.warnings))


def ground_of(loaded: LoadedConfig, inputs: Inputs, **changes: Any) -> Ground:
    """Lay the frame that `design_of` would have, which is quick."""
    project = inputs.project
    options = loaded.config.fusion.model_copy(update=changes)
    return lay_out(inputs.views, project.views, project.bounding_boxes, options)


def _refuse_flawed(project: Project, options: Fusion, inputs: Inputs) -> None:
    """Refuse a box or models of the project that are used and cannot be."""
    problems = []
    if isinstance(options.bounding_box, str) and options.bounding_box in project.flawed_boxes:
        problems.append(project.flawed_boxes[options.bounding_box])
    if options.intensity_adjustment is not None and options.intensity_adjustment.coefficients is None:
        problems += [text for view in inputs.views if (text := project.flawed_intensity.get(view.id))]
    if problems:
        raise InputError(*problems)


def is_coloured(image: DesignedImage) -> bool:
    """Whether an image can be one picture in colour: one plane of three channels of 8 bits, without names of their own.

    Channels that are called DAPI or GFP are no colours of a camera: each is a file, which keeps its name.
    """
    fits = image.shape[:3] == (1, len(_COLOURS), 1) and image.dtype == "uint8"
    unnamed = all(channel.name == str(channel.id) for channel in image.channels)
    return fits and (unnamed or tuple(channel.color for channel in image.channels) == _COLOURS)


def _option_facts(options: Fusion) -> dict[str, Any]:
    """Options for reasons to run again; also what functions of the user's are made of."""
    facts = options.model_dump(mode="json")
    for key, own in (("method", options.method), ("weights", options.weights)):
        if isinstance(own, OwnFunction):
            facts[key]["source"] = own.function.source
    return facts


def paths_read(loaded: LoadedConfig, inputs: Inputs) -> list[str]:
    """Files and containers that a fusion reads: those of the views, and of coefficients."""
    paths = {path for view in inputs.views for path in view.source.paths}
    return sorted(paths | ({container} if (container := _container(loaded)) else set()))


def _arrays_read(compute: FuseBlocks) -> dict[str, str]:
    """Names of the arrays that views are, by what these are called."""
    views = [view.pixels for table in compute.tables.values() for view in table.placed]
    found = [(view.source, graph_array(view.source, 0)) for view in views]
    return {label_of(source): array.name for source, array in found if array is not None}


def _container(loaded: LoadedConfig) -> str | None:
    """Where the coefficients of the intensity adjustment are, absolute."""
    adjustment = loaded.config.fusion.intensity_adjustment
    if adjustment is None or adjustment.coefficients is None:
        return None
    return str(loaded.resolve_path(adjustment.coefficients))


def prepared(compute: FuseBlocks, cache: str, resources: Resources) -> tuple[FuseBlocks, tuple[Stage, ...]]:
    """Give an image that reads its content-based weights, if it has any, from the cache; and the stages of these."""
    if compute.content is None:
        return compute, ()
    from fusestack.fusion.content import prepare_content

    content, preparation = prepare_content(compute.content, cache, resources)
    return replace(compute, content=content), preparation


def _plan_image(
    fused: DesignedImage,
    design: Design,
    output: Output,
    path: str,
    place: str,
    options: Mapping[str, Any],
    read: Mapping[str, str],
    resources: Resources,
    cache: str,
) -> PlannedImage:
    spec = image_spec(fused, output, place, design.anisotropy, fused.compute.rule.fill)
    writer: str = output.format
    notes: dict[str, Any] = {"setup_names": [channel.name for channel in spec.channels]}
    if output.format == "tiff" and len(spec.channels) > 1:
        writer, notes = "picture", {"placed": True}
    if output.format == "bdv-n5" and (output.append or len(design.images) > 1):
        writer = "bdv-n5-view" if output.append else "bdv-n5-member"
    target = Target(WRITERS[writer], spec, 0, f"{path}.fusestack")
    if output.format == "dzi":
        target.open()  # refuses what it does not hold
    compute, preparation = prepared(fused.compute, cache, resources)
    first = make_stage("fuse", fitted(compute, target, resources), target, resources, layout_facts(spec, output.format))
    layout = layout_facts(spec, output.format)
    components = {
        "fusion": options,
        "grid": _grid_facts(fused, design.input_dtype),
        "inputs": {**read, **_arrays_read(compute)},
        "views": digest([view.place_facts() for table in compute.tables.values() for view in table.placed]),
        "output": layout,
    }
    stages = with_pyramid(first, resources)
    return PlannedImage(
        title=fused.title,
        target=target,
        preparation=preparation,
        stages=stages,
        components={**components, "output": {**layout, **cut_facts(spec)}},
        fingerprint=digest([stage.fingerprint for stage in stages]),
        fusion=PlannedFusion(fused, compute.statistics(spec.levels[0].block)),
        project=project_path(output, path),
        file_format=output.format,
        overwrite=output.overwrite,
        notes=notes,
    )


def fitted(compute: FuseBlocks, target: Target, resources: Resources) -> FuseBlocks:
    """Give the input of a block the memory that the output leaves, and refuse what cannot fit."""
    level = target.image.levels[0]
    held = compute.held_bytes(level.grid)
    found = compute.fitted(level.block, resources.block_bytes - held)
    if found is None:
        need, have = compute.least_bytes(level.block) + held + WORKER_BYTES, resources.memory
        raise ConfigError(
            f"a block needs {need / 2**20:,.0f} MiB, a worker has {have / 2**20:,.0f} MiB "
            f"({WORKER_BYTES / 2**20:,.0f} MiB of it for the program): "
            f"lower output.shards or output.chunks, {rechunk(held)}or raise execution.memory"
        )
    return found


def _titled(path: str, title: str, file_format: str) -> str:
    """``out.tif`` -> ``out_<title>.tif``; a word is not said twice, but in OME-Zarr, whose names are a contract."""
    stem, suffix = split_suffix(path)
    if file_format != "ome-zarr" and stem.endswith(_FUSED):
        return f"{stem}{title.removeprefix(_FUSED)}{suffix}"
    return f"{stem}_{title}{suffix}"


def project_path(output: Output, path: str) -> str | None:
    """Where the project of all images goes: those of BigDataViewer have one, others where it is asked for.

    Parameters
    ----------
    output : Output
    path : str
        What ``output.path`` names.
    """
    if output.project:
        return output.project
    if output.format == "bdv-tiff":
        return f"{split_suffix(path)[0]}.xml"
    return str(Path(path).with_suffix(".xml")) if output.format in ("bdv-hdf5", "bdv-n5") else None


def _grid_facts(fused: DesignedImage, input_dtype: str) -> dict[str, Any]:
    low, high = fused.frame.box.inclusive()
    rule = fused.compute.rule
    return {
        "box": {"min": list(low), "max": list(high)},
        "spacing": [f"{v:.9g}" for v in reversed(fused.frame.spacing)],
        "flat": fused.frame.flat,
        "pixel types": f"{input_dtype} to {rule.dtype}",
        "intensity range": rule.intensity_range and list(rule.intensity_range),
    }
