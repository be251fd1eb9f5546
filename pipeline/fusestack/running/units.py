"""What a plan makes, as units of the graph: their stages, and how their containers and records begin."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fusestack.model.errors import OutputError
from fusestack.running.adopting import adapt, drop_aside, entry_of, put_aside, sweep_aside, take_over
from fusestack.running.earlier import BEFORE, earlier_of, recorded_pixels, serving, stages_kept
from fusestack.running.ending import EndImage, EndStages, Turn
from fusestack.running.finished import finished_mark
from fusestack.running.inspection import check_ours, is_finished, is_started, something_at
from fusestack.running.lock import output_lock
from fusestack.running.records import read_record, write_record
from fusestack.running.stage_cache import make_entry
from fusestack.storage import folder_of, is_address
from fusestack.storage.together import each
from fusestack.taskgraph.ledger import Ledger, forget_ledger, ledger_path
from fusestack.taskgraph.parts import forget_parts
from fusestack.taskgraph.turns import take_turn
from fusestack.taskgraph.units import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.model.stage import Stage, Target
    from fusestack.planning.plan import Plan, Product
    from fusestack.project.append import AppendedProject
    from fusestack.project.write import FusedProject
    from fusestack.running.earlier import Earlier, Pixels
    from fusestack.running.ending import Records
    from fusestack.running.inspection import StageState

    _Done: TypeAlias = tuple[tuple[str, int, int], ...]


def units_of(
    plan: Plan, states: Sequence[StageState], *, token: str = "", force: bool = False, pinned: bool = False
) -> list[Unit]:
    """What of a plan is to be made, each unit after those that it reads.

    Stages of the cache that nobody reads any more are left out, and images that are complete.

    Parameters
    ----------
    plan : Plan
    states : sequence of StageState
        What `inspect` found.
    token : str
        Of the run, see `fusestack.taskgraph.turns`.
    force : bool
        Start over.
    pinned : bool
        Whether it is made of what is missing now, however late: a beginning then refuses where less is there, also of
        images that are complete now.
    """
    known = {state.stage.key: state for state in states if state.needed}
    found: dict[str, Unit] = {}
    record_of, project_at = functools.cache(read_record), functools.cache(functools.partial(_sharing, plan))
    for image in plan.images:
        cached = [stage for stage in image.preparation if stage.key in known]
        for stage in cached:
            begin = BeginEntry(stage.name, stage.key, stage.target, _done([stage], known, pinned=pinned), token)
            before = records_of(_read_by([stage], cached, known))
            turn = Turn(stage.target.work, stage.target.image.path, token)
            found.setdefault(stage.key, Unit((stage,), begin, EndStages(turn, records_of([stage]), before)))
        left = any(known[stage.key].action != "reuse" for stage in image.stages)
        if force or left or pinned or not is_finished(image):
            project = None if image.project is None else project_at(image.project)
            turn = Turn(image.target.work, image.target.image.path, token)
            stages = tuple(known[stage.key].stage for stage in image.stages)  # copied ones where pixels are there
            serves = None if force else earlier_of(image, record_of(image.target.work))
            read = (*records_of(_read_by(stages, cached, known)), *(() if serves is None else serves.read))
            ends = EndStages(turn, records_of(stages), read)
            image_begin = BeginImage(
                image.product,
                image.overwrite,
                _done(stages, known, pinned=pinned),
                image.way_out,
                image.container,
                token,
                recorded_pixels(image),
                serves,
            )
            end = EndImage(image.product, ends, image.notes, project)
            found[image.fingerprint] = Unit(stages, image_begin, end)
    return list(found.values())


def _sharing(plan: Plan, path: str) -> tuple[FusedProject | AppendedProject, tuple[Product, ...]]:
    """A project, and the images that it holds."""
    from fusestack.planning.projects import project_of

    images = [image for image in plan.images if image.project == path]
    return project_of(images), tuple(image.product for image in images)


def _read_by(stages: Sequence[Stage], cached: Sequence[Stage], known: Mapping[str, StageState]) -> list[Stage]:
    """Stages of the cache that unfinished ones among some stages read."""
    needs = {need for stage in stages if known[stage.key].action != "reuse" for need in stage.needs}
    return [stage for stage in cached if stage.key in needs]


def _done(stages: Sequence[Stage], known: Mapping[str, StageState], *, pinned: bool) -> _Done:
    """Ledgers of stages, their blocks, and how many of them a graph takes for there."""
    if not pinned:
        return ()
    keys = [stage.key for stage in stages]
    return tuple((path, count, known[key].done) for (path, count, _), key in zip(records_of(stages), keys, strict=True))


def _check_done(done: _Done) -> None:
    """Refuse where less is there than when a graph was made."""
    for path, count, expected in done:
        found = Ledger(path, count).finished
        if found < expected:
            raise OutputError(
                f"{path}: {expected - found:,} of {count:,} blocks are gone since the graph was made; make it again"
            )


def records_of(stages: Sequence[Stage]) -> Records:
    """Folder and number of blocks of each stage's ledger, and where it writes."""
    return tuple((ledger_path(stage.target.work, stage.key), stage.grid.count, stage.target) for stage in stages)


