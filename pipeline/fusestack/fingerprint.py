"""What a result depends on, as text and as a hash; never the machine, the scheduler or the number of workers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.view import SourceRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DIFFERENCES_NAMED = 4


def digest(facts: Any) -> str:
    """Hash of anything that JSON can say; other values count as their text."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def identities(paths: Iterable[str]) -> dict[str, str]:
    """Size and time of change of files, by path; of a folder (Zarr, N5) those of its metadata files."""
    return {path: _identity(Path(path)) for path in sorted(set(paths))}


def _identity(path: Path) -> str:
    if path.is_dir():
        names = ("zarr.json", ".zattrs", ".zgroup", ".zarray", "0/zarr.json", "0/.zarray", "attributes.json")
        return "; ".join(f"{name} {_identity(path / name)}" for name in names if (path / name).exists())
    try:
        found = path.stat()
    except OSError:
        return "missing"
    return f"{found.st_size} bytes, changed {found.st_mtime_ns}"


def source_facts(source: SourceRef) -> list[Any]:
    """Name and options of a source and of those it wraps, without the folder: it may be moved."""
    options = [[key, source_facts(v) if isinstance(v, SourceRef) else v] for key, v in source.options]
    return [Path(source.path).name, options]


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say what differs between the components of two fingerprints, the user's own options first.

    Returns
    -------
    str
        ``fusion.blending.range: 40.0 -> 20.0; other views or registrations``; empty if nothing differs.
    """
    found = _differences(old["fusion"], new["fusion"], "fusion.")
    changed = [path for path, identity in new["inputs"].items() if old["inputs"].get(path, identity) != identity]
    found += [f"the input {path} has changed" for path in changed]
    if old["inputs"].keys() != new["inputs"].keys():
        found.append("other input files")
    if old["views"] != new["views"]:
        found.append("other views or registrations")
    found += _differences(old["output"], new["output"], "output.")
    found = found or _differences(old["grid"], new["grid"], "grid.")
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
    return "none" if value is None else str(value)
