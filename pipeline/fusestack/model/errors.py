"""The errors users see: one class per exit code.

::

    FusestackError
    ├── ConfigError   2   wrong command line or configuration   (also ValueError)
    ├── InputError    3   input missing, unreadable, contradictory (also OSError)
    ├── BlockError    4   blocks failed after all retries       (also RuntimeError)
    └── OutputError   5   output cannot be written              (also OSError)

A message has three parts: where, what, way out. ``cli/`` catches the base class once.

`FusestackWarning` is for results that are right but surprising; ``warnings.simplefilter("error", FusestackWarning)``
makes errors of them.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType


class FusestackWarning(UserWarning):
    """Something that is right but may surprise."""


class FusestackError(Exception):
    """Base of every error that fusestack raises on purpose.

    Parameters
    ----------
    *problems : str
        One sentence each; all problems found in one pass are given, not only the first.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ConfigError(FusestackError, ValueError):
    """The command line or the configuration is wrong."""

    exit_code = 2


class InputError(FusestackError, OSError):
    """An input is missing, unreadable or contradicts another one."""

    exit_code = 3


class BlockError(FusestackError, RuntimeError):
    """Blocks failed after all retries; what succeeded is kept.

    Parameters
    ----------
    *problems : str
    tracebacks : sequence of str
        Where failures arose, on the workers; a few of them. The first one is a note of the error, which Python and
        notebooks print below it.

    Examples
    --------
    >>> error = BlockError("1 block failed", tracebacks=["Traceback ...", "Traceback ..."])
    >>> print(error, error.__notes__[0], sep="; ")
    1 block failed; on a worker (1 more in .tracebacks):
    Traceback ...
    """

    exit_code = 4

    def __init__(self, *problems: str, tracebacks: Sequence[str] = ()) -> None:
        super().__init__(*problems)
        self.tracebacks = tuple(tracebacks)
        if self.tracebacks:
            more = len(self.tracebacks) - 1
            self.add_note(f"on a worker{f' ({more} more in .tracebacks)' if more else ''}:\n{self.tracebacks[0]}")


class OutputError(FusestackError, OSError):
    """The output cannot be written: it exists with other settings, the disk is full, no permission."""

    exit_code = 5


def tell(texts: Iterable[str]) -> None:
    """Warn of each of some things, once, where somebody called us.

    Parameters
    ----------
    texts : iterable of str
    """
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "fusestack":
        level, frame = level + 1, frame.f_back
    for text in dict.fromkeys(texts):
        warnings.warn(text, FusestackWarning, stacklevel=level)
