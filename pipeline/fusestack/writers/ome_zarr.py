"""OME-Zarr 0.5 (Zarr 3, sharded) and 0.4 (Zarr 2) out."""

from __future__ import annotations

import json
import math
import re
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.storage import SCRATCH, is_address
from fusestack.storage.together import FEW, each
from fusestack.storage.zarr_chunks import chunk_reader
from fusestack.writers.base import check_block, padded_chunks, parts_of, settings_differ, unchecked
from fusestack.writers.contrast import data_window, full_window
from fusestack.writers.folder import OutputFolder
from fusestack.writers.inventory import BlockFiles
from fusestack.writers.ome_metadata import (
    VERSIONS,
    adapted_attributes,
    arrays,
    group_attributes,
    group_files,
    has_checksums,
    image_attributes,
    is_json,
    level_paths,
    multiscales,
    pixel_facts,
    same_json,
)
from fusestack.writers.zarr_codec import encode_shard, encoder, with_checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec
    from fusestack.model.stage import Written
    from fusestack.storage.zarr_chunks import ChunkReader

_SCRATCH_KEY = re.compile(r"(?:0/)?\.partial/\w+")
_KEY = re.compile(
    rf"\.?z(?:arr\.json|group|attrs|metadata)|{_SCRATCH_KEY.pattern}"
    r"|(?P<level>\d+)/(?:zarr\.json|\.z(?:array|attrs)|(?:c/)?\d+(?:/\d+){4})"
)
"""Files of an image; those of a level say which."""
_GROUP_FILES = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zmetadata"})
_SAMPLE_PIXELS = 16 * 1024**2


