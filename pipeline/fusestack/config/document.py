"""YAML 1.2 text turned into plain data, with the place of every key and value, and with ``--set`` overrides."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from fusestack.config import libyaml
from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ruamel.yaml import YAML

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the root to a value."""

# Far beyond any configuration; a few aliases of aliases expand to more.
_MOST_NODES = 1_000_000
_TAG = "tag:yaml.org,2002:"
_WINDOWS = re.compile(r"[A-Za-z]:[^\x00-\x1f]*[\x07-\x0d\x1b]")
_NOT_CONVERTED = ("str", "timestamp")


def dotted(path: KeyPath) -> str:
    """Name a key as ``--set`` and messages write it: ``input.views.0.path``."""
    return ".".join(map(str, path))


@dataclass(frozen=True)
class Places:
    """Where keys and values were written.

    Parameters
    ----------
    name : str
        Of the file; empty where there is none.
    keys, values : mapping of KeyPath to (int, int)
        Line and column, from 1.
    overrides : tuple of KeyPath
        What ``--set`` replaced, in order.
    """

    name: str = ""
    keys: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)
    values: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)
    overrides: tuple[KeyPath, ...] = ()

    def where(self, path: KeyPath, *, of_key: bool = False) -> str:
        """``file.yaml:12:3`` or ``--set fusion.method``; of what was not written, where its section begins."""
        replaced = [override for override in self.overrides if path[: len(override)] == override]
        if replaced:
            return f"--set {dotted(max(replaced, key=len))}"
        for length in range(len(path), 0, -1):
            part = path[:length]
            of_section = of_key or length < len(path)
            first, second = (self.keys, self.values) if of_section else (self.values, self.keys)
            place = first.get(part) or second.get(part)
            if place:
                return f"{self.name}:{place[0]}:{place[1]}"
        inside = [override for override in self.overrides if path and override[: len(path)] == path]
        return f"--set {dotted(inside[0])}" if inside else self.name

    def cite(self, path: KeyPath, *, of_key: bool = False) -> str:
        """Begin a message: place and key."""
        where = self.where(path, of_key=of_key)
        named = where.startswith("--set ") and dotted(path) == where.removeprefix("--set ")
        return ": ".join(part for part in (where, "" if named else dotted(path)) if part)


def read_document(text: str, name: str) -> tuple[dict[str, Any], Places]:
    """Read a YAML mapping.

    Raises
    ------
    ConfigError
        If the text is empty, not YAML, not a mapping, has duplicate keys or expands to something huge.
    """
    reader = _Reader(name)
    data = reader.read(text)
    if data is None:
        raise ConfigError(f"{name}: is empty; a configuration names at least an input, see 'fusestack init'")
    if not isinstance(data, dict):
        raise ConfigError(f"{name}:1:1: is not a mapping; a configuration consists of keys such as 'input:'")
    return data, Places(name, reader.keys, reader.values)


def override(data: dict[str, Any], places: Places, settings: Iterable[str]) -> tuple[dict[str, Any], Places]:
    """Apply ``key.path=value`` settings, in order; lists by index.

    Raises
    ------
    ConfigError
        If a setting has no ``=``, its value is not YAML, or a list has no such entry; all of them at once.
    """
    problems: list[str] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        steps = key.strip().split(".")
        if not equals or not all(steps):
            problems.append(f"--set {setting}: is not KEY=VALUE; write for example --set fusion.blending=false")
            continue
        try:
            value = _Reader(f"--set {key.strip()}", inline=True).read(text)
            data, path = _replaced(data, steps, value, ())
        except ConfigError as error:
            problems += error.problems
            continue
        places = Places(places.name, places.keys, places.values, (*places.overrides, path))
    if problems:
        raise ConfigError(*problems)
    return data, places


def _replaced(container: Any, steps: list[str], value: Any, path: KeyPath) -> tuple[Any, KeyPath]:
    """Copy of a container with one value replaced, and the path of that value."""
    if not steps:
        return value, path
    first, *rest = steps
    if isinstance(container, list):
        if not first.isdecimal() or int(first) >= len(container):
            raise ConfigError(
                f"--set {dotted((*path, *steps))}: {dotted(path)} is a list of {len(container)}, "
                f"it has no '{first}'; use 0 to {len(container) - 1}"
            )
        index = int(first)
        inner, found = _replaced(container[index], rest, value, (*path, index))
        return [*container[:index], inner, *container[index + 1 :]], found
    # A switch (`blending: true`) or an empty section gives way to the mapping that is meant.
    mapping = container if isinstance(container, dict) else {}
    inner, found = _replaced(mapping.get(first), rest, value, (*path, first))
    return {**mapping, first: inner}, found


