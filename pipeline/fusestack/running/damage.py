"""What of finished blocks is not there any more, or not as it was written; by listing, nothing is read."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fusestack.model.amounts import bounded
from fusestack.running.finished import change, finished_mark, is_marked, lost_files, sizes_of
from fusestack.running.inspection import check_outputs, inspect, levels_there
from fusestack.running.lost import describe, foresee, lost_blocks, named
from fusestack.running.records import RECORD, read_record
from fusestack.running.stage_cache import cache_entry
from fusestack.running.status import FILE_NAME
from fusestack.storage import folder_of, identity_of, is_address, open_folder
from fusestack.storage.look import Look, is_looking, looking
from fusestack.storage.together import each
from fusestack.taskgraph.edges import edges
from fusestack.taskgraph.ledger import Ledger, forget_ledger, ledger_of, ledger_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from fusestack.model.stage import Stage, Target
    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.running.inspection import StageState

    _Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Damage:
    """What a run makes again.

    Parameters
    ----------
    blocks : mapping of str to bool array
        Blocks of stages, by their keys: those that are not as they were written, and those that may have been made
        from such.
    images : mapping of str to str
        Images of which anything is gone, by their fingerprints, and what that means: ``"finish"`` them again, or
        ``"restart"``, where the file that holds all of them is gone.
    said : tuple of str
        For people.
    found_at : tuple
        What tells whether a run has written anything since, see `_moment`.
    """

    blocks: Mapping[str, _Bools] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    found_at: tuple[str | None, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.blocks or self.images)

    def lost(self, stage: Stage) -> int:
        """How many finished blocks of a stage are to be made again."""
        return int(np.count_nonzero(self.blocks[stage.key])) if stage.key in self.blocks else 0


def find_damage(plan: Plan, *, force: bool = False) -> Damage:
    """Compare what is there with what ledgers say; names and sizes only.

    Parameters
    ----------
    plan : Plan
    force : bool
        Whether everything is made anew: then nothing is looked for.
    """
    return Damage() if force else replace(_Search(plan).found(), found_at=_moment(plan))


@dataclass(frozen=True)
class Known:
    """What is there of a plan: what a run would do with every stage, and what is damaged."""

    states: list[StageState]
    damage: Damage
    seen: Look = field(default_factory=Look)


def look(plan: Plan, *, force: bool = False) -> Known:
    """See what is there, and what is damaged; nothing is written.

    Raises
    ------
    OutputError
        If an output exists that this plan did not make.
    """
    seen = Look()
    with looking(seen):
        foresee_plan(plan)
        check_outputs(plan, force=force)
        damage = find_damage(plan, force=force)
        return Known(inspect(plan, force=force, damage=damage), damage, seen)


def _moment(plan: Plan) -> tuple[str | None, ...]:
    """Identities of what every run changes before it writes pixels, or when it ends."""
    files = [f"{work}/{name}" for work in _works(plan) for name in (RECORD, FILE_NAME)]
    files += [mark for image in plan.images if (mark := finished_mark(image.product)) is not None]

    def identity(path: str) -> str | None:
        folder, name = folder_of(path)
        return folder.identity(name)

    return tuple(each(identity, files, far=is_address(plan.work)))


def _works(plan: Plan) -> list[str]:
    """Work folders of a plan."""
    return sorted({image.target.work for image in plan.images} | {plan.work})


class _Search:
    """Looks through the images of a plan, then backwards through what they are made of."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ledgers: dict[str, Ledger] = {}
        self._lost: dict[str, _Bools] = {}
        self._open: set[str] = set()  # stages whose blocks may have been made from what is lost
        self._images: dict[str, str] = {}
        self._said: list[str] = []
        self._record = functools.cache(read_record)

    def found(self) -> Damage:
        needed: set[str] = set()
        for image in self._plan.images:
            needed |= self._look_at(image)
        own = {stage.key for image in self._plan.images for stage in image.stages}
        for stage in reversed(self._plan.stages):
            if stage.key in own or stage.key not in needed:
                continue
            ledger = self._compare(stage)
            if not ledger.is_merged:
                self._open.add(stage.key)
            if not ledger.is_merged or stage.key in self._lost:
                needed |= set(stage.needs)
        blocks = self._spread() if self._lost else {}
        return Damage(blocks, self._images, tuple(bounded(self._said)))

    def _look_at(self, image: PlannedImage) -> set[str]:
        """Compare an image; gives what is needed of the cache."""
        product = image.product
        record = self._record(image.target.work)
        kept = levels_there(product, record, force=False)
        there = record.get(image.target.image.path, {}).get("fingerprint")
        marked = there == product.fingerprint and is_marked(product)  # marks of what was replaced since say nothing
        if marked and (gone := lost_files(product)):
            self._images[image.fingerprint] = "restart"
            self._said += [f"{path}: {change(*sizes)}; the image is made again" for path, sizes in gone.items()]
            return {need for stage in image.stages for need in stage.needs}
        needed: set[str] = set()
        for stage in image.stages[:kept]:
            ledger = self._compare(stage)
            if not marked:
                self._open.add(stage.key)
            if not ledger.complete or stage.key in self._lost:
                needed |= set(stage.needs)
        needed |= {need for stage in image.stages[kept:] for need in stage.needs}
        if kept and marked and (missing := image.target.open().missing()):
            self._images[image.fingerprint] = "finish"
            self._said.append(f"{named(missing)}: missing or damaged; made again")
        elif any(stage.key in self._lost for stage in image.stages):
            self._images[image.fingerprint] = "finish"
        return needed

    def _compare(self, stage: Stage) -> Ledger:
        """Compare a stage with its ledger."""
        ledger = self._ledgers[stage.key] = ledger_of(stage)
        lost = lost_blocks(ledger, stage.target)
        if lost.any():
            self._lost[stage.key] = lost
            self._said.append(f"{describe(ledger, stage.target, lost)}; made again")
        return ledger

    def _spread(self) -> dict[str, _Bools]:
        """What is lost, and what may have been made from it while it was."""
        wrong = dict(self._lost)
        stages = {stage.key: stage for stage in self._plan.stages}
        for stage in stages.values():
            if stage.key not in self._open or stage.key not in self._ledgers:
                continue
            found = np.zeros(stage.grid.count, bool)
            for need in set(stage.needs) & wrong.keys():
                found |= _readers(stage, stages[need], wrong[need])
            found &= self._ledgers[stage.key].done
            if found.any():
                wrong[stage.key] = found | wrong.get(stage.key, False)
        return wrong


