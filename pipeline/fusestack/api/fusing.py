"""Fusion as lazy images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.api.configured import open_project
from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray
    from numpy.typing import NDArray

    from fusestack.fusion.blocks import FuseBlocks
    from fusestack.fusion.design import DesignedImage
    from fusestack.model.view import View
    from fusestack.project.model import Project

_CHUNKS = (64, 256, 256)


def fuse(project: Project | str | Path | Sequence[View], **options: Any) -> xarray.DataArray:
    """Fuse lazily: a dask-backed image whose pixels are computed when they are asked for.

    Parameters
    ----------
    project : Project, path of a project XML, or sequence of View
    **options
        Keys of the configuration's ``fusion`` section (``downsampling=2``, ``blending=False`` ...), and ``select``, a
        mapping as in ``input.select``.

    Returns
    -------
    xarray.DataArray
        ``[t, c, z, y, x]``; coordinates t and c are timepoint ids and channel names, z, y, x are in world units:
        ``attrs["unit"]``, or world pixels where the project has no voxel size.

    Raises
    ------
    ConfigError, InputError
    """
    import dask.array
    import xarray

    image = design(project, **options)
    chunks = ((1,) * image.shape[0], (1,) * image.shape[1], *_CHUNKS)
    pixels = dask.array.map_blocks(
        _compute_chunk,
        compute=image.compute,
        chunks=dask.array.core.normalize_chunks(chunks, image.shape, dtype=image.dtype),
        dtype=image.dtype,
        meta=np.empty((0,) * 5, dtype=image.dtype),
    )
    axes = {
        axis: origin + size * np.arange(n)
        for axis, origin, size, n in zip("zyx", image.origin, image.pixel_size, image.shape[2:], strict=True)
    }
    return xarray.DataArray(
        pixels,
        dims=("t", "c", "z", "y", "x"),
        coords={"t": list(image.timepoints), "c": [channel.name for channel in image.channels], **axes},
        name=image.title,
        attrs={"unit": image.unit or "world pixel", "pixel_size": dict(zip("zyx", image.pixel_size, strict=True))},
    )


def design(project: Project | str | Path | Sequence[View], **options: Any) -> DesignedImage:
    """Design the one fused image of `fuse`; metadata only.

    Raises
    ------
    ConfigError
        If an option is wrong, not available yet, or makes more than one image.
    """
    from fusestack.config.load import from_mapping, unsupported
    from fusestack.config.models import Select
    from fusestack.fusion.design import design_images
    from fusestack.fusion.inputs import selection_of
    from fusestack.model.errors import ConfigError
    from fusestack.project.model import Project
    from fusestack.project.select import select_views

    select = options.pop("select", None)
    section = {"project": "."} if select is None else {"project": ".", "select": select}
    loaded = from_mapping({"version": 1, "input": section, "fusion": options})
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    fusion = loaded.config.fusion
    select = loaded.config.input.select if loaded.config.input is not None else Select()
    if isinstance(project, (str, Path)):
        project = open_project(project)
    if isinstance(project, Project):
        views, everything = select_views(project, selection_of(select)), project.views
        found = design_images(views, everything, project.bounding_boxes, fusion, project.intensity)
    else:
        views = tuple(sorted(project, key=lambda view: view.id))
        found = design_images(views, views, {}, fusion)
    if len(found.images) > 1:
        titles = ", ".join(image.title for image in found.images[:3])
        raise ConfigError(
            f"group_by: {fusion.group_by} makes {len(found.images)} images ({titles} ...); "
            "select the views of one of them, or use timepoint_channel"
        )
    return found.images[0]


def _compute_chunk(compute: FuseBlocks, block_info: Any = None) -> NDArray[Any]:
    location = block_info[None]["array-location"]
    box = Box(tuple(a for a, _ in location), tuple(b for _, b in location))
    pixels = compute(box)
    return np.full(box.shape, compute.rule.fill, dtype=compute.rule.dtype) if pixels is None else pixels
