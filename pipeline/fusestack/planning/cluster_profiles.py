"""Profiles of clusters: what a job of a site asks for, by name from anywhere."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def user_profiles() -> Path:
    """Folder of the user's own profiles."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "fusestack" / "profiles"


def packaged_profile(name: str) -> str:
    """Text of a profile to begin with.

    Raises
    ------
    ConfigError
        If there is none for such a job system.
    """
    found = _packaged() / f"{name}.yaml"
    if not found.is_file():
        raise ConfigError(f"--profile: there is none for '{name}' to begin with; there are {', '.join(_names())}")
    return found.read_text(encoding="utf-8")


def _packaged() -> Traversable:
    return files("fusestack.planning") / "profiles"


def _names() -> list[str]:
    return sorted(one.name.removesuffix(".yaml") for one in _packaged().iterdir() if one.name.endswith(".yaml"))


def load_profile(name: str | None, folder: Path) -> dict[str, Any]:
    """Read a cluster profile: a path, or a name.

    A name is looked for in ``profiles/`` and ``configs/profiles/`` near the configuration, in the user's folder, and
    among those that come with the program.

    Parameters
    ----------
    name : str or None
    folder : Path
        Of the configuration.

    Raises
    ------
    ConfigError
        If there is none of that name, or it is not a mapping.
    """
    if name is None:
        raise ConfigError(
            "execution.profile: a job system needs a cluster profile; "
            "write one to adapt with: fusestack init --profile slurm"
        )
    places: list[Path] = [folder / name, Path(name).expanduser()]
    for base in (folder, *folder.parents[:2], Path.cwd()):
        places += [base / "profiles" / f"{name}.yaml", base / "configs" / "profiles" / f"{name}.yaml"]
    places.append(user_profiles() / f"{name}.yaml")
    found: Path | Traversable | None = next((place for place in places if place.is_file()), None)
    if found is None and name in _names():
        found = _packaged() / f"{name}.yaml"
    if found is None:
        looked = ", ".join(str(place) for place in dict.fromkeys(places))
        raise ConfigError(
            f"execution.profile: no profile '{name}'; looked for {looked}; "
            f"those that come with fusestack are {', '.join(_names())}"
        )
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        profile = YAML(typ="safe").load(found.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ConfigError(f"{found}: not readable as YAML: {error}") from error
    if not isinstance(profile, dict):
        raise ConfigError(f"{found}: a profile is a mapping of settings of the job system")
    return dict(profile)
