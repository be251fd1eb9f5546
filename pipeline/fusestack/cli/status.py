"""``fusestack status``: progress and outcome of a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import InputError

if TYPE_CHECKING:
    import argparse

_SILENCE = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("output", metavar="OUTPUT", help="output path or address of the run")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print the state of the last run on an output."""
    from fusestack.cli.submitted import add_submission, print_submission, submission_of
    from fusestack.running.lock import is_locked
    from fusestack.running.recorded import recorded_damage
    from fusestack.running.status import read_status
    from fusestack.storage import absolute

    output = absolute(arguments.output)
    work = f"{output}.fusestack"
    state = read_status(work)
    submitted = submission_of(work)
    if state is None and submitted is not None:
        if not arguments.quiet:
            print(f"{output}: submitted, not begun")
            print_submission(submitted)
        return {"status": {"state": "submitted"}, "submission": submitted}
    if state is None:
        raise InputError(f"{output}: no run of fusestack is known here; give the output.path of a configuration")
    silent = time.time() - state["updated"]
    # the lock of another machine cannot always be seen from here: there, silence tells
    alive = is_locked(f"{work}/lock") or (silent < _SILENCE and not _same_machine(state))
    if state["state"] == "running" and not alive:
        state["state"] = "stopped"
    if state["state"] != "running" and (damage := recorded_damage(output, state["output"])):
        state |= {"damage": damage} | ({"state": "damaged"} if state["state"] == "done" else {})
    if submitted is not None:
        add_submission(state, submitted)
    if not arguments.quiet:
        _print(state, silent)
        if submitted is not None:
            print_submission(submitted)
    return {"status": state} | ({} if submitted is None else {"submission": submitted})


def _same_machine(state: dict[str, Any]) -> bool:
    import platform

    return bool(state.get("machine") == platform.node())


def _print(state: dict[str, Any], silent: float) -> None:
    from fusestack.model.amounts import duration

    words = {
        "running": "running",
        "done": "done",
        "failed": "failed",
        "interrupted": "interrupted; run again to continue",
        "damaged": "damaged since it was done; run again to mend it",
        "submitted": "submitted",
        "cancelled": "cancelled; submit or run again to continue",
        "stopped": f"stopped without a word {duration(silent)} ago; run again to continue",
    }
    print(f"{state['output']}: {words[state['state']]}")
    seconds = state["seconds"] if "seconds" in state else state["updated"] - state["started"]
    percent = 100 * state["done"] / max(1, state["blocks"])
    print(f"  {state['done']:,} of {state['blocks']:,} blocks ({percent:.1f} %) in {duration(seconds)}", end="")
    new = state["done"] - state["done_before"]
    if state["state"] in ("running", "submitted") and new:
        left = seconds / new * (state["blocks"] - state["done"])
        print(f", {state['bytes'] / 1e6 / max(seconds, 1e-9):,.0f} MB/s, about {duration(left)} left", end="")
    print(f"; process {state['process']} on {state['machine']}, {state['workers']} workers")
    for name, stage in state["stages"].items():
        failed = f", {stage['failed']:,} failed" if stage["failed"] else ""
        retries = f", {stage['retries']:,} retries" if stage["retries"] else ""
        print(f"  {name}: {stage['done']:,} of {stage['blocks']:,} blocks{failed}{retries}")
    errors = dict.fromkeys(f"{one['stage']} block {one['block']}: {one['error']}" for one in state["errors"])
    for error in list(errors)[-3:]:
        print(f"  last errors: {error}")
    for line in state.get("damage", ()):
        print(f"  damaged: {line}")
    if state.get("message"):
        print(f"  {state['message']}")
