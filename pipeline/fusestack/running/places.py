"""Where a run writes: whether it can, how much that will be, and whether it fits the disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.amounts import several, size
from fusestack.model.errors import OutputError
from fusestack.storage import is_address
from fusestack.writers.base import link_refused

SUBMITTED = "submitted.json"
"""In the work folder of an output: the jobs that were submitted for it."""

_MOST_COMPRESSED = 100
"""Times that pixels become smaller at the very most."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fusestack.planning.plan import Plan
    from fusestack.running.inspection import StageState


@dataclass(frozen=True)
class Amounts:
    """Bytes that a run has left to write, uncompressed: those of outputs, and those of the cache."""

    output: int
    cache: int

    def __str__(self) -> str:
        return f"{size(self.output)} of outputs" + (f", {size(self.cache)} of cache" if self.cache else "")


def amounts_left(plan: Plan, states: Iterable[StageState]) -> Amounts:
    """What is left to write; blocks that no view reaches are not stored."""
    shares = {
        image.target.image.path: image.fusion.statistics.touched / max(1, image.fusion.statistics.blocks)
        for image in plan.images
        if image.fusion is not None
    }
    outputs = {image.target.image.path for image in plan.images}
    output = cache = 0
    for state in states:
        stage, path = state.stage, state.stage.target.image.path
        left = 0 if state.action == "reuse" else stage.nbytes * (1 - state.done / max(1, stage.grid.count))
        if path in outputs:
            output += round(left * shares.get(path, 1))
        else:
            cache += round(left)
    return Amounts(output, cache)


def check_places(plan: Plan) -> None:
    """Refuse places where nothing can be written: below a file, or without permission. Nothing is created.

    Raises
    ------
    OutputError
        Names every such place.
    """
    places = _named_places(plan)
    for image in plan.images:
        places.setdefault(f"{image.target.work}/lock", image.key)
    if any(image.preparation for image in plan.images):
        places.setdefault(f"{plan.cache}/entry", "cache.path")
    found = [(path, _obstacle(path), key) for path, key in places.items() if not is_address(path)]
    found += [(path, "is a folder, not a file", key) for path, key in _files(plan) if Path(path).is_dir()]
    alike: dict[str, dict[str, str]] = {}
    for path, why, key in found:
        if why:
            alike.setdefault(why, {})[path] = key
    if alike:
        raise OutputError(*(_cannot_be_written(why, keys) for why, keys in alike.items()))


def _cannot_be_written(why: str, keys: Mapping[str, str]) -> str:
    """What is said of paths and their keys; what fusestack makes beside them goes without saying."""
    named = [path for path in keys if ".fusestack/" not in path]
    paths = named or list(keys)
    choices = " and ".join(dict.fromkeys(keys[path] for path in paths))
    return f"{several(paths)}: cannot be written: {why}; choose another {choices}"


def folders_made(plan: Plan) -> list[str]:
    """What is to be said of folders that a run makes, since a name in the configuration has them: maybe by mistake."""
    parents: dict[Path, None] = {}
    for path, key in _named_places(plan).items():
        if not is_address(path):
            parent = Path(path).parent
            parents[parent.parent if key == "focus.output.slices" else parent] = None  # that one is a folder itself
    return [f"{path}: this folder does not exist; a run makes it" for path in parents if not path.exists()]


def _named_places(plan: Plan) -> dict[str, str]:
    """Paths that the configuration names for what is made, and their keys."""
    places: dict[str, str] = {}
    for image in plan.images:
        places.setdefault(image.target.image.path, image.key)
        if image.project:
            places.setdefault(image.project, "output.project")
    if plan.statistics is not None:
        places.setdefault(plan.statistics.path, "focus.statistics.save")
    return places


def links_in_the_way(plan: Plan) -> list[str]:
    """Symbolic links where a run writes: none is followed or replaced, since what they lead to is somebody else's.

    Folders above an output may be links, and that of the cache.
    """
    places: dict[str, str] = {}
    works: dict[str, str] = {}
    for image in plan.images:
        places |= dict.fromkeys((image.target.image.path, f"{plan.output}.run.json", plan.report), image.key)
        works[image.target.work] = image.key
        works |= dict.fromkeys((stage.target.work for stage in image.preparation), "cache.path")
    for work, key in works.items():
        places |= dict.fromkeys(_with_folders(work), key)
    places |= dict(_files(plan))
    found = {path: key for path, key in places.items() if not is_address(path) and Path(path).is_symlink()}
    return [link_refused(path, key) for path, key in found.items()]


def _with_folders(work: str) -> Iterator[str]:
    """A folder of our own files, and what is in it and in its folders."""
    yield work
    if is_address(work) or Path(work).is_symlink() or not Path(work).is_dir():
        return
    for path in Path(work).iterdir():
        yield str(path)
        if path.is_dir() and not path.is_symlink():
            yield from map(str, path.iterdir())


def _files(plan: Plan) -> Iterator[tuple[str, str]]:
    """Paths that are files beside the images, and which say them."""
    for image in plan.images:
        if image.project:
            yield image.project, "output.project"
    if plan.statistics is not None:
        yield plan.statistics.path, "focus.statistics.save"


def scarce_space(plan: Plan, states: Iterable[StageState]) -> list[str]:
    """What is to be said where outputs and cache, uncompressed, are more than the free bytes of their disks.

    Raises
    ------
    OutputError
        Where they will not fit, however well they are compressed: even a hundredth of them is more than what is free.

    Notes
    -----
    How small pixels become is known when they are written: recorded ones a half to a tenth, masks a fiftieth. So what
    is between is said, and may succeed; a run whose disk is full ends as one that was killed, and continues.
    """
    left = amounts_left(plan, states)
    wanted: dict[int, tuple[str, int, list[str]]] = {}
    for what, path, count in (("outputs", plan.output, left.output), ("cache", plan.cache, left.cache)):
        if is_address(path) or not count:
            continue
        folder = _existing(path)
        device = folder.stat().st_dev
        place, before, names = wanted.get(device, (str(folder), 0, []))
        wanted[device] = (place, before + count, [*names, f"{size(count)} of {what}"])
    said: list[str] = []
    hopeless: list[str] = []
    for place, count, names in wanted.values():
        free = shutil.disk_usage(place).free
        if count <= free:
            continue
        never = count > _MOST_COMPRESSED * free
        (hopeless if never else said).append(
            f"{place}: {size(free)} are free, and {' and '.join(names)} are to be written, "
            f"{'far more than compression saves' if never else 'less what compression saves'}; "
            "free some space, or choose other places with output.path and cache.path"
        )
    if hopeless:
        raise OutputError(*hopeless)
    return said


def _existing(path: str) -> Path:
    """Nearest folder above a path (or file in the way) that is there."""
    place = Path(path).absolute().parent
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _obstacle(path: str) -> str:
    """Why nothing can be written at a path; empty if nothing is in the way."""
    place = _existing(path)
    if not place.is_dir():
        return f"{place} is a file, not a folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"there is no permission to write in {place}"
    here = Path(path)
    if here.exists() and not os.access(here, os.W_OK):
        return "there is no permission to replace it"
    return ""