class OmeZarrWriter(BlockFiles):
    """One image, t, c, z, y, x, as a multiscale OME-Zarr; level L is the array ``"L"``.

    A chunk (or shard) is one file that appears by a rename, so that a kill leaves no half of it. Chunks whose pixels
    all are the fill value are not stored.

    Parameters
    ----------
    spec : ImageSpec
        `path` is a local folder or a URL.
    work : str
        Not used.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        if spec.ome_zarr_version not in VERSIONS:
            raise OutputError(f"output.ome_zarr_version: {spec.ome_zarr_version!r} is none of {', '.join(VERSIONS)}")
        self.spec = spec
        # Unfinished files live inside an array, where readers of the group do not look.
        self._scratch = f"0/{SCRATCH}"
        self._folder = OutputFolder(spec.path, self._scratch)
        self._open: dict[int, ChunkReader] = {}

    def exists(self) -> bool:
        """Whether `create` has made a container that is still there, also where the group has lost its own file."""
        self._foresee()
        groups = any(self._folder.get(key) is not None for version in VERSIONS for key in group_files(version, {}))
        return groups or self._has_our_arrays()

    def _foresee(self) -> None:
        groups = [key for version in VERSIONS for key in group_files(version, {})]
        self._folder.foresee([*groups, *(f"{level}/zarr.json" for level in range(len(self.spec.levels)))])

    def _has_our_arrays(self) -> bool:
        """Whether arrays of this image are there, and no others."""
        found = [(self._folder.get(key), data) for key, data in self._array_files().items()]
        there = [same_json(data, wanted) for data, wanted in found if data is not None]
        return any(there) and all(there)

    def create(self) -> None:
        """Make the metadata of the image and of its levels, so that viewers can open it from now on.

        Raises
        ------
        OutputError
            If something else is there, or an image with other settings, or the place cannot be written.
        """
        vars(self).pop("_encode", None)
        self._foresee()
        files = self._array_files()
        windows = [full_window(self.spec.dtype)] * len(self.spec.channels)
        attributes = image_attributes(self.spec, windows)
        found = self._group()
        if found is None:
            if not self._has_our_arrays():
                self._refuse_foreign()
            wanted = group_files(self.spec.ome_zarr_version, attributes)
        elif level_paths(found) != level_paths(attributes):  # places and names may be corrected
            raise settings_differ(self.spec.path, "number of levels")
        else:
            wanted = {}
        for key, data in files.items():
            there = self._folder.get(key)
            if there is None or not is_json(there):
                wanted[key] = data
            elif not self._is_whole(key, pixel_facts(data)):
                raise settings_differ(f"{self.spec.path}/{key}", "shape, dtype, chunks, shards or codec")
        self._folder.put_each(wanted)

    def write(self, level: int, box: Box, pixels: NDArray[Any]) -> Written:
        """Store whole shards (chunks where there are none); returns what was written. Safe to repeat.

        Parameters
        ----------
        level : int
        box : Box
            t, c, z, y, x; starts and ends at borders of shards or of the image.
        pixels : array[t, c, z, y, x]

        Raises
        ------
        OutputError
            If the disk is full or refuses; nothing half-written is left.
        ValueError
            If `box` cuts a shard, or `pixels` do not fit it.
        """
        check_block(self.spec, level, box, pixels)
        target = self.spec.levels[level]
        parts = parts_of(box, target.shards or target.chunks, pixels)
        return self._folder.store_each(parts, lambda one: (self._key(level, one[0]), self._encoded(level, one[1])))

    def _key(self, level: int, index: tuple[int, ...]) -> str:
        return f"{self._chunks_of(level)}/{'/'.join(map(str, index))}"

    def _chunks_of(self, level: int) -> str:
        return f"{level}" if self.spec.ome_zarr_version == "0.4" else f"{level}/c"

    def _arrays(self, level: int) -> Iterator[tuple[tuple[int, ...], str, bool]]:
        yield (), self._chunks_of(level), False

    def _metadata(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        yield from ((key, {}) for key in group_files(self.spec.ome_zarr_version, {}))
        yield from ((key, pixel_facts(data)) for key, data in self._array_files().items())

    @cached_property
    def _encode(self) -> Callable[[NDArray[Any]], bytes]:
        encode = encoder(self.spec.codec)
        return with_checksum(encode) if self._has_checksums() else encode

    def _has_checksums(self) -> bool:
        """Whether chunks end with a checksum: in Zarr 3, unless the image was begun by a version without them."""
        if self.spec.ome_zarr_version == "0.4":
            return False
        said = False
        for level in range(len(self.spec.levels)):
            with suppress(ValueError, LookupError, TypeError):
                if has_checksums(self._folder.get(f"{level}/zarr.json") or b""):
                    return True
                said = True
        return not said

    def _encoded(self, level: int, pixels: NDArray[Any]) -> list[bytes]:
        target = self.spec.levels[level]
        if target.shards:
            return encode_shard(pixels, target.chunks, target.shards, self.spec.fill, self._encode)
        (chunk,) = padded_chunks(pixels, target.chunks, self.spec.fill)
        return [] if chunk is None else [self._encode(chunk)]

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read any region of a level, t, c, z, y, x; pixels that nobody wrote are the fill value.

        Raises
        ------
        OutputError
            If the store is not there or damaged.
        """
        with self._reading(level) as reader:
            return np.asarray(reader.read(box.start, box.stop), dtype=self.spec.dtype)

    @contextmanager
    def _reading(self, level: int) -> Iterator[ChunkReader]:
        """A reader of a level, whose errors say what to do."""
        try:
            if level not in self._open:
                self._open[level] = self._reader(level)
            yield self._open[level]
        except Exception as error:  # each codec and store has exceptions of its own
            raise OutputError(
                f"{self.spec.path}: level {level} cannot be read back: {error}; delete the output and run again"
            ) from error

    def _reader(self, level: int) -> ChunkReader:
        reader = chunk_reader(f"{self.spec.path}/{level}")
        if reader is None:
            raise ValueError("its metadata are missing or damaged")
        return reader

    def finish(self, options: Mapping[str, Any], check: Callable[[], None] = unchecked) -> None:
        """Take the contrast limits of the channels from the pixels and record how the image was made.

        Parameters
        ----------
        options : mapping
            JSON values; stored as the attribute ``fusestack`` unless it is empty.
        check : callable
            Called before anything appears in the place of what is there; may refuse.
        """
        found = self._group() or {}
        made = json.loads(json.dumps(dict(options), default=str))
        # options that are there already were written by an earlier call: with other pixels they would be gone
        if not made or found.get("fusestack") != made:
            windows = [self._window(channel) for channel in range(self.spec.shape[1])]
            check()
            own = image_attributes(self.spec, windows)
            if level_paths(found) == level_paths(own):
                own.get("ome", own)["multiscales"] = multiscales(found)
            attributes = found | own | ({"fusestack": made} if made else {})
            self._folder.put_changed(group_files(self.spec.ome_zarr_version, attributes))
        if not is_address(self.spec.path):
            self._folder.delete_tree(self._scratch)

    def _window(self, channel: int) -> dict[str, float]:
        """0.1 and 99.9 percentile of chunks of the coarsest level, spread evenly over space and time."""
        last = len(self.spec.levels) - 1
        level = self.spec.levels[last]
        grid = Grid((level.shape[0], *level.shape[2:]), (1, *level.chunks[2:]))
        if math.prod(grid.shape) <= _SAMPLE_PIXELS:  # all of it, in as few pieces as there are
            grid = Grid(grid.shape, (1, *(level.shards or level.chunks)[2:]))
        count = max(1, min(grid.count, _SAMPLE_PIXELS // Box.of_shape(grid.block).size))

        def sample(number: int) -> NDArray[Any]:
            start, stop = grid.box(number).start, grid.box(number).stop
            region = Box((start[0], channel, *start[1:]), (stop[0], channel + 1, *stop[1:]))
            return self.read(last, region).ravel()

        self._open.setdefault(last, self._reader(last))
        numbers = np.unique(np.linspace(0, grid.count - 1, count).astype(np.int64)).tolist()
        values = np.concatenate(each(sample, numbers, far=self._folder.is_far, most=FEW))
        return data_window(self.spec.dtype, values, self.spec.fill)

    def levels_kept(self, levels: int) -> int:
        """Levels that could be kept: all of them, where the image is there."""
        return levels if self.exists() else 0

    def keep(self, levels: int) -> None:
        """Keep the first levels of an image that had other ones; `create` makes the others.

        Raises
        ------
        OutputError
            As `remove`.
        """
        self._open.clear()
        self.check_removable()
        is_ours = self._is_ours()
        self._folder.remove_ours(lambda key: is_ours(key) and _level(key) >= levels, _rank)
        windows = [full_window(self.spec.dtype)] * len(self.spec.channels)
        self._folder.put_changed(group_files(self.spec.ome_zarr_version, image_attributes(self.spec, windows)))

    def adapts(self) -> bool:
        """Whether an earlier image can become another one: chunks stay where they are when t and c grow."""
        return True

    def adapt(self, before: ImageSpec) -> None:
        """Make metadata anew of an image whose blocks stay; what others have added or corrected stays, too.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self._open.clear()
        attributes = adapted_attributes(self._group() or {}, before, self.spec)
        self._folder.put_changed(group_files(self.spec.ome_zarr_version, attributes) | self._array_files())

    def remove(self) -> None:
        """Delete the image, also where so much is missing that it is none any more.

        Raises
        ------
        OutputError
            If the folder holds anything that is no part of the image; nothing is deleted then.
        """
        self._open.clear()
        vars(self).pop("_encode", None)
        self.check_removable()
        self._folder.remove_ours(self._is_ours(), _rank)

    def check_removable(self) -> None:
        """Refuse a folder that holds anything but the group and the levels of an image.

        Raises
        ------
        OutputError
        """
        levels = self._levels()
        foreign = self._folder.foreign(self._is_ours())
        if foreign is not None:
            first = foreign.partition("/")[0]
            holds = foreign if first in levels else first
            raise self._foreign(f"holds {holds!r}, which is no part of a Zarr image that fusestack makes")

    def _refuse_foreign(self) -> None:
        """Refuse a folder that holds something, but for what a kill before the first file has left."""
        self.check_removable()
        is_group = not _GROUP_FILES.isdisjoint(self._folder.entries())
        if not is_group and self._folder.foreign(lambda key: _SCRATCH_KEY.fullmatch(key) is not None):
            raise self._foreign("is not a Zarr image")

    def _foreign(self, what: str) -> OutputError:
        return OutputError(f"{self.spec.path}: {what}, and is left alone: choose another output.path")

    def is_marked(self) -> bool:
        """Whether the attributes say that fusestack made it; they do when the image is finished."""
        return any("fusestack" in attributes for attributes in self._any_group())

    def _is_ours(self) -> Callable[[str], bool]:
        """Whether a key is of a file that this class makes, of the image that is there."""
        levels = self._levels()

        def is_ours(key: str) -> bool:
            found = _KEY.fullmatch(key)
            return found is not None and found["level"] in (None, *levels)

        return is_ours

    def _levels(self) -> set[str]:
        """Names of the levels of the image that is there, those of `spec` where its attributes are gone."""
        for attributes in self._any_group():
            if (paths := level_paths(attributes)) is not None:
                return set(paths)
        return set(map(str, range(len(self.spec.levels))))

    def _any_group(self) -> Iterator[dict[str, Any]]:
        """Attributes of the group, of any version; nothing where they are not there or damaged."""
        for version in VERSIONS:
            files = {key: self._folder.get(key) for key in group_files(version, {})}
            try:
                yield group_attributes(version, {key: data for key, data in files.items() if data is not None})
            except (ValueError, LookupError):
                continue

    def _group(self) -> dict[str, Any] | None:
        """Attributes of the group; None if there is no group yet."""
        version = self.spec.ome_zarr_version
        files = {key: self._folder.get(key) for key in group_files(version, {})}
        there = {key: data for key, data in files.items() if data is not None}
        damaged = [key for key, data in there.items() if not is_json(data)]
        if damaged and self._has_our_arrays():
            return None
        other = [v for v in VERSIONS if v != version and any(self._folder.get(key) for key in group_files(v, {}))]
        if other:
            raise settings_differ(self.spec.path, f"OME-Zarr version, {other[0]},")
        if len(there) < len(files):
            return None
        try:
            return group_attributes(version, there)
        except ValueError as error:
            raise OutputError(
                f"{self.spec.path}: is not an OME-Zarr {version} image ({error}): choose another output.path"
            ) from error

    def _array_files(self) -> dict[str, bytes]:
        try:
            return arrays(self.spec, checksums=self._has_checksums())
        except OutputError:
            raise
        except (ValueError, TypeError) as error:
            raise OutputError(
                f"{self.spec.path}: {error}; change output.chunks, output.shards or compression"
            ) from error


def _level(key: str) -> int:
    """Level of a file; -1 where it is of none."""
    found = _KEY.fullmatch(key)
    return -1 if found is None or found["level"] is None else int(found["level"])


def _rank(key: str) -> int:
    """Chunks go first, then what says of them whose they are, the group's own files last."""
    return 2 if key in _GROUP_FILES else 1 if key.rpartition("/")[2] in ("zarr.json", ".zarray", ".zattrs") else 0
