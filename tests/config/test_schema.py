"""The JSON Schema, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import jsonschema
import pytest
from ruamel.yaml import YAML

from fusestack.cli.main import run
from fusestack.config.schema import SCHEMA, json_schema, schema_text
from tests.small import config, tiles

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "configs").glob("*.yaml"))


def test_the_file_of_the_package_is_what_the_models_say() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(json_schema()) + "\n", (
        "renew it: python -m fusestack.config.schema"
    )
    assert json.loads(SCHEMA.read_bytes()) == json_schema()
    assert SCHEMA.stat().st_size < 300_000
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_command_says_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--path"]) == 0
    path = Path(capsys.readouterr().out.rstrip("\n"))
    assert run(["schema"]) == 0
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")
    assert run(["schema", "--path", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(path)


def schema_of(path: Path) -> Path:
    """Where an editor looks for the schema of a configuration."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    place = first.removeprefix("# yaml-language-server: $schema=")
    assert place != first
    assert not set(place) & set(" \t")  # where the language server ends to read
    return Path(url2pathname(urlsplit(place).path)) if place.startswith("file:") else path.parent / place


CHECK = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_name_it_and_keep_to_it(path: Path) -> None:
    assert schema_of(path).samefile(SCHEMA)
    CHECK(YAML(typ="safe").load(path))


def test_written_configurations_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "two words"
    tiles(folder)
    path = tmp_path / "fuse.yaml"
    for more in ([], ["--as", "stack"], ["--profile", "slurm"]):
        assert run(["init", str(folder), "-o", str(path), "--force", *more]) == 0
        assert schema_of(path).samefile(SCHEMA)
        CHECK(YAML(typ="safe").load(path))


def test_what_contradicts_it_is_found(tmp_path: Path) -> None:
    path = tmp_path / "fuse.json"
    path.write_text(json.dumps(config(tmp_path)))
    given = json.loads(path.read_text())
    CHECK(given)
    for broken in ({**given, "fusoin": {}}, {**given, "fusion": {"method": "avrage"}}):
        with pytest.raises(jsonschema.ValidationError):
            CHECK(broken)


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
