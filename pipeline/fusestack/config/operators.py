"""Lists of operators in the configuration: checked against the registry, which is loaded when a list is there."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetJsonSchemaHandler

    from fusestack.operators.base import Operator


def _parser(kind: str) -> Callable[[Any], Operator]:
    def parse(value: Any) -> Operator:
        from fusestack.operators import REGISTRY
        from fusestack.operators.base import Operator

        if isinstance(value, Operator):
            return value
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, dict) or len(value) != 1:
            raise PydanticCustomError(
                "not_allowed",
                "not allowed",
                {"allowed": "an operator, a mapping with one key such as {blur: {sigma: 1}}"},
            )
        ((name, options),) = value.items()
        known = REGISTRY[kind]
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise _refused([(str(name), f"there is no such operator{hint}; known are {', '.join(known)}")])
        try:
            return known[name].model_validate({} if options is None else options)
        except ValidationError as error:
            from fusestack.config.messages import refusals

            fields = list(known[name].model_fields)
            raise _refused(
                [(f"{name}.{key}" if key else name, text) for key, text in refusals(error, fields)]
            ) from error

    return parse


def _refused(found: list[tuple[str, str]]) -> PydanticCustomError:
    text = "; ".join(f"{key}: {sentence}" for key, sentence in found)
    return PydanticCustomError("contradiction", "{text}", {"text": text, "found": found})


def spelled_out(operator: Operator) -> dict[str, Any]:
    """An operator as the configuration has it: its name and what differs from the defaults."""
    return {operator.name: operator.model_dump(mode="json", exclude_defaults=True)}


@dataclass(frozen=True)
class _Schema:
    """JSON Schema of an operator of one kind; asks the registry when it is needed."""

    kind: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """One alternative for each operator."""
        from fusestack.config.values import Untitled
        from fusestack.operators import REGISTRY

        alternatives = []
        for name, operator in REGISTRY[self.kind].items():
            options = operator.model_json_schema(schema_generator=Untitled)
            alternatives.append(
                {
                    "type": "object",
                    "description": options.pop("description", ""),
                    "properties": {name: {"anyOf": [options, {"type": "null"}]}},
                    "required": [name],
                    "additionalProperties": False,
                }
            )
        return {"anyOf": [*alternatives, {"type": "string", "enum": list(REGISTRY[self.kind])}]}


def _list_of(kind: str) -> Any:
    one = Annotated[Any, BeforeValidator(_parser(kind)), PlainSerializer(spelled_out), _Schema(kind)]
    return tuple[one, ...]


if TYPE_CHECKING:
    from fusestack.operators.cuts import CutOperator
    from fusestack.operators.finals import FinalOperator
    from fusestack.operators.generators import Generator
    from fusestack.operators.masks import MaskLevel, MaskMerge, MaskOperator
    from fusestack.operators.preparations import Placing, Toning

    Generators = tuple[Generator, ...]
    MaskOperators = tuple[MaskOperator | MaskMerge | MaskLevel, ...]
    CutOperators = tuple[CutOperator, ...]
    FinalOperators = tuple[FinalOperator, ...]
    Preparations = tuple[Placing | Toning, ...]
else:
    Generators = _list_of("generator")
    MaskOperators = _list_of("mask")
    CutOperators = _list_of("cut")
    FinalOperators = _list_of("final")
    Preparations = _list_of("prepare")
