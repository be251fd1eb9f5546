"""The alignment that a configuration wants of a stack: where it is kept, and how it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.aligning.alignment import alignments_of
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import digest
from fusestack.model.geometry import Box
from fusestack.storage import open_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    """

    stack: StackInput
    options: Align
    channel: int | None
    cache: str
    given: str | None

    @property
    def model(self) -> Any:
        """What may move: of a volume, its planes do not turn."""
        return self.options.model or ("similarity" if self.stack.photographs else "translation")

    @property
    def fingerprint(self) -> str:
        """Of what it is made of."""
        options = self.options.model_dump(mode="json", include={"reference", "exposure", "white_balance"})
        files = [sorted(self.stack.read.values()), self.stack.source, list(self.stack.shape)]
        return digest([_VERSION, files, self.model, options, self.channel])

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
            content = open_folder(self.folder).get(FILE)
            if content is None:
                return None
            found, made_of = alignments_of(bytes(content), f"{self.folder}/{FILE}")
            return found if made_of == self.fingerprint else None
        try:
            found, _ = alignments_of(Path(self.given).read_bytes(), self.given)
        except OSError as error:
            raise InputError(f"{self.given}: cannot be read ({error}); correct focus.align.transforms") from error
        return self._checked(found)

    def _checked(self, found: list[Alignment]) -> list[Alignment]:
        times, _, count, rows, columns = self.stack.shape
        if len(found) == 1:
            found = found * times
        for one in found:
            if len(found) != times or len(one.slices) != count or one.size != (columns, rows):
                raise InputError(
                    f"{self.given}: is for {len(one.slices)} slices of {one.size[0]} x {one.size[1]} pixels"
                    f"{f' at {len(found)} timepoints' if len(found) > 1 else ''}, the stack has {count} of {columns} x "
                    f"{rows}; give the file of these slices, or leave focus.align.transforms out"
                )
        return found

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

            made.append(estimate(read, white, self.names, (columns, rows), wanted, workers=workers, tell=told))
        return made

    @property
    def names(self) -> Sequence[str]:
        """Of the slices, for people."""
        count = self.stack.shape[2]
        if self.stack.photographs and len(self.stack.read) == count:
            return list(self.stack.read)
        return [f"slice {k}" for k in range(count)]

    @property
    def slice_bytes(self) -> int:
        """Memory of a slice while it is looked at."""
        return (
            self.stack.shape[1] * self.stack.shape[3] * self.stack.shape[4] * (np.dtype(self.stack.dtype).itemsize + 3)
        )

    def _reader(self, t: int) -> Callable[[int], NDArray[Any]]:
        """Gives slices [c, y, x]."""
        stack = self.stack
        _, channels, _, rows, columns = stack.shape
        colours = len(stack.colours.rstrip("A")) if stack.photographs else channels
        first, last = (0, colours) if self.channel is None else (self.channel, self.channel + 1)

        def read(k: int) -> NDArray[Any]:
            found: NDArray[Any] = stack.slices(Box((t, 0, k, 0, 0), (t + 1, channels, k + 1, rows, columns)))
            return found[0, first:last, 0]

        return read

    def _white(self, read: Callable[[int], NDArray[Any]]) -> Planes:
        """White: of integers in photographs their greatest value, else nearly the brightest of some slices."""
        count = self.stack.shape[2]
        if np.dtype(self.stack.dtype).kind != "f" and self.stack.photographs:
            return np.full((len(self.stack.colours.rstrip("A")), 1, 1), np.iinfo(self.stack.dtype).max, np.float32)
        tried = sorted({round(i * (count - 1) / (_TRIED - 1)) for i in range(_TRIED)})
        found = [np.percentile(np.nan_to_num(read(k)), _BRIGHT, axis=(1, 2)) for k in tried]
        return np.asarray(np.maximum(np.max(found, axis=0), 1e-12), np.float32)[:, None, None]


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
    return WantedAlignment(stack, align, channel, cache, given)
