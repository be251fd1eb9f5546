"""What exists already, what a run would do, and what it may replace; reads records, changes nothing."""

from __future__ import annotations

import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.amounts import bounded, counted, several
from fusestack.model.errors import OutputError
from fusestack.model.fingerprint import differing
from fusestack.planning.copied import copied
from fusestack.running.earlier import BEFORE, earlier_of, stages_kept
from fusestack.running.finished import changed_files, is_marked
from fusestack.running.places import links_in_the_way
from fusestack.running.records import read_record
from fusestack.storage import identity_of, is_address
from fusestack.taskgraph.ledger import ledger_of
from fusestack.writers.folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fusestack.model.stage import Stage, Target
    from fusestack.planning.plan import Plan, PlannedImage, Product
    from fusestack.running.damage import Damage
    from fusestack.running.earlier import Earlier

_NOT_MADE = "not made yet"


@dataclass(frozen=True)
class StageState:
    """What a run would do with a stage: ``reuse`` it, ``continue`` it or ``run`` it, and why; whether it is needed."""

    stage: Stage
    action: str
    done: int
    reason: str
    needed: bool = True


def finished(stage: Stage) -> int:
    """Blocks of a stage of the cache that are there."""
    return ledger_of(stage).finished if stage.target.open().exists() else 0


def inspect(plan: Plan, *, force: bool = False, damage: Damage | None = None) -> list[StageState]:
    """What a run would do with every stage, and why; what is damaged counts as missing."""
    states: list[StageState] = []
    record_of = functools.cache(read_record)
    needed = _statistics_needed(plan, force=force)
    causes: dict[str, str] = {}
    for image in plan.images:
        record = record_of(image.target.work)
        kept = levels_there(image.product, record, force=force)
        reason = _reason(image, record, force=force)
        found = None if force else earlier_of(image, record)
        if found is None and BEFORE in record.get(image.target.image.path, {}):
            kept = 0  # what was copied from is gone
        if found is not None and found.in_place:
            adopted = list(_inspect_adopted(image, found, reason))
            states += adopted
            needed |= {need for state in adopted if state.action != "reuse" for need in state.stage.needs}
            continue
        if image.preparation and record.get(image.target.image.path, {}).get("fingerprint") != image.fingerprint:
            causes |= dict.fromkeys((stage.key for stage in image.preparation), reason)
        for number, stage in enumerate(image.stages):
            if number == 0 and found is not None:
                stage = copied(stage, found.target, found.places)
                reason = f"{reason}; {_copied_words(image, found)}"
            done = ledger_of(stage).finished if number < kept else 0
            lost = min(done, 0 if damage is None else damage.lost(stage))
            done -= lost
            if lost:
                states.append(StageState(stage, "continue" if done else "run", done, _lost(lost)))
            elif done == stage.grid.count:
                states.append(StageState(stage, "reuse", done, "complete, nothing it depends on has changed"))
            elif done:
                states.append(StageState(stage, "continue", done, f"{done:,} of {stage.grid.count:,} blocks are done"))
            else:
                action = "rewrite" if number == 0 and found is not None else "run"
                states.append(StageState(stage, action, 0, reason))
            if done < stage.grid.count:
                reason = "after the stage before it"
                needed |= set(stage.needs)
    return [*reversed(list(_inspect_preparation(plan, needed, causes, force=force, damage=damage))), *states]


def _inspect_adopted(image: PlannedImage, found: Earlier, reason: str) -> Iterator[StageState]:
    """Stages of an image whose blocks are there already, but for some timepoints and channels."""
    spec, old = image.target.image, found.target.image
    new = [
        counted(count, f"{'new' if found.grows else 'new or changed'} {what}")
        for count, what in ((spec.shape[0] - old.shape[0], "timepoint"), (spec.shape[1] - old.shape[1], "channel"))
        if count
    ]
    why = " and ".join(new) if found.grows and new else reason
    for stage in image.stages:
        done, count = int(np.count_nonzero(found.done(spec, stage.target.level)[0])), stage.grid.count
        action = "reuse" if done == count else "continue" if done else "run"
        there = "all blocks stay" if done == count else f"{done:,} of {count:,} blocks stay"
        yield StageState(stage, action, done, f"{there}: {why}")


def _copied_words(image: PlannedImage, found: Earlier) -> str:
    places, count = len(found.places), math.prod(image.target.image.shape[:2])
    some = "" if places == count else f"{places:,} of {count:,} timepoints and channels are "
    return f"{some}copied from the level 0 that is stored, not fused again"


