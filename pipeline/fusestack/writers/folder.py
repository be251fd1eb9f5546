"""Folders of outputs: those of `fusestack.storage`, whose errors name the file and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.storage import SCRATCH, open_folder
from fusestack.writers.base import output_errors

if TYPE_CHECKING:
    from collections.abc import Sequence


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
