"""Selection: the views of a project that a run is about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fusestack.model.view import View, ViewId
    from fusestack.project.model import Project, Setup

SHOWN = 10
"""Most ids that a message lists."""


@dataclass(frozen=True)
class Selection:
    """Which views; None stands for all, several conditions must hold together.

    Parameters
    ----------
    timepoints, channels, illuminations, angles, tiles, setups : frozenset of int or None
        Ids.
    views : frozenset of ViewId or None
        Single views.
    """

    timepoints: frozenset[int] | None = None
    channels: frozenset[int] | None = None
    illuminations: frozenset[int] | None = None
    angles: frozenset[int] | None = None
    tiles: frozenset[int] | None = None
    setups: frozenset[int] | None = None
    views: frozenset[ViewId] | None = None


ALL = Selection()


def without_appended(project: Project, selection: Selection = ALL) -> tuple[Project, tuple[int, ...]]:
    """A project without the views that fusions have added, unless `selection` names setups or views; and their setups.

    They are no part of what was acquired: fused once more, the project would have another result each time.
    """
    if not project.appended or selection.setups is not None or selection.views is not None:
        return project, ()
    kept = tuple(view for view in project.views if view.id.setup not in project.appended)
    left = frozenset(view for view in project.unregistered if view.setup not in project.appended)
    flaws = {view: text for view, text in project.flaws.items() if view.setup not in project.appended}
    found = replace(project, views=kept, unregistered=left, flaws=flaws)
    return found, tuple(sorted(project.appended))


def select_views(project: Project, selection: Selection = ALL) -> tuple[View, ...]:
    """Present views that a selection names, ordered by timepoint, then setup.

    Missing views are left out silently, unless `selection` names them one by one.

    Raises
    ------
    InputError
        If an id does not exist, a view named one by one is missing, a selected view has no registration or cannot be
        used, or nothing is left.
    """
    problems = _unknown_ids(project, selection) + _unknown_views(project, selection)
    unplaced = [view for view in project.unregistered if _selects(selection, view, project.setups[view.setup])]
    if unplaced:
        problems.append(
            f"{project.path}: view {_listed(sorted(unplaced))} has no ViewRegistration, so its place is unknown; "
            "leave it out with input.select or register it in BigStitcher"
        )
    flawed: dict[str, list[ViewId]] = {}
    for view, text in sorted(project.flaws.items()):
        if _selects(selection, view, project.setups[view.setup]):
            flawed.setdefault(text, []).append(view)
    problems += [f"{text}, or leave out view {_listed(views)} with input.select" for text, views in flawed.items()]
    if problems:
        raise InputError(*problems)
    chosen = tuple(view for view in project.views if _selects(selection, view.id, project.setups[view.id.setup]))
    if not chosen:
        raise InputError(
            f"{project.path}: no view is left ({len(project.views)} are present, {len(project.missing)} missing); "
            "widen input.select"
        )
    return chosen


def _selects(selection: Selection, view: ViewId, setup: Setup) -> bool:
    return (
        (selection.views is None or view in selection.views)
        and (selection.timepoints is None or view.timepoint in selection.timepoints)
        and all(wanted is None or getattr(setup, field) in wanted for _, field, wanted in _conditions(selection))
    )


def _conditions(selection: Selection) -> tuple[tuple[str, str, frozenset[int] | None], ...]:
    """Key of the configuration, field of a setup, wanted values."""
    return (
        ("channels", "channel", selection.channels),
        ("illuminations", "illumination", selection.illuminations),
        ("angles", "angle", selection.angles),
        ("tiles", "tile", selection.tiles),
        ("setups", "id", selection.setups),
    )


def _unknown_ids(project: Project, selection: Selection) -> list[str]:
    rows = [("timepoints", selection.timepoints, set(project.timepoints))]
    for key, field, wanted in _conditions(selection):
        rows.append((key, wanted, {getattr(setup, field) for setup in project.setups.values()}))
    return [
        f"{project.path}: input.select.{key}: {_listed(sorted(wanted - known))} does not exist; "
        f"there are {_listed(sorted(known))}"
        for key, wanted, known in rows
        if wanted is not None and wanted - known
    ]


def _unknown_views(project: Project, selection: Selection) -> list[str]:
    named = selection.views or frozenset()
    missing = named & project.missing
    existing: set[ViewId] = set()
    if named:
        existing = {*(view.id for view in project.views), *project.missing, *project.unregistered, *project.flaws}
    problems = []
    if named - existing:
        problems.append(
            f"{project.path}: input.select.views: {_listed(sorted(named - existing))} does not exist; "
            f"there are timepoints {_listed(project.timepoints)} and setups {_listed(project.setups)}"
        )
    if missing:
        problems.append(
            f"{project.path}: input.select.views: {_listed(sorted(missing))} is a missing view, it was never acquired; "
            "leave it out"
        )
    return problems


def _listed(ids: Iterable[object]) -> str:
    words = [str(i) for i in ids]
    more = [f"and {len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return ", ".join(words[:SHOWN] + more)
