"""imfuse's option string, ``--blur=s1,S2 --cutwave=p75``, as the lists of the configuration (imfuse's manual)."""

from __future__ import annotations

import difflib
import re
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.operators.base import Operator

_SECOND = {"r": "R", "s": "S", "p": "P", "n": "N"}
_NUMBER = re.compile(r"([A-Za-z]?)([+-]?(?:\d+\.?\d*|\.\d+))(%?)")
_LITERAL = ("command", "path")
"""Fields that come first, and are taken as they are."""
_SWITCHES = {"": True, "yes": True, "no": False, "on": True, "off": False, "1": True, "0": False}
_ELSEWHERE = {
    "align": "focus.align",
    "basename": "focus.output.basename",
    "B": "focus.output.basename",
    "cache": "cache.path",
    "C": "cache.path",
    "cacheformat": "nothing: the cache holds Zarr arrays",
    "exif": "nothing: EXIF is always carried over",
    "extra": "focus.output.mask and focus.output.depth",
    "X": "focus.output.mask and focus.output.depth",
    "f": "the switch --force of the command",
    "force": "the switch --force of the command",
    "format": "the suffix of focus.output.path",
    "limit-memory": "execution.memory",
    "L": "focus.output.long_name",
    "longname": "focus.output.long_name",
    "o": "focus.output.path",
    "output": "focus.output.path",
    "rmcache": "the command fusestack cache rm",
    "video": "nothing",
    "V": "nothing",
    "W": "fusestack preview",
}
_OWN = {
    "background": {},
    "between": {"p": "sharpen_between"},
    "bg": {},
    "colorspace": {"C": "space", "c": "channel"},
    "multiscale": {"l": "levels", "s": "sharpness", "n": "noise", "h": "highlights"},
    "prepresize": {"p": "percent"},
    "revert": {},
    "layered": {},
    "substacks": {
        "n": "number",
        "N": "last_number",
        "p": "percent",
        "P": "last_percent",
        "r": "radius",
        "kurt": "kurt",
    },
}
_OWN_WORDS = {
    "background": ("name",),
    "bg": ("name",),
    "colorspace": ("space", "channel"),
    "prepresize": ("interpolation",),
}


def parse_options(text: str | Sequence[str]) -> dict[str, Any]:
    """Spell out an option string.

    Parameters
    ----------
    text : str or sequence of str
        As on a command line, or already split into options.

    Returns
    -------
    dict
        Keys of the section ``focus``: masks, merge, cut, final, background, substacks, colorspace, mask_size ...

    Raises
    ------
    ValueError
        Names the option or argument that is not known, and the nearest one that is.
    """
    try:
        words = shlex.split(text) if isinstance(text, str) else list(text)
    except ValueError as error:
        raise ValueError(f"the quotes do not match ({error})") from error
    found: dict[str, Any] = {}
    for word in words:
        if not word.startswith("-"):
            raise ValueError(f"'{word}' is no option; options begin with --, and their arguments follow an =")
        name, _, arguments = word.lstrip("-").partition("=")
        _add(found, name, arguments)
    return found


def _add(found: dict[str, Any], name: str, arguments: str) -> None:
    from fusestack.operators import REGISTRY
    from fusestack.operators.base import KINDS

    for kind, key in KINDS.items():
        for operator in REGISTRY[kind].values():
            if operator.word == name:
                options = _arguments(name, arguments, operator.letters, operator.words, operator)
                _check(f"--{name}={arguments}", operator, options)
                found.setdefault(key, []).append({operator.name: options})
                return
    if name not in _OWN:
        raise ValueError(_unknown_option(name))
    options = _arguments(name, arguments, _OWN[name], _OWN_WORDS.get(name, ()), None)
    match name:
        case "background" | "bg":
            found.setdefault("background", []).append(options.get("name", "enfuse"))
        case "between":
            found["output"] = {"between_slices": True, **options}
        case "multiscale":
            found["multiscale"] = options
        case "prepresize":
            found["mask_size"] = options
        case "revert":
            found["reverse"] = True
        case "layered":
            found["layered"] = True
        case "substacks":
            found.setdefault("substacks", []).append(options)
        case _:
            _check_space(arguments, options.get("space", "sRGB"))
            found["colorspace"] = options


def _check_space(said: str, space: object) -> None:
    from fusestack.operators.base import spelled
    from fusestack.operators.choices import SPACES

    if spelled(SPACES, str(space)) is None:
        raise ValueError(f"--colorspace={said}: there is no colour space '{space}'; known are {', '.join(SPACES)}")


def _check(said: str, operator: type[Operator], options: dict[str, Any]) -> None:
    """Refuse values here, where the user finds the word that holds them."""
    from pydantic import ValidationError

    from fusestack.config.messages import refusals

    try:
        operator.model_validate(options)
    except ValidationError as error:
        problems = "; ".join(f"{key}: {text}" for key, text in refusals(error, list(operator.model_fields)))
        raise ValueError(f"{said}: {problems}") from error


