"""How stages and images end: all has to be there, ledgers are merged, images completed and marked."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from fusestack.model.errors import InputError, OutputError
from fusestack.model.fingerprint import changed_since
from fusestack.running.adopting import drop_aside
from fusestack.running.earlier import BEFORE
from fusestack.running.finished import finished_mark, is_marked, mark
from fusestack.running.lock import output_lock, project_lock
from fusestack.running.lost import describe, foresee, lost_for_good
from fusestack.running.records import read_record
from fusestack.storage import identity_of, is_address, open_folder
from fusestack.storage.look import Look, is_looking, looking
from fusestack.storage.together import each
from fusestack.taskgraph.ledger import Ledger, forget_ledger
from fusestack.taskgraph.parts import forget_parts
from fusestack.taskgraph.turns import check_turn, has_turn, keeping_turn
from fusestack.writers.base import output_errors

_MOST_NAMED = 10

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusestack.model.stage import Target
    from fusestack.planning.plan import Product
    from fusestack.project.append import AppendedProject
    from fusestack.project.write import FusedProject

    Records: TypeAlias = tuple[tuple[str, int, Target], ...]


@dataclass(frozen=True)
class Turn:
    """The turn of a run at an image; calling it refuses to go on where another one has begun."""

    work: str
    path: str
    token: str

    def __call__(self) -> None:
        """See `fusestack.taskgraph.turns.check_turn`."""
        with output_errors(self.path):
            check_turn(self.work, self.path, self.token)


@dataclass(frozen=True)
class EndStages:
    """Merge the ledgers of stages, all of whose blocks have to be there, and those of the stages that they read.

    What we delete loses its ledger first, and what others delete is not there any more: so nothing of what they hold
    was deleted since they were begun.

    Parameters
    ----------
    turn : Turn
    ledgers : tuple of (str, int, Target)
        Of the stages.
    before : tuple of (str, int, Target)
        Of those of the cache that they read.
    """

    turn: Turn
    ledgers: Records
    before: Records = ()

    def __call__(self) -> None:
        """Merge them.

        Raises
        ------
        OutputError
            If one is not complete; what stands on it is forgotten. Or if files are gone, or changed: the next run
            finds them, and what was made from them. If another run has begun.
        """
        self.turn()
        with nullcontext() if is_looking() else looking(Look()):  # what was there when it began has to be there
            foresee((*self.before, *self.ledgers))
            ledgers = self._complete()
        each(Ledger.merge, ledgers, far=is_address(self.turn.work))

    def _complete(self) -> list[Ledger]:
        """Ledgers of the stages, all of whose blocks are there."""
        found = []
        for path, count, target in (*self.before, *self.ledgers):
            ledger = Ledger(path, count)
            if (path, count, target) in self.ledgers:
                found.append(ledger)
            if not ledger.complete:
                for own, _, _ in self.ledgers:
                    forget_ledger(own)
                raise OutputError(
                    f"{path}: {count - ledger.finished:,} of {count:,} blocks are gone: the output or its cache was "
                    "changed or deleted meanwhile; run again, or make the graph again"
                )
            lost = lost_for_good(ledger, target)
            if lost.any():
                raise OutputError(f"{describe(ledger, target, lost)}; run again")
        return found


@dataclass(frozen=True)
class EndImage:
    """Complete an image whose pixels are all there, and write its project.

    Parameters
    ----------
    product : Product
    stages : EndStages
    notes : mapping
        What the writer is told.
    project : (FusedProject, tuple of Product) or None
        Project to write, and the images that it holds: the last of them to be complete writes it.
    """

    product: Product
    stages: EndStages
    notes: Any
    project: tuple[FusedProject | AppendedProject, tuple[Product, ...]] | None

    def __call__(self) -> str:
        """Complete it; gives its path."""
        target, turn = self.product.target, self.stages.turn
        with keeping_turn(turn.work, turn.path, turn.token), looking(Look() if is_address(target.work) else None):
            self._foresee()
            self._complete()
        if self.project is not None:
            project, products = self.project
            if all(identity_of(finished_mark(product)) is not None for product in products):
                from fusestack.running.settings import write_with_settings

                with project_lock(project, target.work):
                    write_with_settings(project, [product.target for product in products])
        return target.image.path

    def _foresee(self) -> None:
        """Ask a store together for all that is looked at."""
        target, turn = self.product.target, self.stages.turn
        asked: list[Callable[[], Any]] = [
            functools.partial(has_turn, turn.work, turn.path, turn.token),
            functools.partial(read_record, target.work),
            open_folder(target.work).entries,
            target.open().exists,
            functools.partial(is_marked, self.product),
            functools.partial(changed_since, self.product.components.get("inputs", {})),
        ]
        foresee((*self.stages.before, *self.stages.ledgers), asked)

    def _complete(self) -> None:
        target = self.product.target
        self._check_inputs()
        (replace(self.stages, before=()) if is_marked(self.product) else self.stages)()
        record = read_record(target.work).get(target.image.path, {})
        if record.get("fingerprint") != self.product.fingerprint:
            raise OutputError(f"{target.image.path}: another run has replaced it meanwhile; run again")
        target.open().finish(self.notes, self.stages.turn)
        if BEFORE in record:
            with output_lock(f"{target.work}/project.lock", target.image.path, wait=True):  # images end side by side
                drop_aside(target.work, target.image.path, read_record(target.work))
        forget_parts(target.work, self.product.stages)
        mark(self.product)

    def _check_inputs(self) -> None:
        """Refuse what was made of files that were written meanwhile: it may be of the old ones and of the new ones."""
        changed = changed_since(self.product.components.get("inputs", {}))
        if not changed:
            return
        self.stages.turn()
        for path, _, _ in (*self.stages.before, *self.stages.ledgers):
            forget_ledger(path)
        raise InputError(
            *(
                f"{path}: has changed since the run began, what was made of it is undone"
                for path in changed[:_MOST_NAMED]
            ),
            *([f"... and {len(changed) - _MOST_NAMED:,} more inputs"] if len(changed) > _MOST_NAMED else []),
            f"{self.product.target.image.path}: run again when the inputs are complete, with output.overwrite: true",
        )
