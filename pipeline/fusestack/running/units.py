"""What a plan makes, as units of the graph: their stages, and how their containers and records begin and end."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusestack.running.inspection import (
    finished_mark,
    inspect,
    is_finished,
    is_started,
    read_record,
    stages_kept,
    write_record,
)
from fusestack.running.lock import output_lock
from fusestack.running.provenance import project_of
from fusestack.running.stage_cache import make_entry
from fusestack.storage import folder_of, open_folder
from fusestack.taskgraph.job import Unit
from fusestack.taskgraph.ledger import Ledger, forget_ledger, ledger_path
from fusestack.taskgraph.tasks import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.stage import Stage, Target
    from fusestack.planning.plan import Plan, PlannedImage, Product


def units_of(plan: Plan, *, force: bool = False) -> list[Unit]:
    """What of a plan is to be made, each unit after those that it reads.

    Stages of the cache that nobody reads any more are left out, and images that are complete.
    """
    states = inspect(plan, force=force)
    needed = {state.stage.key for state in states if state.needed}
    left = {state.stage.key for state in states if state.action != "reuse"}
    found: dict[str, Unit] = {}
    for image in plan.images:
        for stage in image.preparation:
            if stage.key in needed:
                found.setdefault(stage.key, _cached(stage))
        if force or not is_finished(image) or any(stage.key in left for stage in image.stages):
            found[image.fingerprint] = _made(image)
    return list(found.values())


def _cached(stage: Stage) -> Unit:
    begin = BeginEntry(stage.name, stage.key, stage.target)
    return Unit((stage,), begin, EndStages(ledgers_of([stage])))


def _made(image: PlannedImage) -> Unit:
    project = None if image.project is None else (image.project, tuple(project_of(image)))
    end = EndImage(image.product, ledgers_of(image.stages), image.notes, project)
    return Unit(image.stages, BeginImage(image.product), end)


def ledgers_of(stages: Sequence[Stage]) -> tuple[tuple[str, int], ...]:
    """Folder and number of blocks of each stage's ledger."""
    return tuple((ledger_path(stage.target.work, stage.key), stage.grid.count) for stage in stages)


@dataclass(frozen=True)
class BeginEntry:
    """Make the folder of a stage of the cache."""

    stage: str
    key: str
    target: Target

    def __call__(self, *, locked: bool = False, force: bool = False) -> None:
        """Make it; `locked` says that whoever runs the graph holds its lock, `force` that nothing is kept."""
        if force:
            forget_ledger(ledger_path(self.target.work, self.key))
        with nullcontext() if locked else output_lock(f"{self.target.work}/lock", self.target.work, wait=True):
            make_entry(self.stage, self.key, self.target)


@dataclass(frozen=True)
class EndStages:
    """Merge the ledgers of stages."""

    ledgers: tuple[tuple[str, int], ...]

    def __call__(self) -> None:
        """Merge them."""
        for path, count in self.ledgers:
            Ledger(path, count).merge()


@dataclass(frozen=True)
class BeginImage:
    """Make the container of an image; what an earlier run left there and this one does not make goes first.

    In an order that a kill cannot turn into a lie: ledgers are forgotten before pixels are removed, and no ledger
    is begun before the record says whose it is.
    """

    product: Product

    def __call__(self, *, locked: bool = False, force: bool = False) -> None:
        """Make it; `locked` says that whoever runs the graph holds its lock, `force` that nothing is kept."""
        work = self.product.target.work
        with nullcontext() if locked else output_lock(f"{work}/lock", self.product.target.image.path, wait=True):
            self._make(force=force)

    def _make(self, *, force: bool) -> None:
        product = self.product
        path, work = product.target.image.path, product.target.work
        record = read_record(work)
        writer = product.target.open()
        if force or not is_started(product, record):
            kept = 0 if force else stages_kept(product, record)
            old = record.get(path, {}).get("stages", [])
            for key in {*old, *product.stages} - set(old[:kept]):
                forget_ledger(ledger_path(work, key))
            folder, name = folder_of(finished_mark(product))
            folder.delete(name)
            if kept:
                writer.keep(kept)
            else:
                writer.remove()
            record[path] = {
                "fingerprint": product.fingerprint,
                "stages": list(product.stages),
                "components": product.components,
            }
            write_record(work, record)
        writer.create()


@dataclass(frozen=True)
class EndImage:
    """Complete an image whose pixels are all there, and write its project.

    Parameters
    ----------
    product : Product
    ledgers : tuple of (str, int)
        Of its stages.
    notes : mapping
        What the writer is told.
    project : (str, tuple of FusedImage) or None
        Project XML to write, and what it holds.
    """

    product: Product
    ledgers: tuple[tuple[str, int], ...]
    notes: Any
    project: tuple[str, Any] | None

    def __call__(self) -> str:
        """Complete it; gives its path."""
        target = self.product.target
        EndStages(self.ledgers)()
        target.open().finish(self.notes)
        if self.project is not None:
            from fusestack.project.write import write_project

            path, images = self.project
            write_project(path, target.image.path, images)
        for key in self.product.stages:
            open_folder(target.work).delete_tree(f"{PARTS}/{key}")
        folder, name = folder_of(finished_mark(self.product))
        folder.put(name, [b""])
        return target.image.path
