"""What an OME-Zarr image says about itself: axes, sizes of pixels, channels; metadata only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import check_exists, input_errors, pixel_dtype
from fusestack.storage.zarr_chunks import open_zarr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3

_RESTORE = "restore it from its source, or write the image again"


@dataclass(frozen=True)
class ImageFacts:
    """The finest level of an image.

    Parameters
    ----------
    shape : tuple of int
        t, c, z, y, x.
    chunks : tuple of int
    dtype : str
    pixel_size, origin : (float, float, float)
        z, y, x, in `unit`.
    unit : str or None
    channels : tuple of (str, str)
        Name and colour ``RRGGBB``.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    pixel_size: Float3
    origin: Float3
    unit: str | None
    channels: tuple[tuple[str, str], ...]


def image_facts(path: str) -> ImageFacts:
    """Read the metadata of an OME-Zarr image, or of a plain Zarr array.

    Raises
    ------
    InputError
        If there is none, or it cannot be used.
    """
    check_exists(path)
    with input_errors(path, "is not a Zarr image that can be read", _RESTORE):
        node = open_zarr(path)
        if hasattr(node, "shape"):
            return _facts(path, node, None, [], {})
        attributes = node.attrs.asdict()
        attributes = attributes.get("ome", attributes)
        images = attributes.get("multiscales") or []
        if not images:
            raise InputError(f"{path}: holds no multiscale image; name the folder of the image")
        dataset = images[0]["datasets"][0]
        axes = images[0].get("axes")
        transforms = [*dataset.get("coordinateTransformations", ()), *images[0].get("coordinateTransformations", ())]
        return _facts(path, node[dataset["path"].strip("/")], axes, transforms, attributes.get("omero") or {})


def _facts(path: str, array: Any, axes: Any, transforms: Sequence[dict[str, Any]], omero: dict[str, Any]) -> ImageFacts:
    names = list("tczyx"[-array.ndim :]) if axes is None else [a["name"] if isinstance(a, dict) else a for a in axes]
    units = {a["name"]: a.get("unit") for a in axes or () if isinstance(a, dict)}
    scale, translation = np.ones(len(names)), np.zeros(len(names))
    for transform in transforms:  # those of the level first, then those of the whole image
        numbers = np.asarray(transform.get(transform["type"], ()), dtype=np.float64)
        if transform["type"] == "scale":
            scale, translation = scale * numbers, translation * numbers
        elif transform["type"] == "translation":
            translation = translation + numbers

    def by_axis(values: NDArray[np.float64], default: float) -> Float3:
        found = dict(zip(names, values.tolist(), strict=True))
        z, y, x = (float(found.get(axis, default)) for axis in "zyx")
        return z, y, x

    shape, chunks = (
        tuple(int(dict(zip(names, v, strict=True)).get(a, 1)) for a in "tczyx") for v in (array.shape, array.chunks)
    )
    listed = omero.get("channels") or []
    channels = tuple(
        (str(listed[c].get("label") or c), str(listed[c].get("color") or "FFFFFF"))
        if c < len(listed)
        else (str(c), "FFFFFF")
        for c in range(shape[1])
    )
    return ImageFacts(
        shape=shape,
        chunks=chunks,
        dtype=pixel_dtype(np.dtype(array.dtype), path).name,
        pixel_size=by_axis(scale, 1.0),
        origin=by_axis(translation, 0.0),
        unit=units.get("x"),
        channels=channels,
    )