class _Reader:
    """One reading of one text; collects the places on the way."""

    def __init__(self, name: str, *, inline: bool = False) -> None:
        self.name = name
        self.inline = inline
        self.keys: dict[KeyPath, tuple[int, int]] = {}
        self.values: dict[KeyPath, tuple[int, int]] = {}
        self._nodes = 0
        self._known: dict[tuple[str, str], Any] = {}
        self._open: set[int] = set()
        self._yaml: YAML

    def read(self, text: str) -> Any:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        self._yaml = YAML(typ="safe", pure=True)
        try:
            node = libyaml.compose(text, self._yaml) if len(text) >= libyaml.LONG else None
            node = node or self._yaml.compose(text)
            return None if node is None else self._value(node, ())
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = self._place(mark.line + 1, mark.column + 1) if mark else self.name
            raise ConfigError(f"{place}: is not valid YAML: {_reason(error)}") from error
        except YAMLError as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{self.name}: is not a YAML text file: {reason}") from error
        except RecursionError as error:
            raise ConfigError(f"{self.name}: is nested too deeply for a configuration") from error

    def _place(self, line: int, column: int) -> str:
        return self.name if self.inline else f"{self.name}:{line}:{column}"

    def _error(self, node: Any, message: str) -> ConfigError:
        return ConfigError(f"{self._place(*_start(node))}: {message}")

    def _value(self, node: Any, path: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise self._error(node, f"aliases expand to more than {_MOST_NODES:,} values; write them out")
        if node.id == "scalar":
            # Where a value is left out, YAML points at whatever follows: the key is the better place.
            if node.value or node.style:
                self.values[path] = _start(node)
            return self._scalar(node)
        self.values[path] = _start(node)
        if str(node.tag) not in (f"{_TAG}map", f"{_TAG}seq"):
            raise self._error(node, f"the tag {node.tag} is not allowed; use plain YAML")
        if id(node) in self._open:
            raise self._error(node, "an alias contains itself; write the value out")
        self._open.add(id(node))
        try:
            if node.id == "mapping":
                return self._mapping(node, path)
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise self._error(key, "a key must be a word")
            inner = (*path, str(key.value))
            if key.value in mapping:
                line, column = self.keys[inner]
                raise self._error(
                    key, f"{dotted(inner)}: is given twice (first in line {line}, column {column}); remove one"
                )
            self.keys[inner] = _start(key)
            mapping[str(key.value)] = self._value(value, inner)
        return mapping

    def _scalar(self, node: Any) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind in _NOT_CONVERTED:
            if node.style == '"' and _WINDOWS.match(node.value):
                raise self._error(
                    node,
                    "in double quotes, \\t, \\n and others of their kind are single characters; "
                    "write paths in single quotes, or with /",
                )
            return str(node.value)
        if kind not in ("int", "float", "bool", "null"):
            raise self._error(node, f"the tag {node.tag} is not allowed; use plain YAML")
        try:
            return self._plain(kind, str(node.value))
        except (ValueError, KeyError, OverflowError) as error:
            raise self._error(node, f"'{str(node.value)[:40]}' is not a value of type {kind}") from error

    def _plain(self, kind: str, value: str) -> Any:
        """A number, a truth or nothing."""
        from ruamel.yaml.nodes import ScalarNode

        if (kind, value) not in self._known:
            node = ScalarNode(f"{_TAG}{kind}", value)
            self._known[kind, value] = self._yaml.constructor.construct_object(node)
        return self._known[kind, value]


def _start(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _reason(error: Any) -> str:
    reason = " ".join(str(part) for part in (error.context, error.problem) if part)
    if "escape" in reason:
        reason += "; in double quotes a backslash means something else: write paths in single quotes, or with /"
    if "'\\t'" in reason:
        reason += "; indent with spaces, not with tabs"
    return reason
