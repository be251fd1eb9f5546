"""BigDataViewer N5 out: every block of a dataset is a file of its own. See https://github.com/saalfeldlab/n5."""

from __future__ import annotations

import json
import re
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.storage import SCRATCH, is_address
from fusestack.storage.chunk_keys import ChunkKeys
from fusestack.storage.n5_chunks import n5_reader
from fusestack.writers.base import KeepsNoLevels, check_block, parts_of, settings_differ, unchecked
from fusestack.writers.folder import OutputFolder
from fusestack.writers.inventory import BlockFiles
from fusestack.writers.zarr_codec import blosc_library, encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.image import Codec, ImageSpec
    from fusestack.model.stage import Written
    from fusestack.storage.zarr_chunks import ChunkReader

ATTRIBUTES = "attributes.json"
VERSION = "2.0.0"  # of N5: since then a compression is an object
MARK = "fusestack"
SETUP = re.compile(r"setup\d+")
IN_VIEW = r"s\d+/attributes\.json|s\d+(?:/\d+){3}|attributes\.json|\.partial/\w+"
_FILE = re.compile(
    rf"attributes\.json|\.partial/\w+|(?P<setup>setup\d+)/(?:attributes\.json|timepoint\d+/(?:{IN_VIEW}))"
)
"""Files of a container; those of a setup say which."""
_OF_DATASETS = frozenset({"dimensions", "blockSize"})
"""What our setups say of themselves, and BigDataViewer does not ask for."""
_OF_PIXELS = frozenset({"dataType", "dimensions", "blockSize", "compression", "downsamplingFactors"})
_KEY = ChunkKeys(turned=True)


