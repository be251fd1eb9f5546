"""What pydantic found wrong, as sentences: where, what was given, what is allowed, what was probably meant."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from fusestack.config.document import KeyPath, Places, dotted
from fusestack.config.models import Config
from fusestack.config.values import Elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_ALLOWED: dict[str, Callable[[dict[str, Any]], str]] = {
    "not_allowed": lambda c: str(c["allowed"]),
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "int_parsing_size": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "tuple_type": lambda _: "a list",
    "dict_type": lambda _: "a mapping",
    "finite_number": lambda _: "a finite number",
    "string_too_short": lambda _: "text that is not empty",
    "greater_than": lambda c: f"a number greater than {c['gt']:,.15g}",
    "greater_than_equal": lambda c: f"at least {c['ge']:,.15g}",
    "less_than": lambda c: f"a number less than {c['lt']:,.15g}",
    "less_than_equal": lambda c: f"at most {c['le']:,.15g}",
    "too_short": lambda c: f"at least {c['min_length']} {'entry' if c['min_length'] == 1 else 'entries'}",
    "too_long": lambda c: f"at most {c['max_length']} entries",
}


def sentences(error: ValidationError, data: Any, places: Places) -> list[str]:
    """Every problem of a configuration, one sentence each, in the order of the schema.

    Parameters
    ----------
    error : ValidationError
        Of `Config`.
    data : mapping
        What was validated.
    places : Places
    """
    found: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] != "default_factory_not_called":
            found.setdefault(_path(detail, data), []).append(detail)
    # Of a union, only the alternative that the value resembles goes deeper; the others only say "not a mapping".
    outer = {path[:length] for path in found for length in range(len(path))}
    texts: list[str] = []
    for path, details in found.items():
        if path in outer:
            details = [detail for detail in details if detail["type"] == "contradiction"]
        if details:
            texts += _explain(path, details, places)
    return list(dict.fromkeys(texts))


def _path(detail: ErrorDetails, data: Any) -> KeyPath:
    """Path in the data: pydantic's location without the names of alternatives that it tried."""
    path: list[str | int] = []
    here = data
    for step in detail["loc"]:
        if _has(here, step):
            here = here[step]
            path.append(step)
    # A missing key is not in the data, nor is one whose default could not be made.
    last = detail["loc"][-1] if detail["loc"] else None
    if isinstance(here, dict) and isinstance(last, str) and detail["type"] in ("missing", "unguessable"):
        path.append(last)
    return tuple(path)


def _has(container: Any, step: str | int) -> bool:
    if isinstance(container, list | tuple):
        return isinstance(step, int) and step < len(container)
    return isinstance(container, dict) and step in container


def _explain(path: KeyPath, details: list[ErrorDetails], places: Places) -> list[str]:
    first = details[0]
    kinds = {detail["type"] for detail in details}
    if "extra_forbidden" in kinds or "invalid_key" in kinds:
        return [f"{places.cite(path, of_key=True)}: {_unknown_key(path)}"]
    if "contradiction" in kinds:
        pairs = [pair for detail in details if detail["type"] == "contradiction" for pair in detail["ctx"]["found"]]
        return [f"{places.cite(_below(path, key))}: {sentence}" for key, sentence in pairs]
    if "unguessable" in kinds:
        return [f"{places.cite(path)}: {first['msg']}"]
    if first["type"] == "missing" and isinstance(first["loc"][-1], str):
        return [f"{places.cite(path)}: is missing, but needed here"]
    return [f"{places.cite(path)}: {_refusal(path, details)}"]


def _below(path: KeyPath, key: str) -> KeyPath:
    steps = key.split(".") if key else []
    return (*path, *(int(step) if step.isdecimal() else step for step in steps))


def _refusal(path: KeyPath, details: list[ErrorDetails]) -> str:
    """``'linaer' is not allowed; use linear or nearest (did you mean 'linear'?)``."""
    given = details[0]["input"]
    words = [word for detail in details for word in _words(detail)]
    allowed = list(dict.fromkeys(words + [text for detail in details if (text := _form(detail, path))]))
    hint = ""
    if isinstance(given, str):
        close = difflib.get_close_matches(given, words, n=1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        if given.lower() in ("nan", "inf", "-inf"):
            hint = " (YAML writes .nan and .inf, with a dot)"
    return f"{shown(given)} is not allowed; use {_either(allowed)}{hint}"


def _words(detail: ErrorDetails) -> list[str]:
    if detail["type"] == "bool_type":
        return ["true", "false"]
    if detail["type"] != "literal_error":
        return []
    expected = detail["ctx"]["expected"]
    return re.findall(r"'([^']+)'", expected) or [expected]


def _form(detail: ErrorDetails, path: KeyPath) -> str:
    """What one alternative takes, apart from words."""
    kind = detail["type"]
    if kind in ("literal_error", "bool_type"):
        return ""
    if kind == "string_type":
        given = detail["input"]
        return f'text, such as "{given}"' if isinstance(given, int | float) and not isinstance(given, bool) else "text"
    if kind in ("model_type", "model_attributes_type"):
        return f"a mapping with keys such as {', '.join(_known_keys(path))}"
    if kind == "missing":
        return f"a list with {detail['loc'][-1] + 1} entries"  # type: ignore[operator]
    describe = _ALLOWED.get(kind)
    return describe(detail.get("ctx", {})) if describe else f"a value for which holds: {detail['msg']}"


def _either(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def shown(value: Any) -> str:
    """Write a value as in YAML, shortened."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value:+}".replace("+", "").replace("nan", ".nan").replace("inf", ".inf")
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:56]}..."


def _unknown_key(path: KeyPath) -> str:
    *section, key = path
    known = _known_keys(tuple(section))
    close = difflib.get_close_matches(str(key), known, n=1)
    if close:
        return f"unknown key (did you mean '{close[0]}'?)"
    elsewhere: list[KeyPath] = [(name,) for name in Config.model_fields if key in _known_keys((name,))]
    if key in Config.model_fields and section:
        elsewhere.append(())
    if elsewhere:
        return f"unknown key (did you mean {' or '.join(dotted((*place, key)) for place in elsewhere)}?)"
    return f"unknown key; allowed are {', '.join(known)}" if known else "unknown key; remove it"


def _known_keys(path: KeyPath) -> list[str]:
    """Keys of the section at a path, in the order of the schema."""
    models: set[type[BaseModel]] = {Config}
    for step in path:
        if isinstance(step, str):
            fields = [model.model_fields[step].annotation for model in models if step in model.model_fields]
            models = {found for annotation in fields for found in _models_in(annotation)}
    return list(dict.fromkeys(field.alias or key for model in models for key, field in model.model_fields.items()))


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    if isinstance(annotation, Elsewhere):
        return {annotation.model}
    return {found for part in get_args(annotation) for found in _models_in(part)}


def refusals(error: ValidationError, known: list[str]) -> list[tuple[str, str]]:
    """Problems of a mapping with the given keys: key and sentence of each."""
    found: list[tuple[str, str]] = []
    grouped: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        grouped.setdefault(str(detail["loc"][0]) if detail["loc"] else "", []).append(detail)
    for key, details in grouped.items():
        kinds = {detail["type"] for detail in details}
        if "extra_forbidden" in kinds:
            close = difflib.get_close_matches(key, known, n=1)
            text = (
                f"unknown key (did you mean '{close[0]}'?)" if close else f"unknown key; allowed are {', '.join(known)}"
            )
        elif kinds == {"missing"}:
            text = "is missing, but needed here"
        else:
            text = _refusal((key,), [detail for detail in details if detail["type"] != "none_required"] or details)
        found.append((key, text))
    return found
