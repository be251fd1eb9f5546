"""``fusestack init``: write a commented configuration for what is there."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        metavar="PROJECT_OR_IMAGES",
        nargs="+",
        help="a project XML (path or address), a folder, images, or a pattern of names",
    )
    parser.add_argument(
        "-o", "--output", metavar="CONFIG", type=Path, help="configuration to write (default: fuse.yaml)"
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("tiles", "stack"),
        help="what a folder of TIFFs is: tiles side by side (default), or a focus stack",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing configuration")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Look at the source, write the configuration, say what comes next."""
    config = arguments.output or Path("fuse.yaml")
    if config.exists() and not arguments.force:
        raise OutputError(f"{config}: exists; name another one with -o, or replace it with --force")
    from fusestack.cli.proposal import describe

    made = describe(arguments.source, config.absolute().parent, arguments.kind)
    try:
        config.write_text(made.text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{config}: cannot be written: {error.strerror or error}; choose another place") from error
    for sentence in made.said:
        print(f"look at this: {sentence}", file=sys.stderr)
    if not arguments.quiet:
        print(f"{config}: written; look at it, then: fusestack plan {shlex.quote(str(config))}")
        if made.perhaps_stack and arguments.kind is None:
            again = shlex.join(["fusestack", "init", *arguments.source, "-o", str(config), "--as", "stack", "--force"])
            print(f"slices of a focus stack instead of tiles? {again}")
    return {"config": str(config), "warnings": list(made.said)}
