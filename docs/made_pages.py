"""Pages that are made from the program: configuration, operators, commands, Python, measured figures.

Nothing in them is written by hand: a key, an option, a command or a function that is new is there by itself.
"""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fusestack
from fusestack.cli.main import COMMANDS, build_parser
from fusestack.config.schema import json_schema
from fusestack.operators import REGISTRY
from fusestack.operators.generators import Generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent
Schema = dict[str, Any]

MOST = 15
"""Names that are listed, at most."""

KINDS = {
    "generator": ("masks", "Generators: how sharp is each pixel?", "`focus.masks`, one after the other"),
    "mask": ("merge", "On the merged mask of each slice", "`focus.merge`"),
    "cut": ("cut", "On what is painted of each slice", "`focus.cut`"),
    "final": ("final", "On the sharp picture", "`focus.final`"),
    "prepare": ("prepare", "On the slices, before anything else", "`focus.prepare`; no part of imfuse's options"),
}
"""Kind of operators: key of the section ``focus``, title, where it stands."""


def pages() -> dict[str, str]:
    """Text of every page by the name of its file."""
    return {
        "configuration.md": configuration(),
        "operators.md": operators(),
        "commands.md": commands(),
        "python.md": python(),
        "performance.md": performance(),
    }


def write(path: Path, text: str) -> None:
    """Write a file, unless it says that already: Sphinx reads only what is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


# --- configuration ---------------------------------------------------------------------------------------------------


def configuration() -> str:
    """Every key of a configuration: values, default, example, description."""
    schema = json_schema()
    lines = [
        "# Configuration",
        "",
        "Every key, made from the models that check your file. Mistakes are answered with file, line, key and what is",
        "allowed. `fusestack schema` prints the same as JSON Schema. Editors that know it complete and check YAML: VS",
        "Code with its YAML extension reads the first line that `fusestack init` writes,",
        "`# yaml-language-server: $schema=...`.",
        "",
        "* Positions and boxes are in *world pixels*, as in BigStitcher; a box contains its maximum.",
        "* A value per axis is `{x: 2, y: 2, z: 1}`, or one number for all.",
        "* A key that you leave out has its default. Any value can be changed for one run:",
        "  `fusestack run fuse.yaml --set fusion.downsampling=4`.",
        "",
    ]
    for path, section in sections(schema):
        title = f"({_target(path)})=\n## `{path}`" if path else "## The file"
        lines += [title, "", _sentence(section["description"]), ""]
        rows = [_row(schema, path, key, one, section) for key, one in section["properties"].items()]
        lines += [*_table(("key", "values", "default", "what it is, and an example"), rows), ""]
    return "\n".join(lines)


def sections(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every section by its path, in the order of the file; one of a list has brackets."""

    def visit(path: str, section: Schema) -> Iterator[tuple[str, Schema]]:
        yield path, section
        for key, one in section["properties"].items():
            inner, listed = _inner(schema, one)
            if inner is not None:
                yield from visit(".".join(filter(None, (path, key + "[]" * listed))), inner)

    yield from visit("", schema)


def example(schema: Schema, one: Schema) -> Any:
    """A value that the key takes: one that was written for it, else another than the default."""
    if "examples" in one:
        return one["examples"][0]
    default = one.get("default")
    for form in one.get("anyOf", [one]):
        if form.get("type") == "boolean":
            return not default
        others = [value for value in form.get("enum", []) if value != default]
        if others:
            return others[0]
    inner, listed = _inner(schema, one)
    if inner is not None:
        keys = inner.get("required") or [next(iter(inner["properties"]))]
        found = {key: example(schema, inner["properties"][key]) for key in keys}
        return [found] if listed else found
    return one.get("const", default)


def _inner(schema: Schema, one: Schema) -> tuple[Schema | None, bool]:
    """The section that a key holds, if it does, and whether in a list."""
    for form in one.get("anyOf", [one]):
        items = form.get("items", {})
        name = (form.get("$ref") or items.get("$ref", "")).rpartition("/")[2]
        found = schema["$defs"].get(name, {})
        if "properties" not in found and "anyOf" in found and not name.endswith("PerAxis"):
            found = next((part for part in found["anyOf"] if "properties" in part), {}) | {
                "description": found.get("description", "")
            }
        if "properties" in found:
            return found, "items" in form
    return None, False


