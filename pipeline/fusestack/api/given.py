"""What people give `fusestack.fuse`: a project, views, tiles, or a configuration; metadata only."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.config.load import from_mapping, load_config
from fusestack.fusion.inputs import Inputs, read_inputs, selection_of, with_no_data
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.view import View
from fusestack.project.model import Project, Setup
from fusestack.project.select import select_views, without_appended
from fusestack.sources.file_names import is_pattern
from fusestack.sources.ome_zarr_facts import is_zarr
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Collection

    from fusestack.config.load import LoadedConfig

_ACCEPTED = (
    "give a project (path of its XML, or what open_project gives), views, the path of a configuration (.yaml), "
    "or tiles: arrays with positions=, images with coordinates, paths of images, or patterns such as tiles/*.tif"
)
_CONFIGURATIONS = (".yaml", ".yml")


@dataclass(frozen=True)
class Placement:
    """Where tiles lie, as `fusestack.fuse` was told; None where it was not."""

    positions: Any = None
    affines: Any = None
    voxel_size: Any = None
    unit: Any = None

    @property
    def told(self) -> dict[str, Any]:
        """What was told, by the name of the argument."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


def read_given(
    source: Any, placement: Placement, told: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[LoadedConfig, Inputs]:
    """Turn what was given into options and views.

    Parameters
    ----------
    source : anything
    placement : Placement
        For tiles.
    told : mapping
        Keys of the section ``input``, select and no_data; they replace those of a configuration.
    options : mapping
        Keys of the section ``fusion``; they replace those of a configuration.

    Raises
    ------
    ConfigError, InputError
    """
    if isinstance(source, str | Path) and Path(source).suffix.lower() in _CONFIGURATIONS:
        loaded = load_config(source)
        _refuse_placement(placement, f"{source}: a configuration")
        return _replaced(loaded, told, options)
    if isinstance(source, Mapping) and ("version" in source or "input" in source):
        _refuse_placement(placement, "a configuration")
        return _replaced(from_mapping(source), told, options)
    loaded = from_mapping({"version": 1, "input": {"project": ".", **told}, "fusion": options})
    assert loaded.config.input is not None
    selection = selection_of(loaded.config.input.select)
    project = with_no_data(_project_of(source, placement), loaded.config.input.no_data)
    project, _ = without_appended(project, selection)
    return loaded, Inputs(project, select_views(project, selection))


def _replaced(loaded: LoadedConfig, told: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[LoadedConfig, Inputs]:
    """The sections ``input`` and ``fusion`` of a configuration, with other options."""
    source = loaded.config.input
    if source is None or source.images is not None:
        raise ConfigError(
            f"{loaded.name}: fuses nothing, it makes a focus stack; "
            "use fusestack.run to make what it names, or fusestack.focus_stack for its images"
        )
    if told or options:
        said = loaded.config.model_dump(mode="json", exclude_unset=True)
        mapping = {"version": 1, "input": {**said["input"], **told}, "fusion": {**said.get("fusion", {}), **options}}
        loaded = from_mapping(mapping, loaded.folder)
    return loaded, read_inputs(loaded)


def _project_of(source: Any, placement: Placement) -> Project:
    if isinstance(source, str | Path):
        return _project_of_path(str(source), placement)
    if isinstance(source, Project):
        _refuse_placement(placement, "a project")
        return source
    if _is_views(source):
        _refuse_placement(placement, "views")
        return project_of_views(source)
    if source is None or isinstance(source, bool | bytes | numbers.Number):
        raise ConfigError(f"fuse: {source!r} ({type(source).__name__}) is nothing to fuse; {_ACCEPTED}")
    return _project_of_tiles(source, placement)


def _project_of_path(path: str, placement: Placement) -> Project:
    """A project XML (also ``dataset.xml~1``, as BigStitcher keeps earlier ones), or one tile."""
    place = Path(path)
    if not is_address(path) and not place.exists() and not is_pattern(path):
        raise InputError(f"{path}: no such file or folder; check the path; {_ACCEPTED}")
    if ".xml" in place.name.lower():
        from fusestack.project.xml import read_project

        _refuse_placement(placement, f"{path}: a project")
        return read_project(path)
    if not is_address(path) and place.is_dir() and not is_zarr(path):
        raise InputError(f"{path}: is a folder, and no OME-Zarr image; {_ACCEPTED}")
    return _project_of_tiles(path, placement)


def _project_of_tiles(source: Any, placement: Placement) -> Project:
    from fusestack.fusion.tiles import project_of_tiles

    return project_of_tiles(
        source,
        positions=placement.positions,
        affines=placement.affines,
        voxel_size=placement.voxel_size,
        unit=placement.unit,
    )


def _refuse_placement(placement: Placement, what: str) -> None:
    if told := list(placement.told):
        raise ConfigError(f"{told[0]}: {what} says where its views are; leave {', '.join(told)} out, or give arrays")


def _is_views(source: Any) -> bool:
    """Whether views were given.

    Raises
    ------
    InputError
        If they were given among other things, or none of them.
    """
    if not isinstance(source, Sequence) or isinstance(source, bytes):
        return False
    count = sum(isinstance(one, View) for one in source)
    if not source:
        raise InputError(f"fuse: an empty {type(source).__name__} is nothing to fuse; {_ACCEPTED}")
    if 0 < count < len(source):
        other = next(type(one).__name__ for one in source if not isinstance(one, View))
        raise InputError(f"fuse: {count} of {len(source)} entries are views, others are {other}; give one kind")
    return count > 0


def project_of_views(views: Collection[View]) -> Project:
    """Project of views from anywhere.

    Raises
    ------
    InputError
        If two of them have the same id.
    """
    ordered = tuple(sorted(views, key=lambda view: view.id))
    for one, other in itertools.pairwise(ordered):
        if one.id == other.id:
            raise InputError(f"fuse: two views are {one.id}; give each a setup of its own (dataclasses.replace)")
    setups = {view.id.setup: _setup_of(view) for view in ordered}
    times = tuple(sorted({view.id.timepoint for view in ordered}))
    return Project("views", "files", ordered, times, setups)


def _setup_of(view: View) -> Setup:
    same = {f.name: getattr(view, f.name) for f in fields(Setup) if f.name != "id"}
    return Setup(id=view.id.setup, **same)
