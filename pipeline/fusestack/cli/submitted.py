"""What ``fusestack status`` says of jobs that were submitted."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

_MOST_REASONS = 3


def submission_of(work: str) -> dict[str, Any] | None:
    """What was submitted for an output, what its jobs do, and how far those of an array are; None where nothing was."""
    from fusestack.running.submission import read_submission

    found = read_submission(work)
    if found is None:
        return None
    states = found.states()
    parts = found.graph.parts() if found.run else []
    return {
        "system": found.system,
        "mode": found.mode,
        "jobs": dict(found.jobs),
        "submitted": found.submitted,
        "cancelled": found.cancelled,
        "queue": None if states is None else [[state.number, state.state, state.reason] for state in states],
        "parts": [part.__dict__ for part in parts],
        "stages": found.progress() if found.run else {},
    }


def add_submission(state: dict[str, Any], submitted: dict[str, Any]) -> None:
    """Bring the state of a run up to date, where jobs of an array go on with it."""
    over = submitted["queue"] == []
    if state["state"] in ("submitted", "running", "interrupted", "stopped") and submitted["cancelled"]:
        state["state"] = "cancelled"
    if state["state"] not in ("submitted", "cancelled") or not submitted["stages"]:
        return
    if state["state"] == "submitted" and over:
        state["state"] = "stopped"
    state["updated"] = time.time()
    state["done"] = state["done_before"]
    for name, (_, done, before) in submitted["stages"].items():
        state["done"] += done - before
        if name in state["stages"]:
            state["stages"][name]["done"] = done
    parts = submitted["parts"]
    state["bytes"] = sum(part["bytes"] for part in parts)
    state["workers"] = len(parts)
    errors = [{"stage": "part", "block": part["name"], "error": error} for part in parts for error in part["errors"]]
    state["errors"] = state["errors"] + errors


def print_submission(submitted: dict[str, Any]) -> None:
    """Say what the jobs do."""
    jobs = ", ".join(f"{what} {number}" for what, number in submitted["jobs"].items())
    queue = submitted["queue"]
    if queue is None:
        print(f"  {submitted['system']} ({jobs}) does not answer here")
        return
    counts = Counter(state for _, state, _ in queue)
    words = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "over"
    print(f"  {submitted['system']} ({jobs}): {words}")
    for reason, count in Counter(reason for _, _, reason in queue if reason).most_common(_MOST_REASONS):
        print(f"    {count:,} waiting: {reason}")
