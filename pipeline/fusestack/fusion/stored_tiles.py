"""Tiles that are files, folders and Zarr arrays: read from where they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.fusion.array_tiles import Tile, check_pixels, lazy_array, sources_of, spatial_shape
from fusestack.fusion.labelled import axes_of
from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.view import SourceRef
from fusestack.project.readers import READERS, reader_of
from fusestack.sources.arrays import zarr_identity
from fusestack.sources.base import open_source
from fusestack.sources.ome_zarr_facts import image_facts
from fusestack.sources.tiff_facts import TiffFacts, tiff_facts
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

_ZARR = READERS[".zarr"]
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_NO_TILES = {
    ".xml": "a project: give it alone, without tiles beside it",
    **dict.fromkeys((".yaml", ".yml"), "a configuration: fusestack.run and fusestack.plan take it"),
    **dict.fromkeys((".h5", ".hdf5", ".n5"), "a container of many images: give the project XML beside it, alone"),
}


def file_tile(label: str, path: str | Path) -> Tile:
    """Tile of an OME-Zarr image with its place, size of pixels, unit, channels and timepoints, or of another file.

    Of TIFF, the size of pixels, the unit and the names of channels are used, where OME or ImageJ wrote them; of files
    of microscopes, only how many timepoints and channels there are. Their places are not read.

    Raises
    ------
    InputError
        If there is no such file, or it is of a kind that is not read.
    """
    text = str(path) if is_address(str(path)) else str(Path(path).absolute())
    suffix = Path(text).suffix.lower()
    if suffix in _NO_TILES:
        raise InputError(f"{label}: {path} is {_NO_TILES[suffix]}")
    try:
        zarr = suffix == ".zarr" or (not is_address(text) and any(Path(text, name).exists() for name in _ZARR_FILES))
        reader = _ZARR if zarr else reader_of(text)
    except OSError as error:
        raise InputError(f"{label}: cannot be looked for ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"{label}: {path}: {error}; open it with its own library and give the array") from None
    return _labelled(label, _image_tile if zarr else _other_tile, text, reader)


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
    return _labelled(label, _image_tile, folder, _ZARR)


def _folder(held: Any) -> str | None:
    """Folder of a Zarr array or group on this machine; None where it is kept elsewhere."""
    import zarr

    if not isinstance(held.store, zarr.storage.LocalStore):
        return None
    return str(Path(held.store.root, held.path).absolute())


def _labelled(label: str, make: Callable[[str, str, str], Tile], path: str, reader: str) -> Tile:
    """Make a tile of a file; its problems begin with the label."""
    try:
        return make(label, path, reader)
    except InputError as error:
        raise InputError(*(f"{label}: {problem}" for problem in error.problems)) from error


def _image_tile(label: str, path: str, reader: str) -> Tile:
    facts = image_facts(path)
    timepoints, channels, z, y, x = facts.shape
    origin = Affine.translation(facts.origin)
    return Tile(
        label,
        _name(path),
        (z, y, x),
        facts.dtype,
        _sources(reader, path, timepoints, channels),
        (origin @ Affine.scaling(facts.pixel_size),) * timepoints,
        facts.pixel_size,
        placed=any(facts.origin),
        unit=facts.unit,
        timepoints=tuple(range(timepoints)),
        channels=tuple(name if name != str(c) else None for c, (name, _) in enumerate(facts.channels)),
        at_zero=True,
    )


def _other_tile(label: str, path: str, reader: str) -> Tile:
    source: Any = open_source(_sources(reader, path, 1, 1)[0][0])
    timepoints, channels = source.counts
    facts = tiff_facts(path) if reader == READERS[".tif"] else TiffFacts()
    size = Affine.scaling([size or 1.0 for size in facts.pixel_size])
    return Tile(
        label,
        _name(path),
        source.levels[0].shape,
        source.dtype.name,
        _sources(reader, path, timepoints, channels),
        (size,) * timepoints,
        facts.pixel_size,
        unit=facts.unit,
        timepoints=tuple(range(timepoints)),
        channels=facts.channels if len(facts.channels) == channels else (None,) * channels,
        at_zero=True,
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
