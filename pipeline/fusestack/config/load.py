"""The door of the configuration: a file, or a mapping from Python, in; a validated `Config` out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fusestack.config.availability import unsupported
from fusestack.config.document import Places, override, read_document
from fusestack.config.models import Config
from fusestack.config.values import is_array
from fusestack.model.errors import ConfigError
from fusestack.storage import is_address, slashed

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LoadedConfig", "from_mapping", "load_config", "unsupported"]

_GIVE = "give the path of a configuration file (fusestack init makes one for a project or a folder of images)"
_MOST_BYTES = 32 * 2**20


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration and where it comes from.

    Parameters
    ----------
    config : Config
    name : str
        For people: the path as it was given, or ``configuration``.
    folder : Path
        Absolute; relative paths begin here.
    places : Places
    text : str
        Of the file, with its comments; empty where there is none.
    data : mapping
        As it was given, with overrides, before it was validated.
    """

    config: Config
    name: str
    folder: Path
    places: Places = field(default_factory=Places)
    text: str = field(default="", repr=False)
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def having(self, section: str, content: Mapping[str, Any]) -> LoadedConfig:
        """The same configuration with another section.

        Raises
        ------
        ConfigError
            If the section is wrong.
        """
        return self.replaced({**self.data, section: content})

    def replaced(self, data: Mapping[str, Any]) -> LoadedConfig:
        """A configuration that says something else, at the place of this one.

        Raises
        ------
        ConfigError
            If it is wrong.
        """
        return replace(_validated(dict(data), self.places, (), self.name, self.folder), text=self.text)

    def where(self, key: str) -> str:
        """Where a key such as ``fusion.method`` was set: ``fuse.yaml:12:11`` or ``--set fusion.method``."""
        return self.places.where(_path(key))

    def cite(self, key: str) -> str:
        """Begin a message about a key: ``fuse.yaml:12:11: fusion.method``."""
        return self.places.cite(_path(key))

    def resolve_path(self, text: str) -> str:
        """Absolute path of a path of the configuration; URLs stay as they are."""
        if is_address(text):
            return text
        return slashed(os.path.normpath(self.folder / Path(text).expanduser()))


def load_config(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> LoadedConfig:
    """Read and validate a configuration file.

    Parameters
    ----------
    path : path
        YAML 1.2 (JSON is YAML, too).
    overrides : iterable of str
        ``key.path=value`` with YAML values, as given with ``--set``.

    Raises
    ------
    ConfigError
        If the file cannot be read or is wrong; names file, line, column, key, what was given and what is allowed, for
        all problems found in one pass.
    """
    name = os.fspath(path)
    text = _text(Path(path), name)
    data, places = read_document(text, name)
    return replace(_validated(data, places, overrides, name, Path(path).absolute().parent), text=text)


def from_mapping(
    mapping: Mapping[str, Any], folder: str | os.PathLike[str] = ".", overrides: Iterable[str] = ()
) -> LoadedConfig:
    """Validate a configuration given as a mapping; paths and NumPy values are welcome in it.

    Parameters
    ----------
    mapping : mapping
        As in the file.
    folder : path
        Where relative paths begin.
    overrides : iterable of str
        As in `load_config`.

    Raises
    ------
    ConfigError
        As in `load_config`, without places.
    """
    return _validated(_plain(mapping), Places(), overrides, "configuration", Path(folder).absolute())


def _validated(data: Any, places: Places, overrides: Iterable[str], name: str, folder: Path) -> LoadedConfig:
    data, places = override(data, places, overrides)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        from fusestack.config.messages import sentences

        raise ConfigError(*sentences(error, data, places)) from error
    return LoadedConfig(config, name, folder, places, data=data)


def _text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{name}: cannot be read: {reason}; {_GIVE}") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{name}: is larger than {_MOST_BYTES // 2**20} MiB; {_GIVE}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: is not a text file in UTF-8 (byte {error.start}); {_GIVE}") from error


def _path(key: str) -> tuple[str | int, ...]:
    return tuple(int(step) if step.isdecimal() else step for step in key.split("."))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if is_array(value) and value.ndim > 1:  # pixels
        return value
    # NumPy scalars and arrays, without importing NumPy
    return value.tolist() if hasattr(value, "tolist") and not isinstance(value, type) else value
