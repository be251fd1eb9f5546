"""The stack that a configuration names: photographs, the pages of a TIFF file, a volume, or the fused image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.focus.channel_files import channel_files
from fusestack.focus.hyperstacks import Hyperstack, hyperstack_of
from fusestack.focus.photographs import check_photographs, photographs
from fusestack.focus.slice_files import slice_files
from fusestack.focus.slices import AXES, VolumeSlices
from fusestack.focus.stack import StackInput
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import identities
from fusestack.model.image import Channel
from fusestack.project.readers import READERS
from fusestack.sources.facts import ChoiceError, FactsWanted, facts_of
from fusestack.sources.ome_zarr_facts import is_zarr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.model.geometry import Float3
    from fusestack.planning.plan import PlannedImage
    from fusestack.sources.facts import ImageFacts

__all__ = ["StackInput", "stack_inputs"]

_DIRECT_CHUNK = 1024
_PROJECTS = (".xml", ".h5", ".hdf5", ".n5")
_NOT_TURNED = "its orientation is not used, slices are taken as they are stored"
_AS_VIEW = (
    "series, axes, voxel_size, unit and orientation are those of a view: to use them, name it in input.views, give "
    "output.path, and leave focus.input out"
)


def stack_inputs(loaded: LoadedConfig, focus: Focus, fused: Sequence[PlannedImage]) -> list[StackInput]:
    """Stacks that a configuration names; reads headers only.

    Raises
    ------
    ConfigError
        If it names none.
    InputError
        If files are missing, unreadable or do not fit one another; all of them are named.
    """
    images = loaded.config.input.images if loaded.config.input is not None else None
    if focus.input != "fused":
        return [_named(loaded, focus, [focus.input], "focus.input")]
    if images is not None:
        return [_named(loaded, focus, [images] if isinstance(images, str) else list(images), "input.images")]
    if not fused:
        raise ConfigError(
            f"{loaded.cite('focus.input')}: there is no fused image; give input.images, input.project or input.views, "
            "or name a stack with focus.input"
        )
    return [_fused(image, focus, reverse=focus.reverse) for image in fused]


def _named(loaded: LoadedConfig, focus: Focus, names: Sequence[str], key: str) -> StackInput:
    """The volume or the files that a key names."""
    paths = [loaded.resolve_path(name) for name in names]
    for path in paths:
        if path.lower().endswith(_PROJECTS):
            raise ConfigError(
                f"{loaded.cite(key)}: {path} is a project, which has to be fused first: name it in input.project, "
                f"give output.path, and leave {key} out"
            )
        if is_zarr(path) and len(paths) > 1:
            raise ConfigError(f"{loaded.cite(key)}: {path} is a volume, which is a stack of its own: name it alone")
    if is_zarr(paths[0]):
        return _zarr(paths[0], focus, reverse=focus.reverse)
    return _of_files(loaded, focus, *slice_files(loaded, names, key))


def _of_files(loaded: LoadedConfig, focus: Focus, files: Sequence[str], notices: Sequence[str]) -> StackInput:
    """Photographs, or the volume that a TIFF file says it is."""
    if channels := channel_files(files):
        return _hyperstack(channels, focus, notices)
    found = hyperstack_of(files)
    if isinstance(found, Hyperstack):
        return _hyperstack([found], focus, notices)
    check_photographs(loaded, focus)
    return photographs(files, notices, reverse=focus.reverse, described=found)


def _hyperstack(channels: Sequence[Hyperstack], focus: Focus, notices: Sequence[str]) -> StackInput:
    """Volume of one file (or OME-TIFF set) with all its channels, or of several with one each."""
    found, several = channels[0], len(channels) > 1
    facts = found.facts
    t, c, *zyx = facts.shape
    names = [name for one in channels for name in one.channels]
    if len(set(names)) < len(names):
        names = [Path(one.facts.path).name.split(".")[0] for one in channels]
    last = Path(channels[-1].facts.path).name
    source = f"{len(channels)} files, {facts.path} to {last}" if several else facts.path
    made = _volume(
        Path(facts.path).name.split(".")[0],
        source,
        (t, len(names), *zyx),
        facts.dtype,
        tuple(tuple(one.facts.source(i, j) for one in channels for j in range(c)) for i in range(t)),
        focus,
        chunks=facts.chunks,
        channels=tuple(Channel(i, name) for i, name in enumerate(names)),
        pixel_size=found.pixel_size,
        origin=(0.0, 0.0, 0.0),
        unit=found.unit,
        timepoints=tuple(range(t)),
        read=identities([path for one in channels for path in one.facts.source(0, 0).paths]),
        reverse=focus.reverse,
    )
    said = [sentence for one in channels for sentence in one.warnings]
    if several:
        said.append(f"{source}: are taken for channels of one stack, as they are called")
    if facts.placed:
        said.append(f"{facts.path}: its position is not used, places are counted from its first pixel")
    if facts.turn is not None:
        said.append(f"{facts.path}: {_NOT_TURNED}")
    if facts.said or facts.turn is not None:
        said.append(_AS_VIEW)
    return replace(
        made,
        time=facts.time,
        found=_taken(facts, "position", "orientation"),
        warnings=(*notices, *said, *made.warnings),
    )


def _taken(facts: ImageFacts, *left: str) -> tuple[str, ...]:
    """What was taken from where: "voxel size: NGFF"."""
    return tuple(f"{what}: {where}" for what, where in facts.found if what not in left)


def _zarr(path: str, focus: Focus, *, reverse: bool) -> StackInput:
    try:
        facts = facts_of(FactsWanted(READERS[".zarr"], path))
    except ChoiceError as error:
        raise InputError(f"{error}; {_AS_VIEW}") from error
    t, c = facts.shape[:2]
    volumes = tuple(tuple(facts.source(i, j) for j in range(c)) for i in range(t))
    made = _volume(
        Path(path).name.split(".")[0],
        path,
        facts.shape,
        facts.dtype,
        volumes,
        focus,
        chunks=facts.chunks,
        channels=tuple(Channel(i, name, colour) for i, (name, colour) in enumerate(facts.channels)),
        pixel_size=facts.pixel_size,
        origin=facts.origin,
        unit=facts.unit,
        timepoints=tuple(range(t)),
        read=identities([facts.path]),
        reverse=reverse,
    )
    said = list(facts.said)
    if facts.turn is not None:
        said.append(_NOT_TURNED)
    if said:
        said.append(_AS_VIEW)
    return replace(
        made,
        time=facts.time,
        found=_taken(facts, "orientation"),
        warnings=(*(f"{path}: {sentence}" for sentence in said), *made.warnings),
    )


def _fused(image: PlannedImage, focus: Focus, *, reverse: bool) -> StackInput:
    spec = image.target.image
    made = _volume(
        image.title,
        spec.path,
        spec.shape,
        spec.dtype,
        image.stages[0].array,
        focus,
        chunks=spec.levels[0].chunks,
        channels=spec.channels,
        pixel_size=spec.pixel_size,
        origin=spec.origin,
        unit=spec.unit,
        timepoints=spec.timepoints,
        read={spec.path: image.stages[0].fingerprint},
        reverse=reverse,
        fused=True,
    )
    return replace(made, time=spec.time, no_data=spec.fill)


def _volume(
    title: str,
    source: str,
    shape: tuple[int, ...],
    dtype: str,
    volumes: Any,
    focus: Focus,
    *,
    chunks: tuple[int, ...],
    channels: tuple[Channel, ...],
    pixel_size: Float3,
    origin: Float3,
    unit: str | None,
    timepoints: tuple[int, ...],
    read: Mapping[str, str],
    reverse: bool,
    fused: bool = False,
) -> StackInput:
    axis = AXES[focus.axis]
    plane = [i for i in range(3) if i != axis]
    count = shape[2 + axis]
    pieces = (chunks[2 + plane[0]], chunks[2 + plane[1]])
    height, width = (shape[2 + i] for i in plane)
    stack = (shape[0], shape[1], count, height, width)
    warnings = () if count > 1 else (f"{source}: has a single slice along {focus.axis}; choose another focus.axis",)
    told = [f"{counted(count, 'slice')} of {width:,} x {height:,} pixels along {focus.axis}"]
    told += [counted(n, noun) for n, noun in zip(shape, ("timepoint", "channel"), strict=False) if n > 1]
    step, first = pixel_size[axis], origin[axis]
    if reverse:
        step, first = -step, first + (count - 1) * step
    return StackInput(
        title=title,
        source=f"{source}: {', '.join(told)}, {dtype}",
        shape=stack,
        dtype=dtype,
        slices=VolumeSlices(
            volumes, stack, dtype, axis, reverse, () if fused else tuple(sorted(read.values())), pieces
        ),
        read=read,
        photographs=False,
        channels=channels,
        depth_chunk=min(count, chunks[2 + axis]),
        direct=axis == 0 and chunks[2] == 1 and max(chunks[3:]) <= _DIRECT_CHUNK,
        plane_size=(pixel_size[plane[0]], pixel_size[plane[1]]),
        plane_origin=(origin[plane[0]], origin[plane[1]]),
        step=step,
        first=first,
        unit=unit,
        timepoints=timepoints,
        fused=fused,
        warnings=warnings,
    )
