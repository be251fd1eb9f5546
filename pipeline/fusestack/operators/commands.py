"""Operators of the user's own: a Python function, or options of ImageMagick.

Some options are computed here (see `imagemagick`), all others by ImageMagick where it is installed.
"""

from __future__ import annotations

import functools
import importlib
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from fusestack.model.errors import ConfigError
from fusestack.operators import imagemagick
from fusestack.operators.base import Place, Whole, operator
from fusestack.operators.cuts import CutOperator
from fusestack.operators.finals import FinalOperator
from fusestack.operators.generators import Generator
from fusestack.operators.masks import MaskOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.operators.cuts import Step
    from fusestack.operators.finals import Picture

    Planes = NDArray[np.float32]

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_COMMAND = Field(min_length=1, description="module:function of Python, or options of ImageMagick such as '-edge 1'")
_REACH = Field(default=None, description="how many pixels it looks at on each side; default: what is known of it")
_SECONDS = 3600


def run_command(command: str, planes: Planes) -> Planes:
    """Apply a command to float32[c, y, x].

    Raises
    ------
    ConfigError
        If there is no such function or no ImageMagick, or what comes back has another shape.
    """
    if _FUNCTION.fullmatch(command):
        found = np.asarray(_function(command)(planes.copy()), dtype=np.float32)
    elif own := imagemagick.known(command):
        found = own.apply(planes)
    else:
        found = _imagemagick(command, planes)
    if found.shape != planes.shape:
        raise ConfigError(f"cmd: {command}: makes {found.shape} of {planes.shape}; it must keep the shape c, y, x")
    return np.nan_to_num(found, nan=0.0, posinf=1.0, neginf=0.0)


def check_command(operator: Command | MaskCommand | CutCommand | FinalCommand) -> None:
    """Refuse a command that cannot be run here.

    Raises
    ------
    ConfigError
    """
    if _FUNCTION.fullmatch(operator.command):
        _function(operator.command)
    elif not imagemagick.known(operator.command):
        _program()


def known_reach(command: str, declared: int | None) -> int | None:
    """How far a command looks: as declared, but no less than what is known of it; None if nobody knows."""
    own = None if _FUNCTION.fullmatch(command) else imagemagick.known(command)
    return declared if own is None else max(own.halo, declared or 0)


def _needed(declared: int | None, info: ValidationInfo) -> int | None:
    if "command" in info.data and known_reach(info.data["command"], declared) is None:
        raise PydanticCustomError("missing", "missing")
    return declared


def _function(command: str) -> Any:
    module, _, name = command.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"cmd: {command}: there is no such function ({error}); it must be importable where the program runs "
            "(PYTHONPATH)"
        ) from error


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


def _imagemagick(command: str, planes: Planes) -> Planes:
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


_NeededReach = Annotated[Whole | None, Field(validate_default=True), AfterValidator(_needed)]


@operator("generator", "cmd")
class Command(Generator):
    """A command as a generator."""

    command: str = _COMMAND
    reach: Whole | None = _REACH
    letters: ClassVar = {**Generator.letters, "halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    @property
    def needs_whole_plane(self) -> bool:
        """Where its reach is not known."""
        return known_reach(self.command, self.reach) is None

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return run_command(self.command, planes)


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

    command: str = _COMMAND
    reach: Whole | None = _REACH
    letters: ClassVar = {"halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    @property
    def needs_whole_plane(self) -> bool:
        """Where its reach is not known."""
        return known_reach(self.command, self.reach) is None

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        return run_command(self.command, mask)


@operator("cut", "cmd", "cutcmd")
class CutCommand(CutOperator):
    """A command on the cut."""

    command: str = _COMMAND
    reach: _NeededReach = _REACH
    letters: ClassVar = {"halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        step.cut = run_command(self.command, step.cut[None])[0]


@operator("final", "cmd", "finalcmd")
class FinalCommand(FinalOperator):
    """A command on the colours of the picture."""

    command: str = _COMMAND
    reach: _NeededReach = _REACH
    letters: ClassVar = {"halo": "reach"}
    compiles: ClassVar = False
    words: ClassVar = ("command",)

    def halo(self) -> int:
        """As declared, or known."""
        return known_reach(self.command, self.reach) or 0

    def apply(self, picture: Picture, known: Sequence[NDArray[np.float64]]) -> Picture:
        """See `FinalOperator.apply`."""
        return replace(picture, colours=run_command(self.command, picture.colours))


COMMANDS = (Command, MaskCommand, CutCommand, FinalCommand)
"""Operators that run a command."""
