"""Blocks of a TIFF file as its tiles, encoded by whoever writes them: the file has them one behind another."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.storage.zarr_chunks import without_checksum
from fusestack.writers.ome_metadata import SHARDED
from fusestack.writers.ome_zarr import OmeZarrWriter
from fusestack.writers.picture_tiff import decoded_tile, encoded_tile, tile_codec, tile_of
from fusestack.writers.zarr_codec import with_checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec, Level
    from fusestack.storage.zarr_chunks import ChunkReader

_WITHOUT_ALPHA = (1, 3)


class TileStore(OmeZarrWriter):
    """A store of blocks, t, c, z, y, x, whose chunks are tiles of a TIFF file, and whose shards are blocks.

    Its metadata say how tiles are compressed, but not that they hold differences, with the colours of a pixel side by
    side: no other program reads it.

    Parameters
    ----------
    spec : ImageSpec
        Of the file; see `holds_tiles`.
    path : Path
        Of the store.
    """

    def __init__(self, spec: ImageSpec, path: Path) -> None:
        levels, codec = tuple(map(_in_tiles, spec.levels)), tile_codec(spec.codec)
        stored = replace(spec, path=str(path), levels=levels, codec=codec, ome_zarr_version=SHARDED)
        super().__init__(stored, str(path.parent))

    @cached_property
    def _encode(self) -> Callable[[NDArray[Any]], bytes]:
        return with_checksum(self._tile)

    def _tile(self, chunk: NDArray[Any]) -> bytes:
        return encoded_tile(chunk[0, :, 0], self.spec.codec)

    def _reader(self, level: int) -> ChunkReader:
        _, colours, _, *tile = self.spec.levels[level].chunks

        def decode(data: bytes) -> NDArray[Any]:
            return decoded_tile(without_checksum(data), (colours, *tile), np.dtype(self.spec.dtype), self.spec.codec)

        return replace(super()._reader(level), decode=decode)

    def tiles(self, level: int, page: int) -> Iterator[bytes]:
        """Yield the tiles of a page as the file has them, from left to right, from top to bottom.

        Raises
        ------
        OutputError
            If the store is not there or damaged.
        """
        target = self.spec.levels[level]
        blank = b""
        for y, x in np.ndindex(*map(_count, target.shape[3:], target.chunks[3:])):
            with self._reading(level) as reader:
                data = reader.encoded((0, 0, page, y, x))
                if data is None:
                    tile = blank = blank or self._tile(np.full(target.chunks, self.spec.fill, self.spec.dtype))
                else:
                    tile = without_checksum(data).tobytes()
            yield tile


def holds_tiles(spec: ImageSpec) -> bool:
    """Whether a tile of the file lies in one block, and has the colours that it will have.

    Opacity that says nothing is left out when all of it is known.
    """
    if spec.shape[1] not in _WITHOUT_ALPHA:
        return False
    for level in spec.levels:
        _, colours, _, *unit = level.shards or level.chunks
        tile = tile_of(level.shape[3:])
        whole = all(n % t == 0 or n >= size for n, t, size in zip(unit, tile, level.shape[3:], strict=True))
        if colours < level.shape[1] or not whole:
            return False
    return True


def _in_tiles(level: Level) -> Level:
    tile = tile_of(level.shape[3:])

    def whole(sides: tuple[int, ...]) -> tuple[int, ...]:
        return (*sides[:3], *(_count(n, t) * t for n, t in zip(sides[3:], tile, strict=True)))

    shards = whole(level.shards or level.chunks)
    return replace(level, chunks=(1, level.shape[1], 1, *tile), shards=shards, block=whole(level.block))


def _count(size: int, tile: int) -> int:
    return -(-size // tile)
