"""``fusestack schema``: the JSON Schema of the configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: none of its own."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print the schema."""
    from fusestack.config.schema import json_schema

    schema = json_schema()
    if not arguments.json:
        print(json.dumps(schema, indent=2))
        return {}
    return {"schema": schema}
