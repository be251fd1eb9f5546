"""Fused images that are added to the project they were made from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.fusion.projects import numbers_of, setups_of
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest
from fusestack.project.append import numbered
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fusestack.config.output import Output
    from fusestack.fusion.design import DesignedImage
    from fusestack.fusion.inputs import Inputs
    from fusestack.model.view import View
    from fusestack.planning.plan import PlannedImage
    from fusestack.project.model import Project
    from fusestack.project.write import FusedImage

_FORMATS = {"bdv.hdf5": ("bdv-hdf5", "fused.h5"), "bdv.multimg.zarr": ("ome-zarr", "fused.ome.zarr")}
_NEW = {
    "timepoint_channel": ("illumination", "tile", "angle"),
    "timepoint_channel_illumination": ("tile", "angle"),
    "view": ("tile",),
}
_ELSE = "write a project of its own with output.project (and append: false)"


def check_appendable(output: Output, path: str, inputs: Inputs) -> None:
    """Refuse projects to which nothing can be added, and outputs that theirs do not hold.

    Raises
    ------
    ConfigError
        With the way out.
    """
    project = inputs.project
    if is_address(project.path) or is_address(path) or any(is_address(view.source.path) for view in inputs.views):
        raise ConfigError(f"output.append: {project.path} and its images have to be on a disk; {_ELSE}")
    if project.loader == "bdv.n5":
        container = next(view.source.path for view in project.views)
        if output.format != "bdv-n5" or os.path.realpath(path) != os.path.realpath(container):
            raise ConfigError(
                f"output.append: a project of N5 has one container, {container}; set output.path to it (its images are "
                f"kept), or {_ELSE}"
            )
        return
    if project.loader not in _FORMATS:
        raise ConfigError(
            f"output.append: nothing can be added to a project of '{project.loader}', only to bdv.hdf5, bdv.n5 and "
            f"bdv.multimg.zarr; {_ELSE}, or save the project as HDF5 in BigStitcher first"
        )
    file_format, example = _FORMATS[project.loader]
    if output.format != file_format:
        raise ConfigError(
            f"output.append: the project is '{project.loader}', which holds no {output.format}; set output.path to a "
            f"name such as {example}, or {_ELSE}"
        )
    _refuse_within(path, project)


def _refuse_within(path: str, project: Project) -> None:
    """An image within another one would be taken for a part of it."""
    place = os.path.realpath(path)
    for image in sorted({view.source.path for view in project.views}):
        if place.startswith(os.path.realpath(image) + os.sep):
            raise ConfigError(f"output.path: {path} lies in the image {image}; name a folder beside it")


def zarr_version(views: Iterable[View]) -> str:
    """Version of OME-Zarr of the images of a project."""
    return "0.4" if any((Path(view.source.path) / ".zgroup").exists() for view in views) else "0.5"


def like_the_others(output: Output, inputs: Inputs) -> Output:
    """An output whose version of OME-Zarr is that of the project, unless it says one: readers open one version."""
    if output.format != "ome-zarr" or "ome_zarr_version" in output.model_fields_set:
        return output
    return output.model_copy(update={"ome_zarr_version": zarr_version(inputs.views)})


def appended_to(
    project: Project,
    output: str,
    group_by: str,
    images: tuple[PlannedImage, ...],
    again: Callable[[Sequence[str]], tuple[PlannedImage, ...]],
) -> tuple[PlannedImage, ...]:
    """Give images their setups in the project that they are added to.

    Parameters
    ----------
    project : Project
    output : str
        ``output.path``, absolute.
    group_by : str
        As in the configuration.
    images : tuple of PlannedImage
    again : callable
        Plans the same images at other paths: those of N5 are named by their setups.
    """
    fingerprint = digest([image.fingerprint for image in images])
    fused = [image.fusion.image for image in images if image.fusion is not None]
    numbers = numbers_of(fused, group_by)

    def setups(image: PlannedImage, designed: DesignedImage) -> tuple[FusedImage, ...]:
        return setups_of(designed, image.target.image, group_by, numbers)

    pairs = list(zip(images, fused, strict=True))
    first = {one.setup.id: one for pair in pairs for one in setups(*pair)}
    new = _NEW.get(group_by, ("illumination", "channel", "tile", "angle"))
    ordered = [first[number] for number in sorted(first)]
    ids = [one.setup for one in numbered(project.path, output, fingerprint, ordered, new)]
    if project.loader == "bdv.n5":
        views = [(ids[one.setup.id].id, one.timepoints[0]) for pair in pairs for one in setups(*pair)]
        images = again([f"{output}/setup{setup}/timepoint{timepoint}" for setup, timepoint in views])
        pairs = list(zip(images, fused, strict=True))
    return tuple(
        replace(
            image,
            project=project.path,
            setups=tuple(replace(one, setup=ids[one.setup.id]) for one in setups(image, designed)),
            appended=(output, fingerprint),
        )
        for image, designed in pairs
    )
