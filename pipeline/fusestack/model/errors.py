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

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        Where the failures that are named arose, on the workers.
    """

    exit_code = 4

    def __init__(self, *problems: str, tracebacks: Sequence[str] = ()) -> None:
        super().__init__(*problems)
        self.tracebacks = tuple(tracebacks)


class OutputError(FusestackError, OSError):
    """The output cannot be written: it exists with other settings, the disk is full, no permission."""

    exit_code = 5
