"""OME-Zarr 0.4 and 0.5: the attributes of an image and the metadata of its arrays."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.image import AXES
from fusestack.writers.contrast import full_window
from fusestack.writers.zarr_codec import declared_v2, declared_v3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.image import ImageSpec, Level

VERSIONS = ("0.4", "0.5")
SHARDED = "0.5"
"""The version that has shards."""
CHECKSUM = "crc32c"
_OF_PIXELS = frozenset({
    *("shape", "fill_value", "zarr_format"),
    *("chunks", "dtype", "order", "filters", "dimension_separator", "compressor"),
    *("data_type", "chunk_grid", "chunk_key_encoding", "codecs", "node_type"),
})  # fmt: skip


def arrays(spec: ImageSpec, *, checksums: bool = True) -> dict[str, bytes]:
    """Metadata files of all levels: key to content. Chunks of Zarr 3 have checksums, but for those of earlier versions.

    To the byte what zarr-python writes, whose import would take longer than a small run (the tests compare them).

    Raises
    ------
    ValueError
        If shards are not made of whole chunks.
    """
    levels = enumerate(spec.levels)
    if spec.ome_zarr_version != "0.4":
        return {f"{number}/zarr.json": _json(_array_of_v3(spec, level, checksums)) for number, level in levels}
    files = {f"{number}/.zarray": _json(_array_of_v2(spec, level)) for number, level in levels}
    # where xarray looks for the names of axes
    return files | {f"{number}/.zattrs": _json({"_ARRAY_DIMENSIONS": AXES}) for number in range(len(spec.levels))}


def pixel_facts(data: bytes) -> dict[str, Any]:
    """What of the metadata of an array, as `arrays` gives them, decides about its pixels."""
    return {name: fact for name, fact in json.loads(data).items() if name in _OF_PIXELS}


def has_checksums(data: bytes) -> bool:
    """Whether metadata of an array of Zarr 3 say that its chunks have checksums.

    Raises
    ------
    ValueError, LookupError, TypeError
        If they are no such metadata.
    """
    codecs = json.loads(data)["codecs"]
    if codecs[0]["name"] == "sharding_indexed":
        codecs = codecs[0]["configuration"]["codecs"]
    return any(codec["name"] == CHECKSUM for codec in codecs)


def _array_of_v2(spec: ImageSpec, level: Level) -> dict[str, Any]:
    """Metadata of an array of Zarr 2."""
    return {
        "shape": level.shape,
        "chunks": level.chunks,
        "dtype": np.dtype(spec.dtype).newbyteorder("<").str,
        "fill_value": _fill(spec),
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
        "compressor": declared_v2(spec.codec),
        "zarr_format": 2,
    }


def _array_of_v3(spec: ImageSpec, level: Level, checksums: bool) -> dict[str, Any]:
    """Metadata of an array of Zarr 3."""
    endian = {"name": "bytes", "configuration": {"endian": "little"}}
    codecs: list[dict[str, Any]] = [endian if spec.itemsize > 1 else {"name": "bytes"}]
    codecs += declared_v3(spec.codec, spec.itemsize)
    codecs += [{"name": CHECKSUM}] if checksums else []
    if level.shards is not None:
        if any(shard % chunk for shard, chunk in zip(level.shards, level.chunks, strict=True)):
            raise ValueError(f"shards {level.shards} are not made of whole chunks {level.chunks}")
        sharding = {
            "chunk_shape": level.chunks,
            "codecs": codecs,
            "index_codecs": [endian, {"name": CHECKSUM}],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return {
        "shape": level.shape,
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": level.shards or level.chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill(spec),
        "codecs": codecs,
        "attributes": {},
        "dimension_names": AXES,
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def _fill(spec: ImageSpec) -> int | float | str:
    """Fill value as JSON has it."""
    if np.dtype(spec.dtype).kind != "f":
        return int(spec.fill)
    if math.isfinite(spec.fill):
        return float(spec.fill)
    return "NaN" if math.isnan(spec.fill) else "Infinity" if spec.fill > 0 else "-Infinity"


def group_files(version: str, attributes: dict[str, Any]) -> dict[str, bytes]:
    """Metadata files of the group that is the image: key to content."""
    if version == "0.4":
        return {".zgroup": _json({"zarr_format": 2}), ".zattrs": _json(attributes)}
    return {"zarr.json": _json({"zarr_format": 3, "node_type": "group", "attributes": attributes})}


def group_attributes(version: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Attributes in the metadata files of a group; the reverse of `group_files`.

    Raises
    ------
    ValueError
        If the files are not JSON or not those of a group.
    """
    document = json.loads(files[".zattrs" if version == "0.4" else "zarr.json"])
    if version != "0.4":
        if not isinstance(document, dict) or document.get("node_type") != "group":
            raise ValueError("not a Zarr group")
        document = document.get("attributes", {})
    if not isinstance(document, dict):
        raise ValueError("attributes are not a mapping")
    return document


