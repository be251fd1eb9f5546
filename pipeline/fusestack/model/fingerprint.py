"""What a result depends on, as text and as a hash; never the machine, the scheduler or the number of workers."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.stage import StoredArray
from fusestack.model.view import SourceRef
from fusestack.storage import identity_of, is_address, open_folder
from fusestack.storage.together import FEW, each

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIFFERENCES_NAMED = 4
_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", "0/zarr.json", "0/.zarray", "attributes.json")


def digest(facts: Any) -> str:
    """Hash of anything that JSON can say; other values count as their text."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def facts_of(value: Any) -> Any:
    """What a value is, as JSON: what the pixels of a `Compute` depend on.

    An object with a method ``facts()`` is asked; of other data classes it is the class, its ``VERSION`` and all fields
    but those with ``metadata={"fingerprint": False}``, which change no pixel (memory, for example).

    Raises
    ------
    TypeError
        If there is something in it that has no facts: nothing is left out in silence.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, StoredArray):
        return ["stored", value.fingerprint, value.target.level]
    if isinstance(value, SourceRef):
        return source_facts(value)
    if isinstance(value, Mapping):
        return [[facts_of(key), facts_of(item)] for key, item in sorted(value.items())]
    if isinstance(value, tuple | list):
        return [facts_of(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return [value.dtype.str, value.tolist()]
    name = type(value).__name__
    asked = getattr(value, "facts", None)
    if callable(asked):
        return [name, getattr(value, "VERSION", 1), asked()]
    if is_dataclass(value):
        known = [field.name for field in fields(value) if field.metadata.get("fingerprint", True)]
        return [name, getattr(value, "VERSION", 1), {key: facts_of(getattr(value, key)) for key in known}]
    raise TypeError(f"{name} has no facts, so a result that depends on it has no fingerprint")


def arrays_of(value: Any) -> tuple[StoredArray, ...]:
    """Stored arrays among the fields of a `Compute`, at any depth, each once.

    An object with a method ``arrays()`` is asked: tables of many views need not be searched.
    """
    found: dict[str, StoredArray] = {}
    _collect(value, found)
    return tuple(found.values())


def _collect(value: Any, found: dict[str, StoredArray]) -> None:
    if isinstance(value, StoredArray):
        found.setdefault(value.key, value)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, found)
    elif callable(asked := getattr(value, "arrays", None)):
        _collect(asked(), found)
    elif is_dataclass(value):
        for field in fields(value):
            _collect(getattr(value, field.name), found)


def identities(paths: Iterable[str]) -> dict[str, str]:
    """Size and time of change (ETag) of files by path; of a folder (Zarr, N5) those of its metadata files and
    of the folders directly below. A chunk that is exchanged deeper down is not seen. Files that only their folders tell
    apart are named by those in which they differ.

    Raises
    ------
    InputError
        If an address cannot be reached.
    """
    found = _identities(sorted(set(paths)))
    alike: dict[tuple[str, str], list[str]] = {}
    for path, identity in found.items():
        alike.setdefault((Path(path).name, identity), []).append(path)
    for several in (paths for paths in alike.values() if len(paths) > 1):
        folders = [path.split("/") for path in several]
        shared = next(n for n, parts in enumerate(zip(*folders, strict=False)) if len(set(parts)) > 1)
        for path, parts in zip(several, folders, strict=True):
            found[path] += f", at {'/'.join(parts[shared:])}"
    return found


def changed_since(read: Mapping[str, str]) -> list[str]:
    """Paths of files that are not any more what `identities` said; what is no file (an array) is not looked at."""
    files = {
        path: said.partition(", at ")[0] for path, said in read.items() if " bytes, " in said or "contents " in said
    }
    now = _identities(files)
    return [path for path, said in files.items() if now[path] != said]


def _identities(paths: Iterable[str]) -> dict[str, str]:
    """Identities by path; those behind addresses are asked for together."""
    wanted = list(paths)
    far = [path for path in wanted if is_address(path)]
    asked = dict(zip(far, each(_identity, far, far=True, most=FEW), strict=True))
    return {path: asked[path] if path in asked else _identity(path) for path in wanted}


def _identity(path: str) -> str:
    if not is_address(path):
        return _identity_here(path)
    try:
        folder = open_folder(path)
        found = dict(zip(_METADATA, each(folder.identity, _METADATA, far=True), strict=True))
        if not any(found.values()):
            return identity_of(path) or "missing"
    except OSError as error:
        raise InputError(f"{path}: cannot be reached ({error}); check the address and the credentials") from error
    return "; ".join(f"{name} {identity}" for name, identity in found.items() if identity is not None)


def _identity_here(path: str) -> str:
    """Of a file or folder on this machine; asks the system directly, since projects have 20,000 of them."""
    found = _stat(path)
    if found is None:
        return "missing"
    if not stat.S_ISDIR(found.st_mode):
        return _said(found)
    try:
        contents = _contents(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be reached ({error}); check the address and the credentials") from error
    files = {name: _stat(f"{path}/{name}") for name in _METADATA}
    known = [f"{name} {_said(file)}" for name, file in files.items() if file is not None]
    return "; ".join([*known, f"contents {contents}"])


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 -- see `_identity_here`
    except OSError:
        return None


def _said(found: os.stat_result) -> str:
    return f"{found.st_size} bytes, changed {found.st_mtime_ns}"


def _contents(path: str) -> str:
    """Hash of the metadata files and times of change of the folders directly below: levels of Zarr, setups of N5."""
    facts = []
    with os.scandir(path) as entries:
        inside = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in inside:
        if entry.is_dir():
            found = [_stat(f"{entry.path}/{name}") for name in ("zarr.json", ".zarray", ".zattrs", "attributes.json")]
            times = [file.st_mtime_ns for file in found if file is not None]
            facts.append([entry.name, entry.stat().st_mtime_ns, *times])
    return digest(facts)[:16]


def source_facts(source: SourceRef) -> list[Any]:
    """Name and options of a source and of those it wraps, without the folder: it may be moved.

    What arrays of a dask graph hold is no more said than what files hold; see `identities` and `GraphArray.name`.
    """
    options = [
        [key, source_facts(v) if isinstance(v, SourceRef) else v] for key, v in source.options if key != "arrays"
    ]
    return [Path(source.path).name, options]


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say what differs between the components of two fingerprints, the user's own options first.

    Returns
    -------
    str
        ``fusion.blending.range: 40.0 -> 20.0; other views or registrations``; empty if nothing differs.
    """
    found: list[str] = []
    for section in ("fusion", "focus"):
        found += _differences(old.get(section, {}), new.get(section, {}), f"{section}.")
    before, after = old.get("inputs", {}), new.get("inputs", {})
    changed = [path for path, identity in after.items() if before.get(path, identity) != identity]
    found += [f"the input {path} has changed" for path in changed]
    if before.keys() != after.keys():
        found.append("other input files")
    if old.get("views") != new.get("views"):
        found.append("other views or registrations")
    found += _differences(old.get("output", {}), new.get("output", {}), "output.")
    found = found or _differences(old.get("grid", {}), new.get("grid", {}), "grid.")
    more = len(found) - _DIFFERENCES_NAMED
    return "; ".join(found[:_DIFFERENCES_NAMED] + ([f"and {more} more"] if more > 0 else []))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> list[str]:
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}: {_shown(before)} -> {_shown(after)}")
    return found


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "function" in value:
        return str(value["function"])
    return "none" if value is None else str(value)
