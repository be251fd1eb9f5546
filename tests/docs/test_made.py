"""Pages that are made from the program: nothing is missing, and every example is right."""

from __future__ import annotations

import ast
import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

import fusestack
from fusestack.cli.main import COMMANDS
from fusestack.config.schema import json_schema
from fusestack.operators import REGISTRY
from tests.docs.blocks import ROOT, pages


@pytest.fixture(scope="module")
def made() -> ModuleType:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import made_pages
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return made_pages


def model_of(name: str) -> Any:
    """The model that a section of the schema is made from."""
    from fusestack.config.values import Model

    waiting = [Model]
    while waiting:
        one = waiting.pop()
        if one.__name__ == name:
            return one
        waiting += one.__subclasses__()
    return None


def test_every_key_is_there_with_an_example_that_is_right(made: ModuleType, my_module: None) -> None:
    schema = json_schema()
    page = made.configuration()
    rows = {match[1]: line for line in page.splitlines() if (match := re.match(r"\| `(\w+)`", line))}
    wrong, seen = [], 0
    for name, section in {"Config": schema, **schema["$defs"]}.items():
        model = model_of(name)
        if model is None or name.endswith("PerAxis"):
            continue
        for key, one in section.get("properties", {}).items():
            assert key in rows, f"{name}.{key}"
            value = made.example(schema, one)
            assert value is not None, f"{name}.{key}: has no example; add examples=[...] to the field"
            needed = {key: made.example(schema, section["properties"][key]) for key in section.get("required", ())}
            seen += 1
            try:
                model.model_validate(needed | {key: value})
            except ValidationError as error:  # others that it does not go with are no fault of the example
                wrong += [f"{name}.{key}: {one['msg']}" for one in error.errors() if one["type"] != "contradiction"]
    assert wrong == []
    assert seen > 120


def test_every_operator_command_and_name_has_its_heading(made: ModuleType) -> None:
    headings = re.findall(r"^### (.*)$", made.operators(), re.MULTILINE)
    assert headings == [name for kind in ("generator", "mask", "cut", "final", "prepare") for name in REGISTRY[kind]]
    assert re.findall(r"^## fusestack (.*)$", made.commands(), re.MULTILINE) == list(COMMANDS)
    shown = re.findall(r":: fusestack\.(\w+)", made.python())
    assert sorted(shown) == sorted(name for name in fusestack.__all__ if not name.startswith("__"))


def test_measured_figures_name_a_benchmark_that_there_is(made: ModuleType) -> None:
    found = json.loads((ROOT / "docs" / "measured.json").read_text())
    for group in found["groups"]:
        script = group["command"].split()[1]
        assert (ROOT / script).exists(), script
        assert group["rows"]
        for row in group["rows"]:
            assert row["on"].rpartition(", ")[0] in found["machines"], row


def test_figures_of_readme_and_comparison_are_measured_ones() -> None:
    """Every figure of a table that compares with another program stands in `measured.json`, with its benchmark."""
    measured = (ROOT / "docs" / "measured.json").read_text()
    seen = 0
    for page in (ROOT / "README.md", ROOT / "docs" / "compare.md"):
        for line in page.read_text().splitlines():
            script = re.search(r"\| `(benchmarks/\w+\.py)` \|$", line)
            if script:
                seen += 1
                assert f"python {script[1]}" in measured, line
                for figure in re.findall(r"[\d,.]*\d(?= (?:s\b|MiB|times|dB))", line):
                    assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d.,])", measured), f"{figure}: {line}"
    assert seen >= 8


def test_keys_that_pages_name_are_keys(made: ModuleType) -> None:
    """Such as `fusion.blending` in a table: a key that was renamed is found."""
    known = {path.replace("[]", "") for path, _ in made.sections(json_schema())}
    for path, section in made.sections(json_schema()):
        known |= {".".join(filter(None, (path.replace("[]", ""), key))) for key in section["properties"]}
    roots = "|".join(key for key in json_schema()["properties"] if key != "version")
    seen = 0
    for page in pages():
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for name in re.findall(rf"`((?:{roots})(?:\.[a-z_0-9]+)+)(?=[`: ])", text):
            seen += 1
            assert name in known | {"cache.fusestack"}, f"{page}: {name}"  # a folder
    assert seen > 100


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", text):
        assert "://" in target or (ROOT / target).exists(), target


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


def test_pictures_in_git_are_small() -> None:
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 200_000, picture


def test_scripts_of_the_documentation_say_what_they_do() -> None:
    for path in (ROOT / "docs").glob("*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path


def test_there_is_a_picture_of_every_operator(made: ModuleType, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    import gallery

    assert made.HERE == ROOT / "docs"
    for kind in ("generator", "mask", "cut", "final"):
        shown = {entry.name for entry in gallery.focus_entries(kind)}
        left_out = {name for of, name in gallery.LEFT_OUT if of == kind}
        assert shown | left_out == set(REGISTRY[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fusestack.FusestackWarning)
        for entry in gallery.FUSION:  # every method stands there
            assert entry.options
    methods = {entry.options.get("method", "average") for entry in gallery.FUSION}
    assert methods == {"average", "max", "lowest_view", "highest_view", "closest_pixel", "mask"}


def test_links_lead_somewhere_before_anything_is_built() -> None:
    """People read the pages where the repository is shown, too, and there nothing is made."""
    seen = 0
    for page in pages():
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in link and not link.startswith("mailto:"):
                target = (page.parent / link).resolve()
                assert target.exists(), f"{page}: {link}"
                assert "made" not in target.relative_to(ROOT).parts, f"{page}: {link}"
                seen += 1
    assert seen > 50


def test_a_section_of_the_reference_stands_for_every_page_that_is_made() -> None:
    sections = set(re.findall(r"^## (\w+)$", (ROOT / "docs/reference/index.md").read_text(), re.MULTILINE))
    assert sections == {"configuration", "operators", "commands", "python", "performance", "gallery"}
    for page in pages():
        for name in re.findall(r"reference/index\.md#(\w+)", page.read_text()):
            assert name in sections, f"{page}: {name}"


def test_pictures_of_numerics_are_those_that_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference of `exact` and `bigstitcher` is what the program makes today."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import figures

    for name, pixels in figures.difference().items():
        kept = np.asarray(Image.open(ROOT / "docs" / "images" / f"{name}.png")).astype(int)
        assert abs(kept - pixels).max() <= 1, f"{name}: make it again: python docs/figures.py"
