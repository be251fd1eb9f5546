"""The sets of focus settings that ``focus.tune`` asks for: lists and grids, each as a configuration of its own."""

from __future__ import annotations

import copy
import difflib
import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fusestack.config.focus import Focus
from fusestack.config.optionstring import parse_options
from fusestack.focus.recipe import PRESET, Recipe, recipe_of
from fusestack.model.errors import ConfigError
from fusestack.operators import REGISTRY
from fusestack.operators.base import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.operators.base import Operator

    Raw = dict[str, Any]

SETTINGS = (
    "options",
    "method",
    "multiscale",
    "colorspace",
    "mask_size",
    "masks",
    "merge",
    "cut",
    "final",
    "background",
    "substacks",
)
"""Keys of ``focus`` that a set replaces as a whole."""
PLAIN = {"output": ("between_slices", "sharpen_between")}
"""Other keys that sets may name."""
MOST_SETS = 200
_OF_MASKS = ("options", "colorspace", "mask_size", "masks", "merge", "cut")
_SECTIONS = {
    "multiscale": ("levels", "sharpness", "noise", "highlights"),
    "colorspace": ("space", "channel"),
    "mask_size": ("percent", "interpolation"),
    **PLAIN,
}
_ALONE = ("method", "background")


@dataclass(frozen=True)
class OptionSet:
    """One set of focus settings.

    Parameters
    ----------
    number : int
        From 1, as people name it.
    loaded : LoadedConfig
        The configuration with these settings.
    recipe : Recipe
        What they mean.
    settings : mapping
        Keys of ``focus`` that make the difference, as they would be written: `SETTINGS`, and parts of `PLAIN`.
    """

    number: int
    loaded: LoadedConfig
    recipe: Recipe
    settings: Mapping[str, Any]

    @property
    def options(self) -> str:
        """As an option string."""
        return self.recipe.option_string()


def option_sets(loaded: LoadedConfig, *, photographs: bool, opacity: bool) -> list[OptionSet]:
    """Sets that a configuration asks for, each once, in the order of the list and of the grid.

    Parameters
    ----------
    loaded : LoadedConfig
    photographs, opacity : bool
        See `fusestack.focus.recipe.recipe_of`.

    Raises
    ------
    ConfigError
        If it asks for none or too many, if an option is not known or belongs to no set, or a set is wrong.
    """
    focus = loaded.config.focus
    tune = None if focus is None else focus.tune
    if tune is None or not (tune.options or tune.vary):
        where = loaded.cite("focus.tune") if tune is not None else f"{loaded.name}: focus.tune"
        raise ConfigError(
            f"{where}: names no sets to try; write for example\n"
            '  focus: {tune: {options: ["--multiscale", "--blur=s1,S2 --maskwave=p100"], '
            "vary: {multiscale.levels: [4, 5, 6]}}}"
        )
    _check_count(loaded, len(tune.options) or 1, [len(values) for values in tune.vary.values()])
    keys = [_Key.of(loaded, key) for key in tune.vary]
    base = {key: one for key, one in loaded.data["focus"].items() if key != "tune"}
    used: set[str] = set()
    found: dict[Recipe, OptionSet] = {}
    for entry in tune.options or (None,):
        raw, as_string = _begun(loaded, base, entry)
        for values in itertools.product(*tune.vary.values()):
            one = copy.deepcopy(raw)
            for key, value in sorted(zip(keys, values, strict=True), key=lambda pair: pair[0].parts != ("method",)):
                if key.set(one, value):
                    used.add(key.text)
            made = _made(loaded, one, len(found) + 1, photographs=photographs, opacity=opacity)
            found.setdefault(made.recipe, _written(made, one, as_string=as_string))
    idle = [key for key in keys if key.text not in used]
    if idle:
        raise ConfigError(*(f"{loaded.cite('focus.tune.vary')}: {key.text}: {key.absent}" for key in idle))
    return list(found.values())


def _check_count(loaded: LoadedConfig, entries: int, values: Sequence[int]) -> None:
    count = entries * math.prod(values)
    if count > MOST_SETS:
        product = " x ".join(map(str, [entries, *values]))
        raise ConfigError(
            f"{loaded.cite('focus.tune')}: asks for {count:,} sets ({product}), and nobody looks at more than "
            f"{MOST_SETS} pictures; vary fewer options, or fewer values, at a time"
        )


def _begun(loaded: LoadedConfig, base: Raw, entry: Any) -> tuple[Raw, bool]:
    """What ``focus`` says with an entry of the list, and whether it is said as a string."""
    if entry is None:
        return copy.deepcopy(base), bool(base.get("options"))
    kept = {key: one for key, one in base.items() if key not in SETTINGS}
    if isinstance(entry, str):
        return {**kept, "options": entry}, True
    strange = [key for key in entry if key not in (*SETTINGS, *PLAIN)]
    if strange:
        near = difflib.get_close_matches(str(strange[0]), (*SETTINGS, *PLAIN), 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join((*SETTINGS, *PLAIN))}"
        raise ConfigError(f"{loaded.cite('focus.tune.options')}: '{strange[0]}' is no key that a set may name ({hint})")
    output = entry.get("output") or {}
    wrong = [key for key in output if key not in PLAIN["output"]]
    if wrong:
        raise ConfigError(
            f"{loaded.cite('focus.tune.options')}: a set may not name output.{wrong[0]}, only "
            f"{', '.join(PLAIN['output'])}"
        )
    if output:
        entry = {**entry, "output": {**(kept.get("output") or {}), **output}}
    return copy.deepcopy({**kept, **entry}), bool(entry.get("options"))


