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
    from fusestack.fusion.design import open_views
    from fusestack.inputs import read_inputs

    loaded = load(arguments)
    later = unsupported(loaded)
    for sentence in later:
        print(f"warning: {sentence}", file=sys.stderr)
    views = 0
    if loaded.config.input.images is None:
        inputs = read_inputs(loaded)
        views = len(open_views(inputs.views))
    if not arguments.quiet:
        print(f"{loaded.name}: valid" + (f", {views:,} views found and opened" if views else ""))
    return {"valid": True, "views": views, "warnings": later}
