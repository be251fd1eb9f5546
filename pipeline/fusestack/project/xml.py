"""BigDataViewer and BigStitcher projects, read from their XML."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from fusestack.model.errors import InputError
from fusestack.model.view import ViewId
from fusestack.project import elements
from fusestack.project.appended import appended_in
from fusestack.project.document import read_tree
from fusestack.project.loaders import sources_of
from fusestack.project.loaders.base import Description, base_folder
from fusestack.project.model import Project, Setup
from fusestack.project.settings import colors_in, colors_of_channels
from fusestack.storage import absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Set
    from pathlib import Path
    from types import TracebackType
    from xml.etree.ElementTree import Element

    from fusestack.model.geometry import Affine, Box
    from fusestack.model.view import SourceRef
    from fusestack.project.loaders.base import SourceOf

_Key = TypeVar("_Key")

MAX_VIEWS = 1_000_000
"""Most views (setups times timepoints) of a project."""

MAX_PROBLEMS = 100
"""Most problems of one file that are spelled out."""

_REPAIR = "correct it in the file or save the project again from BigStitcher"
_RESAVE = "re-save the project as HDF5 in BigStitcher"


def read_project(path: str | Path) -> Project:
    """Read the project XML; opens no image and does not look whether the image files exist.

    Parameters
    ----------
    path : str or Path
        XML file or address of one.

    Returns
    -------
    Project
        Views with their registrations, z, y, x.

    Raises
    ------
    InputError
        If the file is not a project, is damaged, contradicts itself or uses an image loader that this version
        does not read; all problems found in one pass. What is wrong with a single setup, view, box or model is kept in
        the project, and refused by who uses it.

    Notes
    -----
    The elements are those of mpicbg's ``XmlIoSpimData`` and of BigStitcher's ``XmlIoSpimData2``.
    """
    file = absolute(path)
    root = read_tree(path).getroot()
    if root.tag != "SpimData":
        raise InputError(
            f"{path}: its root is <{root.tag}>, not <SpimData>; give the XML of a BigDataViewer or BigStitcher project"
        )
    found = _Problems(str(path))
    names = _names(root, found)
    setups, said = _colored(file, _setups(root, names, found))
    timepoints = _timepoints(root, found)
    source_of = _source_of(root, Description(file.rpartition("/")[0], timepoints, setups, names), found)
    bounding_boxes = _bounding_boxes(root, found)
    every = _view_ids(timepoints, setups, found)
    missing = _missing(root, found) & every
    registrations = _registrations(root, every - missing, found)
    intensity = _intensity(root, every - missing, found)
    for view in every - missing:
        if view.setup in found.setups:
            found.views.setdefault(view, found.setups[view.setup])
    folder = base_folder(root.find("BasePath"), file.rpartition("/")[0])
    sources = _sources(source_of, sorted(registrations.keys() - found.views.keys()), found)
    if found.problems:
        raise found.error()
    return Project(
        path=file,
        loader=_required(root, "SequenceDescription/ImageLoader").get("format", ""),
        views=tuple(
            setups[view.setup].view(view.timepoint, registrations[view], source) for view, source in sources.items()
        ),
        timepoints=timepoints,
        setups=setups,
        missing=missing,
        unregistered=every - missing - registrations.keys() - found.views.keys(),
        flaws=dict(sorted(found.views.items())),
        bounding_boxes=bounding_boxes,
        intensity=intensity,
        flawed_boxes=found.boxes,
        flawed_intensity=found.intensity,
        appended={number: entry.path for entry in appended_in(root, folder) for number in entry.setups},
        said=said,
    )


def _colored(file: str, setups: dict[int, Setup]) -> tuple[dict[int, Setup], tuple[str, ...]]:
    """Setups with the colours of BigDataViewer's settings, and what should be said about these."""
    try:
        channels = {number: setup.channel for number, setup in setups.items()}
        colors = colors_of_channels(colors_in(file), channels.items())
    except InputError as error:
        return setups, tuple(f"colours of channels are not known: {problem}" for problem in error.problems)
    colored = {n: replace(one, channel_color=colors.get(one.channel, "")) for n, one in setups.items()}
    return colored, ()


