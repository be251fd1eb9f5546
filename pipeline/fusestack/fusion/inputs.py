"""The views that a configuration names: its input section turned into a project and a selection; metadata only."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.fusion.array_inputs import unused_coordinates
from fusestack.fusion.file_views import files_of_views
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError
from fusestack.model.view import ViewId
from fusestack.project.placed import project_of_files
from fusestack.project.select import Selection, select_views, without_appended
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Select
    from fusestack.model.view import View
    from fusestack.project.model import Project


@dataclass(frozen=True)
class Inputs:
    """A project, the views of it that are fused, ordered by view id, and what should be said about them.

    `facts` are lines about what was taken from where: "position: OME-XML of tile0.ome.tif".
    """

    project: Project
    views: tuple[View, ...]
    warnings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The project, or ``2 files in /data/mosaic, tile0.tif to tile1.tif``; for people."""
        if self.project.loader != "files":
            return self.project.path
        files = list(dict.fromkeys(view.source.path for view in self.views if view.source.path))
        if len(files) < 2:
            return files[0] if files else counted(len(self.views), "array")
        if any(is_address(path) for path in files):
            return f"{len(files):,} files, {files[0]} to {files[-1]}"
        try:
            folder = os.path.commonpath([Path(path).parent for path in files])
        except ValueError:  # several drives
            return f"{len(files):,} files, {files[0]} to {files[-1]}"
        first, last = (os.path.relpath(files[k], folder) for k in (0, -1))
        return f"{len(files):,} files in {folder}, {first} to {last}"


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
    facts: tuple[str, ...] = ()
    if source.project is not None:
        from fusestack.project.xml import read_project

        project = read_project(loaded.resolve_path(source.project))
        said = project.said
    elif source.views is not None:
        found = [unused_coordinates(f"input.views.{n}", view) for n, view in enumerate(source.views)]
        files, told = files_of_views(loaded, source.views)
        project = project_of_files(files, loaded.folder)
        said = (*(warning for warning in found if warning is not None), *told.warnings())
        facts = told.facts()
    else:
        raise ConfigError("input: there are no views; give input.project or input.views")
    project, left = without_appended(with_no_data(project, source.no_data), selection_of(source.select))
    if left and not _adds_to(loaded, project, left):
        numbers = f"setup{'s' if len(left) > 1 else ''} {', '.join(map(str, left))}"
        said += (
            f"{numbers} of the project: added by a fusion, and not fused again; to fuse this, too, choose setups by "
            "input.select.setups",
        )
    views = select_views(project, selection_of(source.select))
    if project.flaws:
        first, text = next(iter(project.flaws.items()))
        more = f" (and {len(project.flaws) - 1:,} more)" if len(project.flaws) > 1 else ""
        said += (f"view {first}{more} cannot be used and is not selected: {text}",)
    if project.missing:
        first = min(project.missing)
        more = f" and {len(project.missing) - 1:,} more" if len(project.missing) > 1 else ""
        facts += (
            f"never acquired, by the project: timepoint {first.timepoint}, setup {first.setup}{more}; nothing is there",
        )
    return Inputs(project, views, said, facts)


def _adds_to(loaded: LoadedConfig, project: Project, setups: Sequence[int]) -> bool:
    """Whether this very output is what was added."""
    output = loaded.config.output
    if output is None or not output.append:
        return False
    return {project.appended[number] for number in setups} == {str(loaded.resolve_path(output.path))}


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
