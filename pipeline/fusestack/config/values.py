"""Words of the configuration that several sections share: numbers with limits, per-axis values, sizes, id lists.

A validated model holds resolved values only: ``true`` has become options, ``"4GiB"`` bytes, a pattern its numbers.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, SkipJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Strict: YAML knows numbers, texts and switches apart, so "3" is no number and true is not 1.
Switch = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Id = Annotated[int, Strict(), Field(ge=0)]
Count = Annotated[int, Strict(), Field(ge=1)]
Number = Annotated[float, Strict()]
Positive = Annotated[float, Strict(), Field(gt=0)]
NotNegative = Annotated[float, Strict(), Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]

SMALLEST_MEMORY = 2**20
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([kmgt]?)(i?)b\s*", re.ASCII | re.IGNORECASE)
_NUMBERS = "all, a list of numbers, or a pattern such as 0-3,5 or 0-6:3"


def is_array(value: Any) -> bool:
    """Whether it is an array (of NumPy, dask, Zarr, xarray ...), which only Python can give."""
    return not isinstance(value, type) and all(hasattr(value, name) for name in ("shape", "dtype", "ndim"))


def _array(value: Any) -> Any:
    if value is not None and not is_array(value):
        raise not_allowed("an array (NumPy, dask, Zarr, xarray), which only Python can give; in a file: path")
    return value


def _said_array(value: Any) -> str | None:
    """For records: ``array uint16 [64, 100, 100] (name)``."""
    if value is None:
        return None
    name = getattr(getattr(value, "data", value), "name", None) or type(value).__name__
    return f"array {value.dtype} {[int(n) for n in value.shape]} ({name})"


Array = SkipJsonSchema[
    Annotated[Any, BeforeValidator(_array), PlainSerializer(_said_array, return_type=str | None, when_used="json")]
]
"""An array in memory, or a lazy one; no part of files."""


def needs_path(schema: dict[str, Any]) -> None:
    """Say in a JSON schema that a path is needed: what may be given instead is no part of files."""
    del schema["properties"]["path"]["default"]
    schema["required"] = ["path"]


class Untitled(GenerateJsonSchema):
    """JSON Schema whose keys have no titles: an editor would show them above the description, and they say the same."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Model(BaseModel):
    """A section: immutable, without unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="strings", defer_build=True
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Find values that are right by themselves but not together: key (dots between names) and sentence."""
        yield from ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = list(self.contradictions())
        if found:
            text = "; ".join(f"{key}: {sentence}" for key, sentence in found)
            raise PydanticCustomError("contradiction", "{text}", {"text": text, "found": found})
        return self


def unsaid(section: type[M]) -> M:
    """A section of which nothing is said: its defaults, without building its validator (0.1 s for all of them)."""
    return section.model_construct()


@dataclass(frozen=True)
class Elsewhere:
    """Stands for a section whose model, a class of a module, is loaded when something is said in it."""

    module: str
    name: str

    @property
    def model(self) -> type[Model]:
        """The model."""
        found: type[Model] = getattr(importlib.import_module(self.module), self.name)
        return found

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Validate by the model; pydantic puts the place of the section before the places of its errors."""
        # a schema with a name, as those of models are, gets no title
        return core_schema.no_info_plain_validator_function(lambda v: self.model.model_validate(v), ref=self.name)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the model."""
        return handler(self.model.__pydantic_core_schema__)


def not_allowed(allowed: str) -> PydanticCustomError:
    """Error for a value of the wrong form; `allowed` completes the sentence "... is not allowed; use"."""
    return PydanticCustomError("not_allowed", "not allowed; use {allowed}", {"allowed": allowed})


class PerAxis(Model, Generic[T]):
    """One value per axis, or one number for all axes."""

    x: T = Field(description="along x")
    y: T = Field(description="along y")
    z: T = Field(description="along z")

    def __str__(self) -> str:
        return f"{{x: {self.x}, y: {self.y}, z: {self.z}}}"

    @property
    def zyx(self) -> tuple[T, T, T]:
        """In array order."""
        return (self.z, self.y, self.x)

    @property
    def xyz(self) -> tuple[T, T, T]:
        """In the order of XML and messages."""
        return (self.x, self.y, self.z)

    @model_validator(mode="before")
    @classmethod
    def _from_one_number(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"x": value, "y": value, "z": value}
        if not isinstance(value, (dict, PerAxis)):
            raise not_allowed("one number for all axes, or {x: ..., y: ..., z: ...}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe both forms."""
        mapping = handler.resolve_ref_schema(handler(schema))
        number = {
            key: value for key, value in mapping["properties"]["x"].items() if key not in ("title", "description")
        }
        mapping.pop("description", None)
        return {"description": cls.__doc__, "anyOf": [number, mapping]}


class WholePerAxis(PerAxis[Whole]):
    """One whole number per axis, or one for all axes."""


class CountPerAxis(PerAxis[Count]):
    """One number of pixels per axis, at least 1, or one for all axes."""


class NumberPerAxis(PerAxis[Number]):
    """One number per axis, or one for all axes."""


class PositivePerAxis(PerAxis[Positive]):
    """One number greater than 0 per axis, or one for all axes."""


def switch(example: str) -> Callable[[Any], Any]:
    """Make ``false`` nothing, ``true`` the default options; anything but options is refused with `example`."""

    def resolve(value: Any) -> Any:
        if value is None or value is False:
            return None
        if value is True:
            return {}
        if not isinstance(value, (dict, Model)):
            raise not_allowed(f"true, false, or a mapping such as {example}")
        return value

    return resolve


def _bytes(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and value < SMALLEST_MEMORY:
        raise not_allowed('a size with its unit, such as "4GiB" or "500 MB" (a number alone means bytes)')
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise not_allowed('a number of bytes, or a size such as "4GiB" or "500 MB"')
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _UNITS[unit.lower()])


Bytes = Annotated[int, Strict(), Field(ge=SMALLEST_MEMORY), BeforeValidator(_bytes, json_schema_input_type=int | str)]
"""A number of bytes, or a size such as ``"4GiB"`` (powers of 1024) or ``"500 MB"`` (powers of 1000)."""


def _numbers(value: Any) -> Any:
    if value is None or value == "all":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        from fusestack.project.pattern import parse_integer_pattern

        try:
            return parse_integer_pattern(value) if value.strip() else ()
        except ValueError as error:
            raise not_allowed(f"{_NUMBERS} ({error})") from error
    if not isinstance(value, (list, tuple)):
        raise not_allowed(_NUMBERS)
    return value


def _all_or_list(value: Any) -> Any:
    return None if isinstance(value, str) and value == "all" else value


Numbers = Annotated[
    Annotated[tuple[Id, ...], Field(min_length=1)] | None,
    BeforeValidator(_numbers, json_schema_input_type=Literal["all"] | Id | str | list[Id]),
]
"""Ids, or None for all."""

Pairs = Annotated[
    Annotated[tuple[tuple[Id, Id], ...], Field(min_length=1)] | None,
    BeforeValidator(_all_or_list, json_schema_input_type=Literal["all"] | list[tuple[Id, Id]]),
]
"""Pairs of timepoint and setup, or None for all."""