class _Problems:
    """Collects what is wrong with a file, so that all of it is told at once.

    What only some setups, views, boxes or models suffer from is no problem where they are not used.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[str] = []
        self.setups: dict[int, str] = {}
        self.views: dict[ViewId, str] = {}
        self.boxes: dict[str, str] = {}
        self.intensity: dict[ViewId, str] = {}

    def at(self, where: str, way_out: str = _REPAIR) -> _Attempt:
        """Block whose ValueErrors are collected."""
        return _Attempt(self.problems.append, f"{self.file}: {where}", way_out)

    def of(self, known: dict[_Key, str], key: _Key, where: str) -> _Attempt:
        """Block whose ValueErrors concern one thing only; the first one is kept."""
        return _Attempt(lambda text: known.setdefault(key, text), f"{self.file}: {where}", _REPAIR)

    def error(self) -> InputError:
        surplus = len(self.problems) - MAX_PROBLEMS
        more = [f"{self.file}: {surplus} more problems of these kinds"] if surplus > 0 else []
        return InputError(*self.problems[:MAX_PROBLEMS], *more)


class _Attempt:
    def __init__(self, keep: Callable[[str], object], where: str, way_out: str) -> None:
        self.keep, self.where, self.way_out = keep, where, way_out

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, ValueError):
            return False
        self.keep(f"{self.where}: {error}; {self.way_out}")
        return True


def _required(root: Element, path: str) -> Element:
    element = root.find(path)
    if element is None:
        raise ValueError("the element is missing")
    return element


def _names(root: Element, found: _Problems) -> elements.Names:
    names: elements.Names = {}
    for element in root.findall("SequenceDescription/ViewSetups/Attributes"):
        with found.at(f"Attributes '{element.get('name', '')}'"):
            kind, entries = elements.attribute_names(element)
            names.setdefault(kind, {}).update(entries)
    return names


def _setups(root: Element, names: elements.Names, found: _Problems) -> dict[int, Setup]:
    setups: dict[int, Setup] = {}
    entries_of_setups = root.findall("SequenceDescription/ViewSetups/ViewSetup")
    for element in entries_of_setups:
        where = f"ViewSetup {(element.findtext('id') or '').strip()}"
        with found.at(where):
            setup, flaws = elements.setup(element, names)
            with found.of(found.setups, setup.id, where):
                if setups.setdefault(setup.id, setup) != setup:
                    raise ValueError("there are two different setups of this id")
                if flaws:
                    raise ValueError(", ".join(flaws))
    if not entries_of_setups:
        with found.at("SequenceDescription/ViewSetups"):
            raise ValueError("there is no ViewSetup")
    return dict(sorted(setups.items()))


def _timepoints(root: Element, found: _Problems) -> tuple[int, ...]:
    with found.at("SequenceDescription/Timepoints"):
        return elements.timepoints(_required(root, "SequenceDescription/Timepoints"))
    return ()


def _source_of(root: Element, description: Description, found: _Problems) -> SourceOf | None:
    with found.at("BasePath"):
        description = replace(description, folder=base_folder(root.find("BasePath"), description.folder))
    with found.at("SequenceDescription/ImageLoader", _RESAVE):
        return sources_of(_required(root, "SequenceDescription/ImageLoader"), description)
    return None


def _sources(source_of: SourceOf | None, views: list[ViewId], found: _Problems) -> dict[ViewId, SourceRef]:
    sources: dict[ViewId, SourceRef] = {}
    if source_of is None:
        return sources
    for view in views:
        with found.of(found.views, view, f"view {view}"):
            sources[view] = source_of(view)
    return sources


def _intensity(root: Element, present: Set[ViewId], found: _Problems) -> dict[ViewId, tuple[float, float]]:
    models: dict[ViewId, tuple[float, float]] = {}
    for element in root.findall("IntensityAdjustments/IntensityAdjustments"):
        view = None
        with found.at("IntensityAdjustments"):
            view = elements.view_id(element)
        if view is None or view not in present:
            continue
        with found.of(found.intensity, view, f"intensity adjustment of view {view}"):
            model = elements.intensity_model(element)
            if models.setdefault(view, model) != model:
                raise ValueError("there are two different models of this view")
    return {view: model for view, model in models.items() if view not in found.intensity}


def _view_ids(timepoints: tuple[int, ...], setups: dict[int, Setup], found: _Problems) -> frozenset[ViewId]:
    count = len(timepoints) * len(setups)
    if count > MAX_VIEWS:
        with found.at("SequenceDescription"):
            raise ValueError(f"{len(timepoints)} timepoints of {len(setups)} setups are more than {MAX_VIEWS:,} views")
        raise found.error()
    return frozenset(itertools.starmap(ViewId, itertools.product(timepoints, setups)))


def _missing(root: Element, found: _Problems) -> frozenset[ViewId]:
    missing = set()
    for element in root.findall("SequenceDescription/MissingViews/MissingView"):
        with found.at("MissingViews"):
            missing.add(elements.view_id(element))
    return frozenset(missing)


def _registrations(root: Element, present: Set[ViewId], found: _Problems) -> dict[ViewId, Affine]:
    registrations: dict[ViewId, Affine] = {}
    for element in root.findall("ViewRegistrations/ViewRegistration"):
        view = None
        with found.at("ViewRegistrations"):
            view = elements.view_id(element)
        if view is None or view not in present:
            continue
        with found.of(found.views, view, f"view {view}"):
            registration = elements.registration(element)
            if registrations.setdefault(view, registration) != registration:
                raise ValueError("has two different ViewRegistrations")
    return registrations


def _bounding_boxes(root: Element, found: _Problems) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    for element in root.findall("BoundingBoxes/BoundingBoxDefinition"):
        name = element.get("name", "").strip()
        with found.of(found.boxes, name, f"bounding box '{name}'"):
            box = elements.bounding_box(element)
            if boxes.setdefault(name, box) != box:
                raise ValueError("there are two different boxes of this name")
    return {name: box for name, box in boxes.items() if name not in found.boxes}
