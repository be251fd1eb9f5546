"""Files beside a BigDataViewer HDF5 file: its partitions, and those that are not finished."""

from __future__ import annotations

import glob
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PART = "fusestack_part"
"""Attribute of a partition: of which main file."""
_PARTITION = re.compile(r"-\d\d+-\d\d+")
_UNFINISHED = re.compile(r"(-\d\d+-\d\d+)?\.\w+(\.[0-9a-f]{8})?\.partial")


def part_files(main: Path) -> list[Path]:
    """Files beside the main file that are called as partitions of it are."""
    found = main.parent.glob(f"{glob.escape(main.stem)}-*{main.suffix}")
    return [path for path in sorted(found) if _PARTITION.fullmatch(path.stem.removeprefix(main.stem))]


def is_part(path: Path, main: Path) -> bool:
    """Whether a file is a partition that fusestack made."""
    import h5py

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return bool(json.loads(file.attrs["fusestack"])[PART] == main.name)
    except (OSError, KeyError, ValueError, TypeError):
        return False


def unfinished(main: Path) -> list[Path]:
    """What a kill left of the main file and its partitions."""
    found = main.parent.glob(f".{glob.escape(main.stem)}*.partial")
    return [path for path in sorted(found) if _UNFINISHED.fullmatch(path.name.removeprefix(f".{main.stem}"))]
