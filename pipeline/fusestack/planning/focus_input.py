"""The stack that a configuration names: photographs, the pages of a TIFF file, a volume, or the fused image."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.errors import ConfigError, InputError
from fusestack.fingerprint import identities
from fusestack.focus.slices import AXES, PictureSlices, VolumeSlices
from fusestack.image import Channel
from fusestack.storage import is_address
from fusestack.view import SourceRef

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.geometry import Float3
    from fusestack.planning.plan import PlannedImage
    from fusestack.sources.pictures import Picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_DIRECT_CHUNK = 1024


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
    slices : PictureSlices or VolumeSlices
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
    needs : PlannedImage or None
        The fused image that is the volume.
    notes : mapping
        EXIF and colour profile.
    warnings : tuple of str
    """

    title: str
    source: str
    shape: tuple[int, ...]
    dtype: str
    slices: PictureSlices | VolumeSlices
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
    needs: PlannedImage | None = None
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
    reverse = focus.reverse or (loaded.config.input is not None and loaded.config.input.reverse)
    if focus.input != "fused":
        path = loaded.resolve_path(focus.input)
        if _is_zarr(path):
            return [_zarr(path, focus, reverse=reverse)]
        return [_photographs(_files(path), path, reverse=reverse)]
    if images is not None:
        patterns = [images] if isinstance(images, str) else list(images)
        files = _matching(loaded, patterns)
        return [_photographs(files, ", ".join(patterns), reverse=reverse)]
    if not fused:
        raise ConfigError(
            f"{loaded.cite('focus.input')}: there is no fused image; give input.images, input.project or input.views, "
            "or name a stack with focus.input"
        )
    return [_fused(image, focus, reverse=reverse) for image in fused]


def natural_order(path: str) -> list[Any]:
    """Key that sorts file names as people count: ``img2`` before ``img10``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path) if part]


def _matching(loaded: LoadedConfig, patterns: Sequence[str]) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        path = loaded.resolve_path(pattern)
        if is_address(path) or Path(path).is_file():
            found.append(path)
        elif Path(path).is_dir():
            found += _files(path)
        else:
            matches = sorted(glob.glob(path), key=natural_order)  # noqa: PTH207 - absolute patterns
            if not matches:
                raise InputError(f"{path}: no such file, and no file that fits the pattern; correct input.images")
            found += matches
    return found


def _files(path: str) -> list[str]:
    if is_address(path) or Path(path).is_file():
        return [path]
    if not Path(path).exists():
        raise InputError(f"{path}: no such file or folder; correct focus.input")
    names = [
        name
        for name in (entry.name for entry in Path(path).iterdir())
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    if not names:
        raise InputError(f"{path}: holds no JPEG, PNG or TIFF file; name the folder of the slices")
    return [str(Path(path, name)) for name in sorted(names, key=natural_order)]


def _photographs(files: Sequence[str], source: str, *, reverse: bool) -> StackInput:
    from fusestack.sources.pictures import describe_picture, read_metadata

    pictures: list[Picture] = []
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
            ("size (y, x)", picture.shape, first.shape),
            ("colours", picture.colours, first.colours),
            ("pixel type", picture.dtype, first.dtype),
        ):
            if own != other:
                problems.append(
                    f"{picture.path}: its {what} is {own}, that of {Path(first.path).name} is {other}; "
                    "all slices must be alike: leave it out, or crop or convert it first"
                )
    if problems:
        raise InputError(*problems)
    if reverse:
        pictures.reverse()
    metadata = read_metadata(files[0])
    warnings = () if len(pictures) > 1 else (f"{source}: a single picture is no stack; the result is that picture",)
    return StackInput(
        title=f"{len(pictures)} pictures",
        source=f"{source} ({len(pictures)} pictures of {first.shape[1]:,} x {first.shape[0]:,} pixels, {first.dtype})",
        shape=(1, len(first.colours), len(pictures), *first.shape),
        dtype=first.dtype,
        slices=PictureSlices(tuple(pictures)),
        read=identities([picture.path for picture in pictures]),
        photographs=True,
        colours=first.colours,
        notes={
            "exif": metadata.exif.hex() if metadata.exif else None,
            "icc": metadata.icc.hex() if metadata.icc else None,
        },
        warnings=warnings,
    )


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
        image.target,
        focus,
        chunks=spec.levels[0].chunks,
        channels=spec.channels,
        pixel_size=spec.pixel_size,
        origin=spec.origin,
        unit=spec.unit,
        timepoints=spec.timepoints,
        read={spec.path: image.stages[0].fingerprint},
        reverse=reverse,
        needs=image,
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
    needs: PlannedImage | None = None,
) -> StackInput:
    axis = AXES[focus.axis]
    plane = [i for i in range(3) if i != axis]
    count = shape[2 + axis]
    height, width = (shape[2 + i] for i in plane)
    warnings = () if count > 1 else (f"{source}: has a single slice along {focus.axis}; choose another focus.axis",)
    step, first = pixel_size[axis], origin[axis]
    if reverse:
        step, first = -step, first + (count - 1) * step
    return StackInput(
        title=title,
        source=f"{source} ({count} slices of {width:,} x {height:,} pixels along {focus.axis}, {dtype})",
        shape=(shape[0], shape[1], count, height, width),
        dtype=dtype,
        slices=VolumeSlices(volumes, dtype, axis, count, reverse),
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
        needs=needs,
        warnings=warnings,
    )
