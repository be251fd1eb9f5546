"""Many stacks of one configuration: folders that ``input.images`` names, each a configuration of its own."""

from __future__ import annotations

import copy
import glob
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.focus.files import KINDS
from fusestack.model.amounts import duration
from fusestack.model.errors import ConfigError
from fusestack.model.image import PICTURE_SUFFIXES
from fusestack.planning.pictures import split_suffix
from fusestack.sources.file_names import fitting, natural_order
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.load import LoadedConfig

_OURS = (".fusestack", ".tune", ".zarr", ".n5")
"""Suffixes of folders that are no stacks."""


@dataclass(frozen=True)
class Batch:
    """Stacks of one configuration.

    Parameters
    ----------
    stacks : tuple of (str, LoadedConfig)
        Name of the folder, and the configuration that makes its result.
    left : tuple of str
        What is said of folders that are left for the next run, or hold no pictures.
    """

    stacks: tuple[tuple[str, LoadedConfig], ...]
    left: tuple[str, ...]


def batch_patterns(loaded: LoadedConfig) -> list[str]:
    """Patterns of folders; none where ``input.images`` names one stack: ``*/`` and ``[a/, b/]`` are several."""
    images = None if loaded.config.input is None else loaded.config.input.images
    if images is None:
        return []
    patterns = [images] if isinstance(images, str) else list(images)
    folders = all(one.endswith("/") and not is_address(one) for one in patterns)
    return patterns if folders and (len(patterns) > 1 or glob.has_magic(patterns[0])) else []


def batch_of(loaded: LoadedConfig, settled: float) -> Batch:
    """The stacks that a configuration names, in natural order.

    Parameters
    ----------
    loaded : LoadedConfig
        With `batch_patterns`.
    settled : float
        A folder in which something has changed since so many seconds is still being written, and is left.

    Raises
    ------
    ConfigError
        If there is no folder, or two have the same name and would have the same result.
    """
    if loaded.config.focus is not None and loaded.config.focus.retouch:
        raise ConfigError(
            f"{loaded.cite('focus.retouch')}: areas belong to one stack, input.images names many; give the one that is "
            "retouched a configuration of its own"
        )
    folders: dict[str, None] = {}
    results = _result_folders(loaded)
    for pattern in batch_patterns(loaded):
        path = loaded.resolve_path(pattern).rstrip("/")
        found = [one for one in fitting(path) if Path(one).is_dir() and not one.lower().endswith(_OURS)]
        if not found:
            raise ConfigError(f"{loaded.cite('input.images')}: '{pattern}': there is no such folder; correct it")
        folders |= dict.fromkeys(sorted(found, key=natural_order))
    names = [Path(folder).name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{loaded.cite('input.images')}: two folders have the name '{twice[0]}', and would have the same result; "
            "rename one, or use a configuration for each"
        )
    stacks, left = [], []
    for folder, name in zip(folders, names, strict=True):
        ages = _ages(folder)
        if folder in results:
            left.append(f"{folder}: is where the results go, and is left out")
        elif not ages:
            left.append(f"{folder}: holds no JPEG, PNG or TIFF file, and is left out")
        elif min(ages) < settled:
            said = f"changed {duration(max(0.0, min(ages)))} ago"
            left.append(f"{folder}: is still being written ({said}), and is left for the next run")
        else:
            stacks.append((name, _of_folder(loaded, folder, name)))
    return Batch(tuple(stacks), tuple(left))


def _result_folders(loaded: LoadedConfig) -> set[str]:
    """Folders of the outputs, which a pattern may find."""
    config = loaded.config
    paths = [None if config.output is None else config.output.path]
    if config.focus is not None:
        paths += [getattr(config.focus.output, key) for key in ("path", "slices", *KINDS)]
    return {str(Path(loaded.resolve_path(path)).parent) for path in paths if path is not None}


def _ages(folder: str) -> list[float]:
    """Seconds since pictures of a folder have changed, or the folder; none where it holds no picture."""
    now = time.time()
    files = [one for one in Path(folder).iterdir() if one.name.lower().endswith(PICTURE_SUFFIXES)]
    return [now - one.stat().st_mtime for one in (*files, Path(folder))] if files else []


def _of_folder(loaded: LoadedConfig, folder: str, name: str) -> LoadedConfig:
    """The configuration of one stack: its outputs have the name of its folder."""
    given: dict[str, Any] = {**loaded.data["input"], "images": glob.escape(folder)}
    focus: dict[str, Any] = copy.deepcopy(loaded.data.get("focus") or {})
    output = focus["output"] = dict(focus.get("output") or {})
    # output.path says the same as focus.output.path where nothing is fused
    if output.get("path") is None and loaded.config.output is not None:
        output["path"] = loaded.config.output.path
    for key in ("path", "slices", *KINDS):
        if output.get(key) is not None:
            output[key] = _named(output[key], name)
    if output.get("path") is None:
        output["basename"] = f"{output.get('basename') or ''}{name}_"
    if (focus.get("statistics") or {}).get("save"):
        focus["statistics"] = {**focus["statistics"], "save": _named(focus["statistics"]["save"], name)}
    one = loaded.having("focus", focus)
    data = {key: value for key, value in one.data.items() if key != "output"}
    return one.replaced(data).having("input", given)


def _named(path: str, name: str) -> str:
    stem, suffix = split_suffix(path)
    return f"{stem}_{name}{suffix}"


def refuse_batch(loaded: LoadedConfig) -> None:
    """Refuse several stacks where one is meant.

    Raises
    ------
    ConfigError
    """
    patterns: Sequence[str] = batch_patterns(loaded)
    if patterns:
        raise ConfigError(
            f"{loaded.cite('input.images')}: names folders, each a stack of its own, which fusestack run makes one "
            "after another; here, name one of them: --set input.images=FOLDER"
        )
