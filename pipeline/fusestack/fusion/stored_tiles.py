"""Tiles that are files, folders and Zarr arrays: read from where they are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from fusestack.fusion.array_tiles import Tile, check_pixels, lazy_array, sources_of, spatial_shape
from fusestack.fusion.labelled import axes_of
from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.view import SourceRef
from fusestack.project.readers import READERS, reader_of
from fusestack.sources.arrays import zarr_identity
from fusestack.sources.facts import FactsWanted, ImageFacts, facts_of
from fusestack.sources.ome_zarr_facts import is_zarr
from fusestack.storage import absolute

_ZARR = READERS[".zarr"]
_NO_TILES = {
    ".xml": "a project: give it alone, without tiles beside it",
    **dict.fromkeys((".yaml", ".yml"), "a configuration: fusestack.run and fusestack.plan take it"),
    **dict.fromkeys((".h5", ".hdf5", ".n5"), "a container of many images: give the project XML beside it, alone"),
}


def file_tile(label: str, path: str | Path) -> Tile:
    """Tile of an image in a file, with all that the file says: place, size of pixels, unit, channels, timepoints.

    Raises
    ------
    InputError
        If there is no such file, it is of a kind that is not read, or holds several images.
    """
    text = absolute(path)
    suffix = Path(text).suffix.lower()
    if suffix in _NO_TILES:
        raise InputError(f"{label}: {path} is {_NO_TILES[suffix]}")
    try:
        reader = reader_of_file(text)
    except OSError as error:
        raise InputError(f"{label}: cannot be looked for ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"{label}: {path}: {error}; open it with its own library and give the array") from None
    return _file_tile(label, text, reader)


def reader_of_file(path: str) -> str:
    """Who reads a file, by its suffix; folders that are Zarr, whatever they are called.

    Raises
    ------
    ValueError
        If such files are not read.
    OSError
        If it cannot be looked for.
    """
    return _ZARR if is_zarr(path) else reader_of(path)


def zarr_tile(label: str, held: Any) -> Tile:
    """Tile of a Zarr array, read from its folder where it has one; its dimensions are its last ones of t, c, z, y, x.

    Raises
    ------
    InputError
        If its pixels are of a type that is not read, or its dimensions have names that are not known.
    """
    names = getattr(held.metadata, "dimension_names", None)
    if names and all(names):
        axes = axes_of(label, names)
    elif 2 <= held.ndim <= 5:
        axes = "tczyx"[-held.ndim :]
    else:
        raise InputError(f"{label}: has {held.ndim} dimensions; an image has y, x with any of t, c, z before")
    folder = _folder(held)
    if folder is None or axes != "".join(sorted(axes, key="tczyx".index)):
        array = lazy_array(label, held)
        sources = sources_of(label, [array], axes, [(1.0, 1.0, 1.0)])
    else:
        check_pixels(label, held.dtype)
        if 0 in held.shape:
            raise InputError(f"{label}: has no pixels, its shape is {held.shape}; leave it out")
        lengths = dict(zip(axes, held.shape, strict=True))
        known = (("held", zarr_identity(held)),)  # metadata stay where chunks are written in place
        sources = _sources(_ZARR, folder, lengths.get("t", 1), lengths.get("c", 1), known)
    return Tile(
        label,
        held.basename or (_name(folder) if folder else "") or label,
        spatial_shape(held.shape, axes),
        held.dtype.name,
        sources,
        (Affine.identity(),) * len(sources),
        timepoints=tuple(range(len(sources))),
        channels=(None,) * len(sources[0]),
        plane="z" not in axes,
    )


def group_tile(label: str, held: Any) -> Tile:
    """Tile of a Zarr group that is an OME-Zarr image in a folder.

    Raises
    ------
    InputError
        If it is kept elsewhere, or is no image.
    """
    folder = _folder(held)
    if folder is None:
        raise InputError(f"{label}: is a Zarr group that is not in a folder of this machine; give one of its arrays")
    return _file_tile(label, folder, _ZARR)


def _folder(held: Any) -> str | None:
    """Folder of a Zarr array or group on this machine; None where it is kept elsewhere."""
    import zarr

    if not isinstance(held.store, zarr.storage.LocalStore):
        return None
    return absolute(Path(held.store.root, held.path))


def _file_tile(label: str, path: str, reader: str) -> Tile:
    """Make a tile of a file; its problems begin with the label."""
    try:
        facts = facts_of(FactsWanted(reader, path))
    except InputError as error:
        raise InputError(*(f"{label}: {problem}" for problem in error.problems)) from error
    for sentence in facts.said:
        warnings.warn(f"{label}: {path}: {sentence}", stacklevel=4)
    return tile_of_facts(label, _name(path), facts)


def tile_of_facts(label: str, name: str, facts: ImageFacts) -> Tile:
    """Tile of what a file says about one of its images."""
    timepoints, channels, z, y, x = facts.shape
    return Tile(
        label,
        name,
        (z, y, x),
        facts.dtype,
        tuple(tuple(facts.source(t, c) for c in range(channels)) for t in range(timepoints)),
        facts.pixel_to_unit,
        facts.sizes,
        placed=facts.placed,
        unit=facts.unit,
        timepoints=tuple(range(timepoints)),
        channels=facts.names,
        colors=facts.colors,
        at_zero=True,
        pixels=facts.pixels,
        time=facts.time,
    )


def _sources(
    reader: str, path: str, timepoints: int, channels: int, options: tuple[tuple[str, str | None], ...] = ()
) -> tuple[tuple[SourceRef, ...], ...]:
    return tuple(
        tuple(SourceRef(reader, path, (("timepoint", t), ("channel", c), *options)) for c in range(channels))
        for t in range(timepoints)
    )


def _name(path: str) -> str:
    return Path(path.rstrip("/")).name.split(".")[0]