def _lost(count: int) -> str:
    return f"{counted(count, 'finished block')} changed or missing since"


def _absent(cause: str | None) -> str:
    return "not in the cache" + (f": {cause}" if cause and cause != _NOT_MADE else "")


def _inspect_preparation(
    plan: Plan, needed: set[str], causes: Mapping[str, str], *, force: bool, damage: Damage | None = None
) -> Iterator[StageState]:
    """Stages of the cache, the last one first: one is needed where an unfinished one reads it.

    Where one is not there, `causes` say what of its image has changed since that was made.
    """
    own = {stage.key for image in plan.images for stage in image.stages}
    for stage in reversed(plan.stages):
        if stage.key in own:
            continue
        if stage.key not in needed:
            yield StageState(stage, "reuse", stage.grid.count, "not needed any more", needed=False)
            continue
        done = 0 if force else finished(stage)
        lost = min(done, 0 if damage is None else damage.lost(stage))
        done -= lost
        action = "reuse" if done == stage.grid.count else "continue" if done else "run"
        reason = f"{done:,} of {stage.grid.count:,} blocks are in the cache" if done else _absent(causes.get(stage.key))
        reason = _lost(lost) if lost else reason
        yield StageState(stage, action, done, reason)
        if done < stage.grid.count:
            needed |= set(stage.needs)


def _statistics_needed(plan: Plan, *, force: bool) -> set[str]:
    """Statistics that a file is still to be made of."""
    if plan.statistics is None or (not force and identity_of(plan.statistics.path) is not None and _all_made(plan)):
        return set()
    return set(plan.statistics.stages)


def _all_made(plan: Plan) -> bool:
    return all(
        is_started(image.product, read_record(image.target.work)) and ledger_of(image.stages[0]).complete
        for image in plan.images
    )


def check_outputs(plan: Plan, *, force: bool = False) -> None:
    """Refuse outputs that exist and are not what this plan makes, unless they may be overwritten.

    Raises
    ------
    OutputError
        Names every such output, and what differs.
    """
    problems = links_in_the_way(plan)
    if problems:
        raise OutputError(*problems)
    found: dict[tuple[str, str, str], list[PlannedImage]] = {}
    record_of = functools.cache(read_record)
    for image in plan.images:
        record = record_of(image.target.work)
        path = image.target.image.path
        started = is_started(image.product, record)
        free = not something_at(path) and not started
        serves = None if force or started or free else earlier_of(image, record)
        if serves is not None and (serves.grows or (serves.in_place and image.overwrite)):
            continue
        if force or image.overwrite or free:
            for problem in _left_alone(image, record) if force or not started else []:
                reason = problem.removeprefix(f"{path}: ")
                found.setdefault((reason, "", ""), []).extend([] if reason == problem else [image])
        elif started and (changed := list(changed_files(image.product))):
            for problem in changed:
                found.setdefault((problem, "", ""), [])
        elif path not in record:
            _refuse(found, image, "exists, and this configuration did not make it")
        elif record[path]["fingerprint"] != image.fingerprint:
            differences = differing(record[path]["components"], image.components) or "other versions of the algorithms"
            kept = "" if serves is None else "; its pixels are used, not fused again, where they are the same"
            _refuse(found, image, f"exists, made with other settings ({differences})", kept)
    problems += [_of_images(*said, images) for said, images in found.items()]
    problems += _foreign_links(plan, force=force)
    problems += [] if force else _foreign_projects(plan)
    if problems:
        raise OutputError(*bounded(problems))


def _refuse(
    found: dict[tuple[str, str, str], list[PlannedImage]], image: PlannedImage, reason: str, kept: str = ""
) -> None:
    """Note why an image is refused, with those of which the same is to be said, though other keys name them."""
    found.setdefault((f"{reason}; ", image.way_out.replace(image.key, ""), kept), []).append(image)


def _of_images(reason: str, way_out: str, kept: str, images: Sequence[PlannedImage]) -> str:
    if not images:
        return reason
    keys = " and ".join(dict.fromkeys(image.key for image in images))
    way_out = images[0].way_out.replace(images[0].key, keys) if way_out else ""
    return f"{several([image.target.image.path for image in images])}: {reason}{way_out}{kept}"


def _left_alone(image: PlannedImage, record: Mapping[str, Any]) -> list[str]:
    """Why what stands in the place of an image is not replaced by it, even where that is asked for."""
    try:
        check_ours(image.target, record)
    except OutputError as error:
        return list(error.problems)
    return []


