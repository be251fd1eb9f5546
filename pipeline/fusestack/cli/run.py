"""``fusestack run``: make everything a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, add_no_probe, load

if TYPE_CHECKING:
    import argparse


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


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Plan, run, and say what was made."""
    from fusestack.api.configured import run_planned
    from fusestack.cli.plan import print_plan, summary_of_plan, warn
    from fusestack.display.progress import progress_listener
    from fusestack.model.amounts import duration, size
    from fusestack.planner import make_plan
    from fusestack.running.damage import look
    from fusestack.running.places import check_places, scarce_space
    from fusestack.running.probing import probe_plan

    plan = make_plan(load(arguments))
    warn(plan.warnings)
    known = look(plan, force=arguments.force)
    check_places(plan)
    states = known.states
    warn([*known.damage.said, *scarce_space(plan, states)])
    probed = None if arguments.no_probe else probe_plan(plan, states)
    if probed is not None:
        warn(probed.warnings)
    if arguments.dry_run:
        if not arguments.quiet:
            print_plan(plan, states, probed)
        return summary_of_plan(plan, states, probed)
    listener = None if arguments.quiet else progress_listener(True)
    report = run_planned(plan, known, force=arguments.force, listener=listener)
    warn(report.found)
    if not arguments.quiet:
        if report.reused_all:
            print("nothing to do, everything is already made:")
        else:
            written, cached = report.bytes_written
            also = f", and {size(cached)} to the cache" if cached else ""
            print(f"done in {duration(report.seconds)}, {size(written)} written{also}:")
        for path in report.outputs:
            print(f"  {path}")
        if report.cache_bytes:
            freed = f", {size(report.cache_freed)} of it were freed" if report.cache_freed else ""
            print(f"cache: {size(report.cache_bytes)} in {plan.cache}{freed} (fusestack cache ls)")
        print(f"pictures, timings and settings: {plan.report}")
    return {
        "outputs": list(report.outputs),
        "seconds": round(report.seconds, 3),
        "stages": [
            {"image": s.image, "stage": s.stage, "action": s.action, "blocks": s.blocks, "computed": s.computed}
            for s in report.stages
        ],
        "run_json": f"{plan.output}.run.json",
        "report": plan.report,
    }
