"""Folders of outputs: those of `fusestack.storage`, whose errors name the file and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.storage import SCRATCH, open_folder
from fusestack.writers.base import output_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class OutputFolder:
    """Whole files of an output; see `fusestack.storage.Folder`. Every error is an `OutputError`."""

    def __init__(self, path: str, scratch: str = SCRATCH) -> None:
        self.path = path
        with output_errors(path):
            self.storage = open_folder(path, scratch)

    def get(self, key: str) -> bytes | None:
        """Content of a file; None if it does not exist."""
        with output_errors(f"{self.path}/{key}", "cannot be read"):
            return self.storage.get(key)

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write a file in one atomic step; returns its bytes."""
        with output_errors(f"{self.path}/{key}"):
            return self.storage.put(key, parts)

    def delete(self, key: str) -> None:
        """Delete a file; does nothing if it does not exist."""
        with output_errors(f"{self.path}/{key}", "cannot be deleted"):
            self.storage.delete(key)

    def entries(self, key: str = "") -> list[str]:
        """Names directly in the folder, sorted; empty if it does not exist."""
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be used"):
            return self.storage.entries(key)

    def delete_tree(self, key: str) -> None:
        """Delete a file or a folder and everything in it."""
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be deleted"):
            self.storage.delete_tree(key)

    def foreign(self, is_ours: Callable[[str], bool], key: str = "") -> str | None:
        """Key of a file below a folder that is not ours; None where there is none. No link is."""
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be used"):
            return next((name for name, plain in self.storage.files(key) if not plain or not is_ours(name)), None)

    def remove_ours(self, is_ours: Callable[[str], bool], rank: Callable[[str], int], key: str = "") -> None:
        """Delete all files below a folder that are ours, and none else.

        Parameters
        ----------
        is_ours : callable
            Says it of a key.
        rank : callable
            Of a key: lower ones go first, so that after a kill the rest is still recognised.
        key : str
            The folder.
        """
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be deleted"):
            mine = [name for name, plain in self.storage.files(key) if plain and is_ours(name)]
            self.storage.delete_files(sorted(mine, key=rank), key)
