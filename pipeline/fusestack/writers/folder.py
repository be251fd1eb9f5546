"""Folders of outputs: those of `fusestack.storage`, whose errors name the file and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fusestack.model.stage import Written
from fusestack.storage import SCRATCH, is_address, open_folder
from fusestack.storage.look import is_looking
from fusestack.storage.together import each
from fusestack.writers.base import output_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Part = TypeVar("Part")


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

    def foresee(self, keys: Sequence[str]) -> None:
        """Ask for files together that are about to be read one by one, during a look at a store."""
        if is_looking() and self.is_far:
            each(self.get, keys, far=True)

    def put(self, key: str, parts: Sequence[bytes]) -> int:
        """Write a file in one atomic step; returns its bytes."""
        with output_errors(f"{self.path}/{key}"):
            return self.storage.put(key, parts)

    def put_each(self, files: Mapping[str, bytes]) -> None:
        """Write files that do not depend on one another; to a store together."""
        each(lambda key: self.put(key, [files[key]]), files, far=self.is_far)

    def put_changed(self, files: Mapping[str, bytes]) -> None:
        """As `put_each`, those alone that hold something else."""
        self.put_each({key: data for key, data in files.items() if self.get(key) != data})

    def store(self, key: str, parts: Sequence[bytes]) -> Written:
        """Write a file of a block in one atomic step; returns what was written."""
        self.put(key, parts)
        return written(key, parts)

    def store_each(self, parts: Iterable[Part], encode: Callable[[Part], tuple[str, Sequence[bytes]]]) -> Written:
        """Write the files of a block, some at a time where they go to a store; returns what was written.

        Parameters
        ----------
        parts : iterable
        encode : callable
            Gives the key of a part's file and what it holds; there is to be none where it holds nothing.
        """

        def store(part: Part) -> Written:
            key, content = encode(part)
            if content:
                return self.store(key, content)
            self.delete(key)
            return Written()

        return sum(each(store, parts, far=self.is_far), Written())

    @property
    def is_far(self) -> bool:
        """Whether it is behind an address, where everything is waited for."""
        return is_address(self.path)

    def stored(self, key: str) -> Written:
        """Read a file of a block: what `store` gave, nothing if it does not exist."""
        data = self.get(key)
        return Written() if data is None else written(key, [data])

    def delete(self, key: str) -> None:
        """Delete a file; does nothing if it does not exist."""
        with output_errors(f"{self.path}/{key}", "cannot be deleted"):
            self.storage.delete(key)

    def entries(self, key: str = "") -> list[str]:
        """Names directly in the folder, sorted; empty if it does not exist."""
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be used"):
            return self.storage.entries(key)

    def files(self, key: str = "") -> Iterator[tuple[str, int]]:
        """Every file below a folder: its key from there on, and its bytes; none if it does not exist."""
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be listed"):
            yield from self.storage.files(key)

    def delete_tree(self, key: str) -> None:
        """Delete a file or a folder and everything in it."""
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be deleted"):
            self.storage.delete_tree(key)

    def foreign(self, is_ours: Callable[[str], bool], key: str = "") -> str | None:
        """Key of a file below a folder that is not ours; None where there is none. No link is."""
        with output_errors(f"{self.path}/{key}".rstrip("/"), "cannot be used"):
            return next((name for name, plain in self.storage.tree(key) if not plain or not is_ours(name)), None)

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
            mine = [name for name, plain in self.storage.tree(key) if plain and is_ours(name)]
            self.storage.delete_files(sorted(mine, key=rank), key)


def written(key: str, parts: Sequence[bytes]) -> Written:
    """What a file of a block holds: its bytes, and CRC-32C of its name and its content."""
    import google_crc32c

    digest = google_crc32c.value(key.encode())
    for part in parts:
        digest = google_crc32c.extend(digest, part)
    return Written(sum(map(len, parts)), digest)