def _unknown_option(name: str) -> str:
    from fusestack.operators import REGISTRY

    if name in _ELSEWHERE:
        return f"--{name} is not said here; use {_ELSEWHERE[name]}"
    known = [operator.word for operators in REGISTRY.values() for operator in operators.values()]
    group = next((group for group in ("mask", "cut", "final") if name.startswith(group)), "")
    alike = [word for word in (*known, *_OWN) if word.startswith(group)]
    longer = [word for word in alike if len(name) > 2 and word.startswith(name)]
    close = longer or difflib.get_close_matches(name, alike, n=1, cutoff=0.5 if group else 0.6)
    hint = f" (did you mean --{close[0]}?)" if close else f"; known are {', '.join(sorted([*known, *_OWN]))}"
    return f"there is no option --{name}{hint}"


def _arguments(
    option: str,
    text: str,
    letters: Mapping[str, str],
    words: Sequence[str],
    operator: type[Operator] | None,
) -> dict[str, Any]:
    """Fields by name from the arguments of one option."""
    options: dict[str, Any] = {}
    free = list(words)
    tokens = [text] if option in ("bg", "background") else text.split(",")
    for token in [token.strip() for token in tokens if token.strip()]:
        key, equals, value = token.partition("=")
        number = _NUMBER.fullmatch(token)
        known = (key if equals else number[1] if number else token) in letters
        if free and free[0] in _LITERAL and not (known and token != tokens[-1]):
            options[free.pop(0)] = token
        elif words and words[0] in _LITERAL and words[0] in options and token[0] in "0123456789.":
            options[words[0]] += f",{token}"  # as in -level 10%,90%
        elif equals and key in letters:
            options[letters[key]] = _value(value, letters[key], operator)
        elif number and number[1] in letters and number[1]:
            letter = number[1]
            if letters[letter] in options and _SECOND.get(letter) in letters:
                letter = _SECOND[letter]
            field = "radius_percent" if option == "substacks" and letter == "r" and number[3] else letters[letter]
            options[field] = _plain_number(number[2])
        elif token in letters and _is_switch(letters[token], operator):
            options[letters[token]] = True
        elif token in letters:
            raise ValueError(f"--{option}={text}: {token}: needs a value, such as {token}2, without a space")
        elif free and _may_be_a_word(token, words, operator):
            field = free.pop(0)
            options[field] = _value(token, field, operator)
        else:
            raise ValueError(f"--{option}={text}: {_unknown_argument(option, token, letters, words)}")
    return options


def _is_switch(field: str, operator: type[Operator] | None) -> bool:
    return field == "kurt" if operator is None else "bool" in str(operator.model_fields[field].annotation)


def _may_be_a_word(token: str, words: Sequence[str], operator: type[Operator] | None) -> bool:
    """Whether a token may be meant as a word, rather than as a letter with a number that is not known."""
    if operator is None or words[0] in _LITERAL or not re.search(r"\d", token):
        return True
    return any(word in ("curve", "gamma", "compare", "channel") for word in words)


def _value(text: str, field: str, operator: type[Operator] | None) -> Any:
    if operator is not None and _is_switch(field, operator) and text in _SWITCHES:
        return _SWITCHES[text]
    number = _NUMBER.fullmatch(text)
    return _plain_number(number[2]) if number and not number[1] else text


def _plain_number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _unknown_argument(option: str, token: str, letters: Mapping[str, str], words: Sequence[str]) -> str:
    known = [f"{letter} ({field})" for letter, field in letters.items() if letter]
    takes = ", ".join([*known, *(f"a word ({word})" for word in words)]) or "nothing"
    close = difflib.get_close_matches(token, list(letters), n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"'{token}' is no argument of {option}{hint}; it takes {takes}"


def option_string(operators: Sequence[Operator]) -> str:
    """The shortest option string of operators of one list: what they say beyond the defaults."""
    return " ".join(_option(operator) for operator in operators)


def _option(operator: Operator) -> str:
    names = {field: letter for letter, field in reversed(list(operator.letters.items()))}
    differing = operator.model_dump(mode="json", exclude_defaults=True)
    # words are told apart by their order, so those before the last one that counts are said, too
    words = [field for field in operator.words if field not in names]
    count = max((i + 1 for i, field in enumerate(words) if field in differing), default=0)
    said = []
    for field, value in differing.items():
        if field in words:
            continue
        letter = names[field]
        if isinstance(value, bool):
            said.append(f"{letter}={'yes' if value else 'no'}")
        else:
            text = value if isinstance(value, str) else f"{value:g}"
            said.append(f"{letter}={text}" if isinstance(value, str) or len(letter) > 1 else f"{letter}{text}")
    spoken = [str(getattr(operator, field)) for field in words[:count]]
    said = [*spoken, *said] if words and words[0] in _LITERAL else [*said, *spoken]
    return shlex.quote(f"--{operator.word}" + (f"={','.join(said)}" if said else ""))
