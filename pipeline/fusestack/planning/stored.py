"""Stages whose targets are kept in the cache, each in a folder of its own that is named after its fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.model.image import Channel, Codec, ImageSpec, Level
from fusestack.model.stage import Target
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Sequence


DATA = "data.ome.zarr"
CODEC = Codec("lz4", 1)
_CHUNK = 256
_FILE = 1024
_TABLE_FILES = 512


def stored_target(cache: str, name: str, fingerprint: str, title: str, dtype: str, level: Level) -> Target:
    """Where a stage keeps an array [t, c, z, y, x].

    Parameters
    ----------
    cache : str
        Folder of the cache.
    name, fingerprint : str
        Of the stage.
    title : str
        For people.
    dtype : str
    level : Level
        Shape and cut of the array.
    """
    work = f"{cache}/{name.replace('/', '-')}-{fingerprint[:12]}"
    spec = ImageSpec(
        path=f"{work}/{DATA}",
        name=title,
        dtype=dtype,
        levels=(level,),
        codec=CODEC,
        pixel_size=(1.0, 1.0, 1.0),
        origin=(0.0, 0.0, 0.0),
        unit=None,
        timepoints=tuple(range(level.shape[0])),
        channels=tuple(Channel(c, str(c)) for c in range(level.shape[1])),
    )
    return Target(WRITERS["ome-zarr"], spec, 0, work)


def sharded(
    shape: tuple[int, ...], block: Sequence[int], most: int | None = None, together: int = 1, side: int | None = None
) -> Level:
    """Cut an array into blocks, stored as files of all their planes, 1024 x 1024 pixels, chunks of 256 x 256.

    Parameters
    ----------
    shape : tuple of int
        t, c, z, y, x.
    block : sequence of int
        What is computed in one piece, t, c, z, y, x; cut down to the array, in whole files.
    most : int, optional
        Pixels of a file along y and x.
    together : int
        Channels of a chunk; more than one where they are read together.
    side : int, optional
        Pixels of a chunk along y and x.
    """
    side = side or _CHUNK
    most = _FILE if most is None else max(side, most)
    chunk = tuple(min(side, n) for n in shape[3:])
    file = tuple(min(most // c, -(-n // c)) * c for n, c in zip(shape[3:], chunk, strict=True))
    plane = tuple(min(-(-b // f), -(-n // f)) * f for n, b, f in zip(shape[3:], block[3:], file, strict=True))
    lead = tuple(min(n, b) for n, b in zip(shape[:3], block[:3], strict=True))
    return Level((1, 1, 1), shape, (1, together, 1, *chunk), (1, *lead[1:], *file), (*lead, *plane))


def entries(shape: tuple[int, ...]) -> Level:
    """Cut a table [t, c, 1, entry, number] into files: an entry each, or several where there are very many."""
    one = (1, 1, 1, -(-shape[3] // _TABLE_FILES), shape[-1])
    return Level((1, 1, 1), shape, one, None, one)
