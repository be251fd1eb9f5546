"""Images that were made before with other settings, as far as their pixels are those of a planned one; reads only.

Of every image the record says what the pixels of each timepoint and channel depend on, apart from how they are cut and
stored. Where an image has more timepoints or channels than before, or other names, its blocks stay where they are, and
those that are new are made. Where it is cut or compressed otherwise, it is put aside, and level 0 is copied from there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.fingerprint import digest
from fusestack.model.image import ImageSpec, image_of
from fusestack.model.stage import Target
from fusestack.running.finished import mark_of, sizes_of
from fusestack.running.lost import lost_blocks
from fusestack.storage import identity_of, is_address, open_folder
from fusestack.taskgraph.ledger import Ledger, ledger_path, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from fusestack.model.stage import Stage
    from fusestack.planning.plan import PlannedImage, Product

    Place: TypeAlias = tuple[int, int]

PIXELS = "pixels"
"""In the record of an image: what its pixels depend on."""
BEFORE = "before"
"""In the record of an image: the earlier one that is copied; folder for it in the work folder."""
FACTS = ("fingerprint", "stages", "writer", "image", PIXELS)
"""What the record keeps of an earlier image."""
_DIGITS = 16
_COPIED = frozenset({"OmeZarrWriter", "BdvHdf5Writer", "BdvN5Writer"})


@dataclass(frozen=True)
class Pixels:
    """What the pixels of every place of an image depend on, as hashes.

    Parameters
    ----------
    timepoints, channels : tuple of int
        Ids along t and c.
    hashes : tuple of str
        For each channel, those of all timepoints, one behind another.
    levels : str
        What those of the levels above depend on besides: how they are reduced.
    """

    timepoints: tuple[int, ...]
    channels: tuple[int, ...]
    hashes: tuple[str, ...]
    levels: str = ""

    @property
    def places(self) -> dict[Place, tuple[Place, str]]:
        """Place (t, c) in the image and hash, by the ids of timepoint and channel."""
        return {
            (timepoint, channel): ((t, c), self.hashes[c][t * _DIGITS : (t + 1) * _DIGITS])
            for c, channel in enumerate(self.channels)
            for t, timepoint in enumerate(self.timepoints)
        }


def pixels_of(stage: Stage) -> Pixels | None:
    """What the pixels of a stage depend on, place by place; None where that cannot be said."""
    spec = stage.target.image
    if stage.compute.facts_at(0, 0) is None:
        return None
    hashes = tuple(
        "".join(digest(stage.compute.facts_at(t, c))[:_DIGITS] for t in range(spec.shape[0]))
        for c in range(spec.shape[1])
    )
    return Pixels(spec.timepoints, tuple(channel.id for channel in spec.channels), hashes)


@dataclass(frozen=True)
class Earlier:
    """What of an earlier image serves a planned one.

    Parameters
    ----------
    target : Target
        Its level 0, where its blocks are when they are read.
    stages : tuple of str
        Keys of the stages of its levels.
    fingerprint : str
    places : mapping of (int, int) to (int, int)
        Where the places (t, c) lie in it whose pixels are the same.
    grows : bool
        Whether nothing of it is replaced: it has more timepoints or channels afterwards.
    facts : mapping or None
        What the record keeps of it while it is copied; None where its blocks stay where they are.
    """

    target: Target
    stages: tuple[str, ...]
    fingerprint: str
    places: Mapping[Place, Place]
    grows: bool = False
    facts: Mapping[str, Any] | None = None

    @property
    def in_place(self) -> bool:
        """Whether its blocks stay where they are."""
        return self.facts is None

    @property
    def name(self) -> tuple[Any, ...]:
        """What tells it from others."""
        return self.fingerprint, self.in_place, tuple(self.places.items())

    def done(self, image: ImageSpec, level: int) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Blocks of a level of an image in its place that are as they were written, and what was stored of them."""
        target = replace(self.target, level=level)
        ledger = Ledger(ledger_path(target.work, self.stages[level]), target.image.levels[level].grid.count)
        whole = ledger.done & ~lost_blocks(ledger, target)
        new, old = blocks_at(image, level, self.places), blocks_at(target.image, level, self.places.values())
        stored = unknown(image.levels[level].grid.count)
        done = np.zeros(len(stored), bool)
        done[new], stored[new] = whole[old], ledger.stored[old]
        return done, stored

    @property
    def read(self) -> tuple[tuple[str, int, Target], ...]:
        """Ledger of the level that is copied, its blocks and where they are: all must be there until the end."""
        path = ledger_path(self.target.work, self.stages[0])
        return () if self.in_place else ((path, self.target.image.levels[0].grid.count, self.target),)


def blocks_at(image: ImageSpec, level: int, places: Iterable[Place]) -> NDArray[np.int64]:
    """Numbers of the blocks of some places (t, c), one place behind another."""
    counts = image.levels[level].grid.counts
    inside = np.arange(math.prod(counts[2:]), dtype=np.int64)
    starts = np.array([t * counts[1] + c for t, c in places], np.int64) * inside.size
    return np.add.outer(starts, inside).ravel()


def earlier(product: Product, pixels: Pixels | None, record: Mapping[str, Any]) -> Earlier | None:
    """What of the image that is there, or was put aside, serves a planned one; None where nothing does."""
    entry = record.get(product.target.image.path)
    if pixels is None or entry is None:
        return None
    if BEFORE in entry and (found := _copied(product, pixels, entry[BEFORE])):
        return found
    if entry["fingerprint"] == product.fingerprint or not {PIXELS, "image"} <= entry.keys():
        return None
    found = _in_place(product, pixels, entry)
    if found is None and identity_of(mark_of(product.target.work, entry["fingerprint"])) is not None:
        found = _copied(product, pixels, {key: entry[key] for key in FACTS})
    return found


