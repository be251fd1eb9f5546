"""The stack that a configuration names: photographs, the pages of a TIFF file, a volume, or the fused image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.focus.slice_files import slice_files
from fusestack.focus.slices import AXES, ArraySlices, PictureSlices, VolumeSlices
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import identities
from fusestack.model.image import Channel
from fusestack.model.view import SourceRef
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.model.geometry import Float3
    from fusestack.planning.plan import PlannedImage
    from fusestack.sources.pictures import PicturePage

_DIRECT_CHUNK = 1024
_PROJECTS = (".xml", ".h5", ".hdf5", ".n5")
_COLOURS = {"L": "grey", "LA": "grey with alpha", "RGB": "in colour", "RGBA": "in colour with alpha"}


@dataclass(frozen=True)
class StackInput:
    """A stack before any pixel is read.

    Parameters
    ----------
    title : str
        For names of files where there are several.
    source : str
        For people.
    shape : tuple of int
        t, c, k, y, x.
    dtype : str
    slices : PictureSlices, VolumeSlices or ArraySlices
    read : mapping
        Identities of the files, by path.
    photographs : bool
        Whether channels are the colours of photographs.
    colours : str
        Of photographs: ``L``, ``RGB``, with ``A`` for opacity.
    channels : tuple of Channel
        Of volumes.
    depth_chunk : int
        Slices that are decoded together.
    direct : bool
        Whether slices need not be stored again.
    plane_size, plane_origin : (float, float)
        Physical size and place of the first pixel along y and x of the slices.
    step, first : float
        Physical distance of the slices, place of the first one.
    unit : str or None
    timepoints : tuple of int
    fused : bool
        Whether it is made by other stages of the plan.
    notes : mapping
        EXIF and colour profile.
    warnings : tuple of str
    """

    title: str
    source: str
    shape: tuple[int, ...]
    dtype: str
    slices: PictureSlices | VolumeSlices | ArraySlices
    read: Mapping[str, str]
    photographs: bool
    colours: str = ""
    channels: tuple[Channel, ...] = ()
    depth_chunk: int = 1
    direct: bool = False
    plane_size: tuple[float, float] = (1.0, 1.0)
    plane_origin: tuple[float, float] = (0.0, 0.0)
    step: float = 1.0
    first: float = 0.0
    unit: str | None = None
    timepoints: tuple[int, ...] = (0,)
    fused: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


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
        path = loaded.resolve_path(focus.input)
        if _is_zarr(path):
            return [_zarr(path, focus, reverse=focus.reverse)]
        if path.lower().endswith(_PROJECTS):
            raise ConfigError(
                f"{loaded.cite('focus.input')}: {path} is a project, which has to be fused first: name it in "
                "input.project, give output.path, and leave focus.input out"
            )
        return [_photographs(*slice_files(loaded, [focus.input], "focus.input"), path, reverse=focus.reverse)]
    if images is not None:
        patterns = [images] if isinstance(images, str) else list(images)
        return [
            _photographs(*slice_files(loaded, patterns, "input.images"), ", ".join(patterns), reverse=focus.reverse)
        ]
    if not fused:
        raise ConfigError(
            f"{loaded.cite('focus.input')}: there is no fused image; give input.images, input.project or input.views, "
            "or name a stack with focus.input"
        )
    return [_fused(image, focus, reverse=focus.reverse) for image in fused]


def _photographs(files: Sequence[str], notices: Sequence[str], source: str, *, reverse: bool) -> StackInput:
    from fusestack.sources.pictures import describe_picture, orientation, read_metadata

    pictures: list[PicturePage] = []
    problems: list[str] = []
    for path in files:
        try:
            pictures += describe_picture(path)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    first = pictures[0]
    for picture in pictures[1:]:
        for what, own, other in (
            ("is {} pixels", _size(picture), _size(first)),
            ("is {}", _COLOURS[picture.colours], _COLOURS[first.colours]),
            ("has {} pixels", picture.dtype, first.dtype),
        ):
            if own != other:
                problems.append(
                    f"{picture.path}: {what.format(own)}, but {Path(first.path).name} {what.format(other)}; "
                    "all slices must be alike: leave it out, or crop or convert it first"
                )
    if problems:
        raise InputError(*problems)
    if reverse:
        pictures.reverse()
    warnings = list(notices)
    if len(pictures) == 1:
        warnings.append(f"{source}: a single picture is no stack; the result is that picture")
    if twice := [path for path, count in Counter(files).items() if count > 1]:
        warnings.append(f"{twice[0]}: is named more than once, and is more than one slice")
    read = identities([picture.path for picture in pictures])
    metadata = read_metadata(files[0])
    held = orientation(files[0]) or 1
    others = [path for path in files[1:] if orientation(path) not in (held, None)]
    if others:
        warnings.append(
            f"{others[0]}: says that the camera was held in another way than for {Path(files[0]).name}"
            f"{f' (and {len(others) - 1} more)' if len(others) > 1 else ''}; pixels are taken as they are stored"
        )
    return StackInput(
        title=f"{len(pictures)} pictures",
        source=f"{source} ({len(pictures)} pictures of {first.shape[1]:,} x {first.shape[0]:,} pixels, {first.dtype})",
        shape=(1, len(first.colours), len(pictures), *first.shape),
        dtype=first.dtype,
        slices=PictureSlices(tuple(replace(picture, identity=read[picture.path]) for picture in pictures)),
        read=read,
        photographs=True,
        colours=first.colours,
        notes={
            "exif": metadata.exif.hex() if metadata.exif else None,
            "icc": metadata.icc.hex() if metadata.icc else None,
        },
        warnings=tuple(warnings),
    )


def _size(picture: PicturePage) -> str:
    return f"{picture.shape[1]:,} x {picture.shape[0]:,}"


def _is_zarr(path: str) -> bool:
    if path.rstrip("/").lower().endswith(".zarr"):
        return True
    return not is_address(path) and any(Path(path, name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def _zarr(path: str, focus: Focus, *, reverse: bool) -> StackInput:
    from fusestack.sources.ome_zarr_facts import image_facts

    facts = image_facts(path)
    t, c = facts.shape[:2]
    reader = "fusestack.sources.ome_zarr:OmeZarrSource"
    volumes = tuple(
        tuple(SourceRef(reader, path, (("timepoint", i), ("channel", j))) for j in range(c)) for i in range(t)
    )
    return _volume(
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
        read=identities([path]),
        reverse=reverse,
    )


def _fused(image: PlannedImage, focus: Focus, *, reverse: bool) -> StackInput:
    spec = image.target.image
    return _volume(
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
    height, width = (shape[2 + i] for i in plane)
    stack = (shape[0], shape[1], count, height, width)
    warnings = () if count > 1 else (f"{source}: has a single slice along {focus.axis}; choose another focus.axis",)
    step, first = pixel_size[axis], origin[axis]
    if reverse:
        step, first = -step, first + (count - 1) * step
    return StackInput(
        title=title,
        source=f"{source} ({count} slices of {width:,} x {height:,} pixels along {focus.axis}, {dtype})",
        shape=stack,
        dtype=dtype,
        slices=VolumeSlices(volumes, stack, dtype, axis, reverse, () if fused else tuple(sorted(read.values()))),
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
