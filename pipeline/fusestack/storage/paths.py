"""Paths as texts: with slashes on every system, as addresses and project files have them."""

from __future__ import annotations

import os


def is_address(path: str) -> bool:
    """Whether a path is an address and not a place on this machine; ``C://data`` is a place on a drive."""
    return path.find("://") > 1


def slashed(path: str | os.PathLike[str]) -> str:
    """A local path with slashes, which Windows reads as its own; elsewhere a backslash is a character of a name."""
    text = os.fspath(path)
    return text.replace("\\", "/") if os.sep == "\\" else text


def absolute(path: str | os.PathLike[str]) -> str:
    """A path as it is from the root on, without a slash at its end; links stay, and addresses."""
    text = os.fspath(path)
    return text.rstrip("/") if is_address(text) else slashed(os.path.abspath(text))  # noqa: PTH100 - links stay


def relative(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> str:
    """A local path as it is seen from a folder; from the root on where it lies on another drive of Windows."""
    try:
        return slashed(os.path.relpath(path, folder))
    except ValueError:
        return absolute(path)
