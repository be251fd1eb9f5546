"""Alignments are made before a run is planned: they say how large its images are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.amounts import counted
from fusestack.model.errors import InputError
from fusestack.planner import cache_folder, make_plan
from fusestack.planning.resources import resolve_resources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Client

    from fusestack.config.load import LoadedConfig
    from fusestack.focus.aligning.alignment import Alignment
    from fusestack.focus.aligning.wanted import WantedAlignment
    from fusestack.planning.plan import Plan

    Say = Callable[[str], None]

_STEPS = 10
_TRIES = 2
_FEW = 60
"""Points in all pairs of a slice."""


def align_first(loaded: LoadedConfig, say: Say | None = None) -> None:
    """Make the alignments that a configuration wants and that are not known, and keep them in the cache.

    Parameters
    ----------
    loaded : LoadedConfig
    say : callable, optional
        Takes lines for people: what is done, and what was found.

    Raises
    ------
    ConfigError
        If the configuration wants what cannot be.
    InputError
        If slices do not fit one another.
    OutputError
        If the cache cannot be written.
    """
    if loaded.config.focus is None or loaded.config.focus.align is None:
        return
    from fusestack.focus.aligning.alignment import alignments_file
    from fusestack.focus.aligning.wanted import STAGE
    from fusestack.focus.plan import alignments_wanted
    from fusestack.running.lock import output_lock
    from fusestack.running.stage_cache import ENTRY, LOCK, cache_in_use, entry_facts, put_entry

    cache = cache_folder(loaded)
    for wanted in alignments_wanted(loaded, cache):
        used = {ENTRY: entry_facts(STAGE, wanted.stack.title)}
        if wanted.given is not None:
            wanted.known()
        elif not wanted.lacking():
            put_entry(wanted.folder, used)
        else:
            with cache_in_use(cache), output_lock(f"{wanted.folder}/{LOCK}", wanted.folder, wait=True):
                content = alignments_file(wanted.known() or _made(wanted, loaded, say), wanted.fingerprint)
                put_entry(wanted.folder, used)
                for folder, name in wanted.lacking():
                    put_entry(folder, {name: content})


def _made(wanted: WantedAlignment, loaded: LoadedConfig, say: Say | None) -> Sequence[Alignment]:
    """Estimate an alignment, and say what was found."""
    made = _estimated(wanted, loaded, say)
    if say is not None:
        for line in _told(made):
            say(line)
    return made


def plan_aligned(loaded: LoadedConfig, client: Client | None = None, say: Say | None = None) -> Plan:
    """Plan a run, for which slices are aligned first.

    Parameters
    ----------
    loaded : LoadedConfig
    client : distributed.Client, optional
        Whose workers will run it.
    say : callable, optional
        See `align_first`.

    Raises
    ------
    ConfigError, InputError, OutputError
        See `align_first` and `fusestack.planner.make_plan`; also if slices change all the time.
    """
    for _ in range(_TRIES):
        align_first(loaded, say)
        plan = make_plan(loaded, client)
        if not plan.pending:
            return plan
    refuse_pending(plan)
    return plan


def refuse_pending(plan: Plan) -> None:
    """Refuse to run what was planned before slices were aligned.

    Raises
    ------
    InputError
    """
    if plan.pending:
        raise InputError(
            "focus.align: the slices are not aligned, or have changed since they were; run again when nobody writes "
            "them any more"
        )


def _estimated(wanted: WantedAlignment, loaded: LoadedConfig, say: Say | None) -> Sequence[Alignment]:
    count = wanted.stack.shape[0] * wanted.stack.shape[2]
    if say is not None:
        say(f"aligning {counted(count, 'slice')} ({wanted.model})")
    resources = resolve_resources(loaded.config.execution, loaded.folder, None)
    held = resources.memory * resources.workers // (2 * wanted.slice_bytes)
    step = max(1, count // _STEPS)

    def tell(done: int) -> None:
        if say is not None and done % step == 0 and done < count and count >= _STEPS:
            say(f"  {done} of {count} slices")

    return wanted.estimate(max(1, min(resources.workers, held)), tell)


def _told(made: Sequence[Alignment]) -> list[str]:
    """How far slices moved, and how well they fit now."""
    from fusestack.focus.aligning.motions import move

    found = []
    for t, one in enumerate(made):
        where = f"timepoint {t}: " if len(made) > 1 else ""
        middle = (np.array([one.size], float) - 1) / 2
        shifts = [np.hypot(*(move(motion.matrix, middle) - middle)[0]) for motion in one.slices]
        sizes = [np.sqrt(abs(np.linalg.det(motion.matrix[:2, :2]))) for motion in one.slices]
        errors = [motion.error for motion in one.slices if motion.points]
        found.append(
            f"{where}aligned: shifts up to {max(shifts):.1f} pixels, sizes "
            f"{100 * min(sizes):.2f} to {100 * max(sizes):.2f} %, details fit within "
            f"{np.median(errors) if errors else 0:.2f} pixels (median)"
        )
        weak = [motion.name.rpartition("/")[2] for motion in one.slices if 0 < motion.points < _FEW]
        if weak:
            found.append(f"{where}{', '.join(weak[:5])}: few details say where it lies; look at it")
    return found
