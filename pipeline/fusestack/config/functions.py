"""How the configuration names functions of the user's that mix views."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from fusestack.config.values import Id, Model, PerAxis, not_allowed
from fusestack.model.errors import ConfigError
from fusestack.model.function import NAME, Function

if TYPE_CHECKING:
    from collections.abc import Iterator

    CallableName = Function
else:

    def _found(given: Any) -> Any:
        if not isinstance(given, Function) and not callable(given) and not _is_name(given):
            raise not_allowed("module:function, or a Python function")
        try:
            found = Function.of(given)
            DepthPerAxis.model_validate(found.declared("depth", 0))
        except ValidationError as error:
            raise _refused(
                f"{found}: its attribute depth is {found.declared('depth', 0)}; give it one number of pixels, or "
                "{x: ..., y: ..., z: ...}"
            ) from error
        except ConfigError as error:
            raise _refused(str(error)) from error
        return found

    CallableName = Annotated[
        Any,
        BeforeValidator(_found),
        PlainSerializer(str),
        WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"}),
    ]

ARGUMENTS = ("views", "masks")


def _refused(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("contradiction", "{text}", {"text": sentence, "found": [("", sentence)]})


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


class DepthPerAxis(PerAxis[Id]):
    """One number of pixels per axis, at least 0, or one for all axes."""


def _declared(given: dict[str, Any]) -> Any:
    function = given.get("function")  # it may be missing
    return 0 if function is None else function.declared("depth", 0)


class OwnFunction(Model):
    """A Python function of aligned views and masks, each float32[view, z, y, x]."""

    function: CallableName = Field(description="module:function; it must be importable where the program runs")
    depth: DepthPerAxis = Field(
        default_factory=_declared,
        validate_default=True,
        description="pixels of the fused image around a pixel that decide about it; default: what the function "
        "says in its attribute depth, else 0",
    )
    options: dict[str, Any] = Field(default={}, description="keyword arguments of the function")

    @model_validator(mode="before")
    @classmethod
    def _from_function(cls, value: Any) -> Any:
        if isinstance(value, Function) or callable(value) or _is_name(value):
            return {"function": value}
        if not isinstance(value, (dict, OwnFunction)):
            raise not_allowed("a function of your own, module:function or {function: module:function, depth: 4}")
        return value

    def __str__(self) -> str:
        return str(self.function)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe both forms."""
        mapping = handler.resolve_ref_schema(handler(schema))
        name = {key: value for key, value in mapping["properties"]["function"].items() if key != "title"}
        mapping.pop("description", None)
        return {"description": cls.__doc__, "anyOf": [name, mapping]}

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse options that cannot be written down, and those that the function does not take."""
        try:
            json.dumps(self.options)
        except (TypeError, ValueError) as error:
            yield "options", f"{error}; use numbers, texts, switches, lists and mappings, or functools.partial"
            return
        try:
            self.function.check_arguments(ARGUMENTS, self.options)
        except ConfigError as error:
            yield "options" if self.options else "", str(error)


PlainMethod: TypeAlias = Literal["average", "max", "lowest_view", "highest_view", "closest_pixel", "mask"]
Method: TypeAlias = PlainMethod | OwnFunction
"""What is made of the views that cover a pixel."""
