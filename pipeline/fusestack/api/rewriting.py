"""Configuration files that the program changes: what it found is written into them, and all else stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.config.focus import Focus
from fusestack.config.rewriting import rewritten
from fusestack.model.errors import ConfigError, OutputError
from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.load import LoadedConfig


def write_retouch(path: str | Path, areas: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> None:
    """Write areas that were drawn into a configuration, as ``focus.retouch``; its comments and its order stay.

    Parameters
    ----------
    path : str or Path
        Of the configuration.
    areas : sequence of mapping
        Entries of ``focus.retouch``; without any, the key goes.
    known : sequence of mapping
        Those that the file has, as far as the caller knows.

    Raises
    ------
    ConfigError
        If the file has other areas than those that are known, cannot be kept, or would say something else.
    OutputError
        If the file cannot be written.
    """
    from fusestack.config.load import load_config

    before = load_config(path)
    focus = before.config.focus or Focus()
    if _areas(focus) != list(known):
        raise ConfigError(
            f"{before.name}: somebody else has changed focus.retouch; nothing is written. Start the viewer again, and "
            "draw what is missing"
        )
    settings = {"retouch": [dict(area) for area in areas]} if areas else {}
    text = rewritten(before.text, before.name, "focus", ["retouch"], settings)
    after = focus_of(text, before) or Focus()
    if after.model_copy(update={"retouch": focus.retouch}) != focus or _areas(after) != list(areas):
        raise said_otherwise(before)
    replace_text(path, text)


def focus_of(text: str, before: LoadedConfig) -> Focus | None:
    """The section ``focus`` of a text that would take the place of a configuration."""
    from fusestack.config.document import read_document
    from fusestack.config.load import from_mapping

    return from_mapping(read_document(text, before.name)[0], before.folder).config.focus


def said_otherwise(before: LoadedConfig) -> ConfigError:
    """What is raised where such a text does not say what it should."""
    return ConfigError(f"{before.name}: cannot be rewritten, it would say something else; change it yourself")


def _areas(focus: Focus | None) -> list[dict[str, Any]]:
    return [] if focus is None else [area.model_dump(mode="json", exclude_none=True) for area in focus.retouch]


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
