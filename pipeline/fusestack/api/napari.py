"""The reader that napari finds by ``napari.yaml``; knows layers as plain data, and loads neither napari nor Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.errors import FusestackError, tell
from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.display.served import ServedImage

Layer: TypeAlias = "tuple[Any, dict[str, Any], str]"
"""Data, arguments and kind, as napari takes them."""


def reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Layer]] | None:
    """Function that reads a path, or None where others should: a folder that is no Zarr image, a YAML that is not ours.

    Parameters
    ----------
    path : str or sequence of str
        An OME-Zarr, a project XML or a configuration; of several, each is read for itself.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_is_ours(one) for one in paths) else None


def read(path: str | Sequence[str]) -> list[Layer]:
    """Layers of images: one for each channel, with its levels, name, colour, contrast, and place in the world.

    What a project or a configuration fuses is fused when it is looked at, at the level that is looked at. Levels of a
    fused image are fused on their own and begin on whole pixels of theirs, napari lays them over one another by their
    sizes: what coarse levels show may lie up to a pixel of theirs beside its place.

    Returns
    -------
    list of (data, mapping, "image")
        Data is a list of lazy dask arrays ``[z, y, x]``, or ``[t, z, y, x]`` where there are several timepoints.

    Raises
    ------
    ConfigError, InputError

    Warns
    -----
    FusestackWarning
    """
    from fusestack.display.shown import show

    layers = []
    for one in [path] if isinstance(path, str) else path:
        shown = show(one)
        tell(shown.warnings)
        images = [image for image in shown.scene.images if image.kind != "input"]
        layers += [_layer(image, c) for image in images for c in range(len(image.channels))]
    return layers


def _is_ours(path: str) -> bool:
    from fusestack.config.document import read_document
    from fusestack.sources.ome_zarr_facts import is_zarr

    place = Path(path)
    suffix = place.suffix.lower()
    try:
        if suffix == ".xml":
            return "<SpimData" in place.read_text(encoding="utf-8", errors="replace")[:4096]
        if suffix in (".yaml", ".yml"):
            data, _ = read_document(place.read_text(encoding="utf-8"), path)
            return isinstance(data, dict) and "version" in data and bool({"input", "focus"} & data.keys())
        return is_zarr(path)
    except (OSError, FusestackError):
        return False


@dataclass(frozen=True)
class LevelArray:
    """A level of one channel as an array that is read where it is indexed.

    Parameters
    ----------
    image : ServedImage
    level, channel : int
    """

    image: ServedImage
    level: int
    channel: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels, t, z, y, x; without t where there is one timepoint."""
        zyx = self.image.levels[self.level].shape
        return (self.image.times, *zyx) if self.image.times > 1 else zyx

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(self.image.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        ranges, steps = [], []
        for part, n in zip((*index, *[slice(None)] * (self.ndim - len(index))), self.shape, strict=True):
            along = range(n)[part] if isinstance(part, slice) else range(n)[part : part + 1 or None]
            ranges.append((min(along, default=0), max(along, default=-1) + 1))
            steps.append(slice(None, None, along.step) if isinstance(part, slice) else 0)
        times = range(*ranges[0]) if self.image.times > 1 else range(1)
        box = Box(tuple(a for a, _ in ranges[-3:]), tuple(b for _, b in ranges[-3:]))
        out = np.full((len(times), *box.shape), self.image.fill, self.dtype)
        for place, t in enumerate(times if out.size else ()):
            found = self.image.pixels.read(self.level, t, self.channel, box)
            if found is not None:
                out[place] = found
        cut: NDArray[Any] = (out if self.image.times > 1 else out[0])[tuple(steps)]
        return cut


def _layer(image: ServedImage, c: int) -> Layer:
    import dask.array

    channel, more = image.channels[c], [1] * (image.times > 1)
    chunks, empty = (*more, *image.block), np.empty((0,) * (3 + len(more)), image.dtype)
    levels = [
        dask.array.from_array(LevelArray(image, number, c), chunks, name=False, asarray=False, meta=empty)
        for number in range(len(image.levels))
    ]
    first = image.levels[0]
    place: dict[str, Any] = {"scale": [*more, *first.scale], "translate": [*[0] * len(more), *first.origin]}
    if image.to_world is not None:
        matrix = np.eye(4 + len(more))
        matrix[len(more) : -1, len(more) : -1] = image.to_world.linear
        matrix[len(more) : -1, -1] = image.to_world.offset
        place["affine"] = matrix
    if image.unit is not None:
        place["units"] = [*["pixel"] * len(more), *[image.unit] * 3]
    rgb = [int(channel.color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    colormap = {"name": f"#{channel.color}", "colors": [[0, 0, 0, 1], [*rgb, 1]], "controls": [0, 1]}
    return (
        levels if len(levels) > 1 else levels[0],
        {
            "name": image.name if len(image.channels) == 1 else f"{image.name}: {channel.name}",
            "multiscale": len(levels) > 1,
            "colormap": colormap,
            "contrast_limits": list(image.window(c)),
            "blending": "additive",
            "visible": image.shown,
            **place,
        },
        "image",
    )
