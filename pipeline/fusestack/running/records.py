"""What the images are that were made beside an output, in one JSON file; and other JSON files beside it."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError
from fusestack.storage import folder_of, open_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = "made.json"


def read_record(work: str) -> dict[str, Any]:
    """What the images are that were made in a folder: fingerprint, stages and components by path.

    Whoever gets it may exchange entries and what they hold by name.

    Raises
    ------
    OutputError
        If the record cannot be read.
    """
    try:
        found = open_folder(work).get(RECORD)
        return {} if found is None else {path: dict(entry) for path, entry in _parsed(found).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        usual = "give permission" if isinstance(error, PermissionError) else "remove the folder to start over"
        way_out = getattr(error, "way_out", usual)
        raise OutputError(f"{work}/{RECORD}: cannot be read ({error}); {way_out}") from error


@functools.lru_cache(maxsize=2)
def _parsed(data: bytes) -> dict[str, Any]:
    """A record as it was read; that of thousands of images is asked for by each of them."""
    record: dict[str, Any] = json.loads(data)
    return record


def write_record(work: str, record: Mapping[str, Any]) -> None:
    """Write what `read_record` reads; every image writes all of it, so that it is written without lines."""
    _write(f"{work}/{RECORD}", json.dumps(record, default=str))


def write_json(path: str, content: Any) -> None:
    """Write a JSON file on a disk or in a store.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    _write(path, json.dumps(content, indent=1, default=str))


def _write(path: str, text: str) -> None:
    folder, name = folder_of(path)
    try:
        folder.put(name, [text.encode()])
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
