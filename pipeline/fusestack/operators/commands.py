"""Operators of the user's own: a Python function, or options of ImageMagick.

Some options are computed here (see `imagemagick`), all others by ImageMagick where it is installed.
"""

from __future__ import annotations

import functools
import shlex
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from fusestack import kernels
from fusestack.model.errors import ConfigError
from fusestack.model.function import NAME, Function
from fusestack.operators import imagemagick
from fusestack.operators.base import Place, Whole, operator
from fusestack.operators.cuts import CutOperator
from fusestack.operators.finals import FinalOperator
from fusestack.operators.generators import Generator
from fusestack.operators.masks import MaskOperator
from fusestack.operators.pixel_options import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fusestack.operators.base import Operator
    from fusestack.operators.canvas import Step
    from fusestack.operators.finals import Picture

    Planes = NDArray[np.float32]
    Numbers = NDArray[np.float64]

_COMMAND = Field(description="module:function of Python, or options of ImageMagick such as '-edge 1'")
_REACH = Field(default=None, description="how many pixels it looks at on each side; default: what is known of it")
_SECONDS = 3600


def run_command(command: str | Function, planes: Planes, known: Sequence[Numbers] = ()) -> Planes:
    """Apply a command to float32[c, y, x]; `known` are the limits that some options need, else those of the planes.

    Raises
    ------
    ConfigError
        If there is no such function or no ImageMagick, or what comes back has another shape.
    """
    found: Planes
    if (function := _function(command)) is not None:
        found = np.asarray(function(planes.copy()), dtype=np.float32)
    elif own := imagemagick.known(str(command)):
        found = own.apply(planes, known)
    else:
        found = _imagemagick(str(command), planes)
    if found.shape != planes.shape:
        raise ConfigError(f"cmd: {command}: makes {found.shape} of {planes.shape}; it must keep the shape c, y, x")
    return np.nan_to_num(found, nan=0.0, posinf=1.0, neginf=0.0)


def check_command(operator: Command | MaskCommand | CutCommand | FinalCommand) -> None:
    """Refuse a command that cannot be run here.

    Raises
    ------
    ConfigError
    """
    if (function := _function(operator.command)) is not None:
        try:
            function.check_arguments(("planes",), {})
        except ConfigError as error:
            raise ConfigError(f"cmd: {error}") from error
    elif not imagemagick.known(str(operator.command)):
        _only_pixels(str(operator.command))
        _program()


def known_reach(command: str | Function, declared: int | None) -> int | None:
    """How far a command looks: as declared, but no less than what is known of it; None if nobody knows."""
    own = _known(command)
    return declared if own is None else max(own.halo, declared or 0)


def stretching(operator: Operator) -> tuple[str, ...]:
    """Options of a command before, at and behind each that must know the limits of all it is applied to.

    Empty where there is none, or nobody knows.
    """
    found = _known(operator.command) if isinstance(operator, COMMANDS) else None
    return found.pieces if found is not None and found.stretches else ()


def _known(command: str | Function) -> imagemagick.Known | None:
    return None if _names_function(command) else imagemagick.known(str(command))


def _names_function(command: str | Function) -> bool:
    return isinstance(command, Function) or NAME.fullmatch(command) is not None


def _function(command: str | Function) -> Function | None:
    """The function of a command, None where it is for ImageMagick."""
    if not _names_function(command):
        return None
    try:
        return Function.of(command)
    except ConfigError as error:
        raise ConfigError(f"cmd: {error}") from error


def _command_facts(command: str | Function) -> list[str]:
    """What the results of a command depend on besides its text: the source of a function."""
    function = _function(command)
    return [] if function is None else [function.source]


def _given(command: Any) -> Any:
    if isinstance(command, str) and command:
        return command
    if isinstance(command, Function) or callable(command):
        try:
            return Function.of(command)
        except ConfigError as error:
            raise PydanticCustomError("not_allowed", "not allowed", {"allowed": f"another one: {error}"}) from error
    allowed = "text: module:function of Python, or options of ImageMagick such as '-edge 1'"
    raise PydanticCustomError("not_allowed", "not allowed", {"allowed": allowed})


@functools.lru_cache(maxsize=1)
def _program() -> list[str]:
    for name in ("magick", "convert"):
        program = shutil.which(name)
        if program is not None:
            answer = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=60)
            if answer.returncode == 0 and "ImageMagick" in answer.stdout:
                return [program]
    raise ConfigError(
        "cmd: options of ImageMagick need ImageMagick, which is not installed here; install it, or name a Python "
        "function, module:function"
    )


def _only_pixels(command: str) -> None:
    """Refuse options with which ImageMagick would do more than compute on pixels."""
    reason = refusal(command)
    if reason is not None:
        raise ConfigError(f"cmd: {command}: {reason}; for anything else name a Python function, module:function")


