"""JSON Schema of the configuration, for editors (yaml-language-server) and for ``fusestack schema``.

It lies beside this module, so that editors find it by a path that stays, and nothing is computed to print it.
``python -m fusestack.config.schema`` writes it anew; a test compares it with the models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("schema.json")
"""The schema as a file of the package."""

_WIDTH = 120


def schema_line() -> str:
    """First line of a configuration: an editor that runs yaml-language-server completes and checks what follows."""
    return f"# yaml-language-server: $schema={SCHEMA.as_uri()}\n"


def json_schema() -> dict[str, Any]:
    """Schema of what may be written, draft 2020-12, from the models; limits between keys are not in it."""
    from fusestack.config.focus import Focus
    from fusestack.config.models import Config
    from fusestack.config.values import Model, Untitled

    sections: list[type[Model]] = [Focus, *Model.__subclasses__()]
    for section in sections:
        section.model_rebuild()  # left out of the start of other commands
    made = Config.model_json_schema(mode="validation", schema_generator=Untitled)
    return {"$schema": Untitled.schema_dialect} | made


def schema_text(value: Any, indent: str = "") -> str:
    """JSON with what fits on a line on one line: half the size of a line for every value, and changes can be read."""
    text = json.dumps(value)
    if not isinstance(value, dict | list) or len(indent) + len(text) <= _WIDTH:
        return text
    inner = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + schema_text(one, inner) for one in value) + f"\n{indent}]"
    lines = (f"{inner}{json.dumps(key)}: {schema_text(one, inner)}" for key, one in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(json_schema()) + "\n", encoding="utf-8")
