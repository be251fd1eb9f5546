"""What an OME-Zarr image, or a plain Zarr array, says about itself; metadata only."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.units import known_unit, length_factor, time_step
from fusestack.sources.base import check_exists, input_errors, pixel_dtype
from fusestack.sources.facts import ImageFacts, refuse_choice
from fusestack.sources.ngff import (
    attributes_of,
    declared_axes,
    is_collection,
    is_scaling,
    matrix_of,
    outer_steps,
    spatial_part,
    units_of,
)
from fusestack.sources.ome_zarr import array_axes, levels_of, multiscale, open_node
from fusestack.storage import is_address, open_folder
from fusestack.storage.zarr_chunks import group_attributes
from fusestack.storage.zarr_python import open_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fusestack.model.geometry import Float3
    from fusestack.sources.ome_xml import Sizes

_READER = "fusestack.sources.ome_zarr:OmeZarrSource"
_RENAMED = "its chunks are not called as its metadata say (dimension_separator), and are read as they are called"
_RESTORE = "restore it from its source, or write the image again"
_XML = "METADATA.ome.xml"
_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def is_zarr(path: str) -> bool:
    """Whether a folder is a Zarr group or array, whatever it is called; of addresses, the suffix says it."""
    if path.rstrip("/").lower().endswith(".zarr"):
        return True
    return not is_address(path) and Path(path).is_dir() and any(Path(path, name).exists() for name in _FILES)


def image_facts(path: str, *, series: int | None = None, axes: str | None = None) -> ImageFacts:
    """Read the metadata of an OME-Zarr image, or of a plain Zarr array.

    Parameters
    ----------
    path : str
        Folder or address of the image, or of a plate, a well or what bioformats2raw writes.
    series : int, optional
        Number of the image, where there are several.
    axes : str, optional
        Letters of t, c, z, y, x: what the axes of the array are, slowest first, whatever the metadata say.

    Raises
    ------
    InputError
        If there is none, it cannot be used, or it is not clear which image is meant.
    """
    return _Group(path).facts(series, axes)


def several_facts(path: str, asked: Sequence[tuple[int | None, str | None]]) -> list[ImageFacts | InputError]:
    """Read the metadata of several images of one group, whose members are looked for once; of a bad one, why.

    Parameters
    ----------
    path : str
    asked : sequence of (int or None, str or None)
        Series and axes of each, as for `image_facts`.
    """
    group = _Group(path)

    def one(series: int | None, axes: str | None) -> ImageFacts | InputError:
        try:
            return group.facts(series, axes)
        except InputError as error:
            return error

    return [one(series, axes) for series, axes in asked]


class _Group:
    """A path that leads to an array, an image, or a group of them; what was read of it is kept."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read: list[str] = []
        self._known: dict[str, Any] = {}  # no cached_property: its lock is one for all images, and stores answer late

    def facts(self, series: int | None, axes: str | None) -> ImageFacts:
        """Facts of one image."""
        path = self._path
        check_exists(path)
        with input_errors(path, "is not a Zarr image that can be read", _RESTORE):
            options: tuple[tuple[str, Any], ...] = () if axes is None else (("axes", axes),)
            attributes = self._node
            if not isinstance(attributes, dict):
                order = array_axes(attributes, path, axes)
                facts = _facts(path, [attributes], [(1.0, 1.0, 1.0)], order, {}, options)
                return replace(facts, behind=_behind([path]))
            described, read = _Described(path), [path]
            if not attributes_of(attributes).get("multiscales"):
                described, series = self._member(attributes, series), None
                read = [*self._read, described.path]
                attributes = _group(described.path)
            found = attributes_of(attributes)
            images = found.get("multiscales") or []
            if not images:
                raise InputError(f"{described.path}: holds no multiscale image; name the folder of the image")
            number = series or 0
            if number >= len(images):
                raise InputError(f"{path}: has {len(images)} images, and no series {number}; correct it")
            if len(images) > 1 and series is None:
                names = [str(image.get("name") or image["datasets"][0]["path"]) for image in images]
                raise refuse_choice(described.path, "images", names)
            if number:
                options = (*options, ("series", number))
            levels, arrays, order, factors = multiscale(attributes, described.path, number, axes)
            facts = _facts(described.path, arrays, factors, order, found.get("omero") or {}, options)
            read += [f"{described.path}/{name}" for name in levels]
            return replace(_image(described, images[number], facts, order, []), behind=_behind(read))

    def _once(self, what: str, ask: Callable[[], Any]) -> Any:
        if what not in self._known:
            self._known[what] = ask()
        return self._known[what]

    @property
    def _node(self) -> Any:
        return self._once("node", lambda: open_node(self._path))

    @property
    def _members(self) -> list[str]:
        """Images inside, by their paths in it."""
        found: list[str] = self._once("members", lambda: _members(self._path, self._node, self._read))
        return found

    @property
    def _xml(self) -> str | None:
        """OME-XML that bioformats2raw keeps beside its images."""
        folder = open_folder(f"{self._path}/OME")
        data = self._once("xml", lambda: folder.get(_XML) if is_collection(self._node) else None)
        return data.decode() if data else None

    def _member(self, attributes: Mapping[str, Any], series: int | None) -> _Described:
        """Image of a group that is none itself."""
        path, members = self._path, self._members
        if not members:
            names = ", ".join(sorted(name for name, _ in open_zarr(path).members())) or "nothing"
            raise InputError(f"{path}: holds no multiscale image; name the image inside it (it holds {names})")
        if series is None and len(members) > 1:
            raise refuse_choice(path, "images", members)
        number = series or 0
        if number >= len(members):
            raise InputError(f"{path}: has {len(members)} images, and no series {number}; correct it")
        return _Described(f"{path.rstrip('/')}/{members[number]}", self._xml, number)