def _imagemagick(command: str, planes: Planes) -> Planes:
    _only_pixels(command)
    count, height, width = planes.shape
    kind = {1: "gray", 3: "rgb"}.get(count)
    if kind is None:
        return np.concatenate([_imagemagick(command, plane[None]) for plane in planes])
    raw = ["-depth", "32", "-define", "quantum:format=floating-point"]
    arguments = [*_program(), *raw, "-size", f"{width}x{height}", f"{kind}:-", *shlex.split(command), *raw, f"{kind}:-"]
    data = np.ascontiguousarray(planes.transpose(1, 2, 0), dtype="<f4").tobytes()
    answer = subprocess.run(arguments, input=data, capture_output=True, check=False, timeout=_SECONDS)
    if answer.returncode != 0:
        raise ConfigError(f"cmd: {command}: ImageMagick refuses: {answer.stderr.decode(errors='replace').strip()}")
    if len(answer.stdout) != len(data):
        raise ConfigError(f"cmd: {command}: ImageMagick gives an image of another size; keep the size")
    return np.frombuffer(answer.stdout, dtype="<f4").reshape(height, width, count).transpose(2, 0, 1).astype(np.float32)


if TYPE_CHECKING:
    CommandText = str | Function
else:
    CommandText = Annotated[
        Any, BeforeValidator(_given), PlainSerializer(str), WithJsonSchema({"type": "string", "minLength": 1})
    ]


@operator("generator", "cmd")
class Command(Generator):
    """A command as a generator."""

    command: CommandText = _COMMAND
    reach: Whole | None = _REACH
    letters: ClassVar = {**Generator.letters, "halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    @property
    def needs_whole_plane(self) -> bool:
        """Where its reach is not known, or it must know limits."""
        return known_reach(self.command, self.reach) is None or bool(stretching(self))

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def facts(self) -> list[Any]:
        """See `Operator.facts`; an edited function is another one."""
        return [*super().facts(), *_command_facts(self.command)]

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return run_command(self.command, planes)

    def combine(self, parts: list[Planes]) -> Planes:
        """The answer, where options before this command have been applied: float32[c, y, x]."""
        return run_command(self.command, parts[0])


@operator("generator", "cmddiff")
class CommandDifference(Command):
    """What a command changes."""

    @property
    def by_default_compared(self) -> bool:
        """It is the change that counts."""
        return True


@operator("mask", "cmd", "maskcmd")
class MaskCommand(MaskOperator):
    """A command on the merged mask."""

    command: CommandText = _COMMAND
    reach: Whole | None = _REACH
    letters: ClassVar = {"halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    @property
    def needs_whole_plane(self) -> bool:
        """Where its reach is not known, or it must know limits."""
        return known_reach(self.command, self.reach) is None or bool(stretching(self))

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def facts(self) -> list[Any]:
        """See `Operator.facts`; an edited function is another one."""
        return [*super().facts(), *_command_facts(self.command)]

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        return run_command(self.command, mask)


@operator("cut", "cmd", "cutcmd")
class CutCommand(CutOperator):
    """A command on the cut."""

    command: CommandText = _COMMAND
    reach: Whole | None = _REACH
    letters: ClassVar = {"halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    @property
    def needs_whole_plane(self) -> bool:
        """Where its reach is not known, or it must know limits: those of this slice, since others are not cut yet."""
        return known_reach(self.command, self.reach) is None or bool(stretching(self))

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def facts(self) -> list[Any]:
        """See `Operator.facts`; an edited function is another one."""
        return [*super().facts(), *_command_facts(self.command)]

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        step.cut = run_command(self.command, step.cut[None])[0]


@operator("final", "cmd", "finalcmd")
class FinalCommand(FinalOperator):
    """A command on the colours of the picture."""

    command: CommandText = _COMMAND
    reach: Whole | None = _REACH
    letters: ClassVar = {"halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    @property
    def needs_whole_plane(self) -> bool:
        """Where its reach is not known."""
        return known_reach(self.command, self.reach) is None

    @property
    def measures(self) -> int:  # type: ignore[override]
        """One for each option that must know the limits of the picture."""
        return len(self._stretches)

    @property
    def _stretches(self) -> tuple[imagemagick.Stretch, ...]:
        found = _known(self.command)
        return () if found is None else found.stretches

    def unites_of(self, number: int) -> str:
        """See `FinalOperator.unites_of`."""
        return self._stretches[number].unites

    def numbers_of(self, number: int, colours: int) -> int:
        """See `FinalOperator.numbers_of`."""
        return self._stretches[number].numbers * kernels.tones.images_of(colours)

    def measure(self, number: int, picture: Picture, inner: tuple[slice, slice], known: Sequence[Numbers]) -> Numbers:
        """See `FinalOperator.measure`."""
        found = _known(self.command)
        if found is None:
            raise IndexError(number)
        return found.measure(number, picture.colours, inner, known)

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def facts(self) -> list[Any]:
        """See `Operator.facts`; an edited function is another one."""
        return [*super().facts(), *_command_facts(self.command)]

    def apply(self, picture: Picture, known: Sequence[Numbers]) -> Picture:
        """See `FinalOperator.apply`."""
        return replace(picture, colours=run_command(self.command, picture.colours, known))


COMMANDS = (Command, MaskCommand, CutCommand, FinalCommand)
"""Operators that run a command."""


def function_sources(operators: Iterable[Operator]) -> dict[str, str]:
    """Hashes of the sources of the user's functions among some operators, by name."""
    commands = [operator.command for operator in operators if isinstance(operator, COMMANDS)]
    return {function.name: function.source for command in commands if (function := _function(command)) is not None}
