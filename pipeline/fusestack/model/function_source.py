"""What a module says of a function of its, without running the module.

Plans and checks of configurations of somebody else run none of their code. What cannot be told from the text alone
(decorated functions, values that are computed) is not told here, and the module is imported as any other would be.
"""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import dataclass, field
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import decode_source
from pathlib import Path
from typing import Any, TypeAlias

_Facts: TypeAlias = Any


class _UnknownError(Exception):
    """The text does not tell."""


@dataclass(frozen=True)
class Described:
    """A function as the text of its module has it.

    Parameters
    ----------
    name : str
        ``module:function``.
    file : str
    text : bytes
        Of the module, which has to be the same when it is imported.
    facts : list
        Source, defaults, and what it names in its module, as `fusestack.model.function` has them of an imported one.
    signature : inspect.Signature
    attributes : dict of str to object
        What the module sets on it.
    """

    name: str
    file: str
    text: bytes = field(repr=False)
    facts: _Facts = field(repr=False, hash=False)
    signature: inspect.Signature = field(repr=False, hash=False)
    attributes: dict[str, Any] = field(repr=False, hash=False)

    @property
    def is_current(self) -> bool:
        """Whether the file still says so."""
        try:
            return Path(self.file).read_bytes() == self.text
        except OSError:
            return False


def described(name: str) -> Described | None:
    """Describe ``module:function``; None where the text of the module does not tell all."""
    module, _, function = name.partition(":")
    file = _file_of(module)
    if file is None or "." in function:
        return None
    try:
        text = Path(file).read_bytes()
        source = decode_source(text)
        found = _Module(source, module, compile(source, file, "exec", dont_inherit=True, optimize=sys.flags.optimize))
        return Described(
            name, file, text, found.facts(function, ()), found.signature(function), found.attributes.get(function, {})
        )
    except (OSError, SyntaxError, ValueError, _UnknownError):
        return None


def _file_of(module: str) -> str | None:
    """File of a module that a path leads to; packages on the way are not run."""
    path, name, spec = None, "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec.origin if spec is not None and type(spec.loader) is SourceFileLoader else None


class _Module:
    """Names of a module at its outermost level, and what they are where that can be read."""

    def __init__(self, source: str, name: str, code: Any) -> None:
        self._lines, self._own = source.splitlines(keepends=True), name.split(".")[0]
        self._codes = {one.co_name: one for one in code.co_consts if inspect.iscode(one)}
        self._functions: dict[str, ast.FunctionDef] = {}
        self._values: dict[str, Any] = {}
        self._passed_by: set[str] = set()
        self.attributes: dict[str, dict[str, Any]] = {}
        self._bound: list[str] = []
        for statement in ast.parse(source).body:
            self._take(statement)

    def _take(self, statement: ast.stmt) -> None:
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        if isinstance(statement, ast.FunctionDef) and not statement.decorator_list:
            self._functions[statement.name] = statement
            self._bound.append(statement.name)
        elif isinstance(statement, ast.ClassDef):
            self._passed_by.add(statement.name)
            self._bound.append(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            self._take_import(statement)
        elif isinstance(target, ast.Name) and isinstance(statement, ast.Assign):
            self._bound.append(target.id)
            if _is_literal(statement.value):
                self._values[target.id] = ast.literal_eval(statement.value)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            assert isinstance(statement, ast.Assign)
            if not _is_literal(statement.value):
                self._bound += [target.value.id] * 2  # not told
            else:
                said = self.attributes.setdefault(target.value.id, {})
                said[target.attr] = ast.literal_eval(statement.value)
        else:
            changed = (one.id for one in ast.walk(statement) if isinstance(one, ast.Name))
            self._bound += [name for name in changed for _ in range(2)]

    def _take_import(self, statement: ast.Import | ast.ImportFrom) -> None:
        inside = isinstance(statement, ast.ImportFrom) and (
            statement.level > 0 or (statement.module or "").split(".")[0] == self._own
        )
        for alias in statement.names:
            if alias.name == "*":
                raise _UnknownError
            name = alias.asname or alias.name.split(".")[0]
            self._bound.append(name)
            if not inside and not (isinstance(statement, ast.ImportFrom) and alias.name.isupper()):
                self._passed_by.add(name)  # a module, or what other packages bring

    def _function(self, name: str) -> ast.FunctionDef:
        if name not in self._functions or self._bound.count(name) != 1 or name not in self._codes:
            raise _UnknownError
        return self._functions[name]

    def facts(self, name: str, outer: tuple[str, ...]) -> _Facts:
        """As `fusestack.model.function` has them."""
        if name in outer:
            return "itself"
        node = self._function(name)
        if any(isinstance(one, ast.Global) for one in ast.walk(node)):
            raise _UnknownError
        text = "".join(self._lines[node.lineno - 1 : node.end_lineno])
        defaults = [_literal(one) for one in node.args.defaults] or None
        pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        kwdefaults = [[arg.arg, _literal(one)] for arg, one in pairs if one is not None] or None
        named = []
        for one in sorted(_names(self._codes[name])):
            if one in self._functions:
                named.append([one, self.facts(one, (*outer, name))])
            elif one in self._values and self._bound.count(one) == 1:
                named.append([one, _plain(self._values[one])])
            elif one in self._bound and (one not in self._passed_by or self._bound.count(one) != 1):
                raise _UnknownError
        return [text, defaults, kwdefaults, [], named]

    def signature(self, name: str) -> inspect.Signature:
        """Its arguments, without annotations."""
        arguments, kinds = self._function(name).args, inspect.Parameter
        positional = [*arguments.posonlyargs, *arguments.args]
        found = []
        for number, one in enumerate(positional):
            kind = kinds.POSITIONAL_ONLY if number < len(arguments.posonlyargs) else kinds.POSITIONAL_OR_KEYWORD
            place = number - len(positional) + len(arguments.defaults)
            found.append(kinds(one.arg, kind, default=_default(arguments.defaults[place] if place >= 0 else None)))
        if arguments.vararg:
            found.append(kinds(arguments.vararg.arg, kinds.VAR_POSITIONAL))
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            found.append(kinds(one.arg, kinds.KEYWORD_ONLY, default=_default(default)))
        if arguments.kwarg:
            found.append(kinds(arguments.kwarg.arg, kinds.VAR_KEYWORD))
        return inspect.Signature(found)


def _names(code: Any) -> set[str]:
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if inspect.iscode(one)))


def _is_literal(node: ast.expr) -> bool:
    try:
        _plain(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, _UnknownError):
        return False
    return True


def _literal(node: ast.expr) -> _Facts:
    return _plain(_default(node))


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return inspect.Parameter.empty
    if not _is_literal(node):
        raise _UnknownError
    return ast.literal_eval(node)


def _plain(value: Any) -> _Facts:
    """A value for a hash, as `fusestack.model.function` has it."""
    if value is None or isinstance(value, str | bytes | int | float | complex):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    raise _UnknownError
