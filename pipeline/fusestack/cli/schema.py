"""``fusestack schema``: the JSON Schema of the configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--path",
        action="store_true",
        help="print where its file is, for the settings of an editor",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print the schema, or where it is."""
    from fusestack.config.schema import SCHEMA

    if arguments.path:
        if not arguments.json:
            print(SCHEMA)
        return {"path": str(SCHEMA)}
    text = SCHEMA.read_text(encoding="utf-8")
    if not arguments.json:
        print(text, end="")
        return {}
    return {"schema": json.loads(text)}