def _readers(stage: Stage, need: Stage, lost: _Bools) -> _Bools:
    """Blocks of a stage that read some blocks of another one."""
    reach = {array.key: reach for array, reach in stage.compute.reaches().items()}.get(need.key)
    every = np.arange(stage.grid.count)
    pairs = None if reach is None else edges(stage.grid, every, need.grid, np.where(lost, 0, -1), reach)
    found = np.full(stage.grid.count, pairs is None)
    found[[block for block, _ in pairs or ()]] = True
    return found


def foresee_plan(plan: Plan) -> None:
    """Ask for all that will be looked at of a plan together, where it lies in a store."""
    if not is_looking() or not is_address(plan.work):
        return
    places = [open_folder(path) for path in (*_works(plan), *(image.target.image.path for image in plan.images))]
    asked: list[Callable[[], Any]] = [*(place.entries for place in places), lambda: _moment(plan)]
    asked += [functools.partial(read_record, work) for work in _works(plan)]
    asked += [functools.partial(identity_of, plan.report)]
    for image in plan.images:
        asked += [image.target.open().exists, functools.partial(sizes_of, finished_mark(image.product))]
    stages = [stage for image in plan.images for stage in (*image.preparation, *image.stages)]
    foresee([(ledger_path(stage.target.work, stage.key), stage.grid.count, stage.target) for stage in stages], asked)


def mend(plan: Plan, known: Damage | None = None) -> Damage:
    """Take for missing what is damaged, so that a run makes it again; whoever calls holds the locks of the outputs.

    Parameters
    ----------
    plan : Plan
    known : Damage, optional
        What was found shortly before; it is not looked for again unless a run has written something since.

    Raises
    ------
    OutputError
        If records cannot be written, or what is damaged cannot be deleted.
    """
    damage = known if known is not None and known.found_at == _moment(plan) else find_damage(plan)
    for image in plan.images:
        if image.fingerprint in damage.images:
            folder, name = folder_of(finished_mark(image.product))
            if damage.images[image.fingerprint] == "restart":
                for stage in image.stages:
                    forget_ledger(ledger_path(stage.target.work, stage.key))
                _delete_ours(sizes_of(finished_mark(image.product)))
                if image.overwrite:
                    image.target.open().remove()
            folder.delete(name)
            discard_changed(image.target)
    own = {stage.key for image in plan.images for stage in image.stages}
    for stage in reversed(plan.stages):  # those that read first: after a kill the others are found again
        if stage.key not in damage.blocks:
            continue
        if stage.key in own:
            _untick(stage, damage.blocks[stage.key])
        else:
            with cache_entry(stage):
                _untick(stage, damage.blocks[stage.key])
    return damage


def discard_changed(target: Target) -> None:
    """Delete metadata that say other things of pixels than were written; what is no JSON, `create` replaces anyway."""
    for path in target.open().missing():
        folder, name = folder_of(path)
        try:
            json.loads(folder.get(name) or b"")
        except ValueError:
            continue
        folder.delete(name)


def _untick(stage: Stage, blocks: _Bools) -> None:
    """Delete what is there of blocks: those without pixels are not written again."""
    writer, ledger = stage.target.open(), ledger_of(stage)
    blocks = blocks & ledger.done
    for number in np.flatnonzero(blocks & (writer.stored(stage.target.level) > 0)).tolist():
        writer.erase(stage.target.level, stage.grid.box(number))
    ledger.untick(blocks)


def _delete_ours(sizes: Mapping[str, int]) -> None:
    """Delete finished files of an image that is made again; only what is as it was written."""
    for path, size in sizes.items():
        if Path(path).is_file() and Path(path).stat().st_size == size:
            Path(path).unlink()
