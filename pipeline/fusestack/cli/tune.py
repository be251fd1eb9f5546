"""``fusestack tune``: try sets of focus options on a part of a stack."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, load

if TYPE_CHECKING:
    import argparse

    from fusestack.api.tuning import Tuned
    from fusestack.planner import Tuning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_configuration(parser)
    parser.add_argument(
        "--apply",
        metavar="NUMBER",
        type=int,
        help="write this set of the contact sheet into the configuration; its comments stay",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Try the sets, or write one of them into the configuration."""
    if arguments.apply is not None:
        return _applied(arguments)
    from fusestack.api.tuning import try_sets
    from fusestack.cli.plan import warn
    from fusestack.planner import Tuning
    from fusestack.running.aligning import align_first

    loaded = load(arguments)
    align_first(loaded, None if arguments.quiet else lambda text: print(text, file=sys.stderr))
    tuning = Tuning.of(loaded)
    listener = None
    if not arguments.quiet:
        from fusestack.display.progress import progress_listener

        listener = progress_listener(True)
        print(_begun(tuning), file=sys.stderr)
    tuned = try_sets(tuning, listener=listener, warn=warn)
    if not arguments.quiet:
        _print(tuned, tuning)
    return {
        "page": tuned.page,
        "folder": tuned.folder,
        "part": dict(tuned.part),
        "seconds": round(tuned.seconds, 3),
        "sets": [
            {
                "number": one.number,
                "options": one.options,
                "settings": dict(one.settings),
                "scores": dict(one.scores),
                "seconds": one.seconds,
                "run_seconds": one.run_seconds,
            }
            for one in tuned.sets
        ],
    }


def _begun(tuning: Tuning) -> str:
    from fusestack.model.amounts import counted

    return f"{counted(len(tuning.sets), 'set')} of options on a part of {tuning.stack.source}"


def _print(tuned: Tuned, tuning: Tuning) -> None:
    from fusestack.focus.scores import NOT_KNOWN, WHY_NOT_KNOWN
    from fusestack.model.amounts import duration, size

    names = list(tuned.sets[0].scores)
    print("  ".join(["set", *(f"{name:>9}" for name in names), "whole run", "options"]))
    for one in tuned.sets:
        run = NOT_KNOWN if one.run_seconds is None else duration(one.run_seconds)
        scores = (f"{one.scores[name]:9.4g}" for name in names)
        print("  ".join([f"{one.number:3d}", *scores, f"{run:>9}", one.options]))
    if any(one.run_seconds is None for one in tuned.sets):
        print(f"{NOT_KNOWN}: {WHY_NOT_KNOWN}")
    x, y, width, height = (tuned.part[key] for key in ("x", "y", "width", "height"))
    print(f"part: {width} x {height} pixels at x {x}, y {y}")
    print(f"contact sheet: {tuned.page}")
    print(f"pictures and scores: {tuned.folder} (may be deleted)")
    print(
        f"cache: {size(tuned.cache_bytes)} in {tuning.cache}, where a run finds what the sets share "
        "(fusestack cache ls, fusestack cache rm)"
    )
    print(f"done in {duration(tuned.seconds)}; to choose a set: fusestack tune CONFIG --apply NUMBER")


def _applied(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write a set into the file, and show what has changed."""
    import difflib

    from fusestack.api.tuning import apply_set

    before, after = apply_set(arguments.config, arguments.apply, arguments.overrides)
    name = str(arguments.config)
    if before == after:
        text = f"{name}: says this already"
    else:
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, n=1, lineterm="")
        text = "\n".join(lines)
    if not arguments.quiet:
        print(text)
    return {"config": name, "set": arguments.apply, "changed": before != after}
