"""Fusion as lazy images."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fusestack.model.errors import ConfigError, tell

if TYPE_CHECKING:
    from pathlib import Path

    import dask.array
    import xarray
    from numpy.typing import ArrayLike

    from fusestack.api.given import Placement
    from fusestack.fusion.design import Design, DesignedImage
    from fusestack.model.geometry import Float3, Int3
    from fusestack.model.view import View
    from fusestack.project.model import Project

_CHUNKS = (64, 256, 256)


@overload
def fuse(source: Any, *, levels: Literal[False] = False, **arguments: Any) -> xarray.DataArray: ...


@overload
def fuse(source: Any, *, levels: Literal[True], **arguments: Any) -> xarray.DataTree: ...


def fuse(
    source: Project | str | Path | Sequence[View] | Any,
    *,
    positions: Sequence[Sequence[float] | Mapping[str, float]] | None = None,
    affines: Sequence[ArrayLike] | None = None,
    voxel_size: float | Sequence[float] | Mapping[str, float] | None = None,
    unit: str | None = None,
    chunks: int | Sequence[int] | Mapping[str, int] | None = None,
    levels: bool = False,
    select: Mapping[str, Any] | None = None,
    no_data: float | None = None,
    **options: Any,
) -> xarray.DataArray | xarray.DataTree:
    """Fuse lazily: a dask-backed image whose pixels are computed when they are asked for.

    Nothing is written, and no pixel is read before it is needed. The graph takes no memory: a task is made when its
    chunk is asked for, so that a corner of an image of any size is there at once. Pixels are those that `run` writes.

    Parameters
    ----------
    source : Project, path, sequence of View, or tiles
        A project or the path of its XML; views; the path of a configuration (``.yaml``), of which the sections
        ``input`` and ``fusion`` are used, and not what it writes; or tiles: arrays (numpy, dask, zarr, xarray),
        multiscale images, paths of OME-Zarr images and TIFF files, patterns of names (``"tiles/*.tif"``, in the order
        of ``sort -V``), napari's ``(data, metadata)``.
    positions : sequence of (z, y, x) or of mappings, optional
        Of tiles: where the centre of the first pixel of each lies, in world units.
    affines : sequence of matrices, optional
        Of tiles: pixel to world units, 3x4 or 4x4, z, y, x; instead of `positions` and `voxel_size`.
    voxel_size : float, (z, y, x) or mapping, optional
        Of tiles that do not say it: size of a pixel in world units.
    unit : str, optional
        Of tiles: the world unit, such as micrometer.
    chunks : int, (z, y, x) or mapping of axes, optional
        Pixels of a chunk, (64, 256, 256) by default; one timepoint and one channel each.
    levels : bool
        Whether coarser levels are wanted, too: those that ``pyramid: auto`` writes.
    select : mapping, optional
        As in ``input.select``: ``{"channels": [0]}``.
    no_data : float, optional
        As ``input.no_data``: a value of the pixels of views where nothing was recorded, such as 0 for padding.
    **options
        Keys of the configuration's ``fusion`` section (``downsampling=2``, ``blending=False`` ...); they replace those
        of a configuration, whole: ``blending={"range": 20}`` replaces all that it says of blending. ``method`` and
        ``weights`` also take a function ``f(views, masks, **options)`` of aligned views and masks, float32[view, z, y,
        x] (NaN and 0 where a view does not cover), or ``{"function": f, "depth": 4, "options": {...}}``: a method gives
        float32[z, y, x], weights give float32[view, z, y, x]. ``depth`` says how many pixels of the fused image around
        a pixel decide about it.

    Returns
    -------
    xarray.DataArray or xarray.DataTree
        ``[t, c, z, y, x]``; of levels, a tree of ``scale0``, ``scale1`` ..., each with a variable ``image``.
        Coordinates t and c are timepoint ids and channel names; z, y, x are the centres of the pixels in world units,
        float64, in ``attrs["unit"]`` where it is known; "world pixel" where there is no voxel size. Pixel i lies at
        ``first + pixel_size * i``; the first pixel of a level of factor f lies ``(f - 1) / 2`` pixels of the image
        beyond the image's. In ``attrs`` are also ``pixel_size`` (of that level), ``colors`` of the channels (RRGGBB),
        and ``time_step`` where files say it: value and unit of a step of 1 in t, and the time where t is 0 (first).

    Warns
    -----
    FusestackWarning
        For each thing about the views and options that is right but may surprise.

    Raises
    ------
    ConfigError
        If an option is wrong, or makes more than one image.
    InputError
        If a file is missing, unreadable or contradictory, or `source` is nothing that can be fused.

    Examples
    --------
    >>> import fusestack
    >>> import numpy as np
    >>> tiles = [np.full((8, 32, 40), value, np.uint16) for value in (100, 200)]
    >>> image = fusestack.fuse(tiles, positions=[(0, 0, 0), (0, 0, 15)], voxel_size=(2, 0.5, 0.5), unit="micrometer")
    >>> image.sizes["x"], float(image.x[-1])
    (70, 34.5)
    >>> image.sel(z=4, y=8, x=[2, 30]).values.squeeze().tolist()
    [100, 200]
    >>> brightest = fusestack.fuse("dataset.xml", method=lambda views, masks: np.fmax.reduce(views))
    >>> tree = fusestack.fuse("dataset.xml", downsampling=2, levels=True)
    >>> sorted(tree.children)[0], tree["scale0"]["image"].dims
    ('scale0', ('t', 'c', 'z', 'y', 'x'))
    """
    from fusestack.api.given import Placement
    from fusestack.fusion.lazy import lazy_image, lazy_levels

    cut = _chunks_of(chunks)
    told = {"select": select, "no_data": no_data}
    designed = _designed(source, Placement(positions, affines, voxel_size, unit), told, options)
    image = _only(designed)
    tell(designed.warnings)
    pixels = lazy_image(image, cut)
    if not levels:
        return _labelled(pixels, image, image.pixel_size, image.origin, image.title)
    import xarray

    spec, arrays = lazy_levels(pixels, image, cut)
    children = {}
    for number, level in enumerate(arrays):
        shown = _labelled(level, image, spec.level_scale(number), spec.level_origin(number), "image")
        children[f"scale{number}"] = shown.to_dataset()
    return xarray.DataTree.from_dict(children, name=image.title)


def design(source: Project | str | Path | Sequence[View] | Any, **options: Any) -> DesignedImage:
    """Design the one fused image of `fuse`; metadata only.

    Raises
    ------
    ConfigError
        If an option is wrong, not available yet, or makes more than one image.
    InputError
    """
    from fusestack.api.given import Placement

    told = {key: options.pop(key, None) for key in ("select", "no_data")}
    return _only(_designed(source, Placement(), told, options))


def _designed(source: Any, placement: Placement, told: Mapping[str, Any], options: Mapping[str, Any]) -> Design:
    from fusestack.api.given import read_given
    from fusestack.config.load import unsupported
    from fusestack.fusion.plan import design_of, paths_read
    from fusestack.model.fingerprint import identities

    given = {key: value for key, value in told.items() if value is not None}
    loaded, inputs = read_given(source, placement, given, options)
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    return design_of(loaded, inputs, identities(paths_read(loaded, inputs)))


def _only(found: Design) -> DesignedImage:
    if len(found.images) > 1:
        titles = ", ".join(image.title for image in found.images[:3])
        raise ConfigError(
            f"group_by: makes {len(found.images)} images ({titles} ...); "
            "select the views of one of them, or use timepoint_channel"
        )
    return found.images[0]


def _chunks_of(chunks: Any) -> Int3:
    """Pixels of a chunk, z, y, x."""
    if chunks is None:
        return _CHUNKS
    wanted = "give whole numbers of at least 1: one for all axes, (z, y, x), or {'z': 64, 'y': 256, 'x': 256}"
    sizes: Any = chunks
    if isinstance(chunks, Mapping):
        if unknown := [axis for axis in chunks if axis not in ("z", "y", "x")]:
            raise ConfigError(
                f"chunks: {unknown[0]!r} is none of the axes z, y, x (t and c are never joined); {wanted}"
            )
        sizes = [chunks.get(axis, size) for axis, size in zip("zyx", _CHUNKS, strict=True)]
    elif isinstance(chunks, str | bytes) or not isinstance(chunks, Sequence | np.ndarray):
        sizes = (chunks,) * 3
    try:
        z, y, x = (operator.index(size) for size in sizes)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"chunks: {chunks!r} is no size of chunks; {wanted}") from error
    if min(z, y, x) < 1 or any(isinstance(size, bool) for size in sizes):
        raise ConfigError(f"chunks: {chunks!r} is no size of chunks; {wanted}")
    return (z, y, x)


def _labelled(
    pixels: dask.array.Array, image: DesignedImage, pixel_size: Float3, origin: Float3, name: str
) -> xarray.DataArray:
    import xarray

    sized = any(view.voxel_size for group in image.groups for view in group.views)
    unit = image.unit or (None if sized else "world pixel")
    axes = {
        axis: (axis, start + size * np.arange(n), {"units": unit} if unit else {})
        for axis, start, size, n in zip("zyx", origin, pixel_size, pixels.shape[2:], strict=True)
    }
    return xarray.DataArray(
        pixels,
        dims=("t", "c", "z", "y", "x"),
        coords={"t": list(image.timepoints), "c": [channel.name for channel in image.channels], **axes},
        name=name,
        attrs={
            **({"unit": unit} if unit else {}),
            "pixel_size": dict(zip("zyx", pixel_size, strict=True)),
            "colors": [channel.color for channel in image.channels],
            **({} if image.time is None else {"time_step": image.time.labels(image.timepoints)}),
        },
    )
