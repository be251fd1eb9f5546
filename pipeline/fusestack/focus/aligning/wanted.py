"""The alignment that a configuration wants of a stack: where it is kept, and how it is made."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.aligning.alignment import alignments_of
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import digest, facts_of
from fusestack.model.geometry import Box
from fusestack.storage import open_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fusestack.config.focus import Align
    from fusestack.config.load import LoadedConfig
    from fusestack.focus.aligning.alignment import Alignment
    from fusestack.focus.stack import StackInput

    Planes = NDArray[np.float32]

STAGE = "align"
FILE = "transforms.json"
_VERSION = 1
_BRIGHT = 99.9
"""Percent of the pixels of a volume that are not white."""
_TRIED = 5


@dataclass(frozen=True)
class WantedAlignment:
    """The alignment of one stack.

    Parameters
    ----------
    stack : StackInput
        As it is read.
    options : Align
    channel : int or None
        Of a volume, that is looked at; None: all.
    cache : str
        Folder of the cache.
    given : str or None
        A file that holds it.
    beside : str or None
        Folder beside the output where it is kept, too: where a cache was trimmed, another machine would find it again
        but for its last digits, and all would be made anew.
    """

    stack: StackInput
    options: Align
    channel: int | None
    cache: str
    given: str | None
    beside: str | None = None

    @property
    def model(self) -> Any:
        """What may move: of a volume, its planes do not turn."""
        return self.options.model or ("similarity" if self.stack.photographs else "translation")

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of what it is made of."""
        options = self.options.model_dump(mode="json", include={"reference", "exposure", "white_balance"})
        return digest([_VERSION, facts_of(self.stack.slices), self.model, options, self.channel])

    @property
    def folder(self) -> str:
        """Where it is kept in the cache."""
        return f"{self.cache}/{STAGE}-{self.fingerprint[:12]}"

    def known(self) -> list[Alignment] | None:
        """The alignment of each timepoint, if somebody gave or made it.

        Raises
        ------
        InputError
            If a file that is given cannot be read, or is of other slices.
        """
        if self.given is None:
            kept = (self._kept(*place) for place in self.places)
            return next((found for found in kept if found is not None), None)
        try:
            found, _ = alignments_of(Path(self.given).read_bytes(), self.given)
        except OSError as error:
            raise InputError(f"{self.given}: cannot be read ({error}); correct focus.align.transforms") from error
        return self._checked(found, self.given)

    @property
    def places(self) -> list[tuple[str, str]]:
        """Folders and files that keep it."""
        beside = [] if self.beside is None else [(self.beside, f"transforms-{self.fingerprint[:12]}.json")]
        return [(self.folder, FILE), *beside]

    def _kept(self, folder: str, name: str) -> list[Alignment] | None:
        content = open_folder(folder).get(name)
        try:
            found, made_of = ([], "") if content is None else alignments_of(bytes(content), name)
        except InputError:  # damaged: it is made again
            return None
        return found if made_of == self.fingerprint else None

    def lacking(self) -> list[tuple[str, str]]:
        """Folders and files that do not keep it yet."""
        return [place for place in self.places if self._kept(*place) is None]

    def _checked(self, found: list[Alignment], given: str) -> list[Alignment]:
        """Alignments that fit the stack; says which were made for slices of other names."""
        times, _, count, rows, columns = self.stack.shape
        if len(found) == 1:
            found = found * times
        fits = len(found) == times and all(
            len(one.slices) == count
            and one.size == (columns, rows)
            and all(len(motion.gains) in (1, self.stack.painted) for motion in one.slices)
            for one in found
        )
        if not fits:
            first = found[0] if found else None
            is_for = "nothing" if first is None else f"{len(first.slices)} slices of {_by(first.size)} pixels"
            several = f" at {len(found)} timepoints" if len(found) > 1 else ""
            raise InputError(
                f"{given}: is for {is_for}{several}, the stack has {count} of {_by((columns, rows))}; give the file of "
                "these slices, or leave focus.align.transforms out"
            )
        named = [Path(name).name for name in self.stack.names]
        others = [Path(one.name).name for one in found[0].slices]
        wrong = next(((a, b) for a, b in zip(others, named, strict=True) if a and a != b), None)
        if wrong is None:
            return found
        said = f"{given}: was made for slices of other names, or in another order: {wrong[0]} is now {wrong[1]}"
        return [replace(one, said=(*one.said, said)) for one in found]

    def estimate(self, workers: int, tell: Callable[[int], None] | None = None) -> list[Alignment]:
        """Look at all slices.

        Parameters
        ----------
        workers : int
            Threads.
        tell : callable, optional
            Called with the number of slices that were looked at.

        Raises
        ------
        ConfigError, InputError
            See `fusestack.focus.aligning.estimate.estimate`.
        """
        from fusestack.focus.aligning.estimate import Wanted, estimate

        stack = self.stack
        times, _, count, rows, columns = stack.shape
        wanted = Wanted(self.model, self.options.reference, self.options.exposure, self.options.white_balance)
        made = []
        for t in range(times):
            read = self._reader(t)
            white = self._white(read)

            def told(done: int, before: int = t * count) -> None:
                if tell is not None:
                    tell(before + done)

            made.append(estimate(read, white, stack.names, (columns, rows), wanted, workers=workers, tell=told))
        return made

    @property
    def slice_bytes(self) -> int:
        """Memory of a slice while it is looked at."""
        return (
            self.stack.shape[1] * self.stack.shape[3] * self.stack.shape[4] * (np.dtype(self.stack.dtype).itemsize + 3)
        )

    def _reader(self, t: int) -> Callable[[int], NDArray[Any]]:
        """Gives slices [c, y, x]."""
        stack = self.stack
        _, channels, count, rows, columns = stack.shape
        first, last = (0, stack.painted) if self.channel is None else (self.channel, self.channel + 1)
        read_from, read_to = (0, channels) if stack.photographs else (first, last)
        deep, lock = stack.depth_chunk, threading.Lock()

        def some(group: int) -> NDArray[Any]:
            ends = (group * deep, min(count, (group + 1) * deep))
            box = Box((t, read_from, ends[0], 0, 0), (t + 1, read_to, ends[1], rows, columns))
            found: NDArray[Any] = stack.slices(box)
            return found[0, first - read_from : last - read_from]

        kept = functools.lru_cache(maxsize=1)(some)

        def read(k: int) -> NDArray[Any]:
            if deep == 1:
                return some(k)[:, 0]
            with lock:  # planes of a chunk are decoded together, once
                return kept(k // deep)[:, k % deep]

        return read

    def _white(self, read: Callable[[int], NDArray[Any]]) -> Planes:
        """White: of integers in photographs their greatest value, else nearly the brightest of some slices."""
        count = self.stack.shape[2]
        if np.dtype(self.stack.dtype).kind != "f" and self.stack.photographs:
            return np.full((self.stack.painted, 1, 1), np.iinfo(self.stack.dtype).max, np.float32)
        tried = sorted({round(i * (count - 1) / (_TRIED - 1)) for i in range(_TRIED)})
        found = [np.percentile(np.nan_to_num(read(k)), _BRIGHT, axis=(1, 2)) for k in tried]
        return np.asarray(np.maximum(np.max(found, axis=0), 1e-12), np.float32)[:, None, None]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def wanted_alignment(
    loaded: LoadedConfig, stack: StackInput, align: Align, cache: str, channel: int | None
) -> WantedAlignment:
    """The alignment that a configuration wants of a stack.

    Raises
    ------
    ConfigError
        If the stack is not there yet.
    """
    if stack.fused:
        raise ConfigError(
            f"{loaded.cite('focus.align')}: slices of an image that is fused by the same run cannot be aligned; run "
            "the fusion alone, then name its output in focus.input"
        )
    given = None if align.transforms is None else loaded.resolve_path(align.transforms)
    output = None if loaded.config.focus is None else loaded.config.focus.output.path
    beside = None if output is None else f"{loaded.resolve_path(output).rstrip('/')}.fusestack"
    return WantedAlignment(stack, align, channel, cache, given, beside)
