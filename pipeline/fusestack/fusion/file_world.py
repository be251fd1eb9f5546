"""World pixels of views that are files: places in units of length become places in pixels that all views share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fusestack.fusion.frame import steps
from fusestack.fusion.planes import is_flat
from fusestack.fusion.tile_world import World
from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.units import common_unit, known_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3
    from fusestack.sources.facts import ImageFacts
    from fusestack.sources.ome_xml import Sizes

_SAME = 1e-3
"""Of a pixel: places that differ less are the same."""


@dataclass(frozen=True)
class FileView:
    """A view of the configuration on its way into the world.

    Parameters
    ----------
    label, name : str
        For messages: with the key, and the file alone.
    facts : ImageFacts or None
        What its file says, or the configuration instead; None of an array.
    affine : Affine or None
        Pixel to world pixels, as the configuration says.
    translation : (float, float, float) or None
        Of the first pixel in world pixels, as the configuration says, z, y, x.
    sizes : (float or None, float or None, float or None) or None
        Of a pixel, z, y, x, in `unit`.
    unit : str or None
    places : tuple of Affine
        Result: pixel to world pixels at every timepoint.
    voxel_size, world_origin, world_pixel : (float, float, float)
        Result, as of `fusestack.model.view.View`.
    """

    label: str
    name: str
    facts: ImageFacts | None
    affine: Affine | None
    translation: Float3 | None
    sizes: Sizes | None
    unit: str | None
    places: tuple[Affine, ...] = ()
    voxel_size: Float3 | None = None
    world_origin: Float3 = (0.0, 0.0, 0.0)
    world_pixel: Float3 | None = None

    @property
    def by_file(self) -> bool:
        """Whether the configuration does not say its place."""
        return self.affine is None and self.translation is None

    @property
    def known(self) -> Sizes:
        """Sizes; None where nobody says one."""
        return self.sizes or (None, None, None)

    @property
    def measured(self) -> bool:
        """Whether anybody says a length of it."""
        return any(self.known) or any(map(any, self.positions))

    @property
    def positions(self) -> tuple[Float3, ...]:
        """Places that the file says, in `unit`."""
        return self.facts.positions if self.facts is not None else ()

    @property
    def timepoints(self) -> int:
        """How many places it has."""
        return 1 if self.facts is None else self.facts.shape[0]


def place_views(views: Sequence[FileView], said: dict[str, list[str]]) -> list[FileView]:
    """Place views in one world.

    A world pixel is along each axis the finest pixel of any view; where affines of the configuration say how large it
    is, that is used. If nobody but the files says where views are, the first view lies on whole world pixels.

    Parameters
    ----------
    views : sequence of FileView
    said : dict of str to list of str
        What should be said, with the names of the files; is added to.

    Raises
    ------
    InputError
        If units cannot be converted, or a place is known but not the size of a pixel.
    """
    views = _in_one_unit(views, said)
    step, told = _step(views)
    shapes = [view.facts.zyx for view in views if view.facts is not None]
    flat = len(shapes) == len(views) and is_flat(shapes)
    views = [_filled(view, step, told, said, flat=flat) for view in views]
    anchor, number = np.zeros(3), np.zeros(3)
    if all(view.by_file for view in views) and views[0].positions:
        anchor = np.array(views[0].positions[0])
        number = np.floor(anchor / step + 0.5)
        if flat:
            number[0] = 0
    world = World(step, anchor, number)
    return [_placed(view, world, said, sized=bool(told.any())) for view in views]


def _in_one_unit(views: Sequence[FileView], said: dict[str, list[str]]) -> list[FileView]:
    """Views whose numbers are all in the unit of the first view that has one; so are those of views without numbers."""
    units = {view.label: view.unit for view in views if view.measured and known_unit(view.unit) is not None}
    if not units:
        return list(views)
    unit, factors = common_unit(units)
    for view in views:
        if view.measured and view.label not in units:
            said[f"its sizes have no unit, and are taken for {unit} as those of others; unit says otherwise"].append(
                view.name
            )
    return [_times(view, factors.get(view.label, 1.0), unit) for view in views]


def _times(view: FileView, factor: float, unit: str | None) -> FileView:
    """View with all its lengths times a factor."""
    facts = None if view.facts is None else converted(view.facts, factor, unit)
    z, y, x = (None if size is None else size * factor for size in view.known)
    return replace(view, facts=facts, sizes=view.sizes and (z, y, x), unit=unit)


def converted(facts: ImageFacts, factor: float, unit: str | None) -> ImageFacts:
    """What a file says, with all its lengths times a factor, which are in another unit then."""
    if factor == 1.0:
        return replace(facts, unit=unit)
    z, y, x = (None if size is None else size * factor for size in facts.sizes)
    moved = tuple((z * factor, y * factor, x * factor) for z, y, x in facts.positions)
    turn = None if facts.turn is None else Affine(facts.turn.linear * factor, np.zeros(3))
    return replace(facts, positions=moved, turn=turn, sizes=(z, y, x), unit=unit)


def _step(views: Sequence[FileView]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Size of a world pixel along z, y, x, and whether anybody says it."""
    ratios = [
        np.array(view.sizes, dtype=np.float64) / view.affine.column_lengths
        for view in views
        if view.affine is not None and view.sizes is not None and all(view.sizes) and not view.affine.is_singular
    ]
    if ratios:
        return np.mean(ratios, axis=0), np.ones(3, bool)
    found = np.full(3, np.inf)
    for view in views:
        if view.affine is not None:
            continue
        own = np.array([np.inf if size is None else size for size in view.known])
        if view.facts is not None and view.facts.turn is not None:
            own = steps(view.facts.turn.linear)
        found = np.minimum(found, own)
    told = np.isfinite(found)
    return np.where(told, found, 1.0), told