def multiscales(attributes: dict[str, Any]) -> Any:
    """Places of an image in the attributes of its group, of any version; None where there are none."""
    found = attributes.get("ome", attributes)
    return found.get("multiscales") if isinstance(found, dict) else None


def level_paths(attributes: dict[str, Any]) -> list[str] | None:
    """Names of the levels; None where attributes say none."""
    try:
        return [str(one["path"]) for one in (multiscales(attributes) or [])[0]["datasets"]]
    except (LookupError, TypeError):
        return None


def image_attributes(spec: ImageSpec, windows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Attributes that make a group an image: multiscales and omero.

    Parameters
    ----------
    spec : ImageSpec
    windows : sequence of dict
        Contrast of every channel: min, max, start, end.
    """
    places = {"name": spec.name, "axes": _axes(spec), "datasets": _datasets(spec)}
    omero = {
        "channels": [
            {"label": channel.name, "color": channel.color, "active": True, "window": dict(window)}
            for channel, window in zip(spec.channels, windows, strict=True)
        ],
        "rdefs": {"model": "color", "defaultT": 0, "defaultZ": spec.shape[2] // 2},
    }
    if spec.ome_zarr_version == "0.4":
        return {"multiscales": [{"version": "0.4", **places}], "omero": {"version": "0.4", **omero}}
    return {"ome": {"version": "0.5", "multiscales": [places], "omero": omero}}


def _axes(spec: ImageSpec) -> list[dict[str, str]]:
    space = {"type": "space"} | ({"unit": spec.unit} if spec.unit else {})
    time = {"type": "time"} | ({"unit": spec.time.unit} if spec.time else {})
    return [{"name": "t", **time}, {"name": "c", "type": "channel"}, *({"name": n, **space} for n in AXES[2:])]


def _datasets(spec: ImageSpec) -> list[dict[str, Any]]:
    step, first = (1.0, 0.0) if spec.time is None else (spec.time.value, spec.time.first)
    return [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [step, 1.0, *map(float, spec.level_scale(level))]},
                {"type": "translation", "translation": [first, 0.0, *map(float, spec.level_origin(level))]},
            ],
        }
        for level in range(len(spec.levels))
    ]


def adapted_attributes(found: dict[str, Any], before: ImageSpec, spec: ImageSpec) -> dict[str, Any]:
    """Attributes of an image that was another one before; what others have added, and places that they corrected, stay.

    Names and colours of channels are those of the image. Without what is written last: whoever finishes it looks at the
    pixels again.
    """
    there, made = (image_attributes(one, [full_window(one.dtype)] * one.shape[1]) for one in (before, spec))
    if multiscales(found) not in (None, json.loads(json.dumps(multiscales(there)))):
        made.get("ome", made)["multiscales"] = multiscales(found)
    return {key: value for key, value in found.items() if key != "fusestack"} | made


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, default=str).encode()


def is_json(data: bytes | None) -> bool:
    """Whether a file is JSON."""
    try:
        json.loads(data or b"")
    except ValueError:
        return False
    return True


def same_json(one: bytes, other: bytes) -> bool:
    """Whether two files of JSON say the same."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