def _made(loaded: LoadedConfig, raw: Raw, number: int, *, photographs: bool, opacity: bool) -> OptionSet:
    """A set, validated."""
    try:
        one = loaded.having("focus", raw)
    except ConfigError as error:
        said = {key: value for key, value in raw.items() if key in SETTINGS}
        raise ConfigError(*(f"focus.tune: set {number}, {said}: {problem}" for problem in error.problems)) from error
    assert one.config.focus is not None
    recipe = recipe_of(one.config.focus, photographs=photographs, opacity=opacity)
    return OptionSet(number, one, recipe, {})


def _written(made: OptionSet, raw: Raw, *, as_string: bool) -> OptionSet:
    """A set with what would be written of it: as a string where it was one."""
    plain = {key: dict(raw[key]) for key in PLAIN if isinstance(raw.get(key), dict)}
    plain = {key: {name: one for name, one in part.items() if name in PLAIN[key]} for key, part in plain.items()}
    settings = {key: one for key, one in raw.items() if key in SETTINGS and one is not None}
    if as_string:
        settings = {"options": raw.get("options") or made.options}
    return replace(made, settings={**settings, **{key: part for key, part in plain.items() if part}})


@dataclass(frozen=True)
class _Key:
    """A key of ``vary``: what it names.

    Parameters
    ----------
    text : str
        As it was written.
    parts : tuple of str
        Keys of ``focus``, the last one of them a field; or a list of operators, a name and a field.
    """

    text: str
    parts: tuple[str, ...]

    @staticmethod
    def of(loaded: LoadedConfig, text: str) -> _Key:
        """Understand a key.

        Raises
        ------
        ConfigError
            If there is no such option; names the nearest one.
        """
        known = _known()
        if text in known:
            return _Key(text, known[text])
        near = difflib.get_close_matches(text, known, 1, cutoff=0.5)
        beginning = [key for key in known if key.partition(".")[0] == text.partition(".")[0]]
        hint = f"did you mean '{near[0]}'?" if near else "an operator and its option, such as cutless.percent"
        if beginning and (not near or near[0] not in beginning):
            hint = f"it has {', '.join(key.partition('.')[2] or key for key in beginning)}"
        raise ConfigError(f"{loaded.cite('focus.tune.vary')}: there is no option '{text}' ({hint})")

    @property
    def absent(self) -> str:
        """What to say where no set has it."""
        if self.parts[0] in KINDS.values():
            return (
                f"no set has the operator {self.parts[1]}; name it in focus.{self.parts[0]}, or in a set of "
                "focus.tune.options"
            )
        return "belongs to none of the sets, which all use the other method"

    def set(self, raw: Raw, value: Any) -> bool:
        """Set a value; False where the set does not have the option."""
        if self.parts == ("method",):
            for key in _OF_MASKS if value == "multiscale" else ("multiscale", "options"):
                raw.pop(key, None)
            raw["method"] = value
            return True
        if self.parts[0] != "output":
            _spell_out(raw)
        if len(self.parts) == 1:
            raw[self.parts[0]] = value
            return True
        mixes = _mixes(raw)
        if mixes is None:
            return True  # it is refused when it is validated
        if self.parts[0] in _SECTIONS:
            if self.parts[0] not in PLAIN and mixes != (self.parts[0] == "multiscale"):
                return False
            raw[self.parts[0]] = {**(raw.get(self.parts[0]) or {}), self.parts[1]: value}
            return True
        key, name, field = self.parts
        if mixes and key != "final":
            return False
        entries = _entries(raw, key, mixes=mixes)
        places = [i for i, one in enumerate(entries) if (one if isinstance(one, str) else next(iter(one))) == name]
        if len(places) > 1:
            raise ConfigError(
                f"focus.tune.vary: {self.text}: a set has the operator {name} {len(places)} times; write such sets out "
                "in focus.tune.options"
            )
        for place in places:
            one = entries[place]
            entries[place] = {name: {**((not isinstance(one, str) and one[name]) or {}), field: value}}
        if places:
            raw[key] = entries
        return bool(places)


def _known() -> dict[str, tuple[str, ...]]:
    """Everything that may vary: ``cutless.percent`` or ``cut.less.percent``, ``multiscale.levels``, ``method``."""
    found: dict[str, tuple[str, ...]] = {key: (key,) for key in _ALONE}
    found |= {f"{key}.{field}": (key, field) for key, fields in _SECTIONS.items() for field in fields}
    for kind, key in KINDS.items():
        for name, operator in REGISTRY[kind].items():
            for field in _fields(operator):
                found.setdefault(f"{operator.word}.{field}", (key, name, field))
                found[f"{key}.{name}.{field}"] = (key, name, field)
    return found


def _fields(operator: type[Operator]) -> list[str]:
    return list(operator.model_fields)


def _mixes(raw: Raw) -> bool | None:
    """Whether method multiscale is meant; None where nobody can say."""
    try:
        return Focus.model_validate({key: one for key, one in raw.items() if key in SETTINGS}).mixing is not None
    except ValidationError:
        return None


def _spell_out(raw: Raw) -> None:
    """Exchange an option string for what it stands for."""
    options = raw.pop("options", None)
    if not options:
        return
    found = parse_options(options)
    if "background" in found and "multiscale" not in found:
        found.setdefault("masks", [])
    output = {**found.pop("output", {}), **(raw.get("output") or {})}
    raw |= found
    if output:
        raw["output"] = output


def _entries(raw: Raw, key: str, *, mixes: bool) -> list[Any]:
    """A list of operators; that of the preset where masks are made and none is named."""
    found = raw.get(key)
    if found is None and raw.get("masks") is None and not mixes:
        found = parse_options(PRESET).get(key)
    return list(found or ())
