"""What an image file says about itself, the same for every reader; metadata only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.stage import resolve
from fusestack.model.view import SourceLevel, SourceRef, StoredPixels
from fusestack.sources.known_facts import FactsOnDisk, recall, remember, witnesses
from fusestack.storage.look import Look, looking

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from fusestack.model.geometry import Float3, Int3
    from fusestack.model.units import TimeStep
    from fusestack.sources.ome_xml import Sizes

_FACTS = {
    "fusestack.sources.tiff:TiffSource": "fusestack.sources.tiff_facts:tiff_facts",
    "fusestack.sources.ome_zarr:OmeZarrSource": "fusestack.sources.ome_zarr_facts:image_facts",
    "fusestack.sources.bioio:BioioSource": "fusestack.sources.bioio:bioio_facts",
}
"""Reader of pixels -> reader of facts."""

_SEVERAL = {
    "fusestack.sources.tiff:TiffSource": "fusestack.sources.tiff_facts:several_facts",
    "fusestack.sources.ome_zarr:OmeZarrSource": "fusestack.sources.ome_zarr_facts:several_facts",
}
"""Reader of pixels -> reader of the facts of several images of one file, which is looked at once."""

_MOST_BEHIND = 64
"""Files and folders that one image is read from, beyond which it costs as much to look at them as to read it."""

_READERS = 4
"""Files that are looked at at once: disks answer late, but what they answer is parsed one after another."""


@dataclass(frozen=True)
class ImageFacts:
    """One image of a file.

    Parameters
    ----------
    reader, path : str
        Who reads its pixels, and where.
    options : tuple of (str, value)
        Of the reader, for every timepoint and channel: the series, the axes.
    shape, chunks : tuple of int
        t, c, z, y, x.
    dtype : str
    sizes : (float or None, float or None, float or None)
        Of a pixel along z, y, x in `unit`; None where the file does not say.
    unit : str or None
        UDUNITS name; as it is written where it is not known.
    positions : tuple of (float, float, float)
        Centre of the first pixel, z, y, x in `unit`, at every timepoint; empty where the file does not say.
    turn : Affine or None
        Linear part of pixel to unit, where it is more than sizes.
    time : TimeStep or None
        From one timepoint to the next.
    names, colors : tuple of (str or None)
        Of the channels; colours ``RRGGBB``.
    found : tuple of (str, str)
        What the file says, and where: ("position", "OME-XML").
    said : tuple of str
        What is guessed or not used, as sentences, with the key that would use it.
    files : tuple of str
        Files of a set (OME-TIFF) that hold it, where these are not `path` alone.
    levels : tuple of SourceLevel
        Resolutions of its pixels; empty where only the reader of the pixels finds them.
    described : (str, int)
        What describes it and others, which may lie in other files, and how many they are; ("", 1) where it is alone.
    behind : tuple of str
        Files and folders that this was read from, beside `path` and `files`.
    """

    reader: str
    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    options: tuple[tuple[str, Hashable], ...] = ()
    sizes: Sizes = (None, None, None)
    unit: str | None = None
    positions: tuple[Float3, ...] = ()
    turn: Affine | None = None
    time: TimeStep | None = None
    names: tuple[str | None, ...] = ()
    colors: tuple[str | None, ...] = ()
    found: tuple[tuple[str, str], ...] = ()
    said: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    levels: tuple[SourceLevel, ...] = ()
    described: tuple[str, int] = ("", 1)
    behind: tuple[str, ...] = ()

    @property
    def pixel_size(self) -> Float3:
        """Of a pixel along z, y, x; 1 where the file does not say."""
        z, y, x = (size or 1.0 for size in self.sizes)
        return (z, y, x)

    @property
    def zyx(self) -> Int3:
        """Pixels along z, y, x."""
        z, y, x = self.shape[2:]
        return (z, y, x)

    @property
    def origin(self) -> Float3:
        """Centre of the first pixel at the first timepoint; 0 where the file does not say."""
        return self.positions[0] if self.positions else (0.0, 0.0, 0.0)

    @property
    def placed(self) -> bool:
        """Whether it says where it is: elsewhere than at 0, where images lie that do not know their place."""
        return any(any(position) for position in self.positions)

    @property
    def channels(self) -> tuple[tuple[str, str], ...]:
        """Name and colour of every channel; their number and white where the file does not say."""
        pairs = zip(self.names, self.colors, strict=True)
        return tuple((name or str(c), color or "FFFFFF") for c, (name, color) in enumerate(pairs))

    @property
    def pixel_to_unit(self) -> tuple[Affine, ...]:
        """Pixel to units at every timepoint; a pixel has size 1 along axes that say no size."""
        linear = (self.turn or Affine.scaling(self.pixel_size)).linear
        origins = self.positions or ((0.0, 0.0, 0.0),) * self.shape[0]
        return tuple(Affine(linear, np.array(origin)) for origin in origins)

    @property
    def pixels(self) -> StoredPixels | None:
        """Of every timepoint and channel; None where only the reader of the pixels knows."""
        return StoredPixels(self.dtype, self.levels) if self.levels else None

    def source(self, timepoint: int, channel: int) -> SourceRef:
        """Who reads the pixels of a timepoint and a channel, both indices."""
        options = (("timepoint", timepoint), ("channel", channel), *self.options)
        return SourceRef(self.reader, self.path, options, self.files)


@dataclass(frozen=True)
class FactsWanted:
    """Which image of which file: its path, its reader, and what the user says of it."""

    reader: str
    path: str
    series: int | None = None
    axes: str | None = None


class ChoiceError(InputError):
    """A file holds several images, and nobody says which one is meant.

    Parameters
    ----------
    *problems : str
    count : int
        How many.
    """

    def __init__(self, *problems: str, count: int = 0) -> None:
        super().__init__(*problems)
        self.count = count


def facts_of(wanted: FactsWanted) -> ImageFacts:
    """Facts of one image.

    Raises
    ------
    InputError
        If the file is missing or unreadable, or holds several images or axes and nobody says which.
    """
    (found,) = _facts_of_file([wanted])
    if isinstance(found, InputError):
        raise found
    return found


def _facts_of_file(wanted: Sequence[FactsWanted]) -> list[ImageFacts | InputError]:
    """Facts of images of one file, those that are known already as they are."""
    found = {which: recall(which) for which in wanted}
    missing = [which for which in wanted if found[which] is None]
    before = witnesses([wanted[0].path])
    with looking(Look()):  # readers ask for the same metadata several times
        read = _read(missing)
    for which, facts in zip(missing, read, strict=True):
        found[which] = _told_apart(facts) if isinstance(facts, ImageFacts) else facts
        # of other readers nobody knows which files stand behind an image
        if isinstance(facts, ImageFacts) and which.reader in _SEVERAL and len(facts.behind) <= _MOST_BEHIND:
            paths = dict.fromkeys((which.path, *facts.files, *facts.behind))
            remember(which, tuple(paths), before, found[which])
    return [found[which] for which in wanted]


def _read(wanted: Sequence[FactsWanted]) -> list[ImageFacts | InputError]:
    if len(wanted) > 1 and wanted[0].reader in _SEVERAL:
        try:
            asked = [(which.series, which.axes) for which in wanted]
            several: list[ImageFacts | InputError] = resolve(_SEVERAL[wanted[0].reader])(wanted[0].path, asked)
        except InputError as error:
            return [error] * len(wanted)
        return several
    found: list[ImageFacts | InputError] = []
    for which in wanted:
        try:
            found.append(resolve(_FACTS[which.reader])(which.path, series=which.series, axes=which.axes))
        except InputError as error:
            found.append(error)
    return found


def _told_apart(facts: ImageFacts) -> ImageFacts:
    twice = sorted({name for name in facts.names if name is not None and facts.names.count(name) > 1})
    if not twice:
        return facts
    said = f"several of its channels are called {twice[0]}; they are numbered, channel chooses one of them"
    return replace(facts, names=(None,) * len(facts.names), said=(*facts.said, said))


def all_facts(wanted: Iterable[FactsWanted]) -> dict[FactsWanted, ImageFacts | InputError]:
    """Facts of many images, several files at once, each of them once; whoever cannot be read as the error.

    What is known of many files is kept in the cache of the user (`fusestack.sources.known_facts`).
    """
    files: dict[tuple[str, str], list[FactsWanted]] = {}
    for which in dict.fromkeys(wanted):
        files.setdefault((which.reader, which.path), []).append(which)
    on_disk = FactsOnDisk({which: which.path for listed in files.values() for which in listed})
    on_disk.load()
    found: dict[FactsWanted, ImageFacts | InputError] = {}
    missing = []
    for listed in files.values():
        known = [recall(which) for which in listed]
        if None in known:
            missing.append(listed)
        else:
            found.update(zip(listed, known, strict=True))
    if len(missing) < 2:
        read = [_facts_of_file(listed) for listed in missing]
    else:
        with ThreadPoolExecutor(min(_READERS, len(missing))) as pool:
            read = list(pool.map(_facts_of_file, missing))
    for listed, facts in zip(missing, read, strict=True):
        found.update(zip(listed, facts, strict=True))
    if missing:
        on_disk.store()
    return found


def refuse_choice(path: str, what: str, choices: list[str]) -> ChoiceError:
    """Error of a file that holds several images of which nobody chose one."""
    most = 8
    more = f" ... {len(choices) - 1}" if len(choices) > most else ""
    listed = ", ".join(f"{number} ({choice})" for number, choice in enumerate(choices[:most]))
    return ChoiceError(
        f"{path}: holds {len(choices)} {what}; choose one with series: {listed}{more}", count=len(choices)
    )
