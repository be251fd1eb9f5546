"""``fusestack validate``: check a configuration, that its inputs exist, open and are whole, and that outputs can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, add_no_probe, load

if TYPE_CHECKING:
    import argparse

    from fusestack.config.load import LoadedConfig
    from fusestack.sources.probe import Sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_configuration(parser)
    add_no_probe(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Check and say so."""
    from fusestack.cli.plan import note, refusals, warn
    from fusestack.config.load import unsupported
    from fusestack.model.amounts import counted
    from fusestack.planner import make_plan
    from fusestack.running.inspection import inspect
    from fusestack.running.places import check_places, folders_made
    from fusestack.sources.probe import probe

    loaded = load(arguments)
    warnings = unsupported(loaded)
    config = loaded.config
    fuses = config.input is not None and config.input.images is None
    stacks: list[str] = []
    folders: list[str] = []
    if warnings or (fuses and config.output is None):
        views, samples, said = _opened(loaded) if fuses else (0, (), ())
        warnings = [*warnings, *said]
    else:
        plan = make_plan(loaded)
        check_places(plan)
        warnings = [*plan.warnings, *refusals(plan, inspect(plan))]
        views, samples = 0 if plan.inputs is None else len(plan.inputs.views), plan.samples
        stacks, folders = [] if fuses else [plan.source], folders_made(plan)
    probed = None if arguments.no_probe else probe(samples)
    if probed is not None:
        warnings += probed.warnings
    warn(warnings)
    note(folders, quiet=arguments.quiet)
    if not arguments.quiet:
        opened = [f"{counted(views, 'view')} found and opened"] if views else stacks
        decoded = [str(probed)] if probed is not None and probed.total else []
        print(", ".join([f"{loaded.name}: valid", *opened, *decoded]))
    found = None if probed is None else probed.count
    return {"valid": True, "views": views, "stacks": stacks, "probed": found, "warnings": warnings}


def _opened(loaded: LoadedConfig) -> tuple[int, tuple[Sample, ...], tuple[str, ...]]:
    """Views of a configuration that cannot be planned, opened: how many, what is decoded, what is to be said."""
    from fusestack.fusion.inputs import read_inputs
    from fusestack.fusion.plan import design_of
    from fusestack.fusion.samples import samples_of_views

    design = design_of(loaded, read_inputs(loaded))
    return len(design.opened), tuple(samples_of_views(design.opened)), tuple(design.warnings)