@dataclass(frozen=True)
class _Described:
    """Folder of an image, and the OME-XML that bioformats2raw keeps beside it."""

    path: str
    xml: str | None = None
    number: int = 0


def _group(path: str) -> dict[str, Any]:
    node = open_node(path)
    return node if isinstance(node, dict) else {}


def _behind(folders: Sequence[str]) -> tuple[str, ...]:
    """Groups and arrays, and the files in them that describe them; of addresses, themselves alone."""
    listed = list(dict.fromkeys(folders))
    if not listed or is_address(listed[0]):
        return tuple(listed)
    files = (f"{folder}/{name}" for folder in listed for name in (*_FILES, _XML))
    return (*listed, *(file for file in files if os.path.exists(file)))  # noqa: PTH110 -- of 20,000 images


def _members(path: str, attributes: Mapping[str, Any], read: list[str]) -> list[str]:
    """Images inside a group, by their paths in it; adds the groups that were read."""
    found = attributes_of(attributes)
    read.append(path)
    if wells := (found.get("plate") or {}).get("wells"):
        return [
            f"{well['path']}/{name}"
            for well in wells
            for name in _members(f"{path}/{well['path']}", _group(f"{path}/{well['path']}"), read)
        ]
    if fields := (found.get("well") or {}).get("images"):
        return [str(image["path"]) for image in fields]
    if is_collection(attributes):
        read.append(f"{path}/OME")
        listed = attributes_of(_group(f"{path}/OME")).get("series") if _is_group(f"{path}/OME") else None
        if listed:
            return [str(name) for name in listed]
    if is_address(path):
        return []
    names = sorted((entry.name for entry in Path(path).iterdir() if entry.is_dir()), key=lambda name: (len(name), name))
    read += [f"{path}/{name}" for name in names]
    return [name for name in names if attributes_of(group_attributes(f"{path}/{name}") or {}).get("multiscales")]


def _is_group(path: str) -> bool:
    return group_attributes(path) is not None


def _image(
    described: _Described, image: Mapping[str, Any], facts: ImageFacts, axes: str, said: list[str]
) -> ImageFacts:
    """Facts with the place of the first level and of the image, and with what is kept beside it."""
    path, dataset = described.path, image["datasets"][0]
    steps = dataset.get("coordinateTransformations") or ()
    outer = outer_steps(image, said)
    where = f"{path}: {str(dataset['path']).strip('/')}"
    matrix = matrix_of(outer, len(axes), path) @ matrix_of(steps, len(axes), where)
    if steps or outer:
        facts = _placed(facts, matrix, axes, units_of(declared_axes(image), axes), where, said)
        if all(step.get("type") in ("scale", "identity") for step in (*steps, *outer)):
            facts = replace(facts, positions=())
        facts = _timed(facts, matrix, axes, units_of(declared_axes(image), axes), said)
    facts = replace(facts, said=(*facts.said, *said))
    return facts if described.xml is None else _with_xml(facts, described.xml, described.number)


