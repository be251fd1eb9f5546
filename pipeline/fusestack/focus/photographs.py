"""Stacks of photographs: files of pictures, one or several slices in each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.focus.channel_files import channel_numbers
from fusestack.focus.slices import PictureSlices
from fusestack.focus.stack import StackInput
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import identities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.focus.hyperstacks import ColourStack
    from fusestack.sources.picture_notes import CameraFacts
    from fusestack.sources.pictures import PicturePage

_COLOURS = {"L": "grey", "LA": "grey with alpha", "RGB": "in colour", "RGBA": "in colour with alpha"}
_COUNTED = {"L": "grey", "LA": "grey and opacity", "RGB": "3 colours", "RGBA": "3 colours and opacity"}


def check_photographs(loaded: LoadedConfig, focus: Focus) -> None:
    """Refuse options that only volumes have.

    Raises
    ------
    ConfigError
    """
    asked = [
        key for key in ("axis", "reference_channel") if getattr(focus, key) != type(focus).model_fields[key].default
    ]
    if asked:
        raise ConfigError(
            f"{loaded.cite(f'focus.{asked[0]}')}: photographs have slices and colours, no such axes; leave it out, or "
            "give a file that names its axes (OME-TIFF, an ImageJ hyperstack, OME-Zarr)"
        )


def photographs(
    files: Sequence[str],
    notices: Sequence[str],
    *,
    reverse: bool,
    described: ColourStack | None = None,
) -> StackInput:
    """The pictures of some files as a stack; reads headers only.

    Parameters
    ----------
    files : sequence of str
        Front first.
    notices : sequence of str
        What is to be said of them.
    reverse : bool
        The last one is in front.
    described : ColourStack, optional
        What one file says of its pages besides their colours.

    Raises
    ------
    InputError
        If files are missing, unreadable or do not fit one another; all of them are named.
    """
    from fusestack.sources.picture_notes import camera_facts, read_metadata

    pages = _described(files)
    cameras = {path: camera_facts(path) for path in dict.fromkeys(files)}
    pictures, turned = _upright(pages, cameras)
    _check_alike(pictures)
    warnings = [*notices, *turned, *_pages_told(pages, files), *_times_told(files, cameras)]
    if len(pictures) == 1:
        warnings.append(f"{files[0]}: a single picture is no stack; the result is that picture")
    if twice := [path for path, count in Counter(files).items() if count > 1]:
        warnings.append(f"{twice[0]}: is named more than once, and is more than one slice")
    if reverse:
        pictures.reverse()
    first = pictures[0]
    read = identities([picture.path for picture in pictures])
    metadata = read_metadata(files[0])
    made = StackInput(
        title=f"{len(pictures)} pictures",
        source=f"{_named(pictures)}, {_size(first)} pixels, {_COUNTED[first.colours]}, {first.dtype}",
        shape=(1, len(first.colours), len(pictures), *first.shape),
        dtype=first.dtype,
        slices=PictureSlices(tuple(replace(picture, identity=read[picture.path]) for picture in pictures)),
        read=read,
        photographs=True,
        colours=first.colours,
        direct=all(picture.raw is not None for picture in pictures),
        files=tuple(picture.path for picture in pictures),
        notes={
            "exif": metadata.exif.hex() if metadata.exif else None,
            "icc": metadata.icc.hex() if metadata.icc else None,
        },
        warnings=tuple(warnings),
    )
    if described is None:
        return made
    step = described.pixel_size[0]
    return replace(
        made,
        plane_size=described.pixel_size[1:],
        step=-step if reverse else step,
        first=(len(pictures) - 1) * step if reverse else 0.0,
        unit=described.unit,
        warnings=(*made.warnings, *described.warnings),
    )


def _named(pictures: Sequence[PicturePage]) -> str:
    """``7 pictures in /data/pcb, front to back pcb_001.jpg to pcb_007.jpg``."""
    paths = list(dict.fromkeys(picture.path for picture in pictures))
    if len(paths) == 1:
        return f"{paths[0]}: {counted(len(pictures), 'picture')}"
    folders = list(dict.fromkeys(path.rpartition("/")[0] for path in paths))
    if len(folders) == 1:
        where, ends = f" in {folders[0]}", [paths[k].rpartition("/")[2] for k in (0, -1)]
    else:
        where, ends = f" in {len(folders)} folders", [paths[0], paths[-1]]
    return f"{len(pictures):,} pictures{where}, front to back {ends[0]} to {ends[1]}"


def _described(files: Sequence[str]) -> list[PicturePage]:
    from fusestack.sources.pictures import describe_picture

    pages: list[PicturePage] = []
    problems: list[str] = []
    for path in files:
        try:
            pages += describe_picture(path)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return pages


def _upright(pages: Sequence[PicturePage], cameras: dict[str, CameraFacts]) -> tuple[list[PicturePage], list[str]]:
    """Pictures turned as the camera was held for the first one, and what is said where it was held in several ways.

    Cameras on a stand do not always know how they are held, while their pictures fit one another as they are stored.
    Where only what each of them says makes them fit, each is turned as it says.
    """
    said = {page.path: cameras[page.path].orientation for page in pages}
    first = pages[0]
    others = [path for path, one in said.items() if one != said[first.path]]
    if others and len({page.shape for page in pages}) > 1:
        each = [page.upright(said[page.path]) for page in pages]
        if len({page.shape for page in each}) == 1:
            return each, []
    alike = [page.upright(said[first.path]) for page in pages]
    if not others:
        return alike, []
    return alike, [
        f"{others[0]}: says that the camera was held in another way than for {Path(first.path).name}"
        f"{f' (and {len(others) - 1} more)' if len(others) > 1 else ''}; all are turned as the first one, so that "
        "they fit as they are stored; if they do not, turn them first"
    ]


def _check_alike(pictures: Sequence[PicturePage]) -> None:
    first, problems = pictures[0], []
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


def _pages_told(pages: Sequence[PicturePage], files: Sequence[str]) -> list[str]:
    """Pages that are not used, and files of several pages."""
    found = []
    smaller = {page.path: page.beside for page in pages if page.beside}
    if smaller:
        path, count = next(iter(smaller.items()))
        more = f" (and those of {len(smaller) - 1} more files)" if len(smaller) > 1 else ""
        found.append(
            f"{path}: {count} smaller {'page is' if count == 1 else 'pages are'} not used{more}: taken for thumbnails, "
            "labels or other resolutions; save pages that are slices as files of their own"
        )
    counts = Counter(page.path for page in dict.fromkeys(pages))
    several = [path for path, count in counts.items() if count > 1]
    if several and len(set(files)) > 1:
        found.append(
            f"{several[0]}: holds {counts[several[0]]} pages, and is one of {len(set(files))} files; every page is "
            f"taken for a slice, file by file: {len(pages)} slices"
        )
        if channel_numbers(files) is not None:
            found[-1] += (
                "; files that are called channels are such where they name their axes: write them as OME-TIFF or "
                "ImageJ hyperstacks"
            )
    return found


def _times_told(files: Sequence[str], cameras: dict[str, CameraFacts]) -> list[str]:
    """Pictures that were taken in another order than they are called."""
    times = [cameras[path].taken for path in files]
    if not all(times):
        return []
    whole = [time.partition(".")[0] for time in times] if len({len(time) for time in times}) > 1 else times
    late = [k for k in range(1, len(files)) if whole[k] < whole[k - 1]]
    if not late:
        return []
    here, before = files[late[0]], files[late[0] - 1]
    return [
        f"{here}: was taken at {times[late[0]]}, before {Path(before).name} ({times[late[0] - 1]}), which comes before "
        "it; if the order of time is meant, list the files in input.images in that order"
    ]


def _size(picture: PicturePage) -> str:
    return f"{picture.shape[1]:,} x {picture.shape[0]:,}"