def _row(schema: Schema, path: str, key: str, one: Schema, section: Schema) -> list[str]:
    name = f"{path}.{key}" if path else key
    default = "needed" if key in section.get("required", ()) else _default(schema, one)
    inner = _inner(schema, one)[0] is not None
    return [
        f"`{key}`" if inner else f"`{key}`{{#key-{_target(name).replace('.', '-')}}}",
        values(schema, one).replace("options", f"[options](#{_target(name)})"),
        default,
        f"{_sentence(one['description'])}<br>`{key}: {flow(example(schema, one))}`",
    ]


def _target(name: str) -> str:
    return name.replace("[]", "")


def _default(schema: Schema, one: Schema) -> str:
    default = one.get("default")
    if _inner(schema, one)[0] is not None and isinstance(default, dict):
        return "see there"
    if default in (None, "", [], {}):
        return "none" if "default: " not in one["description"] else "see right"
    return f"`{flow(default)}`"


def values(schema: Schema, one: Schema) -> str:
    """What a key takes, in words."""
    found = [_form(schema, form) for form in one.get("anyOf", [one])]
    return ", ".join(dict.fromkeys(word for word in found if word))


def _form(schema: Schema, form: Schema) -> str:
    if "$ref" in form:
        name = form["$ref"].rpartition("/")[2]
        if name.endswith("PerAxis"):
            kind = {"Whole": "whole number", "Count": "pixels"}.get(name.removesuffix("PerAxis"), "number")
            return f"{kind} per axis"
        return "options"
    if "enum" in form:
        names = [f"`{value}`" for value in form["enum"]]
        return ", ".join(names if len(names) <= MOST else [*names[:MOST], f"... ({len(names)} names)"])
    if "const" in form:
        return f"`{form['const']}`"
    if "prefixItems" in form:
        return "[" + ", ".join(_form(schema, item) for item in form["prefixItems"]) + "]"
    kind = form.get("type")
    if kind == "null":
        return ""
    if kind == "boolean":
        return "`true`, `false`"
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _limits(form)
    if kind == "array":
        items = form.get("items", {})
        alternatives = items.get("anyOf", [items])
        if any("properties" in one for one in alternatives):
            return "list of [operators](operators.md)"
        inner = values(schema, items) if items else "values"
        if "minItems" in form and form.get("minItems") == form.get("maxItems"):
            return f"list of {form['minItems']} {inner}s"
        return f"list of {inner}"
    if kind == "object":
        return "mapping"
    return "text"


def _limits(form: Schema) -> str:
    low, above, high = form.get("minimum"), form.get("exclusiveMinimum"), form.get("maximum")
    if low is not None and high is not None:
        return f" {low:g} to {high:g}"
    if above is not None and high is not None:
        return f" above {above:g}, up to {high:g}"
    if above is not None:
        return f" above {above:g}"
    return f" from {low:g}" if low is not None else ""


def flow(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(one) for one in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, str):
        plain = value and value[0] not in "-*&[]{}\"'%@!#|>?:, 0123456789." and ": " not in value and "," not in value
        return value if plain else json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    """A description on one line, its first letter large; what could be markup stays as it is."""
    text = " ".join(text.split())
    for mark in "*<>_":
        text = text.replace(mark, f"\\{mark}") if "`" not in text else text
    return text[:1].upper() + text[1:]


def _table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    def line(cells: Any) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(head), line("---" for _ in head), *map(line, rows)]


# --- operators -------------------------------------------------------------------------------------------------------


def operators() -> str:
    """Every operator of focus stacking with its options, and imfuse's letters for them."""
    lines = [
        "# Operators",
        "",
        "For `focus.method: masks`, which is chosen where one of them is named. Each stands in a list of the",
        "configuration, `masks: [{blur: {sigma: 1}}]`, or in imfuse's option string, `--blur=s1`; both mean the same.",
        "The [gallery](gallery.md) shows what each makes of one stack.",
        "",
    ]
    shared = Generator.model_json_schema()["properties"]
    for kind, (_, title, where) in KINDS.items():
        lines += [f"## {title}", "", f"In {where}.", ""]
        if kind == "generator":
            letters = {field: letter for letter, field in Generator.letters.items()}
            rows = [_option(key, one, letters) for key, one in shared.items()]
            lines += ["All of them take", "", *_table(OPTIONS, rows), ""]
        for name, cls in REGISTRY[kind].items():
            properties = cls.model_json_schema().get("properties", {})
            letters = {field: letter for letter, field in cls.letters.items()}
            lines += [f"### {name}", "", _sentence(_summary(cls)), ""]
            if kind != "prepare":
                lines[-2] += f" In an option string: `--{cls.word}`."
            rows = [
                _option(key, one, letters)
                for key, one in properties.items()
                if kind != "generator" or key not in shared
            ]
            if rows:
                lines += [*_table(OPTIONS, rows), ""]
    return "\n".join(lines)


