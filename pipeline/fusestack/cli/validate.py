"""``fusestack validate``: check a configuration, and that its inputs exist and open."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, load

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_configuration(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Check and say so."""
    from fusestack.config.load import unsupported
    from fusestack.fusion.inputs import read_inputs
    from fusestack.fusion.plan import design_of

    loaded = load(arguments)
    later = unsupported(loaded)
    said = list(later)
    views = 0
    stacks: list[str] = []
    config = loaded.config
    if config.input is not None and config.input.images is None:
        design = design_of(loaded, read_inputs(loaded))
        views = len(design.opened)
        said += design.warnings
    if not later and (views == 0 or (config.focus is not None and config.focus.input != "fused")):
        from fusestack.config.focus import Focus
        from fusestack.focus.input import stack_inputs

        stacks = [one.source for one in stack_inputs(loaded, config.focus or Focus(), ())]
    for sentence in dict.fromkeys(said):
        print(f"warning: {sentence}", file=sys.stderr)
    if not arguments.quiet:
        opened = [f"{views:,} views found and opened"] if views else stacks
        print(", ".join([f"{loaded.name}: valid", *opened]))
    return {"valid": True, "views": views, "stacks": stacks, "warnings": said}
