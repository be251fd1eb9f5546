"""Pictures out: TIFF, PNG and JPEG, by the suffix of the path."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.image import is_ome_tiff
from fusestack.storage import is_address
from fusestack.writers import ome_tiff
from fusestack.writers.picture_format import BAND_BYTES, Layout, Notes, Page
from fusestack.writers.picture_jpeg import JPEG
from fusestack.writers.picture_png import PNG
from fusestack.writers.picture_tiff import TIFF
from fusestack.writers.staged import StagedWriter
from fusestack.writers.tile_store import TileStore, holds_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec
    from fusestack.writers.ome_zarr import OmeZarrWriter
    from fusestack.writers.picture_format import PictureFormat

FORMATS = {".tif": TIFF, ".tiff": TIFF, ".png": PNG, ".jpg": JPEG, ".jpeg": JPEG}
"""Formats by suffix, in small letters."""
_HEAD_BYTES = 2**20


class PictureWriter(StagedWriter):
    """One picture, or the pages of a TIFF file: c is the colour, z the page.

    TIFF has tiles compressed by zstd where `spec.codec` says so, else by deflate or not at all; JPEG has quality 95 and
    colours of full resolution.

    Parameters
    ----------
    spec : ImageSpec
        One level (1, c, n, y, x): c is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha), n is 1 but for TIFF.
    work : str
        Local folder that all workers see.

    Raises
    ------
    OutputError
        If the path is an address, or the format does not know the suffix, colours, pages, size or dtype.

    Notes
    -----
    `finish` takes JSON values, each of which may be missing: ``description`` and ``software`` (text), ``exif`` and
    ``icc`` (hexadecimal; see `fusestack.writers.picture_format.exif_of` for what is carried over), ``resolution``
    (pixels per inch), ``drop_opaque_alpha`` (leave the last channel out where all of it is opaque), and those of
    `fusestack.writers.ome_tiff.ome_xml` for ``.ome.tif``. Others are not looked at.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        problems = []
        if is_address(spec.path) or is_address(work):
            problems.append(f"{spec.path}: pictures need a local path; only OME-Zarr goes to addresses")
        found = FORMATS.get(Path(spec.path).suffix.lower())
        if found is None:
            problems.append(f"{spec.path}: has no suffix of a picture; choose one of {', '.join(FORMATS)}")
            raise OutputError(*problems)
        problems += _unfit(spec, found)
        if problems:
            raise OutputError(*problems)
        self._format = found
        super().__init__(spec, work)

    def _store_at(self, path: Path) -> OmeZarrWriter:
        encoded = self._format is TIFF and holds_tiles(self.spec)
        return TileStore(self.spec, path) if encoded else super()._store_at(path)

    @property
    def _decodes_parts(self) -> bool:
        return self._format.many_pages

    def _decode(self, level: int, box: Box) -> NDArray[Any]:
        _, colours, pages, rows, columns = box.slices
        out = np.empty(box.shape, self.spec.dtype)
        for place, page in enumerate(range(pages.start, pages.stop)):
            pixels = self._format.read(self.path, page, level, rows, columns)
            if pixels.shape[2] < self.spec.shape[1]:  # its opacity was full everywhere
                full = np.iinfo(pixels.dtype).max if pixels.dtype.kind != "f" else 1
                pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], full)], axis=-1)
            out[0, :, place] = np.moveaxis(pixels, -1, 0)[colours]
        return out

    def _encode(self, path: Path, options: Mapping[str, Any]) -> None:
        pages = self._pages()
        if options.get("drop_opaque_alpha") and all(_is_opaque(page) for page in pages):
            pages = [_without_alpha(page) for page in pages]
        notes = Notes.of_options(options, pages[0].shape[2])
        if is_ome_tiff(self.path.name):
            text = ome_tiff.ome_xml(self.spec, pages[0].shape[2], notes.description, options)
            notes = replace(notes, description=text)
        self._format.write(path, pages, notes, self.spec.codec)

    def _pages(self) -> list[Page]:
        return [self._page(number, 0) for number in range(self.spec.shape[2])]

    def _page(self, number: int, level: int) -> Page:
        _, colours, _, height, width = self.spec.levels[level].shape
        others = range(1, len(self.spec.levels)) if level == 0 else ()
        smaller = tuple(self._page(number, other) for other in others)
        read = functools.partial(self._stored, number, level)
        tiles = functools.partial(self._store.tiles, level, number) if isinstance(self._store, TileStore) else None
        return Page((height, width, colours), np.dtype(self.spec.dtype), read, smaller, tiles)

    def _stored(self, page: int, level: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Pixels [y, x, colour] of a region of the store."""
        start, stop = (rows.start, columns.start), (rows.stop, columns.stop)
        box = Box((0, 0, page, *start), (1, self.spec.shape[1], page + 1, *stop))
        return np.moveaxis(self._store.read(level, box)[0, :, 0], 0, -1)

    def _is_ours(self) -> bool:
        try:
            found = self._format.layout(self.path)
        except Exception as error:  # each library has exceptions of its own
            raise OutputError(
                f"{self.path}: is no {self._format.name} picture of ours, and is left alone: choose another output.path"
            ) from error
        return found in self._expected()

    def is_marked(self) -> bool:
        """Whether the file says that fusestack made it: all formats do in their first bytes."""
        with self.path.open("rb") as file:
            return b"fusestack" in file.read(_HEAD_BYTES)

    def _expected(self) -> list[Layout]:
        """What a finished picture may be: its opacity is left out where it says nothing."""
        _, colours, pages, height, width = self.spec.shape
        kept = [colours] if colours % 2 else [colours, colours - 1]
        smaller = tuple((level.shape[3], level.shape[4]) for level in self.spec.levels[1:])
        return [Layout(pages, count, (height, width), self.spec.dtype, smaller) for count in kept]


def _is_opaque(page: Page) -> bool:
    """Whether there is an opacity that is full everywhere."""
    if page.shape[2] % 2:
        return False
    full = np.iinfo(page.dtype).max if page.dtype.kind != "f" else 1
    rows = max(1, BAND_BYTES // max(1, page.shape[1] * page.pixel_bytes))
    return all(bool((band[..., -1] == full).all()) for band in page.bands(rows))


def _without_alpha(page: Page) -> Page:
    height, width, colours = page.shape
    smaller = tuple(map(_without_alpha, page.smaller))
    read = lambda rows, columns: page.read(rows, columns)[..., :-1]  # noqa: E731
    return Page((height, width, colours - 1), page.dtype, read, smaller)


def _unfit(spec: ImageSpec, form: PictureFormat) -> list[str]:
    """What a format does not know of an image."""
    times, colours, pages, height, width = spec.shape
    kind, problems = form.name, []
    if times != 1:
        problems.append(f"a {kind} holds one timepoint, not {times}; use OME-Zarr")
    if len(spec.levels) != 1 and not is_ome_tiff(spec.path):
        problems.append(f"a {kind} holds one level, not {len(spec.levels)}; choose .ome.tif, or set pyramid to none")
    if any(level.factors[0] != 1 for level in spec.levels):
        problems.append("levels of an OME-TIFF keep all planes; set z to 1 in every entry of the pyramid")
    if pages != 1 and not form.many_pages:
        problems.append(f"a {kind} holds one picture, not {pages}; choose the suffix .tif")
    if colours not in form.colours:
        others = "OME-Zarr" if colours > max(TIFF.colours) else "the suffix .tif or .png"
        problems.append(f"a {kind} does not hold {colours} colours (2 and 4 are with alpha); choose {others}")
    if spec.dtype not in form.dtypes:
        others = "the suffix .tif" if spec.dtype in TIFF.dtypes else "OME-Zarr"
        problems.append(f"a {kind} does not hold {spec.dtype}; choose {others}, or a dtype of {', '.join(form.dtypes)}")
    if max(height, width) > form.longest_side:
        problems.append(
            f"a {kind} holds no more than {form.longest_side} pixels per side, not {width} x {height}; "
            "choose the suffix .tif"
        )
    return [f"{spec.path}: {problem}" for problem in problems]
