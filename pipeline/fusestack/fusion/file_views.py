"""Views of a configuration: what their files say, unless the configuration says it; what is taken from where."""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusestack.config.template import GUESSED
from fusestack.fusion.array_inputs import array_source
from fusestack.fusion.file_world import FileView, converted, place_views
from fusestack.fusion.stored_tiles import reader_of_file
from fusestack.fusion.told import Told
from fusestack.model.amounts import times_xyz
from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.units import length_factor
from fusestack.project.placed import PlacedFile
from fusestack.sources.base import select_index
from fusestack.sources.facts import FactsWanted, ImageFacts, all_facts
from fusestack.sources.file_names import is_pattern
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import ViewInput

_SAME = 1e-3


@dataclass(frozen=True)
class _Entry:
    """A view of the configuration and, unless it is an array, its file."""

    number: int
    view: ViewInput
    path: str
    facts: ImageFacts | None
    name: str

    @property
    def key(self) -> str:
        return f"input.views.{self.number}"


def files_of_views(loaded: LoadedConfig, views: Sequence[ViewInput]) -> tuple[list[PlacedFile], Told]:
    """Placed files of the views of a configuration: one for each timepoint and channel that they have.

    Raises
    ------
    InputError
        If a file is missing, unreadable or not clear, or places contradict one another; all problems at once.
    """
    told = Told()
    entries = [_overridden(entry, told) for entry in _opened(loaded, views)]
    _refuse_sets(entries)
    numbers = _channel_numbers(entries, told)
    placed = place_views([_as_view(entry) for entry in entries], told.said, told.found)
    made: list[PlacedFile] = []
    problems: list[str] = []
    for entry, place in zip(entries, placed, strict=True):
        try:
            made += _expanded(entry, place, numbers)
        except InputError as error:
            problems += [f"{entry.key}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(*problems)
    _say_unused(entries, told)
    _say_other_images(entries, told)
    _say_lost(entries, told)
    if GUESSED in loaded.text:
        _say_guess(entries, told)
    return made, told


def _opened(loaded: LoadedConfig, views: Sequence[ViewInput]) -> list[_Entry]:
    problems: list[str] = []
    wanted: dict[int, FactsWanted] = {}
    for number, view in enumerate(views):
        if view.array is not None:
            continue
        path = loaded.resolve_path(view.path)
        try:
            reader = reader_of_file(path)
            if not is_address(path) and not Path(path).exists():
                way_out = (
                    "a view is one file; fusestack init writes a view for each that fits a pattern"
                    if is_pattern(path)
                    else "check the path, which begins at the folder of the configuration"
                )
                raise ValueError(f"no such file ({path}); {way_out}")
        except (ValueError, OSError) as error:
            problems.append(f"input.views.{number}: {view.path}: {error}")
            continue
        wanted[number] = FactsWanted(reader, path, view.series, view.axes)
    known = all_facts(wanted.values())
    for number, which in wanted.items():
        found = known[which]
        if isinstance(found, InputError):
            problems += [
                f"input.views.{number}: {problem}{', or remove the view' if 'restore it' in problem else ''}"
                for problem in found.problems
            ]
    if problems:
        raise InputError(*problems)
    entries = []
    paths: dict[str, set[str]] = defaultdict(set)
    names = [_named(view.path) for view in views]
    for view, name in zip(views, names, strict=True):
        paths[name].add(view.path)
    for number, (view, name) in enumerate(zip(views, names, strict=True)):
        named = wanted.get(number)
        facts = None if named is None else known[named]
        assert not isinstance(facts, InputError)
        name = (name if len(paths[name]) == 1 else view.path) or f"input.views.{number}"
        entries.append(_Entry(number, view, "" if named is None else named.path, facts, name))
    return entries


def _named(path: str) -> str:
    """Name of a file; of what is inside of a Zarr group, from its name on: ``plate.zarr/A/1/0``."""
    parts = Path(path).parts
    outer = next((k for k, part in enumerate(parts) if part.lower().endswith(".zarr")), -1)
    return "/".join(parts[outer:])


def _overridden(entry: _Entry, told: Told) -> _Entry:
    """Entry with what the configuration says of its pixels instead of what the file says; also tells of both."""
    facts, view = entry.facts, entry.view
    if facts is None:
        return entry
    for sentence in facts.said:
        told.said[sentence].append(entry.name)
    given = {"voxel size"} if view.voxel_size is not None else set()
    if view.affine is not None or view.translation is not None:
        given |= {"position", "orientation"} if view.affine is not None else {"position"}
    for what, where in facts.found:
        if what not in given:
            told.found[what, where].append(entry.name)
    for what in sorted(given - {"orientation"}):
        told.found[what, "the configuration"].append(entry.name)
    _say_contradictions(entry, told)
    unit = view.unit if view.unit is not None else facts.unit
    facts = converted(facts, length_factor(facts.unit, unit) or 1.0, unit)
    if view.voxel_size is None:
        return replace(entry, facts=facts)
    sizes = view.voxel_size.zyx
    turn = None
    if facts.turn is not None:
        linear = facts.turn.linear
        turn = Affine(linear / np.linalg.norm(linear, axis=0) * np.array(sizes), np.zeros(3))
    return replace(entry, facts=replace(facts, sizes=sizes, turn=turn))


def _say_contradictions(entry: _Entry, told: Told) -> None:
    facts, view = entry.facts, entry.view
    assert facts is not None
    factor = length_factor(facts.unit, view.unit) if view.unit else 1.0
    if view.voxel_size is not None and any(facts.sizes):
        pairs = zip(facts.sizes, view.voxel_size.zyx, strict=True)
        if factor is None or any(old and abs(old * factor - new) > _SAME * new for old, new in pairs):
            old = " x ".join("?" if size is None else f"{size:.6g}" for size in reversed(facts.sizes))
            told.said[
                f"voxel_size is {times_xyz(view.voxel_size.zyx)} {view.unit or facts.unit or ''} (xyz) in the "
                f"configuration, {old} {facts.unit or ''} in the file; the configuration is used"
            ].append(entry.name)
    elif factor is None and facts.unit and (any(facts.sizes) or facts.placed):
        told.said[
            f"unit is {view.unit} in the configuration, {facts.unit} in the file; the configuration is used"
        ].append(entry.name)
    if facts.turn is not None and view.affine is not None:
        told.said["its orientation is not used, since the view has an affine; remove it to use the file's"].append(
            entry.name
        )


def _refuse_sets(entries: Sequence[_Entry]) -> None:
    """Refuse files of one set that are named as if each were an image: each of them is all of it."""
    seen: dict[tuple[object, ...], _Entry] = {}
    for entry in entries:
        if entry.facts is None or len(entry.facts.files) < 2:
            continue
        key = (entry.facts.files, entry.facts.options)
        other = seen.setdefault(key, entry)
        if other.path != entry.path:
            raise InputError(
                f"{entry.key}: {entry.view.path} and {other.view.path} are files of one image (an OME-TIFF set of "
                f"{len(entry.facts.files)}); name one of them, it stands for all"
            )


def _channel_numbers(entries: Sequence[_Entry], told: Told) -> dict[str, int]:
    """Number of every channel that has a name, where the configuration does not number it."""
    numbers: dict[str, int] = {}
    names: dict[int, str] = {}
    for entry in entries:
        if entry.facts is None or entry.view.channel is None:
            continue
        own = entry.facts.names
        name = own[0] if len(own) == 1 else own[entry.view.channel] if entry.view.channel < len(own) else None
        if name is None:
            continue
        if names.setdefault(entry.view.channel, name) != name:
            told.said[
                f"its channel is called {name}, channel {entry.view.channel} of the configuration "
                f"{names[entry.view.channel]}; the configuration is used"
            ].append(entry.name)
        numbers.setdefault(name, entry.view.channel)
    unnamed = 0
    for entry in entries:
        if entry.facts is None or entry.view.channel is not None:
            continue
        for name in entry.facts.names:
            if name is not None and name not in numbers:
                numbers[name] = next(n for n in range(len(names) + 1) if n not in names)
                names[numbers[name]] = name
        if None in entry.facts.names:
            unnamed = max(unnamed, len(entry.facts.names))
            if names:
                listed = ", ".join(names[number] for number in sorted(names))
                told.said[f"its channels have no names; they are taken for the first ones of {listed}"].append(
                    entry.name
                )
    return numbers


def _as_view(entry: _Entry) -> FileView:
    view = entry.view
    affine = None if view.affine is None else Affine.from_xyz(view.affine)
    sizes = None if view.voxel_size is None else view.voxel_size.zyx
    return FileView(
        label=f"{entry.key}: {entry.view.path}" if entry.facts else entry.key,
        name=entry.name,
        facts=entry.facts,
        affine=affine,
        translation=None if view.translation is None else view.translation.zyx,
        sizes=sizes if entry.facts is None else entry.facts.sizes,
        unit=view.unit if entry.facts is None else entry.facts.unit,
        stack=(view.timepoint, view.channel, None if entry.facts is None else entry.facts.names),
    )


def _expanded(entry: _Entry, place: FileView, numbers: dict[str, int]) -> Iterable[PlacedFile]:
    """Yield the views of a file."""
    view, facts = entry.view, entry.facts
    make = functools.partial(
        PlacedFile,
        path=view.path if view.array is None else f"array of {entry.key}",
        pixel_to_world=place.places[0],
        voxel_size=place.voxel_size,
        unit=place.unit,
        timepoint=view.timepoint or 0,
        channel=view.channel or 0,
        illumination=view.illumination,
        angle=view.angle,
        tile=view.tile,
        no_data=view.no_data,
        world_origin=place.world_origin,
        world_pixel=place.world_pixel,
    )
    if facts is None:
        yield make(source=array_source(f"{entry.key}.array", view.array))
        return
    for t in _chosen(entry, "timepoint", facts.shape[0], view.timepoint):
        for c in _chosen(entry, "channel", facts.shape[1], view.channel):
            name = facts.names[c]
            number = c if name is None else numbers.get(name, c)
            yield make(
                pixel_to_world=place.places[t],
                source=facts.source(t, c),
                shape=facts.zyx,
                pixels=facts.pixels,
                time=facts.time,
                timepoint=t if view.timepoint is None else view.timepoint,
                channel=number if view.channel is None else view.channel,
                channel_name=name or "",
                channel_color=facts.colors[c] or "",
            )


def _chosen(entry: _Entry, axis: str, length: int, given: int | None) -> range:
    """Indices along an axis of the file: all, or the one that the view names."""
    if given is None:
        return range(length)
    index = select_index(entry.path, axis, length, given)
    return range(index, index + 1)


def _say_unused(entries: Sequence[_Entry], told: Told) -> None:
    """Say which timepoints and channels of a file no view names."""
    used: dict[tuple[str, object], list[tuple[_Entry, set[int], set[int]]]] = defaultdict(list)
    for entry in entries:
        if entry.facts is not None:
            times, channels = (
                set(_chosen(entry, axis, length, given))
                for axis, length, given in (
                    ("timepoint", entry.facts.shape[0], entry.view.timepoint),
                    ("channel", entry.facts.shape[1], entry.view.channel),
                )
            )
            used[entry.facts.path, entry.facts.options].append((entry, times, channels))
    for listed in used.values():
        first = listed[0][0]
        assert first.facts is not None
        for axis, place, length in (("timepoint", 1, first.facts.shape[0]), ("channel", 2, first.facts.shape[1])):
            missing = length - len(set.union(*(one[place] for one in listed)))  # type: ignore[arg-type]
            if missing:
                verb = "is" if missing == 1 else "are"
                sentence = f"{missing} of its {length} {axis}s {verb} not used; without the key {axis} all of them are"
                told.said[sentence].append(first.name)


def _say_guess(entries: Sequence[_Entry], told: Told) -> None:
    """Say that views lie edge to edge still, as ``fusestack init`` wrote them down; tiles may truly touch."""
    x = 0
    for entry in entries:
        if entry.facts is None or entry.facts.placed or entry.view.translation is None:
            return
        if entry.view.translation.zyx != (0.0, 0.0, float(x)):
            return
        x += entry.facts.shape[4]
    if len(entries) > 1:
        told.said[
            f"{len(entries)} views lie edge to edge in a row, as init guessed (its comment says so); correct their "
            "translation (world pixels), and take the comment away"
        ] += [entry.name for entry in entries]


def _say_other_images(entries: Sequence[_Entry], told: Told) -> None:
    """Say how many images of a file, or of a set of files, no view names."""
    used: dict[tuple[str, int], dict[object, _Entry]] = defaultdict(dict)
    for entry in entries:
        if entry.facts is not None and entry.facts.described[1] > 1:
            used[entry.facts.described].setdefault(dict(entry.facts.options).get("series", 0), entry)
    for (_, count), known in used.items():
        if missing := count - len(known):
            verb = "is" if missing == 1 else "are"
            told.said[
                f"{missing} of the {count} images that it describes {verb} not used; series names one of them"
            ].append(next(iter(known.values())).name)


def _say_lost(entries: Sequence[_Entry], told: Told) -> None:
    """Say that views lie on top of one another because nobody says where they are; refuse it beside others."""
    lost: dict[tuple[object, ...], list[_Entry]] = defaultdict(list)
    known = False
    for entry in entries:
        view, facts = entry.view, entry.facts
        if view.affine is not None or view.translation is not None or (facts is not None and facts.placed):
            known = True
            continue
        names = () if facts is None else facts.names
        kind = (view.timepoint, view.channel, names, view.illumination, view.angle)
        lost[kind].append(entry)
    for listed in lost.values():
        if len(listed) < 2:
            continue
        sentence = (
            f"{len(listed)} views lie at the origin, on top of one another: neither their files nor the configuration "
            "say where they are; give translation (world pixels) or affine"
        )
        untold = [entry for entry in listed if entry.facts is None or not entry.facts.positions]
        if known and len(untold) > 1:
            raise InputError(f"{untold[0].key}: {untold[0].view.path}: {sentence}, as others have it")
        told.said[sentence].append(listed[0].name)