def _facts(
    path: str,
    arrays: Sequence[Any],
    factors: Sequence[Float3],
    axes: str,
    omero: Mapping[str, Any],
    options: tuple[tuple[str, Any], ...],
) -> ImageFacts:
    """Facts but for the place."""
    array = arrays[0]
    shape, chunks = (
        tuple(int(dict(zip(axes, v, strict=True)).get(a, 1)) for a in "tczyx") for v in (array.shape, array.chunks)
    )
    listed: Sequence[Mapping[str, Any]] = omero.get("channels") or ()
    padded = [*listed, *({},) * shape[1]][: shape[1]]
    names = tuple(_text(channel.get("label")) for channel in padded)
    colors = tuple(_text(channel.get("color")) for channel in padded)
    told = [("channel names", any(names)), ("channel colours", any(colors))]
    return ImageFacts(
        reader=_READER,
        path=path,
        shape=shape,
        chunks=chunks,
        dtype=pixel_dtype(np.dtype(array.dtype), path).name,
        options=options,
        levels=levels_of(arrays, factors, axes),
        names=names,
        colors=colors,
        found=tuple((what, "omero metadata") for what, there in told if there),
        said=(_RENAMED,) if getattr(array, "renamed", False) else (),
    )


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None


def _placed(
    facts: ImageFacts,
    matrix: Any,
    axes: str,
    units: Mapping[str, str | None],
    where: str,
    said: list[str],
) -> ImageFacts:
    """Facts with the place that transformations give."""
    linear, offset = spatial_part(matrix, axes, where)
    spatial = [axis for axis in "xyz" if axis in axes]
    unit = next((known_unit(units[axis]) for axis in spatial if units[axis]), None)
    for number, axis in enumerate("zyx"):
        if axis not in axes or not units[axis] or unit is None:
            continue
        factor = length_factor(units[axis], unit)
        if factor is None:
            raise InputError(
                f"{where}: its axes have units that are not lengths of one kind ({units[axis]} and {unit})"
            )
        linear[number] *= factor
        offset[number] *= factor
    if unit is not None and any(not units[axis] for axis in spatial):
        said.append(f"some of its axes have no unit, and are taken for {unit}; voxel_size and unit say otherwise")
    sizes = np.linalg.norm(linear, axis=0)
    plain = is_scaling(np.block([[linear, offset[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])) and bool(
        (np.diag(linear) > 0).all()
    )
    z, y, x = (float(size) for size in sizes)
    known: Sizes = (z if "z" in axes else None, y, x)
    told = [("voxel size", True), ("position", bool(offset.any())), ("orientation", not plain)]
    return replace(
        facts,
        sizes=known,
        unit=unit,
        positions=((float(offset[0]), float(offset[1]), float(offset[2])),) * facts.shape[0],
        turn=None if plain else Affine(linear, np.zeros(3)),
        found=(*facts.found, *((what, "NGFF") for what, there in told if there)),
    )


def _timed(facts: ImageFacts, matrix: Any, axes: str, units: Mapping[str, str | None], said: list[str]) -> ImageFacts:
    """Facts with the step of the axis t, where it has a unit."""
    if "t" not in axes or facts.shape[0] < 2:
        return facts
    number = axes.index("t")
    step, first = float(matrix[number, number]), float(matrix[number, -1])
    found = time_step(step, units["t"], first)
    if found is not None:
        return replace(facts, time=found, found=(*facts.found, ("time step", "NGFF")))
    if units["t"] or step != 1:
        unit = f"the unit '{units['t']}', which is not known" if units["t"] else "no unit"
        said.append(f"its time step of {step:.6g} has {unit}, and is not used")
    return facts


def _with_xml(facts: ImageFacts, text: str, number: int) -> ImageFacts:
    """What bioformats2raw keeps of the original file, where NGFF says nothing: places of the stage, channels."""
    from fusestack.sources.ome_xml import ome_images

    images = ome_images(text)
    if number >= len(images):
        return facts
    image, where = images[number], "OME-XML of bioformats2raw"
    factor = length_factor(image.unit, facts.unit) if facts.unit and image.unit else None
    if factor is not None and image.positions and not facts.placed:
        scaled = [(z * factor, y * factor, x * factor) for z, y, x in image.positions]
        count = facts.shape[0]
        positions = tuple(scaled if len(scaled) == count else scaled[:1] * count)
        facts = replace(
            facts, positions=positions, found=(*facts.found, ("position", where)), said=(*facts.said, *image.said)
        )
    if not any(facts.names) and any(image.names) and len(image.names) == facts.shape[1]:
        facts = replace(facts, names=image.names, found=(*facts.found, ("channel names", where)))
    return facts