@dataclass(frozen=True)
class BeginEntry:
    """Make the folder of a stage of the cache; who makes it anew is alone, others go on together."""

    stage: str
    key: str
    target: Target
    done: _Done = ()
    token: str = ""

    def __call__(self, *, locked: bool = False, force: bool = False) -> None:
        """Make it; `locked` says that whoever runs the graph holds its lock, `force` that nothing is kept."""
        work, path = self.target.work, self.target.image.path
        with nullcontext() if locked else output_lock(f"{work}/lock", work, wait=True):
            take_turn(work, path, self.token, alone=force or not self.target.open().exists())
            if force:
                forget_ledger(ledger_path(work, self.key))
                self.target.open().remove()
            make_entry(self.stage, self.key, self.target)
        _check_done(self.done)


@dataclass(frozen=True)
class BeginImage:
    """Make the container of an image; what an earlier run left there and this one does not make goes first.

    In an order that a kill cannot turn into a lie: ledgers are forgotten before pixels are removed, and no ledger
    is begun before the record says whose it is.

    Parameters
    ----------
    product : Product
    overwrite : bool
        Whether an image that was made with other settings may be replaced.
    done : tuple of (str, int, int)
        Ledgers, their blocks, and how many of these have to be there.
    way_out : str
        What to do where something else is there.
    links : str
        File that will link to the image, and is no image of its own.
    token : str
        Of the run.
    pixels : Pixels or None
        What its pixels depend on, for the record.
    earlier : Earlier or None
        What of the image that is there serves it.
    """

    product: Product
    overwrite: bool
    done: _Done = ()
    way_out: str = ""
    links: str = ""
    token: str = ""
    pixels: Pixels | None = None
    earlier: Earlier | None = None

    def __call__(self, *, locked: bool = False, force: bool = False) -> None:
        """Make it; `locked` says that whoever runs the graph holds its lock, `force` that nothing is kept.

        Who holds the lock is the only one; graphs without it go on together where the image is theirs already.
        """
        work = self.product.target.work
        with nullcontext() if locked else output_lock(f"{work}/lock", self.product.target.image.path, wait=True):
            self._make(locked=locked, force=force)
        _check_done(self.done)

    def _refuse(self, record: Mapping[str, Any]) -> None:
        """Refuse what came there since the plan was made."""
        path = self.product.target.image.path
        mine = path in record and record[path]["fingerprint"] == self.product.fingerprint
        mine = mine or (self.earlier is not None and self.earlier.grows)
        if not mine and (path in record or something_at(path)):
            raise OutputError(f"{path}: exists, and is not what this graph makes; {self.way_out}")

    def _make(self, *, locked: bool, force: bool) -> None:
        product = self.product
        path, work = product.target.image.path, product.target.work
        record = read_record(work)
        writer = product.target.open()
        if not force and not self.overwrite:
            self._refuse(record)
        serves = self._serving(record, force=force)
        copies_lost = serves is None and BEFORE in record.get(path, {})
        anew = force or not is_started(product, record) or copies_lost
        if anew and (serves is None or not serves.in_place):
            check_ours(product.target, record)
        take_turn(work, path, self.token, alone=locked or anew)
        if serves is None:
            drop_aside(work, path, record)
        elif serves.in_place:
            drop_aside(work, path, record)
            take_over(product, self.pixels, serves, record)
            anew = False
        else:
            put_aside(product, serves, record)
        sweep_aside(work, record)
        if anew:
            kept = 0 if force else stages_kept(product, record)
            old = record.get(path, {}).get("stages", [])
            gone = {*old, *product.stages} - set(old[:kept])
            each(forget_ledger, [ledger_path(work, key) for key in gone], far=is_address(work))
            forget_parts(work, gone)
            folder, name = folder_of(finished_mark(product))
            folder.delete(name)
            if kept:
                writer.keep(kept)
            else:
                writer.remove()
            # a container holds the images in it, or one itself: what another replaces is no image any more
            for other in [one for one in record if one.startswith(f"{path}/") or path.startswith(f"{one}/")]:
                del record[other]
            record.pop(self.links, None)
            aside = record.get(path, {}).get(BEFORE)
            record[path] = entry_of(product, self.pixels) | ({} if aside is None else {BEFORE: aside})
            write_record(work, record)
        elif "image" not in record[path]:  # of an earlier version
            record[path] |= entry_of(product, self.pixels)
            write_record(work, record)
        adapt(product, record)
        writer.create()

    def _serving(self, record: Mapping[str, Any], *, force: bool) -> Earlier | None:
        """What of the image that is there serves, as it was when the stages were made."""
        path = self.product.target.image.path
        found, planned = None if force else serving(self.product, self.pixels, record), self.earlier
        if planned is None or force:
            return None
        if found is None and record.get(path, {}).get("fingerprint") == self.product.fingerprint:
            return None  # an earlier call has made use of it
        if found is None or found.name != planned.name:
            raise OutputError(f"{path}: was changed meanwhile; run again, or make the graph again")
        return found