class BdvN5Writer(BlockFiles, KeepsNoLevels):
    """One image, t, c, z, y, x, as a BigDataViewer N5 container; the project XML is not written here.

    The setup of a pixel is its index along c, its timepoint the id in ``spec.timepoints``; a level is the dataset
    ``setup<S>/timepoint<T>/s<L>``. A block of it appears by a rename, so that a kill leaves no half of it. Blocks whose
    pixels all are 0 are not stored, and what is not stored is 0: N5 has no other fill value.

    Parameters
    ----------
    spec : ImageSpec
        `path` is a local folder or a URL.
    work : str
        Not used.

    Notes
    -----
    Datasets and attributes as BigDataViewer's ``N5ImageLoader`` reads them.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        self.spec = spec
        self._container = spec.path
        self._folder = OutputFolder(spec.path)
        self._readers: dict[str, ChunkReader] = {}

    def exists(self) -> bool:
        """Whether `create` has made a container that is still there, also where that has lost its own file."""
        return self._folder.get(ATTRIBUTES) is not None or self._has_our_setups()

    def _has_our_setups(self) -> bool:
        name, facts = next(self._groups())
        return self._is_whole(f"{name}/{ATTRIBUTES}") and bool(self._attributes(name) == json.loads(json.dumps(facts)))

    def create(self) -> None:
        """Make the attributes of the container and of all datasets.

        Raises
        ------
        OutputError
            If something else is there, or an image with other settings, or the place cannot be written.
        """
        wanted = dict(self._groups())
        root = self._attributes("") if self._is_whole(ATTRIBUTES) else None
        if root is None:
            if not self._has_our_setups():
                self._refuse_foreign(unmarked=False)
            self._put("", {"n5": VERSION, MARK: {}})
        elif MARK not in root:
            raise self._foreign("is not an N5 container of ours")
        setups = {name for name in self._folder.entries() if SETUP.fullmatch(name)}
        if setups - wanted.keys():
            raise settings_differ(self.spec.path, "number of channels")
        for name, attributes in wanted.items():
            if not self._is_whole(f"{name}/{ATTRIBUTES}"):
                self._put(name, attributes)
            elif not self._is_whole(f"{name}/{ATTRIBUTES}", _of_pixels(attributes)):
                raise settings_differ(f"{self.spec.path}/{name}", "shape, dtype, chunks, pyramid or codec")

    def adapts(self) -> bool:
        """Whether an earlier image can become another one: timepoints and channels are groups of their own."""
        return True

    def adapt(self, before: ImageSpec) -> None:
        """Make metadata anew of an image whose blocks stay; what others have added to them stays, too."""
        self._readers.clear()
        for name, attributes in self._groups():
            there = self._attributes(name) or {}
            if (wanted := there | json.loads(json.dumps(attributes))) != there:
                self._put(name, wanted)
        self._put("", {"n5": VERSION, **(self._attributes("") or {}), MARK: {}})

    def _groups(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and attributes of every group and dataset, x first."""
        spec = self.spec
        factors = [list(reversed(level.factors)) for level in spec.levels]
        pixel_size = list(reversed(spec.pixel_size))
        for c in range(spec.shape[1]):
            yield self._setup_name(c), {**self._dataset(0), "downsamplingFactors": factors}
            for t in range(len(spec.timepoints)):
                facts = {"resolution": pixel_size, "saved_completely": True, "multiScale": True}
                yield self._view_name(t, c), facts
                for level in range(len(spec.levels)):
                    yield self._name(t, c, level), {**self._dataset(level), "downsamplingFactors": factors[level]}

    def _dataset(self, level: int) -> dict[str, Any]:
        target = self.spec.levels[level]
        return {
            "dataType": self.spec.dtype,
            "dimensions": list(reversed(target.shape[2:])),
            "blockSize": list(reversed(target.chunks[2:])),
            "compression": declared(self.spec.codec),
        }

    def write(self, level: int, box: Box, pixels: NDArray[Any]) -> Written:
        """Store whole blocks; returns what was written. Safe to repeat.

        Parameters
        ----------
        level : int
        box : Box
            t, c, z, y, x; starts and ends at borders of chunks or of the image.
        pixels : array[t, c, z, y, x]

        Raises
        ------
        OutputError
            If the disk is full or refuses; nothing half-written is left.
        ValueError
            If `box` cuts a chunk, or `pixels` do not fit it.
        """
        check_block(self.spec, level, box, pixels)

        def encoded(part: tuple[tuple[int, ...], NDArray[Any]]) -> tuple[str, list[bytes]]:
            key, block = self._key(level, part[0]), part[1][0, 0]
            return key, [] if _is_blank(block) else [_header(block), self._encode(_big_endian(block))]

        return self._folder.store_each(parts_of(box, self.spec.levels[level].chunks, pixels), encoded)

    def _key(self, level: int, index: tuple[int, ...]) -> str:
        t, c, *place = index
        return f"{self._name(t, c, level)}/{_KEY(tuple(place))}"

    def _arrays(self, level: int) -> Iterator[tuple[tuple[int, ...], str, bool]]:
        for t, c in np.ndindex(*self.spec.shape[:2]):
            yield (t, c), self._name(t, c, level), True

    def _metadata(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        yield ATTRIBUTES, {}
        for name, facts in self._groups():
            yield f"{name}/{ATTRIBUTES}", _of_pixels(facts)

    @cached_property
    def _encode(self) -> Callable[[NDArray[Any]], bytes]:
        return encoder(self.spec.codec)

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read any region of a level, t, c, z, y, x; pixels that nobody wrote are 0.

        Raises
        ------
        OutputError
            If the container is not there or damaged.
        """
        out = np.empty(box.shape, self.spec.dtype)
        for t, c in np.ndindex(*box.shape[:2]):
            name = self._name(box.start[0] + t, box.start[1] + c, level)
            try:
                if name not in self._readers:
                    self._readers[name] = n5_reader(self._container, name, self._attributes(name) or {})
                out[t, c] = self._readers[name].read(box.start[2:], box.stop[2:])
            except Exception as error:  # each codec and store has exceptions of its own
                raise OutputError(
                    f"{self.spec.path}: {name} cannot be read back: {error}; delete the output and run again"
                ) from error
        return out

    def finish(self, options: Mapping[str, Any], check: Callable[[], None] = unchecked) -> None:
        """Record how the image was made.

        Parameters
        ----------
        options : mapping
            JSON values; stored as the attribute ``fusestack`` of the container.
        check : callable
            Called before anything appears in the place of what is there; may refuse.
        """
        made = json.loads(json.dumps(dict(options), default=str))
        root = self._attributes("") or {"n5": VERSION}
        if root.get(MARK) != made:
            check()
            self._put("", {**root, MARK: made})
        if not is_address(self.spec.path):
            self._folder.delete_tree(SCRATCH)

    def remove(self) -> None:
        """Delete the container.

        Raises
        ------
        OutputError
            If it is not one that this class made, or holds anything else; nothing is deleted then.
        """
        self._readers.clear()
        self.check_removable()
        self._folder.remove_ours(self._is_ours(), rank)

    def check_removable(self) -> None:
        """Refuse a folder that is no container of ours, or holds anything else.

        Raises
        ------
        OutputError
        """
        self._refuse_foreign(unmarked=True)

    def is_marked(self) -> bool:
        """Whether the attributes of the container say that fusestack made it."""
        return MARK in (self._attributes("") or {})

    def _refuse_foreign(self, *, unmarked: bool) -> None:
        """Refuse a folder that holds what is no part of a container, or that has not our mark."""
        entries = [name for name in self._folder.entries() if name != SCRATCH]
        if entries and unmarked and not self.is_marked() and all(is_part(name) for name in entries):
            raise self._foreign("is not an N5 container of ours")
        foreign = self._folder.foreign(self._is_ours())
        if foreign is not None:
            first = foreign.partition("/")[0]
            holds = foreign if is_part(first) else first
            raise self._foreign(f"holds {holds!r}, which is no part of a BigDataViewer container of ours")
        if entries and not unmarked:
            raise self._foreign("is not an N5 container of ours")

    def _is_ours(self) -> Callable[[str], bool]:
        """Whether a key is of a file that this class makes; setups that others added say less of themselves."""
        known: dict[str, bool] = {}

        def is_ours(key: str) -> bool:
            found = _FILE.fullmatch(key)
            if found is None or found["setup"] is None:
                return found is not None
            setup = str(found["setup"])
            if setup not in known:
                facts = self._attributes(setup)
                known[setup] = facts is None or facts.keys() >= _OF_DATASETS
            return known[setup]

        return is_ours

    def _foreign(self, what: str) -> OutputError:
        return OutputError(f"{self.spec.path}: {what}, and is left alone: choose another output.path")

    def _setup_name(self, c: int) -> str:
        return f"setup{c}"

    def _view_name(self, t: int, c: int) -> str:
        return f"{self._setup_name(c)}/timepoint{self.spec.timepoints[t]}"

    def _name(self, t: int, c: int, level: int) -> str:
        return f"{self._view_name(t, c)}/s{level}"

    def _attributes(self, name: str) -> dict[str, Any] | None:
        """Attributes of a group; None where it has none.

        Raises
        ------
        OutputError
            If they are no JSON.
        """
        data = self._folder.get(f"{name}/{ATTRIBUTES}".lstrip("/"))
        if data is None:
            return None
        try:
            found = json.loads(data)
            if not isinstance(found, dict):
                raise TypeError("no object")
        except (ValueError, TypeError) as error:
            raise self._foreign(f"{name or 'the container'} has attributes that are damaged ({error})") from error
        return found

    def _put(self, name: str, attributes: Mapping[str, Any]) -> None:
        self._folder.put(f"{name}/{ATTRIBUTES}".lstrip("/"), [json.dumps(attributes).encode()])


def _of_pixels(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What of attributes decides about pixels."""
    return {key: attributes[key] for key in _OF_PIXELS & attributes.keys()}


def is_part(name: str) -> bool:
    """Whether an entry of a container is called as ours are."""
    return name == ATTRIBUTES or SETUP.fullmatch(name) is not None


def rank(key: str) -> int:
    """Blocks go first, then what says of them whose they are, the outer ones last."""
    return 0 if not key.endswith(ATTRIBUTES) else 9 - key.count("/")


def declared(codec: Codec) -> dict[str, Any]:
    """Compression in the attributes of a dataset.

    Raises
    ------
    OutputError
        If the codec is unknown.
    """
    match codec.name:
        case "none":
            return {"type": "raw"}
        case "zstd":
            return {"type": "zstd", "level": codec.level}
        case "gzip":
            return {"type": "gzip", "level": codec.level, "useZlib": False}
        case _:
            options = {"clevel": codec.level, "shuffle": 2, "blocksize": 0}
            return {"type": "blosc", "cname": blosc_library(codec), **options}


def _header(block: NDArray[Any]) -> bytes:
    """Mode, number of axes and size, x first."""
    return struct.pack(f">HH{block.ndim}I", 0, block.ndim, *reversed(block.shape))


def _big_endian(block: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(block, dtype=block.dtype.newbyteorder(">"))


def _is_blank(block: NDArray[Any]) -> bool:
    """Whether every bit is 0: -0.0 is a value like any other."""
    return not np.ascontiguousarray(block).view(f"u{block.itemsize}").any()