def check_ours(target: Target, record: Mapping[str, Any]) -> None:
    """Refuse to replace what fusestack did not make: what no record names and does not say so itself.

    Raises
    ------
    OutputError
        Names what is left alone; also a file that somebody added to an image of ours.
    """
    path, writer = target.image.path, target.open()
    writer.check_removable()
    if path not in record and something_in(path) and not writer.is_marked():
        raise OutputError(
            f"{path}: exists, and neither it nor a record says that fusestack made it, and is left alone: "
            "move or delete it yourself, or choose another output.path"
        )


def _foreign_projects(plan: Plan) -> Iterator[str]:
    """Projects that exist and are not those of the images that were made here.

    One is, where the record knows the images and it names them; or where it is what would be written.
    """
    paths = dict.fromkeys(image.project for image in plan.images if image.project is not None)
    if not paths:
        return
    from fusestack.planning.projects import project_of
    from fusestack.project.named import containers_named, same_place

    for path in paths:
        sharing = [image for image in plan.images if image.project == path]
        if sharing[0].overwrite or sharing[0].appended is not None or identity_of(path) is None:
            continue
        made = [_named_place(one) for one in sharing if one.target.image.path in read_record(one.target.work)]
        named = containers_named(path)
        if (not made or named.isdisjoint(map(same_place, made))) and not project_of(sharing).is_written:
            holds = f"names {min(named)}" if named else "is not one of ours"
            yield (
                f"{path}: exists and {holds}; choose another output.project, or replace it with output.overwrite: true "
                f"(the old one is kept as {path.rpartition('/')[2]}~1)"
            )


def _foreign_links(plan: Plan, *, force: bool) -> Iterator[str]:
    """Files that stand where links to several HDF5 images go, and are none; what is no BigDataViewer file stays."""
    linked = {image.container: image for image in plan.images if image.container and image.file_format == "bdv-hdf5"}
    for path, image in linked.items():
        if not Path(path).exists():
            continue
        from fusestack.storage.hdf5_links import is_bdv, is_main

        if not is_bdv(path):
            yield f"{path}: is not a BigDataViewer file, and is left alone: choose another output.path"
        elif not (is_main(path) or force or image.overwrite):
            yield f"{path}: exists, and is no file of links to images; {image.way_out}"


def _has_links(image: PlannedImage) -> bool:
    """Whether the file of links to an image is there, if it has one."""
    from fusestack.storage.hdf5_links import is_main

    return not image.container or image.file_format != "bdv-hdf5" or is_main(image.container)


def _named_place(image: PlannedImage) -> str:
    """What a project names for an image: its file, or the N5 that holds it."""
    return image.container if image.file_format == "bdv-n5" and image.container else image.target.image.path


def is_started(product: Product, record: Mapping[str, Any]) -> bool:
    """Whether this very image is there, finished or not."""
    known = record.get(product.target.image.path)
    return known is not None and known["fingerprint"] == product.fingerprint and product.target.open().exists()


def levels_there(product: Product, record: Mapping[str, Any], *, force: bool) -> int:
    """How many levels a run would go on with."""
    if force:
        return 0
    return len(product.stages) if is_started(product, record) else stages_kept(product, record)


def is_finished(image: PlannedImage) -> bool:
    """Whether an image is complete, and its project there."""
    return not missing_beside(image) and is_marked(image.product)


def missing_beside(image: PlannedImage) -> str:
    """What should name an image, its project or a file of links, and does not, or is not there; empty if all does."""
    if image.project is None:
        return ""
    from fusestack.planning.projects import project_of
    from fusestack.project.append import AppendedProject
    from fusestack.project.named import containers_named, same_place

    if isinstance(project := project_of([image]), AppendedProject):
        return project.lacks
    if same_place(_named_place(image)) not in containers_named(image.project):
        return image.project
    return "" if _has_links(image) else str(image.container)


def _reason(image: PlannedImage, record: Mapping[str, Any], *, force: bool) -> str:
    if force:
        return "--force"
    known = record.get(image.target.image.path)
    if not known:
        return _NOT_MADE
    if known["fingerprint"] == image.fingerprint:
        return "not begun yet" if image.target.open().exists() else "its output is gone"
    return differing(known["components"], image.components) or "other versions of the algorithms"


def something_at(path: str) -> bool:
    """Whether anything is there where an image goes; a link that leads nowhere, too."""
    return bool(OutputFolder(path).entries()) if is_address(path) else os.path.lexists(path)


def something_in(path: str) -> bool:
    """As `something_at`, but for empty folders."""
    return something_at(path) and (not Path(path).is_dir() or bool(OutputFolder(path).entries()))
