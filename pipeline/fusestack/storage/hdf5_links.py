"""Main files of BigDataViewer HDF5: links to the pixels that lie in other files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError
from fusestack.storage.moving import take_place
from fusestack.storage.paths import relative, slashed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

_SETUP = re.compile(r"s(\d+)")
_TIMEPOINT = re.compile(r"t\d+")
_MAIN = "fusestack_links"


@dataclass(frozen=True)
class LinkedFile:
    """A file whose views a main file links to.

    Parameters
    ----------
    path : str
    setups : mapping of int to int
        Number of a setup in the main file, by that in this one; the others keep theirs.
    without : set of int
        Setups of this file that are left out.
    """

    path: str
    setups: Mapping[int, int] = field(default_factory=dict)
    without: AbstractSet[int] = frozenset()

    def number(self, name: str) -> int | None:
        """Number in the main file of the setup of a name such as ``s03``; None for what is no setup or left out."""
        match = _SETUP.fullmatch(name)
        number = None if match is None else int(match[1])
        return None if number is None or number in self.without else self.setups.get(number, number)


def write_links(path: Path, files: list[LinkedFile]) -> None:
    """Write a main file; names are relative to its folder, so that all files can be moved together.

    A file that has links itself is passed by. Same arguments, same bytes.

    Notes
    -----
    As BigDataViewer's ``WriteSequenceToHdf5.writeHdf5PartitionLinkFile``: factors and chunks of the levels are copied,
    ``t00000/s00/0/cells`` is an external link.
    """
    import h5py

    with h5py.File(path, "w") as main:
        for linked in files:
            with h5py.File(linked.path, "r", locking="best-effort") as file:
                _link(main, file, linked, relative(linked.path, path.parent))


def write_main(path: Path, files: Sequence[LinkedFile]) -> None:
    """Write a main file that is marked as one of ours, in one step.

    Raises
    ------
    OutputError
        If the file cannot be written, or one that is there is no BigDataViewer HDF5.
    """
    import h5py

    if path.exists() and not is_bdv(path):
        raise OutputError(f"{path}: is not a BigDataViewer file, and is left alone: choose another output.path")
    partial = path.with_name(f".{path.name}.partial")
    try:
        write_links(partial, list(files))
        with h5py.File(partial, "r+") as main:
            main.attrs[_MAIN] = True
        take_place(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error}; free some space and run again") from error


def is_main(path: str) -> bool:
    """Whether a file is a main file that `write_main` made."""
    import h5py

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return _MAIN in file.attrs
    except OSError:
        return False


def is_bdv(path: str | Path) -> bool:
    """Whether a file is a BigDataViewer HDF5."""
    import h5py

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return any(_SETUP.fullmatch(name) for name in file)
    except OSError:
        return False


def _link(main: Any, file: Any, linked: LinkedFile, name: str) -> None:
    import h5py

    for key in file:
        number = linked.number(key)
        if number is not None and f"s{number:02d}" not in main:  # its timepoints may lie in several files
            file.copy(file[key], main, name=f"s{number:02d}")
        if not _TIMEPOINT.fullmatch(key):
            continue
        for setup in file[key]:
            number = linked.number(setup)
            if number is None:
                continue
            levels = file[f"{key}/{setup}"]
            for level in levels:
                found = levels[level].get("cells", getlink=True)
                place = (name, f"/{key}/{setup}/{level}/cells")
                if isinstance(found, h5py.ExternalLink):
                    place = (slashed(os.path.join(os.path.dirname(name), found.filename)), found.path)  # noqa: PTH118, PTH120
                main[f"{key}/s{number:02d}/{level}/cells"] = h5py.ExternalLink(*place)
