"""What an operator is, and where all of them are registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping  # noqa: TC003 - pydantic looks at annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

Number = Annotated[float, Strict()]
Sigma = Annotated[float, Strict(), Field(ge=0, le=1000)]
Radius = Annotated[float, Strict(), Field(ge=0, le=1000)]
Share = Annotated[float, Strict(), Field(ge=0, le=1000)]
"""Percent that may be more than a hundred."""
Percent = Annotated[float, Strict(), Field(ge=0, le=100)]
AnyPercent = Annotated[float, Strict(), Field(ge=-1000, le=1000)]
KernelRadius = Annotated[int, Strict(), Field(ge=0, le=64)]
Count = Annotated[int, Strict(), Field(ge=1, le=1000)]
Whole = Annotated[int, Strict(), Field(ge=0, le=1000)]
Switch = Annotated[bool, Strict()]

KINDS = {
    "generator": "masks",
    "mask": "merge",
    "cut": "cut",
    "final": "final",
}
"""Kinds of operators and the lists of the configuration that they stand in."""

REGISTRY: dict[str, dict[str, type[Operator]]] = {kind: {} for kind in (*KINDS, "prepare")}
"""Operators by kind and by name; those of kind prepare are no part of imfuse's option string."""


@dataclass(frozen=True)
class Place:
    """Where a region lies: its first pixel (y, x), the size of the whole plane (y, x), its slice and their number.

    And how bright the slice is there, float32[1, y, x], for operators that are `guided`.
    """

    origin: tuple[int, int]
    shape: tuple[int, int]
    slice: int = 0
    slices: int = 1
    guide: Planes | None = field(default=None, compare=False)


class Operator(BaseModel):
    """One operator with its options.

    An operator takes the border of its array for the border of the image; whoever calls it sees to that, by handing it
    `halo` more pixels where the image goes on, and none where it ends.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    name: ClassVar[str] = ""
    word: ClassVar[str] = ""
    """The option of imfuse, without hyphens."""
    letters: ClassVar[Mapping[str, str]] = {}
    """Fields by the letters of imfuse's option string."""
    words: ClassVar[tuple[str, ...]] = ()
    """Fields that words without a letter fill, in order."""
    compiles: ClassVar[bool] = True
    """Whether trying it on a few pixels loads what it needs; not for commands of the user's."""
    version: ClassVar[int] = 1
    """Raised whenever the operator computes something else than before."""

    def halo(self) -> int:
        """How many pixels beyond a pixel it looks at, at most."""
        return 0

    @property
    def needs_whole_plane(self) -> bool:
        """Whether no halo is enough."""
        return False

    def facts(self) -> list[Any]:
        """What its results depend on: name, version, options."""
        return [self.name, self.version, self.model_dump(mode="json")]


Class = TypeVar("Class", bound=type[Operator])


def operator(kind: str, name: str, word: str | None = None) -> Callable[[Class], Class]:
    """Register a class as the operator `name` of a kind; `word` is imfuse's option where it has another name."""

    def register(cls: Class) -> Class:
        cls.name = name
        cls.word = word or name
        REGISTRY[kind][name] = cls
        return cls

    return register


def spelled(names: Iterable[str], text: str) -> str | None:
    """The one of some names that a text means, in any spelling of upper and lower case."""
    return next((name for name in names if name.lower() == text.lower()), None)


def choice(names: tuple[str, ...], aliases: Mapping[str, str] | None = None) -> Any:
    """Type of a field that takes one of some names, in any spelling of upper and lower case."""
    known = {name.lower(): name for name in names} | {key.lower(): name for key, name in (aliases or {}).items()}

    def resolve(value: Any) -> Any:
        found = known.get(value.lower()) if isinstance(value, str) else None
        if found is None:
            import difflib

            close = difflib.get_close_matches(str(value).lower(), known, n=1)
            hint = f" (did you mean '{known[close[0]]}'?)" if close else ""
            raise PydanticCustomError("not_allowed", "not allowed", {"allowed": f"one of {', '.join(names)}{hint}"})
        return found

    return Annotated[str, BeforeValidator(resolve), WithJsonSchema({"type": "string", "enum": list(names)})]
