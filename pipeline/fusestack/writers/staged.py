"""What formats share whose files cannot be written in blocks: a store of blocks, encoded when all are there."""

from __future__ import annotations

import glob
import shutil
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.image import Codec
from fusestack.writers.base import (
    KeepsNoLevels,
    appear,
    check_block,
    forget_unfinished,
    output_errors,
    refuse_link,
    settings_differ,
    unchecked,
)
from fusestack.writers.ome_metadata import SHARDED
from fusestack.writers.ome_zarr import OmeZarrWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec
    from fusestack.model.stage import Written

_STORE_CODEC = Codec("lz4", 1)


class StagedWriter(KeepsNoLevels):
    """One file that is encoded in the order of its rows, and does not survive a kill while it is written.

    So `write` stores blocks in an OME-Zarr in `work`, and `finish` encodes the file from it, lets it appear by a
    rename, and deletes the store. Where both are there, the store counts more than the file. A block that nobody wrote
    holds the fill value. Subclasses say how the file is encoded and read; a store may hold what is encoded already.

    Parameters
    ----------
    spec : ImageSpec
    work : str
        Local folder that all workers see.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        self.spec = spec
        self.path = Path(spec.path)
        self._store_path = Path(work) / f"{self.path.name}.zarr"
        self._store = self._store_at(self._store_path)

    def _encode(self, path: Path, options: Mapping[str, Any]) -> None:
        """Write the file from the store."""
        raise NotImplementedError

    def _decode(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region of the finished file, t, c, z, y, x."""
        raise NotImplementedError

    def _is_ours(self) -> bool:
        """Whether the finished file has pages, shape and dtype of the image.

        Raises
        ------
        OutputError
            If it is no file of this format.
        """
        raise NotImplementedError

    @property
    def _decodes_parts(self) -> bool:
        """Whether a region can be decoded without the rest of its level."""
        return True

    def _store_at(self, path: Path) -> OmeZarrWriter:
        spec = replace(self.spec, path=str(path), codec=_STORE_CODEC, ome_zarr_version=SHARDED)
        return OmeZarrWriter(spec, str(path.parent))

    def exists(self) -> bool:
        """Whether the file, or the store of its blocks that `create` has made, is still there."""
        return self.path.is_file() or self._store.exists()

    def create(self) -> None:
        """Make the store of the blocks and see that the file can be written; does nothing beside a finished one.

        Raises
        ------
        OutputError
            If the place cannot be written, or something else or a file of another shape is there.
        """
        refuse_link(self.path)
        if self.path.exists():
            if not self._is_ours():
                raise settings_differ(self.path, "number of pages, colours, shape or dtype")
            if not self._store_path.exists():
                return
        else:
            with output_errors(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=self.path.parent):
                    pass
        self._store.create()

    def write(self, level: int, box: Box, pixels: NDArray[Any]) -> Written:
        """Store whole blocks; returns what was written. Safe to repeat.

        A block that is written to a finished file opens it again; pixels of a JPEG are then encoded once more.

        Parameters
        ----------
        level : int
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

    @property
    def _is_staged(self) -> bool:
        return self._store_path.exists() or not self.path.exists()

    def stored(self, level: int) -> NDArray[np.int64]:
        """Bytes of every block in the store; -1 where the file is finished."""
        if self._is_staged:
            return self._store.stored(level)
        return np.full(Grid(self.spec.levels[level].shape, self.spec.levels[level].block).count, -1, np.int64)

    def files(self, level: int, box: Box) -> list[str]:
        """Paths in the store, or that of the finished file."""
        return self._store.files(level, box) if self._is_staged else [str(self.path)]

    def digest(self, level: int, box: Box) -> Written | None:
        """What is there of a block in the store; None where the file is finished."""
        return self._store.digest(level, box) if self._is_staged else None

    def erase(self, level: int, box: Box) -> None:
        """Delete a block in the store."""
        if self._store_path.exists():
            self._store.erase(level, box)

    def whole(self) -> dict[str, int]:
        """Bytes of the finished file; 0 where it is not there."""
        return {str(self.path): self.path.stat().st_size if self.path.is_file() else 0}

    def missing(self) -> list[str]:
        """Metadata of the store that are gone."""
        return self._store.missing() if self._is_staged else []

    def _reopen(self) -> None:
        """Make the store again from the file; a rename lets one of several processes win."""
        path = self._store_path.with_name(f"{self._store_path.name}.{uuid.uuid4().hex}")
        store = self._store_at(path)
        store.create()
        for number, level in enumerate(self.spec.levels):
            grid = level.grid
            whole = None if self._decodes_parts else self._finished(number, Box.of_shape(level.shape))
            for box in map(grid.box, range(grid.count)):
                store.write(number, box, self._finished(number, box) if whole is None else whole[box.slices])
        try:
            path.rename(self._store_path)
        except OSError:
            shutil.rmtree(path)

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read any region, t, c, z, y, x, from the store or the finished file.

        Of a finished PNG or JPEG the whole picture is decoded for it.

        Raises
        ------
        OutputError
            If neither is there, or it is damaged.
        """
        if self._is_staged:
            return self._store.read(level, box)
        return self._finished(level, box)

    def _finished(self, level: int, box: Box) -> NDArray[Any]:
        try:
            return self._decode(level, box)
        except Exception as error:  # each library has exceptions of its own
            raise OutputError(f"{self.path}: cannot be read back: {error}; delete the output and run again") from error

    def finish(self, options: Mapping[str, Any], check: Callable[[], None] = unchecked) -> None:
        """Encode the file from the blocks and delete them; does nothing where that is done.

        Parameters
        ----------
        options : mapping
            JSON values; see the class.
        check : callable
            Called before anything appears in the place of what is there; may refuse.

        Raises
        ------
        OutputError
            If the disk is full or refuses; the blocks stay, and finishing can be repeated.
        """
        if not self.exists():
            raise OutputError(f"{self.path}: both the file and its blocks in {self._store_path} are gone; run again")
        if self._store_path.exists():
            appear(self.path, lambda path: self._encode(path, options), check)
        self._discard_store()

    def remove(self) -> None:
        """Delete the file and the store of its blocks.

        Raises
        ------
        OutputError
            If the file is none of this format; nothing is deleted then.
        """
        self.check_removable()
        if self.path.exists():
            with output_errors(self.path, "cannot be deleted"):
                self.path.unlink()
        with output_errors(self.path, "cannot be deleted"):
            forget_unfinished(self.path)
        self._discard_store()

    def check_removable(self) -> None:
        """Refuse a file that is none of this format, and a link.

        Raises
        ------
        OutputError
        """
        refuse_link(self.path)
        if self.path.exists():
            self._is_ours()

    def is_marked(self) -> bool:
        """Whether the file says that fusestack made it."""
        try:
            self._is_ours()
        except OutputError:
            return False
        return True

    def _discard_store(self) -> None:
        """Delete the store; the rename keeps a kill from leaving some of it to be taken for all."""
        root = self._store_path
        with output_errors(root, "cannot be deleted"):
            if root.exists():
                root.rename(root.with_name(f"{root.name}.{uuid.uuid4().hex}"))
            for left in root.parent.glob(f"{glob.escape(root.name)}.*"):
                shutil.rmtree(left)
