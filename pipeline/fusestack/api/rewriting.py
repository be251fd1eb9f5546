"""Configuration files that the program changes: what it found is written into them, and all else stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.config.rewriting import rewritten
from fusestack.model.errors import ConfigError, OutputError
from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def write_retouch(path: str | Path, areas: Sequence[Mapping[str, Any]]) -> None:
    """Write areas that were drawn into a configuration, as ``focus.retouch``; its comments and its order stay.

    Parameters
    ----------
    path : str or Path
        Of the configuration.
    areas : sequence of mapping
        Entries of ``focus.retouch``; without any, the key goes.

    Raises
    ------
    ConfigError
        If the file cannot be kept, or would say something else.
    OutputError
        If the file cannot be written.
    """
    from fusestack.config.document import read_document
    from fusestack.config.load import from_mapping, load_config

    before = load_config(path)
    if before.config.focus is None:
        raise ConfigError(f"{before.name}: has no section focus, nothing is retouched")
    text = rewritten(before.text, before.name, "focus", ["retouch"], {})
    if areas:
        text = rewritten(text, before.name, "focus", ["retouch"], {"retouch": [dict(area) for area in areas]})
    after = from_mapping(read_document(text, before.name)[0], before.folder).config.focus
    wanted = before.config.focus.model_copy(update={"retouch": () if after is None else after.retouch})
    said = [one.model_dump(mode="json", exclude_none=True) for one in wanted.retouch]
    if after != wanted or said != [dict(area) for area in areas]:
        raise ConfigError(f"{before.name}: cannot be rewritten, it would say something else; change it yourself")
    replace_text(path, text)


def replace_text(path: str | Path, text: str) -> None:
    """Write a file in one step, so that there is the old one or the new one; of a link, what it names.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    place = Path(path).resolve()
    scratch = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        mode = place.stat().st_mode
        scratch.write_bytes(text.encode())
        scratch.chmod(mode & 0o7777)
        take_place(scratch, place)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
