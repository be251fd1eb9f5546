"""The JSON Schema, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fusestack.config.schema import json_schema

SNAPSHOT = Path(__file__).with_name("schema.json")


def test_snapshot() -> None:
    """Renewed with ``python -m fusestack.config.schema > tests/config/schema.json``."""
    assert json_schema() == json.loads(SNAPSHOT.read_text())


def test_every_key_is_described_and_every_section_closed() -> None:
    schema = json_schema()
    for name, section in {"Config": schema, **schema["$defs"]}.items():
        assert section.get("description"), name
        if "properties" in section:
            assert section["additionalProperties"] is False, name
            for key, value in section["properties"].items():
                assert value.get("description"), f"{name}.{key}"


def alternatives(schema: dict[str, Any], section: str, key: str) -> list[Any]:
    found = schema["$defs"][section]["properties"][key]["anyOf"]
    return [part.get("type") or part.get("enum") or part.get("const") or part["$ref"] for part in found]


def test_editors_know_the_short_forms() -> None:
    schema = json_schema()
    assert alternatives(schema, "Fusion", "blending") == ["boolean", "#/$defs/Blending", "null"]
    assert alternatives(schema, "Select", "tiles") == ["string", "integer", "string", "array"]
    assert [part["type"] for part in schema["$defs"]["CountPerAxis"]["anyOf"]] == ["integer", "object"]
