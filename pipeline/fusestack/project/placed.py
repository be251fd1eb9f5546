"""Files with their placement: views without a project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.errors import InputError
from fusestack.project.model import Project, Setup, check_registration
from fusestack.storage import absolute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.geometry import Affine, Float3, Int3
    from fusestack.model.units import TimeStep
    from fusestack.model.view import SourceRef, StoredPixels, View


@dataclass(frozen=True)
class PlacedFile:
    """A file and where its pixels are.

    Parameters
    ----------
    path : str
        As the configuration names it.
    pixel_to_world : Affine
        Pixel index to world pixels.
    source : SourceRef
        Who reads its pixels.
    voxel_size : (float, float, float) or None
        Physical size of a pixel along z, y, x in `unit`.
    unit : str or None
    timepoint, channel, illumination, angle, tile : int
    no_data : float or None
        Value of pixels where nothing was recorded.
    shape : tuple of int or None
        z, y, x, where it is known.
    channel_name, channel_color : str
        Empty where nobody says one.
    world_origin : (float, float, float)
        Physical place of world pixel 0, z, y, x in `unit`.
    world_pixel : (float, float, float) or None
        Physical size of a world pixel, z, y, x in `unit`; None where it follows from voxel size and affine.
    pixels : StoredPixels or None
        What its file says of its pixels, where that is known.
    time : TimeStep or None
        From one timepoint to the next, as its file says.
    """

    path: str
    pixel_to_world: Affine
    source: SourceRef
    voxel_size: Float3 | None = None
    unit: str | None = None
    timepoint: int = 0
    channel: int = 0
    illumination: int = 0
    angle: int = 0
    tile: int = 0
    no_data: float | None = None
    shape: Int3 | None = None
    channel_name: str = ""
    channel_color: str = ""
    world_origin: Float3 = (0.0, 0.0, 0.0)
    world_pixel: Float3 | None = None
    pixels: StoredPixels | None = None
    time: TimeStep | None = None


def project_of_files(entries: Sequence[PlacedFile], folder: str | Path) -> Project:
    """Project of files with their placement; opens none of them.

    Setups are numbered from 0 in the order in which a combination of channel, illumination, angle and tile appears
    first. Entries of one timepoint that share all four are told apart by their order, as if they were further tiles;
    with a single timepoint, the setup is the position in the list.

    Parameters
    ----------
    entries : sequence of PlacedFile
    folder : str or Path
        Of the configuration.

    Returns
    -------
    Project
        Views of unknown shape (the sources know it); no view is missing.

    Raises
    ------
    InputError
        If there is no entry, or a placement cannot be; all problems at once.
    """
    if not entries:
        raise InputError("input.views: the list is empty; name at least one file")
    problems: list[str] = []
    views: list[View] = []
    setups: dict[int, Setup] = {}
    numbers: dict[tuple[int, ...], int] = {}
    repeats: dict[tuple[int, ...], int] = {}
    for position, entry in enumerate(entries):
        attributes = (entry.channel, entry.illumination, entry.angle, entry.tile)
        repeat = repeats[entry.timepoint, *attributes] = repeats.get((entry.timepoint, *attributes), -1) + 1
        number = numbers.setdefault((*attributes, repeat), len(numbers))
        setup = _setup(entry, number)
        setups.setdefault(number, setup)
        try:
            _check_affine(entry.pixel_to_world)
            view = replace(
                setup.view(entry.timepoint, entry.pixel_to_world, entry.source),
                voxel_size=entry.voxel_size,
                no_data=entry.no_data,
                pixels=entry.pixels,
                time=entry.time,
                world_origin=entry.world_origin,
                world_pixel=entry.world_pixel,
            )
            views.append(view)
        except ValueError as error:
            problems.append(f"input.views.{position}: {entry.path}: {error}")
    if problems:
        raise InputError(*problems)
    return Project(
        path=absolute(folder),
        loader="files",
        views=tuple(sorted(views, key=lambda view: view.id)),
        timepoints=tuple(sorted({entry.timepoint for entry in entries})),
        setups=setups,
    )


def _check_affine(pixel_to_world: Affine) -> None:
    try:
        check_registration(pixel_to_world)
    except ValueError as error:
        raise ValueError(f"{error}; correct its affine") from None


def _setup(entry: PlacedFile, number: int) -> Setup:
    return Setup(
        id=number,
        name=Path(entry.path).name.split(".")[0],
        shape=entry.shape,
        voxel_size=entry.voxel_size,
        unit=entry.unit,
        channel=entry.channel,
        illumination=entry.illumination,
        angle=entry.angle,
        tile=entry.tile,
        channel_name=entry.channel_name or str(entry.channel),
        channel_color=entry.channel_color,
    )
