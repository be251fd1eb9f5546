"""Names of files: which ones a pattern means, in which order, and what only accompanies others."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import InputError
from fusestack.storage import is_address, slashed

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGITS = re.compile(r"(\d+)")
_SUFFIXES = re.compile(r"(?<=.)(\.[A-Za-z~][A-Za-z0-9~]*)*$", re.DOTALL)


def natural_order(path: str) -> list[Any]:
    """Key that sorts paths as people count, and ``sort -V`` does.

    ``img2`` comes before ``img10``, ``a.tif`` before ``a (1).tif``. Folder by folder; suffixes count last.

    Notes
    -----
    The order of Debian's versions, as in gnulib's ``filevercmp``, also for digits of other scripts.
    """
    return [_version(part) for part in path.replace("\\", "/").split("/")]


def _version(name: str) -> tuple[Any, ...]:
    found = _SUFFIXES.search(name)
    stem = name[: found.start()] if found else name
    return not name.startswith("."), _counted(stem), _counted(name), name


def _counted(text: str) -> list[Any]:
    """Other characters, by their ranks, and numbers in turn; no number is 0, and only a tilde comes before the end."""
    parts = _DIGITS.split(text)
    if parts[-1] or len(parts) == 1:
        parts += ["0", ""]
    return [int(part) if number % 2 else (*map(_rank, part), 0) for number, part in enumerate(parts)]


def _rank(character: str) -> int:
    if character == "~":
        return -2
    return ord(character) + (0 if character.isascii() and character.isalpha() else 256)


def is_companion(path: str | Path) -> bool:
    """Whether a file only accompanies others, as Macs and Windows leave them: ``._a.tif``, ``Thumbs.db``."""
    return Path(path).name.startswith(".") or Path(path).name.lower() in ("thumbs.db", "desktop.ini")


def fitting(pattern: str) -> list[str]:
    """Files and folders that fit a pattern; of a name that is there as it is written, brackets are no pattern."""
    found = [slashed(Path(pattern).anchor) or "."]
    for part in Path(pattern).parts[bool(Path(pattern).anchor) :]:
        following: list[str] = []
        for folder in found:
            if Path(folder, part).exists():
                following.append(Path(folder, part).as_posix())
            elif glob.has_magic(part):
                literal = part.replace("[", "[[]")
                within = glob.escape(folder)
                following += map(slashed, glob.glob(f"{within}/{literal}") or glob.glob(f"{within}/{part}"))  # noqa: PTH207 - as text
        found = following
    return found


def is_pattern(path: str) -> bool:
    """Whether a path is a pattern of names; what is there as it is written is none."""
    return not is_address(path) and glob.has_magic(path) and not Path(path).exists()


def named_files(paths: Iterable[str]) -> list[str]:
    """Files and folders of paths, as they are, and of patterns of names, in natural order, without companions.

    Raises
    ------
    InputError
        If nothing fits a pattern.
    """
    found: list[str] = []
    for path in paths:
        if not is_pattern(path):
            found.append(path)
            continue
        named = sorted((name for name in fitting(path) if not is_companion(name)), key=natural_order)
        if not named:
            raise InputError(f"{path}: no file fits the pattern; correct it")
        found += named
    return found
