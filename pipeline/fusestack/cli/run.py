"""``fusestack run``: make everything a configuration asks for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, add_no_probe, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from fusestack.config.load import LoadedConfig

_SETTLED = 10.0
"""Seconds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_configuration(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="start over: replace outputs, finished or in the way, and compute anew what is in the cache",
    )
    add_no_probe(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the plan and stop")
    parser.add_argument(
        "--follow",
        action="store_true",
        help="of an acquisition that goes on: fuse every timepoint when it is complete, until Ctrl-C",
    )
    parser.add_argument(
        "--settle",
        metavar="SECONDS",
        type=_seconds,
        help="with --follow, and of folders that are stacks of their own: a file is complete when it has not changed "
        f"for so long ({_SETTLED:.0f})",
    )
    parser.add_argument(
        "--idle",
        metavar="SECONDS",
        type=_seconds,
        help="with --follow: end when nothing new was complete for so long",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Plan, run, and say what was made."""
    from fusestack.model.errors import ConfigError

    if not arguments.follow:
        loaded = load(arguments)
        if loaded.config.input is not None and loaded.config.input.images is not None:
            from fusestack.focus.batches import batch_patterns

            if batch_patterns(loaded):
                from fusestack.cli.batch import run_batch

                return run_batch(arguments, loaded, arguments.settle or _SETTLED)
        for name in ("settle", "idle"):
            if getattr(arguments, name) is not None:
                raise ConfigError(f"--{name}: belongs to --follow, which is not given")
        return make_once(arguments, loaded, set())
    if arguments.force or arguments.dry_run:
        raise ConfigError(f"--follow: not with {'--force' if arguments.force else '--dry-run'}; use them alone before")
    from fusestack.running.following import follow

    said: set[str] = set()
    summary, made = follow(
        lambda: load(arguments),
        lambda loaded: make_once(arguments, loaded, said),
        seconds=arguments.settle or _SETTLED,
        idle=arguments.idle,
        say=lambda text: None if arguments.quiet else print(text, file=sys.stderr),
    )
    return (summary or {}) | {"timepoints": list(made)}


def make_once(arguments: argparse.Namespace, loaded: LoadedConfig, said: set[str]) -> dict[str, Any]:
    """Plan and run a configuration; warnings that were `said` are not repeated."""
    from fusestack.api.configured import run_planned
    from fusestack.cli.plan import MOST_LISTED, note, print_plan, summary_of_plan
    from fusestack.cli.plan import warn as warn_of
    from fusestack.model.amounts import duration, size
    from fusestack.planner import make_plan
    from fusestack.running.aligning import plan_aligned
    from fusestack.running.damage import look
    from fusestack.running.places import check_places, folders_made, scarce_space
    from fusestack.running.probing import probe_plan
    from fusestack.running.report import listed

    def warn(warnings: Iterable[str]) -> None:
        new = [one for one in warnings if one not in said]
        said.update(new)
        warn_of(new)

    say = None if arguments.quiet else lambda text: print(text, file=sys.stderr)
    plan = make_plan(loaded) if arguments.dry_run else plan_aligned(loaded, say=say)
    warn(plan.warnings)
    known = look(plan, force=arguments.force)
    check_places(plan)
    states = known.states
    warn([*known.damage.said, *scarce_space(plan, states)])
    note(folders_made(plan), quiet=arguments.quiet)
    probed = None if arguments.no_probe else probe_plan(plan, states)
    if probed is not None:
        warn(probed.warnings)
    if arguments.dry_run:
        if not arguments.quiet:
            print_plan(plan, states, probed)
        return summary_of_plan(plan, states, probed)
    listener = None
    if not arguments.quiet:
        from fusestack.display.progress import progress_listener

        listener = progress_listener(True)
    report = run_planned(plan, known, force=arguments.force, listener=listener)
    warn(report.found)
    projects = list(dict.fromkeys(image.project for image in plan.images if image.project is not None))
    if not arguments.quiet:
        if report.reused_all:
            print("nothing to do, everything is already made:")
        else:
            written, cached = report.bytes_written
            also = f", and {size(cached)} to the cache" if cached else ""
            print(f"done in {duration(report.seconds)}, {size(written)} written{also}:")
        for path in report.outputs[:MOST_LISTED]:
            print(f"  {path}")
        if (more := len(report.outputs) - MOST_LISTED) > 0:
            print(f"  and {more:,} more, the last {report.outputs[-1]}")
        for path in projects:
            print(f"project for BigDataViewer and BigStitcher: {path}")
        if report.cache_bytes:
            freed = f", {size(report.cache_freed)} of it were freed" if report.cache_freed else ""
            print(f"cache: {size(report.cache_bytes)} in {plan.cache}{freed} (fusestack cache ls)")
        print(f"pictures, timings and settings: {plan.report}")
    return {
        "outputs": list(report.outputs[:MOST_LISTED]),
        "output_count": len(report.outputs),
        "projects": projects,
        "seconds": round(report.seconds, 3),
        "stages": [
            {"image": s.image, "stage": s.stage, "action": s.action, "blocks": s.blocks, "computed": s.computed}
            for s in listed(report.stages)
        ],
        "run_json": f"{plan.output}.run.json",
        "report": plan.report,
    }
