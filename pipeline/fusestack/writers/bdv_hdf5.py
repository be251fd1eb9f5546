"""BigDataViewer HDF5 out: workers compress chunks into block files, one process assembles the HDF5 file."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.storage import is_address
from fusestack.storage.hdf5_links import LinkedFile, is_main, write_links
from fusestack.writers.base import (
    KeepsNoLevels,
    appear,
    check_block,
    output_errors,
    padded_chunks,
    refuse_link,
    settings_differ,
    unchecked,
)
from fusestack.writers.block_file import block_parts, read_payloads
from fusestack.writers.folder import OutputFolder
from fusestack.writers.hdf5_blocks import Hdf5Blocks, block_key
from fusestack.writers.hdf5_codec import CODECS, compress, declared_filters, decompress, filters, filters_of
from fusestack.writers.hdf5_parts import PART, is_part, part_files, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec
    from fusestack.model.stage import Written

DTYPES = ("uint8", "uint16", "int16", "float32")


class BdvHdf5Writer(Hdf5Blocks, KeepsNoLevels):
    """One image, t, c, z, y, x, as a BigDataViewer HDF5 file; the project XML is not written here.

    The setup of a pixel is its index along c, its timepoint the id in ``spec.timepoints``. An HDF5 file does not
    survive a kill while it is written, and only one process may write it. So `write` makes one file per block in
    `work`, which appears by a rename, and `finish` copies their chunks, already compressed, into the HDF5 file.
    Where both exist, a block file counts more than the HDF5 file. A block that nobody wrote holds the fill value.

    Parameters
    ----------
    spec : ImageSpec
        `path` is a local file; codec ``gzip`` (with byte shuffle), ``none``, or ``blosc``, which Java does not read.
        Where it is split, `path` holds links to its partitions.
    work : str
        Local folder that all workers see.

    Raises
    ------
    OutputError
        If the path is a URL, or the format does not know the dtype or the codec.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        problems = []
        if is_address(spec.path) or is_address(work):
            problems.append(f"{spec.path}: HDF5 needs a local path; choose output.format ome-zarr for URLs")
        if spec.dtype not in DTYPES:
            problems.append(
                f"{spec.path}: BigDataViewer HDF5 has no {spec.dtype}; set fusion.dtype to uint16 or float32"
            )
        if spec.codec.name not in CODECS:
            known = ", ".join(CODECS)
            problems.append(
                f"{spec.path}: HDF5 has no codec {spec.codec.name!r}; set output.compression.codec to one of {known}"
            )
        if problems:
            raise OutputError(*problems)
        self.spec = spec
        self.path = Path(spec.path)
        self._block_folder = Path(work) / f"{self.path.name}.blocks"
        self._blocks = OutputFolder(str(self._block_folder))
        self._dtype = np.dtype(spec.dtype).newbyteorder("<")

    def exists(self) -> bool:
        """Whether the HDF5 file, or the folder of block files that `create` has made, is still there."""
        return self.path.is_file() or self._block_folder.is_dir()

    def create(self) -> None:
        """Make the folder of the block files and see that the HDF5 file can be written beside its final place.

        Raises
        ------
        OutputError
            If the place cannot be written, or a file with other settings is there.
        """
        refuse_link(self.path)
        if self.path.exists():
            self._check_same()
            return
        for part in part_files(self.path):
            refuse_link(part)
            if not is_part(part, self.path):
                raise OutputError(f"{part}: is there already, and is left alone: choose another output.path")
        with output_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        with output_errors(self._block_folder):
            self._block_folder.mkdir(parents=True, exist_ok=True)

    def write(self, level: int, box: Box, pixels: NDArray[Any]) -> Written:
        """Compress one whole block into its file; returns what was written. Safe to repeat.

        Parameters
        ----------
        level : int
        box : Box
            t, c, z, y, x; a block of ``spec.levels[level].block``.
        pixels : array[t, c, z, y, x]

        Raises
        ------
        OutputError
            If the disk is full or refuses; nothing half-written is left.
        ValueError
            If `box` is not a block of the level, or `pixels` do not fit it.
        """
        check_block(self.spec, level, box, pixels)
        grid = self._grid(level)
        number = grid.number([a // b for a, b in zip(box.start, grid.block, strict=True)])
        if grid.box(number) != box:
            raise ValueError(f"{self.path}: level {level}: {box} is not a block; expected {grid.box(number)}")
        payloads = [
            b"" if chunk is None else compress(chunk, self.spec.codec)
            for chunk in padded_chunks(pixels, self._chunk(level), self.spec.fill)
        ]
        return self._blocks.store(block_key(level, number), block_parts(payloads))

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read any region of a level, t, c, z, y, x, from block files or from the finished HDF5 file.

        Raises
        ------
        OutputError
            If a file is damaged or cannot be read.
        """
        out = np.full(box.shape, self.spec.fill, dtype=self.spec.dtype)
        grid = self._grid(level)
        with contextlib.ExitStack() as stack:
            product: Any = None
            if self.path.exists():
                product = stack.enter_context(self._open_product())
            for number in _overlapping(grid, box):
                chunks = _overlapping_chunks(grid.box(number), self._chunk(level), box)
                for chunk_box, payload in self._payloads(level, number, chunks, product):
                    try:
                        if payload:
                            self._place(out, box, chunk_box, payload)
                    except Exception as error:  # each codec has exceptions of its own
                        raise self._unreadable(level, grid.box(number), error) from error
        return out

    def _place(self, out: NDArray[Any], box: Box, chunk: Box, payload: bytes) -> None:
        pixels = decompress(payload, self._dtype, chunk.shape, self.spec.codec)
        common = chunk.intersect(box)
        out[common.shift([-a for a in box.start]).slices] = pixels[common.shift([-a for a in chunk.start]).slices]

    def _payloads(
        self, level: int, number: int, chunks: Sequence[int] | None, product: Any
    ) -> Iterator[tuple[Box, bytes]]:
        """Unpadded start, padded shape and bytes of chunks of a block, b"" for fill values; all chunks for None."""
        block = self._grid(level).box(number)
        chunk = self._chunk(level)
        cut = Grid(block.shape, chunk)
        numbers = range(cut.count) if chunks is None else chunks
        starts = [tuple(a + i * n for a, i, n in zip(block.start, cut.index(k), chunk, strict=True)) for k in numbers]
        boxes = [Box(start, tuple(a + n for a, n in zip(start, chunk, strict=True))) for start in starts]
        path = self._block_folder / block_key(level, number)
        with output_errors(path, "cannot be read"):
            try:
                yield from zip(boxes, read_payloads(path, cut.count, numbers), strict=True)
            except FileNotFoundError:
                yield from ((box, self._stored(product, level, box)) for box in boxes)

    def _stored(self, product: Any, level: int, chunk: Box) -> bytes:
        """Bytes of a chunk in the HDF5 file; b"" if it is not stored or there is no file."""
        if product is None:
            return b""
        t, c, *start = chunk.start
        try:
            data = product[self._dataset(t, c, level)].id
            if data.get_chunk_info_by_coord(tuple(start)).byte_offset is None:
                return b""
            return bytes(data.read_direct_chunk(tuple(start))[1])
        except Exception as error:  # HDF5 has many
            raise self._unreadable(level, chunk, error) from error

    def finish(self, options: Mapping[str, Any], check: Callable[[], None] = unchecked) -> None:
        """Assemble the HDF5 file from the block files and delete them; does nothing where that is done.

        Parameters
        ----------
        options : mapping
            JSON values; stored as the attribute ``fusestack`` unless it is empty.
        check : callable
            Called before anything appears in the place of what is there; may refuse.

        Raises
        ------
        OutputError
            If the disk is full or refuses; the block files stay, and finishing can be repeated.
        """
        if not self.exists():
            raise OutputError(f"{self.path}: both the file and its blocks in {self._block_folder} are gone; run again")
        if not self.path.exists() or self._blocks.entries():
            self._put_together(options, check)
        self._discard_blocks()

    def _put_together(self, options: Mapping[str, Any], check: Callable[[], None]) -> None:
        """Make the file, or its partitions and then their links; each appears by a rename."""
        times, channels = map(range, self.spec.shape[:2])
        if not self.spec.partitions:
            appear(self.path, lambda path: self._assemble(path, options, times, channels), check)
            return
        noted = dict(options) | {PART: self.path.name}
        for part in self.spec.partitions:
            make = functools.partial(self._assemble, options=noted, times=part.times, channels=part.channels)
            appear(Path(part.path), make, check)
        appear(self.path, lambda path: self._link(path, options), check)

    def _link(self, partial: Path, options: Mapping[str, Any]) -> None:
        import h5py

        write_links(partial, [LinkedFile(part.path) for part in self.spec.partitions])
        with h5py.File(partial, "r+") as file:
            _note(file, options)

    def _assemble(self, partial: Path, options: Mapping[str, Any], times: range, channels: range) -> None:
        import h5py

        with contextlib.ExitStack() as stack:
            product: Any = None
            if self.path.exists():
                product = stack.enter_context(self._open_product())
            file = stack.enter_context(h5py.File(partial, "w"))
            self._write_setups(file, options, channels)
            for level in range(len(self.spec.levels)):
                self._create_datasets(file, level, times, channels)
                for number in range(self._grid(level).count):
                    t, c, *_ = self._grid(level).box(number).start
                    if t not in times or c not in channels:
                        continue
                    for chunk, payload in self._payloads(level, number, None, product):
                        if payload:
                            t, c, *start = chunk.start
                            file[self._dataset(t, c, level)].id.write_direct_chunk(tuple(start), payload)

    def _write_setups(self, file: Any, options: Mapping[str, Any], channels: range) -> None:
        factors = np.array([level.factors[::-1] for level in self.spec.levels], dtype=np.float64)
        chunks = np.array([self._chunk(n)[:1:-1] for n in range(len(self.spec.levels))], dtype=np.int32)
        _note(file, options)
        for setup in channels:
            group = file.create_group(f"s{setup:02d}")
            group.attrs["dataType"] = np.bytes_(self.spec.dtype)
            group.create_dataset("resolutions", data=factors)
            group.create_dataset("subdivisions", data=chunks)

    def _create_datasets(self, file: Any, level: int, times: range, channels: range) -> None:
        shape = self.spec.levels[level].shape
        for t in times:
            for c in channels:
                file.create_dataset(
                    self._dataset(t, c, level),
                    shape=shape[2:],
                    dtype=self._dtype,
                    chunks=self._chunk(level)[2:],
                    fillvalue=self._dtype.type(self.spec.fill),
                    track_times=False,
                    **filters(self.spec.codec),
                )

    def remove(self) -> None:
        """Delete the HDF5 file and the block files.

        Raises
        ------
        OutputError
            If the file is not a BigDataViewer HDF5 file; nothing is deleted then.
        """
        self.check_removable()
        if self.path.exists():
            with output_errors(self.path, "cannot be deleted"):
                self.path.unlink()
        with output_errors(self.path, "cannot be deleted"):
            for path in (*(part for part in part_files(self.path) if is_part(part, self.path)), *unfinished(self.path)):
                path.unlink()
        self._discard_blocks()

    def check_removable(self) -> None:
        """Refuse what is no BigDataViewer HDF5 file.

        Raises
        ------
        OutputError
        """
        import h5py

        for path in (self.path, *part_files(self.path)):
            refuse_link(path)
        if not self.path.exists():
            return
        if self.path.is_file() and h5py.is_hdf5(self.path):
            with self._open_product() as file:
                if "s00/resolutions" in file:
                    return
        raise OutputError(f"{self.path}: is not a BigDataViewer file, and is left alone: choose another output.path")

    def is_marked(self) -> bool:
        """Whether an attribute of the file says that fusestack made it, or that it is a file of links of ours."""
        try:
            with self._open_product() as file:
                return "fusestack" in file.attrs or is_main(str(self.path))
        except OutputError:
            return False

    def _discard_blocks(self) -> None:
        """Delete the block files; the rename keeps a kill from leaving some of them to be taken for all."""
        root = self._block_folder
        discarded = root.with_name(f"{root.name}.discarded")
        with output_errors(root, "cannot be deleted"):
            for _ in range(2):  # what a kill left, then what is there now
                if discarded.exists():
                    shutil.rmtree(discarded)
                if root.exists():
                    root.rename(discarded)

    def _check_same(self) -> None:
        with self._open_product() as file:
            factors = [list(level.factors[::-1]) for level in self.spec.levels]
            if "s00/resolutions" not in file or file["s00/resolutions"][()].tolist() != factors:
                raise settings_differ(self.path, "pyramid")
            for level, target in enumerate(self.spec.levels):
                for t in range(target.shape[0]):
                    for c in range(target.shape[1]):
                        data = file.get(self._dataset(t, c, level))
                        if data is None or (data.shape, data.chunks, data.dtype, filters_of(data)) != (
                            target.shape[2:],
                            self._chunk(level)[2:],
                            self._dtype,
                            declared_filters(self.spec.codec, self._dtype.itemsize),
                        ):
                            raise settings_differ(self.path, "shape, dtype, chunks or codec")

    def _open_product(self) -> Any:
        import h5py

        with output_errors(self.path, "cannot be read"):
            return h5py.File(self.path, "r", locking="best-effort")

    def _grid(self, level: int) -> Grid:
        return Grid(self.spec.levels[level].shape, self.spec.levels[level].block)

    def _chunk(self, level: int) -> tuple[int, ...]:
        target = self.spec.levels[level]
        return (1, 1, *map(min, target.chunks[2:], target.shape[2:]))

    def _dataset(self, t: int, c: int, level: int) -> str:
        return f"t{self.spec.timepoints[t]:05d}/s{c:02d}/{level}/cells"


def _note(file: Any, options: Mapping[str, Any]) -> None:
    if options:
        file.attrs["fusestack"] = json.dumps(dict(options), sort_keys=True, default=str)


def _overlapping(grid: Grid, box: Box) -> Iterator[int]:
    first = [a // n for a, n in zip(box.start, grid.block, strict=True)]
    counts = [-(-b // n) - i for i, b, n in zip(first, box.stop, grid.block, strict=True)]
    for step in np.ndindex(*(max(0, n) for n in counts)):
        yield grid.number([i + s for i, s in zip(first, step, strict=True)])


def _overlapping_chunks(block: Box, chunk: tuple[int, ...], box: Box) -> list[int]:
    part = block.intersect(box).shift([-a for a in block.start])
    return list(_overlapping(Grid(block.shape, chunk), part))