def _shared(pixels: Pixels, entry: Mapping[str, Any]) -> dict[Place, Place]:
    """Places of the planned image whose pixels are those of an earlier one, and where they are in it."""
    known = entry[PIXELS]
    old = Pixels(tuple(known["timepoints"]), tuple(known["channels"]), tuple(known["hashes"])).places
    return {place: old[ids][0] for ids, (place, said) in pixels.places.items() if ids in old and old[ids][1] == said}


def _in_place(product: Product, pixels: Pixels, entry: Mapping[str, Any]) -> Earlier | None:
    """Whether blocks stay where they are: nothing is cut or stored otherwise, and what is new comes last."""
    target = Target(entry["writer"], image_of(entry["image"]), 0, product.target.work)
    old, new = target.image, product.target.image
    if target.writer != product.target.writer or not product.target.open().adapts() or not target.open().exists():
        return None
    channels = new.channels[: len(old.channels)]
    if entry[PIXELS].get("levels") != pixels.levels:
        return None
    firsts = (old.timepoints, [one.id for one in old.channels])
    if _stored(old) != _stored(new) or firsts != (new.timepoints[: old.shape[0]], [one.id for one in channels]):
        return None
    shared = _shared(pixels, entry)
    channels = tuple(replace(one, color=before.color) for one, before in zip(channels, old.channels, strict=True))
    cut = replace(new, levels=old.levels, timepoints=old.timepoints, channels=channels, time=old.time)
    grows = len(shared) == math.prod(old.shape[:2]) and repr(cut) == repr(old)
    return Earlier(target, tuple(entry["stages"]), entry["fingerprint"], shared, grows) if shared else None


def _stored(image: ImageSpec) -> str:
    """How blocks are stored, whatever the extent along t and c."""
    levels = [replace(level, shape=level.shape[2:]) for level in image.levels]
    return repr((levels, image.codec, image.dtype, image.fill, image.ome_zarr_version, image.split))


def _copied(product: Product, pixels: Pixels, facts: Mapping[str, Any]) -> Earlier | None:
    """Whether level 0 of a complete image, of which the record keeps facts, can be copied."""
    work, new = product.target.work, product.target.image
    old = image_of(facts["image"])
    writers = {one.rpartition(":")[2] for one in (facts["writer"], product.target.writer)}
    if is_address(new.path) or not writers <= _COPIED or (old.split, new.split) != (None, None):
        return None
    if repr((old.dtype, old.fill, old.shape[2:])) != repr((new.dtype, new.fill, new.shape[2:])):
        return None
    shared = _shared(pixels, facts)
    aside = aside_of(work, facts["fingerprint"])
    target = Target(facts["writer"], replace(old, path=f"{aside}/{Path(old.path).name}"), 0, aside)
    is_there = identity_of(target.image.path) is not None
    now = target if is_there else Target(facts["writer"], old, 0, work)
    home = target if open_folder(ledger_path(aside, facts["stages"][0]), scratch="").entries() else now
    ledger = Ledger(ledger_path(home.work, facts["stages"][0]), old.levels[0].grid.count)
    if not (shared and now.open().exists() and ledger.complete) or lost_blocks(ledger, now).any():
        return None
    sizes = {} if is_there else sizes_of(mark_of(work, facts["fingerprint"]))
    if any(now.open().whole().get(file, 0) != size for file, size in sizes.items()):
        return None
    return Earlier(target, tuple(facts["stages"]), facts["fingerprint"], shared, facts=facts)


def aside_of(work: str, fingerprint: str) -> str:
    """Folder of an earlier image that is copied."""
    return f"{work}/{BEFORE}/{fingerprint[:12]}"


def earlier_of(image: PlannedImage, record: Mapping[str, Any]) -> Earlier | None:
    """What of an image that is there with other settings serves a planned one."""
    entry = record.get(image.target.image.path, {})
    if not entry or (BEFORE not in entry and entry["fingerprint"] == image.fingerprint):
        return None
    return serving(image.product, recorded_pixels(image), record)


def recorded_pixels(image: PlannedImage) -> Pixels | None:
    """What pixels depend on, of an image that has its place for itself."""
    pixels = None if image.appended is not None or image.container else pixels_of(image.stages[0])
    if pixels is None:
        return None
    reductions = [(type(stage.compute).__name__, getattr(stage.compute, "VERSION", 1)) for stage in image.stages[1:]]
    return replace(pixels, levels=digest(reductions)[:_DIGITS])


def serving(product: Product, pixels: Pixels | None, record: Mapping[str, Any]) -> Earlier | None:
    """See `earlier`; None where levels are kept as they are."""
    is_aside = BEFORE in record.get(product.target.image.path, {})
    return None if not is_aside and stages_kept(product, record) else earlier(product, pixels, record)


def stages_kept(product: Product, record: Mapping[str, Any]) -> int:
    """How many stages at the beginning are those of the image that is there; stage n makes level n."""
    old = record.get(product.target.image.path, {}).get("stages", [])
    same = 0
    while same < min(len(old), len(product.stages)) and old[same] == product.stages[same]:
        same += 1
    return product.target.open().levels_kept(same) if same else 0
