"""Volumes as TIFF: a stack that ImageJ opens with its calibration, or a pyramidal OME-TIFF."""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.image import is_ome_tiff
from fusestack.storage import is_address
from fusestack.writers import ome_tiff
from fusestack.writers.picture_format import BAND_BYTES, Page
from fusestack.writers.picture_tiff import CLASSIC_BYTES, region_of, tile_of, tiles_of
from fusestack.writers.staged import StagedWriter
from fusestack.writers.tile_store import TileStore, holds_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec
    from fusestack.writers.ome_zarr import OmeZarrWriter

DTYPES = ("uint8", "uint16", "int16", "uint32", "float32")
_SOFTWARE = "fusestack"
_SOFTWARE_TAG = 305


class TiffStackWriter(StagedWriter):
    """One volume, (1, 1, z, y, x), a page for each plane; BigTIFF where it is larger than 4 GB.

    A file ``.tif`` is what ImageJ writes: strips, which its own reader opens, and in the description the unit, the
    distance of the planes and the origin (in pixels). A file ``.ome.tif`` has tiles, and the levels of the image as
    smaller versions of each page. Codec ``gzip`` is deflate without loss; ``zstd`` is for OME-TIFF only.

    Parameters
    ----------
    spec : ImageSpec
        Levels after the first are divided along y and x only.
    work : str
        Local folder that all workers see.

    Raises
    ------
    OutputError
        If the path is an address, or TIFF does not hold the image.

    Notes
    -----
    The ImageJ description is that of ``ij.io.FileOpener`` and ``ij.io.FileInfo``; sub-resolutions are SubIFDs as the
    OME-TIFF specification has them.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        self._is_ome = is_ome_tiff(spec.path)
        problems = list(_unfit(spec, is_ome=self._is_ome))
        if is_address(spec.path) or is_address(work):
            problems.append("TIFF needs a local path; choose output.format ome-zarr for addresses")
        if problems:
            raise OutputError(*(f"{spec.path}: {problem}" for problem in problems))
        super().__init__(spec, work)

    def _store_at(self, path: Path) -> OmeZarrWriter:
        encoded = self._is_ome and holds_tiles(self.spec)
        return TileStore(self.spec, path) if encoded else super()._store_at(path)

    def _encode(self, path: Path, options: Mapping[str, Any]) -> None:
        import tifffile

        spec = self.spec
        large = spec.nbytes > CLASSIC_BYTES
        _, size_y, size_x = spec.pixel_size
        text = ome_tiff.volume_xml(spec) if self._is_ome else self._imagej_description()
        codec = {"gzip": "adobe_deflate", "zstd": "zstd"}.get(spec.codec.name)
        with tifffile.TiffWriter(path, bigtiff=large, byteorder="<") as tiff:
            for level, target in enumerate(spec.levels):
                cut: dict[str, Any] = {"rowsperstrip": self._rows(level)}
                if self._is_ome:
                    cut = {"tile": tile_of(target.shape[3:])}
                    if codec:
                        cut |= {"compressionargs": {"level": spec.codec.level}, "predictor": True}
                tiff.write(
                    self._tiles(level) if self._is_ome else self._strips(level),
                    shape=target.shape[2:],
                    dtype=np.dtype(spec.dtype),
                    photometric="minisblack",
                    compression=codec,
                    description=text.encode() if level == 0 else None,
                    software=_SOFTWARE if level == 0 else False,
                    resolution=(1 / size_x, 1 / size_y) if level == 0 else None,
                    resolutionunit="none" if level == 0 else None,
                    subifds=len(spec.levels) - 1 if level == 0 and len(spec.levels) > 1 else None,
                    subfiletype=1 if level else 0,
                    metadata=None,
                    maxworkers=1,
                    **cut,
                )

    def _imagej_description(self) -> str:
        """Unit, distance of planes, and the pixel at the world's origin along each axis."""
        import tifffile

        spec = self.spec
        size_z, *_ = spec.pixel_size
        z, y, x = (0.0 - o / s for o, s in zip(spec.origin, spec.pixel_size, strict=True))
        unit = ome_tiff.SYMBOLS.get(spec.unit, spec.unit) if spec.unit else "pixel"
        unit = "micron" if unit == "µm" else unit  # the description is ASCII
        facts = {"unit": unit, "spacing": size_z, "xorigin": x, "yorigin": y, "zorigin": z}
        return str(tifffile.imagej_description(spec.shape[2:], axes="ZYX", **facts))

    def _rows(self, level: int) -> int:
        _, height, width = self.spec.levels[level].shape[2:]
        return min(height, max(1, BAND_BYTES // (width * self.spec.itemsize)))

    def _strips(self, level: int) -> Iterator[bytes]:
        planes, height, width = self.spec.levels[level].shape[2:]
        rows = self._rows(level)
        for plane in range(planes):
            for top in range(0, height, rows):
                data = self._stored(level, plane, slice(top, min(top + rows, height)), slice(0, width)).tobytes()
                yield zlib.compress(data, self.spec.codec.level) if self.spec.codec.name == "gzip" else data

    def _tiles(self, level: int) -> Iterator[NDArray[Any]] | Iterator[bytes]:
        planes, height, width = self.spec.levels[level].shape[2:]
        store = self._store
        for plane in range(planes):
            read = functools.partial(self._stored, level, plane)
            tiles = functools.partial(store.tiles, level, plane) if isinstance(store, TileStore) else None
            yield from tiles_of(Page((height, width, 1), np.dtype(self.spec.dtype), read, tiles=tiles))

    def _stored(self, level: int, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Pixels [y, x, 1] of a region of the store."""
        box = Box((0, 0, plane, rows.start, columns.start), (1, 1, plane + 1, rows.stop, columns.stop))
        pixels: NDArray[Any] = self._store.read(level, box)[0, 0, 0, ..., None]
        return pixels

    def _decode(self, level: int, box: Box) -> NDArray[Any]:
        import tifffile

        _, _, planes, rows, columns = box.slices
        region = Box((rows.start, columns.start), (rows.stop, columns.stop))
        out = np.empty(box.shape, self.spec.dtype)
        with tifffile.TiffFile(self.path) as tiff:
            for place, number in enumerate(range(planes.start, planes.stop)):
                page = tiff.pages[number]
                page = page.pages[level - 1].aspage() if level else page.aspage()
                out[0, 0, place] = region_of(page, tiff.filehandle, region)[..., 0]
        return out

    def _is_ours(self) -> bool:
        import tifffile

        try:
            with tifffile.TiffFile(self.path) as tiff:
                page = tiff.pages[0].aspage()
                if _SOFTWARE_TAG not in page.tags or page.tags[_SOFTWARE_TAG].value != _SOFTWARE:
                    raise ValueError("no stack of fusestack's")
                below = [sub.aspage() for sub in page.pages] if page.subifds else []
                found = [(len(tiff.pages), *one.shape[:2]) for one in (page, *below)]
                dtype, tiled = page.dtype, page.is_tiled
                compressed = int(page.compression) != 1
        except Exception as error:  # the library has exceptions of its own
            raise OutputError(
                f"{self.path}: is no TIFF stack of ours ({error}), and is left alone: choose another output.path"
            ) from error
        facts = ([level.shape[2:] for level in self.spec.levels], np.dtype(self.spec.dtype), self._is_ome)
        return bool((found, dtype, tiled) == facts) and compressed == (self.spec.codec.name != "none")


def _unfit(spec: ImageSpec, *, is_ome: bool) -> Iterator[str]:
    """What TIFF does not hold of an image."""
    if spec.shape[:2] != (1, 1):
        yield f"a TIFF stack holds one timepoint and one channel, not {spec.shape[0]} and {spec.shape[1]}; use ome-zarr"
    if spec.dtype not in DTYPES:
        yield f"TIFF does not hold {spec.dtype}; choose a dtype of {', '.join(DTYPES)}"
    if not is_ome and len(spec.levels) > 1:
        yield "ImageJ's TIFF has one level; set output.pyramid to none, or choose the suffix .ome.tif"
    if any(level.factors[0] != 1 for level in spec.levels):
        yield "levels of an OME-TIFF keep all planes; set z to 1 in every entry of output.pyramid"
    if spec.codec.name not in ("none", "gzip", *(["zstd"] if is_ome else [])):
        yield f"no codec {spec.codec.name!r}; set output.compression.codec to gzip, zstd (.ome.tif only) or none"