OPTIONS = ("option", "letter", "values", "default", "")


def _option(key: str, one: Schema, letters: Mapping[str, str]) -> list[str]:
    default = one.get("default")
    return [
        f"`{key}`",
        f"`{letters[key]}`" if key in letters else "",
        values({"$defs": {}}, one),
        "" if default in (None, "") else f"`{flow(default)}`",
        _sentence(one.get("description", "")),
    ]


def _summary(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0]


# --- commands --------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments."""
    top = build_parser([])
    lines = ["# Commands", "", "All of them take `--help`, and these options:", ""]
    lines += [*_table(("option", ""), _arguments(top, shared=True)), ""]
    lines += ["Exit codes:", "", *(f"* {_code(part)}" for part in (top.epilog or "").split(": ", 1)[1].split("; ")), ""]
    for name, line in COMMANDS.items():
        parser = subparser(name)
        lines += [f"## fusestack {name}", "", _sentence(line) + ".", "", "```text", usage(parser), "```", ""]
        rows = _arguments(parser, shared=False)
        if rows:
            lines += [*_table(("argument", ""), rows), ""]
        if parser.epilog:
            lines += [parser.epilog, ""]
    return "\n".join(lines)


def _code(part: str) -> str:
    number, _, meaning = part.partition(" ")
    return f"`{number}` {meaning}"


def subparser(name: str) -> argparse.ArgumentParser:
    """The parser of one command, with its arguments."""
    parser = build_parser([name])
    (action,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    found: argparse.ArgumentParser = action.choices[name]
    return found


def usage(parser: argparse.ArgumentParser) -> str:
    """The line of its usage, without the options that all commands take."""
    text = " ".join(parser.format_usage().removeprefix("usage: ").split())
    for option in ("[-h] ", "[--quiet] ", "[--verbose] ", "[--json] "):
        text = text.replace(option, "")
    return text


def _arguments(parser: argparse.ArgumentParser, *, shared: bool) -> list[list[str]]:
    common = ("--quiet", "--verbose", "--json", "--version")
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        if bool(set(action.option_strings) & set(common)) != shared:
            continue
        rows.append([f"`{_named(action)}`", _sentence((action.help or "") % _parameters(parser, action))])
    return rows


def _named(action: argparse.Action) -> str:
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    value = value if isinstance(value, str) else " ".join(value)
    if not action.option_strings:
        return value
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")


def _parameters(parser: argparse.ArgumentParser, action: argparse.Action) -> Mapping[str, Any]:
    return {**vars(action), "prog": parser.prog}


# --- Python ----------------------------------------------------------------------------------------------------------


def python() -> str:
    """The public names, by what they are; their docstrings have examples that a test runs."""
    names = [name for name in fusestack.__all__ if not name.startswith("__")]
    functions = [name for name in names if name.islower()]
    errors = [name for name in names if name.endswith(("Error", "Warning"))]
    types = [name for name in names if name not in functions and name not in errors]
    lines = [
        "# Python",
        "",
        "`import fusestack` is quick: what computes is loaded when it is used. The examples run in the tests.",
        "Guides: [lazy images](../how-to/python.md), [notebooks](../tutorials/notebooks.md).",
        "",
    ]
    for title, group, directive in (
        ("Functions", functions, "autofunction"),
        ("What they give", types, "autoclass"),
        ("Errors", errors, "autoexception"),
    ):
        lines += [f"## {title}", ""]
        for name in group:
            lines += [f"### {name}", "", "```{eval-rst}", f".. {directive}:: fusestack.{name}", "```", ""]
    return "\n".join(lines)


# --- measured figures ------------------------------------------------------------------------------------------------


def performance() -> str:
    """What was measured, from `measured.json`: what, figure, on which machine, by which command."""
    found = json.loads((HERE / "measured.json").read_text())
    lines = ["# Performance", "", *found["introduction"], ""]
    for group in found["groups"]:
        lines += [f"## {group['title']}", "", f"`{group['command']}`", ""]
        if "note" in group:
            lines += [group["note"], ""]
        columns = {"what": "what", "found": "fusestack", "beside": "beside it", "on": "measured on"}
        used = [key for key in columns if any(row.get(key) for row in group["rows"])]
        rows = [[row.get(key, "") for key in used] for row in group["rows"]]
        lines += [*_table(tuple(columns[key] for key in used), rows), ""]
    lines += ["## Machines", "", *(f"* **{name}**: {text}" for name, text in found["machines"].items()), ""]
    return "\n".join(lines)
