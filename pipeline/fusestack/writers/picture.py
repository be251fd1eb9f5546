"""Pictures out: TIFF, PNG and JPEG, by the suffix of the path."""

from __future__ import annotations

import functools
import glob
import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.image import Codec
from fusestack.storage import is_address
from fusestack.writers import ome_tiff
from fusestack.writers.base import check_block, output_errors, settings_differ
from fusestack.writers.ome_zarr import OmeZarrWriter
from fusestack.writers.picture_format import BAND_BYTES, Layout, Notes, Page
from fusestack.writers.picture_jpeg import JPEG
from fusestack.writers.picture_png import PNG
from fusestack.writers.picture_tiff import TIFF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec
    from fusestack.writers.picture_format import PictureFormat

FORMATS = {".tif": TIFF, ".tiff": TIFF, ".png": PNG, ".jpg": JPEG, ".jpeg": JPEG}
"""Formats by suffix, in small letters."""

_STORE_CODEC = Codec("lz4", 1)


class PictureWriter:
    """One picture, or the pages of a TIFF file: c is the colour, z the page.

    Encoders want their rows in order, and a picture does not survive a kill while it is written. So `write` stores
    blocks in an OME-Zarr in `work`, and `finish` encodes the picture from it band by band, lets it appear by a rename,
    and deletes the store. Where both are there, the store counts more than the picture. A block that nobody wrote holds
    the fill value.

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
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        problems = []
        if is_address(spec.path) or is_address(work):
            problems.append(f"{spec.path}: pictures need a local path; only OME-Zarr goes to addresses")
        self.path = Path(spec.path)
        found = FORMATS.get(self.path.suffix.lower())
        if found is None:
            problems.append(f"{spec.path}: has no suffix of a picture; choose one of {', '.join(FORMATS)}")
            raise OutputError(*problems)
        problems += _unfit(spec, found)
        if problems:
            raise OutputError(*problems)
        self.spec = spec
        self._format = found
        self._store_path = Path(work) / f"{self.path.name}.zarr"
        self._store = self._store_at(self._store_path)
        self._partial = self.path.with_name(f".{self.path.name}.partial")

    def _store_at(self, path: Path) -> OmeZarrWriter:
        return OmeZarrWriter(replace(self.spec, path=str(path), codec=_STORE_CODEC), str(path.parent))

    def exists(self) -> bool:
        """Whether the picture, or the store of its blocks that `create` has made, is still there."""
        return self.path.is_file() or self._store.exists()

    def create(self) -> None:
        """Make the store of the blocks and see that the picture can be written; does nothing beside a finished one.

        Raises
        ------
        OutputError
            If the place cannot be written, or something else or a picture of another shape is there.
        """
        if self.path.exists():
            if self._layout() not in self._expected():
                raise settings_differ(self.path, "number of pages, colours, shape or dtype")
            if not self._store_path.exists():
                return
        else:
            with output_errors(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._partial.touch()
                self._partial.unlink()
        self._store.create()

    def write(self, level: int, box: Box, pixels: NDArray[Any]) -> int:
        """Store whole blocks; returns the bytes written. Safe to repeat.

        A block that is written to a finished picture opens it again; pixels of a JPEG are then encoded once more.

        Parameters
        ----------
        level : int
            0.
        box : Box
            t, c, z, y, x; starts and ends at borders of shards (or chunks) or of the image.
        pixels : array[t, c, z, y, x]

        Raises
        ------
        OutputError
            If the disk is full or refuses; nothing half-written is left.
        ValueError
            If `box` cuts a shard, or `pixels` do not fit it.
        """
        check_block(self.spec, level, box, pixels)
        if not self._store_path.exists() and self.path.exists():
            self._reopen()
        return self._store.write(level, box, pixels)

    def _reopen(self) -> None:
        """Make the store again from the picture; a rename lets one of several processes win."""
        path = self._store_path.with_name(f"{self._store_path.name}.{uuid.uuid4().hex}")
        store = self._store_at(path)
        store.create()
        # a picture that is not stored in tiles is decoded once
        whole = None if self._format.many_pages else self._finished(Box.of_shape(self.spec.shape))
        grid = Grid(self.spec.shape, self.spec.levels[0].block)
        for box in map(grid.box, range(grid.count)):
            store.write(0, box, self._finished(box) if whole is None else whole[box.slices])
        try:
            path.rename(self._store_path)
        except OSError:
            shutil.rmtree(path)

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read any region, t, c, z, y, x, from the store or the finished picture.

        Of a finished PNG or JPEG the whole picture is decoded for it.

        Raises
        ------
        OutputError
            If neither is there, or it is damaged.
        """
        if self._store_path.exists() or not self.path.exists():
            return self._store.read(level, box)
        return self._finished(box)

    def _finished(self, box: Box) -> NDArray[Any]:
        _, colours, pages, rows, columns = box.slices
        out = np.empty(box.shape, self.spec.dtype)
        try:
            for place, page in enumerate(range(pages.start, pages.stop)):
                pixels = self._format.read(self.path, page, rows, columns)
                if pixels.shape[2] < self.spec.shape[1]:  # its opacity was full everywhere
                    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind != "f" else 1
                    pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], full)], axis=-1)
                out[0, :, place] = np.moveaxis(pixels, -1, 0)[colours]
        except Exception as error:  # each library has exceptions of its own
            raise OutputError(f"{self.path}: cannot be read back: {error}; delete the output and run again") from error
        return out

    def finish(self, options: Mapping[str, Any]) -> None:
        """Encode the picture from the blocks and delete them; does nothing where that is done.

        Parameters
        ----------
        options : mapping
            JSON values, each of which may be missing: ``description`` and ``software`` (text), ``exif`` and ``icc``
            (hexadecimal; see `fusestack.writers.picture_format.exif_of` for what is carried over), ``resolution``
            (pixels per inch), ``drop_opaque_alpha`` (leave the last channel out where all of it is opaque), and
            those of `fusestack.writers.ome_tiff.ome_xml` for ``.ome.tif``. Others are not looked at.

        Raises
        ------
        OutputError
            If the disk is full or refuses; the blocks stay, and finishing can be repeated.
        """
        if not self.exists():
            raise OutputError(f"{self.path}: both the picture and its blocks in {self._store_path} are gone; run again")
        if self._store_path.exists():
            with output_errors(self.path):
                try:
                    pages = self._pages()
                    if options.get("drop_opaque_alpha") and all(_is_opaque(page) for page in pages):
                        pages = [_without_alpha(page) for page in pages]
                    notes = Notes.of_options(options, pages[0].shape[2])
                    if self.path.name.lower().endswith(ome_tiff.SUFFIXES):
                        text = ome_tiff.ome_xml(self.spec, pages[0].shape[2], notes.description, options)
                        notes = replace(notes, description=text)
                    self._format.write(self._partial, pages, notes, self.spec.codec)
                    with self._partial.open("r+b") as file:
                        os.fsync(file.fileno())
                    self._partial.replace(self.path)
                except (OSError, RuntimeError):
                    self._partial.unlink(missing_ok=True)
                    raise
        self._discard_store()

    def _pages(self) -> list[Page]:
        _, colours, pages, height, width = self.spec.shape
        dtype = np.dtype(self.spec.dtype)
        return [
            Page((height, width, colours), dtype, functools.partial(self._stored, number)) for number in range(pages)
        ]

    def _stored(self, page: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Pixels [y, x, colour] of a region of the store."""
        start, stop = (rows.start, columns.start), (rows.stop, columns.stop)
        box = Box((0, 0, page, *start), (1, self.spec.shape[1], page + 1, *stop))
        return np.moveaxis(self._store.read(0, box)[0, :, 0], 0, -1)

    def levels_kept(self, levels: int) -> int:
        """Levels that could be kept: none, a picture is what its options say besides its pixels."""
        return 0

    def keep(self, levels: int) -> None:
        """Refuse: see `levels_kept`."""
        raise ValueError(f"{self.path}: levels of a picture are not kept")

    def remove(self) -> None:
        """Delete the picture and the store of its blocks.

        Raises
        ------
        OutputError
            If the file is no picture of this format; nothing is deleted then.
        """
        if self.path.exists():
            self._layout()
            with output_errors(self.path, "cannot be deleted"):
                self.path.unlink()
        with output_errors(self.path, "cannot be deleted"):
            self._partial.unlink(missing_ok=True)
        self._discard_store()

    def _discard_store(self) -> None:
        """Delete the store; the rename keeps a kill from leaving some of it to be taken for all."""
        root = self._store_path
        with output_errors(root, "cannot be deleted"):
            if root.exists():
                root.rename(root.with_name(f"{root.name}.{uuid.uuid4().hex}"))
            for left in root.parent.glob(f"{glob.escape(root.name)}.*"):
                shutil.rmtree(left)

    def _layout(self) -> Layout:
        try:
            return self._format.layout(self.path)
        except Exception as error:  # each library has exceptions of its own
            raise OutputError(
                f"{self.path}: is no {self._format.name} picture of ours, and is left alone: choose another output.path"
            ) from error

    def _expected(self) -> list[Layout]:
        """What a finished picture may be: its opacity is left out where it says nothing."""
        _, colours, pages, height, width = self.spec.shape
        kept = [colours] if colours % 2 else [colours, colours - 1]
        return [Layout(pages, count, (height, width), self.spec.dtype) for count in kept]


def _is_opaque(page: Page) -> bool:
    """Whether there is an opacity that is full everywhere."""
    if page.shape[2] % 2:
        return False
    full = np.iinfo(page.dtype).max if page.dtype.kind != "f" else 1
    rows = max(1, BAND_BYTES // max(1, page.shape[1] * page.pixel_bytes))
    return all(bool((band[..., -1] == full).all()) for band in page.bands(rows))


def _without_alpha(page: Page) -> Page:
    height, width, colours = page.shape
    return Page((height, width, colours - 1), page.dtype, lambda rows, columns: page.read(rows, columns)[..., :-1])


def _unfit(spec: ImageSpec, form: PictureFormat) -> list[str]:
    """What a format does not know of an image."""
    times, colours, pages, height, width = spec.shape
    kind, problems = form.name, []
    if len(spec.levels) != 1 or times != 1:
        problems.append(f"a {kind} holds one timepoint and one level, not {times} and {len(spec.levels)}; use OME-Zarr")
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