def _filled(
    view: FileView, step: NDArray[np.float64], told: NDArray[np.bool_], said: dict[str, list[str]], *, flat: bool
) -> FileView:
    """View whose unknown sizes are those of the world, and whose places can be said in pixels."""
    moved = np.array(view.positions) if view.positions and view.by_file else np.zeros((0, 3))
    lost = [
        axis for axis in range(3) if not told[axis] and view.known[axis] is None and moved.size and moved[:, axis].any()
    ]
    if lost == [0] and flat:
        said["its height is not used, since planes have no size along z; voxel_size uses it"].append(view.name)
    elif lost:
        axes = ", ".join("zyx"[axis] for axis in reversed(lost))
        raise InputError(
            f"{view.label}: says where it is, but not how large its pixels are along {axes}; give voxel_size and unit, "
            "or translation (world pixels)"
        )
    missing = [axis for axis in range(3) if told[axis] and view.known[axis] is None]
    if missing and view.facts is not None and view.by_file and not (flat and missing == [0]):
        sizes = ", ".join(f"{'zyx'[axis]} {step[axis]:.6g}" for axis in reversed(missing))
        said[
            f"does not say how large its pixels are; they are taken to be as large as those of others ({sizes}); "
            "voxel_size says otherwise"
        ].append(view.name)
    if lost and view.facts is not None:
        view = replace(view, facts=replace(view.facts, positions=tuple((0.0, y, x) for _, y, x in view.positions)))
    return view


def _placed(view: FileView, world: World, said: dict[str, list[str]], *, sized: bool) -> FileView:
    count = view.timepoints
    sizes = [world.step[axis] if size is None else size for axis, size in enumerate(view.known)]
    linear = np.diag(sizes)
    if view.facts is not None and view.facts.turn is not None:
        linear = view.facts.turn.linear
    if view.affine is not None:
        places = [view.affine] * count
    elif view.translation is not None:
        shape = world.from_pixel(Affine(linear, np.zeros(3))).linear
        places = [Affine(shape, np.array(view.translation))] * count
    else:
        origins = view.positions or ((0.0, 0.0, 0.0),) * count
        places = [world.from_pixel(Affine(linear, np.array(origin))) for origin in origins]
    if not view.by_file and view.facts is not None and view.facts.placed:
        _say_places(view, places[0], world, said)
    known = view.known if view.affine is not None else (sizes if sized else (None,) * 3)
    voxel_size = world.voxel_size(places[0]) if view.affine is None and sized else None
    if view.affine is not None and any(known):
        z, y, x = (size or 1.0 for size in known)
        voxel_size = (z, y, x)
    origin = world.origin if view.by_file else (0.0, 0.0, 0.0)
    z, y, x = (float(step) for step in world.step)
    return replace(
        view,
        places=tuple(places),
        voxel_size=voxel_size,
        world_origin=origin,
        world_pixel=(z, y, x) if view.affine is None and sized else None,
    )


def _say_places(view: FileView, place: Affine, world: World, said: dict[str, list[str]]) -> None:
    """Say that a file and the configuration put a view in two places."""
    own = np.array(view.positions[0]) / world.step
    if np.abs(own - place.offset).max() <= _SAME:
        return
    key = "affine" if view.affine is not None else "translation"
    first, second = (
        ", ".join(f"{axis} {value:.6g}" for axis, value in zip("xyz", reversed(offset), strict=True))
        for offset in (place.offset.tolist(), own.tolist())
    )
    said[
        f"its {key} is {first} in the configuration, {second} in the file (world pixels); the configuration is used"
    ].append(view.name)
