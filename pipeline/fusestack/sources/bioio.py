"""Files of microscopes (CZI, ND2, LIF ...) through bioio and its plug-ins, an extra of the installation."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import (
    SourceLevel,
    check_box,
    check_exists,
    input_errors,
    last_chunk,
    pixel_dtype,
    select_index,
)
from fusestack.sources.facts import ImageFacts, refuse_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Box, Int3

_RESTORE = "restore it from its source, or save it as OME-TIFF"
_PLUGINS = {".czi": "bioio-czi", ".nd2": "bioio-nd2", ".lif": "bioio-lif", ".dv": "bioio-dv", ".r3d": "bioio-dv"}
_PLUGINS[".sldy"] = "bioio-sldy"


class BioioSource:
    """Pixels of one series, timepoint and channel of a file that a bioio plug-in reads.

    Parameters
    ----------
    path : str
    series : int
        Number of the scene.
    timepoint, channel : int
        Indices along t and c; not looked at where the scene has only one.

    Raises
    ------
    InputError
        If bioio or the plug-in for such files is not installed, or the file cannot be read.
    """

    def __init__(self, path: str, *, series: int = 0, timepoint: int = 0, channel: int = 0) -> None:
        self._path = path
        self._lock = Lock()  # readers keep the scene and the level they are at
        check_exists(path)
        self._image = _open(path)
        with input_errors(path, "is not an image that can be read", _RESTORE):
            self._image.set_scene(select_index(path, "series", len(self._image.scenes), series))
            dims = self._image.dims
            self._counts = int(dims.T), int(dims.C)
            self._index = {
                "T": select_index(path, "timepoint", dims.T, timepoint),
                "C": select_index(path, "channel", dims.C, channel),
            }
            self._arrays = [self._stack(level) for level in self._image.resolution_levels]
            self._dtype = pixel_dtype(self._arrays[0].dtype, path)
        first = np.array(self._arrays[0].shape)
        self._levels = tuple(
            SourceLevel(_int3(array.shape), _factors(first / array.shape), _int3(array.chunksize))
            for array in self._arrays
        )

    def _stack(self, level: int) -> Any:
        """Lazy array z, y, x of a level."""
        if len(self._image.resolution_levels) > 1:
            self._image.set_resolution_level(level)
        return self._image.get_image_dask_data("ZYX", **self._index)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order."""
        return self._dtype

    @property
    def counts(self) -> tuple[int, int]:
        """Timepoints and channels of the scene."""
        return self._counts

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions, full resolution first."""
        return self._levels

    def stored_chunk(self, level: int) -> Box | None:
        """Part of a level that is decoded in one piece and is stored."""
        return last_chunk(self._levels[level])

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If the plug-in cannot read it.
        """
        check_box(self._path, self._levels, level, box)
        with input_errors(f"{self._path}: level {level}", "the pixels cannot be read", _RESTORE), self._lock:
            pixels = self._arrays[level][box.slices].compute(scheduler="synchronous")
        return np.ascontiguousarray(pixels, dtype=self._dtype)


def bioio_facts(path: str, *, series: int | None = None, axes: str | None = None) -> ImageFacts:
    """Facts of a scene: axes, size of pixels in micrometers, names of channels; its place is not known.

    Raises
    ------
    InputError
        If the file cannot be read, holds several scenes and none is chosen, or axes are named.
    """
    check_exists(path)
    if axes is not None:
        raise InputError(f"{path}: axes: the axes of such files are known; remove the key")
    image = _open(path)
    with input_errors(path, "is not an image that can be read", _RESTORE):
        if series is None and len(image.scenes) > 1:
            raise refuse_choice(path, "images (series)", [str(scene) for scene in image.scenes])
        image.set_scene(select_index(path, "series", len(image.scenes), series or 0))
        dims = image.dims
        shape = tuple(int(getattr(dims, axis)) for axis in "TCZYX")
        found = image.physical_pixel_sizes
        z, y, x = (float(size) if size and size > 0 else None for size in (found.Z, found.Y, found.X))
        names = tuple(str(name) for name in image.channel_names or ())
        lazy = image.dask_data
        told = [("voxel size", any((z, y, x))), ("channel names", len(names) == shape[1])]
        return ImageFacts(
            reader="fusestack.sources.bioio:BioioSource",
            path=path,
            shape=shape,
            chunks=tuple(int(n) for n in lazy.chunksize),
            dtype=pixel_dtype(image.dtype, path).name,
            options=(("series", series),) if series else (),
            sizes=(z, y, x),
            unit="micrometer" if any((z, y, x)) else None,
            names=names if len(names) == shape[1] else (None,) * shape[1],
            colors=(None,) * shape[1],
            found=tuple((what, "bioio") for what, there in told if there),
            said=("the place of the stage is not read of such files; translation or affine say it",),
        )


def _open(path: str) -> Any:
    suffix = Path(path).suffix.lower()
    plugin = _PLUGINS.get(suffix, "bioio-bioformats")
    way_out = f'install it: pip install "fusestack[bioio]" {plugin}'
    try:
        import bioio
    except ImportError as error:
        raise InputError(
            f"{path}: files of suffix '{suffix}' are read with bioio, which is missing; {way_out}"
        ) from error
    try:
        return bioio.BioImage(path)
    except Exception as error:
        if type(error).__name__ == "UnsupportedFileFormatError":
            raise InputError(f"{path}: no installed plug-in of bioio reads it; {way_out}") from error
        cause = " ".join(str(error).split())
        raise InputError(f"{path}: is not an image that can be read ({cause}); {_RESTORE}") from error


def _factors(ratios: NDArray[np.float64]) -> tuple[float, float, float]:
    z, y, x = (float(round(r)) if abs(r - round(r)) < 0.05 * r else round(float(r), 4) for r in ratios)
    return (z, y, x)


def _int3(values: tuple[int, ...]) -> Int3:
    z, y, x = (int(v) for v in values)
    return (z, y, x)
