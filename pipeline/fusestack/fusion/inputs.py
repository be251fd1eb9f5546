"""The views that a configuration names: its input section turned into a project and a selection; metadata only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fusestack.fusion.array_inputs import array_source, unused_coordinates
from fusestack.model.errors import ConfigError
from fusestack.model.geometry import Affine
from fusestack.model.view import ViewId
from fusestack.project.placed import PlacedFile, project_of_files
from fusestack.project.select import Selection, select_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Select, ViewInput
    from fusestack.model.view import View
    from fusestack.project.model import Project


@dataclass(frozen=True)
class Inputs:
    """A project, the views of it that are fused, ordered by view id, and what should be said about them."""

    project: Project
    views: tuple[View, ...]
    warnings: tuple[str, ...] = ()


def read_inputs(loaded: LoadedConfig) -> Inputs:
    """Read the project or the placed views of a configuration, and select.

    Raises
    ------
    ConfigError
        If the configuration names neither a project nor views.
    InputError
        If the project or a file is missing, unreadable or contradictory.
    """
    source = loaded.config.input
    if source is None:
        raise ConfigError("input: is missing; give input.project or input.views")
    said: tuple[str, ...] = ()
    if source.project is not None:
        from fusestack.project.xml import read_project

        project = read_project(loaded.resolve_path(source.project))
    elif source.views is not None:
        project = project_of_files([_placed_file(loaded, *one) for one in enumerate(source.views)], loaded.folder)
        found = (unused_coordinates(f"input.views.{n}", view) for n, view in enumerate(source.views))
        said = tuple(warning for warning in found if warning is not None)
    else:
        raise ConfigError("input: there are no views; give input.project or input.views")
    project = with_no_data(project, source.no_data)
    views = select_views(project, selection_of(source.select))
    if project.flaws:
        first, text = next(iter(project.flaws.items()))
        more = f" (and {len(project.flaws) - 1:,} more)" if len(project.flaws) > 1 else ""
        said += (f"view {first}{more} cannot be used and is not selected: {text}",)
    return Inputs(project, views, said)


def with_no_data(project: Project, value: float | None) -> Project:
    """Project in which a value means that nothing was recorded, but for views that have one of their own."""
    if value is None:
        return project
    views = tuple(view if view.no_data is not None else replace(view, no_data=value) for view in project.views)
    return replace(project, views=views)


def selection_of(select: Select) -> Selection:
    """Turn the configuration's lists into sets."""
    names = ("timepoints", "channels", "illuminations", "angles", "tiles", "setups")
    chosen = {name: _set(getattr(select, name)) for name in names}
    views = None if select.views is None else frozenset(ViewId(t, s) for t, s in select.views)
    return Selection(**chosen, views=views)


def _set(ids: Sequence[int] | None) -> frozenset[int] | None:
    return None if ids is None else frozenset(ids)


def _placed_file(loaded: LoadedConfig, number: int, view: ViewInput) -> PlacedFile:
    if view.affine is not None:
        pixel_to_world = Affine.from_xyz(view.affine)
    elif view.translation is not None:
        pixel_to_world = Affine.translation(view.translation.zyx)
    else:
        pixel_to_world = Affine.identity()
    path, held = loaded.resolve_path(view.path), None
    if view.array is not None:
        path = f"array of input.views.{number}"
        held = array_source(f"input.views.{number}.array", view.array)
    return PlacedFile(
        path=path,
        pixel_to_world=pixel_to_world,
        source=held,
        voxel_size=None if view.voxel_size is None else view.voxel_size.zyx,
        unit=view.unit,
        timepoint=view.timepoint,
        channel=view.channel,
        illumination=view.illumination,
        angle=view.angle,
        tile=view.tile,
        no_data=view.no_data,
    )
