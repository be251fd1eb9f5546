"""Time lapses that are still being acquired: timepoints that are complete, one run after another."""

from __future__ import annotations

import itertools
import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fusestack.fusion.inputs import selection_of
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError, FusestackError
from fusestack.project.select import without_appended
from fusestack.project.xml import read_project
from fusestack.storage import identity_of, is_address, open_folder
from fusestack.storage.together import each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fusestack.config.load import LoadedConfig

    T = TypeVar("T")

_MOST_PAUSE = 5.0


@dataclass
class Settled:
    """Files as they were seen: one is settled when size and time of change have stayed for some seconds of our clock.

    Clocks of machines are not compared: a file that was there already is watched for as long.

    Parameters
    ----------
    seconds : float
    """

    seconds: float
    _seen: dict[str, tuple[str | None, float]] = field(default_factory=dict)

    def look(self, paths: Iterable[str]) -> None:
        """Look at files; once before they are asked for."""
        now = time.monotonic()
        paths = list(paths)
        for path, state in zip(paths, each(_state, paths, far=any(map(is_address, paths))), strict=True):
            if self._seen.get(path, (None, 0.0))[0] != state:
                self._seen[path] = state, now

    def __call__(self, path: str) -> bool:
        """Whether a file that was looked at is there, and settled."""
        state, since = self._seen.get(path, (None, 0.0))
        return state is not None and time.monotonic() - since >= self.seconds


def _state(path: str) -> str | None:
    """Size and time of change of a file; of a folder (OME-Zarr, N5) those of all files in it; None where nothing is."""
    if is_address(path):
        if (found := identity_of(path)) is not None:
            return found
        sizes = [nbytes for _, nbytes in open_folder(path, scratch="").files("")]
        return f"{len(sizes)} {sum(sizes)}" if sizes else None
    if not Path(path).is_dir():
        return identity_of(path)
    count = size = newest = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                one = Path(folder, name).stat()
                count, size, newest = count + 1, size + one.st_size, max(newest, one.st_mtime_ns)
    return f"{count} {size} {newest}" if count else None


def follow(
    load: Callable[[], LoadedConfig],
    make: Callable[[LoadedConfig], T],
    *,
    seconds: float,
    idle: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[T | None, tuple[int, ...]]:
    """Make what is complete, again and again; a timepoint that is not complete holds back those after it.

    Parameters
    ----------
    load : callable
        Reads the configuration, which may name more views from time to time.
    make : callable
        Runs one.
    seconds : float
        How long a file has to stay as it is.
    idle : float, optional
        Ends when nothing new was complete for so many seconds, and at least twice `seconds`; without it, nothing but
        Ctrl-C ends it.
    say : callable
        Is told what is made, and what is waited for.

    Returns
    -------
    object
        What `make` gave last; None where nothing was complete.
    tuple of int
        Timepoints that are made.

    Raises
    ------
    ConfigError
        If there is nothing to follow.
    """
    settled, waited = Settled(seconds), ""
    made: tuple[int, ...] = ()
    result: T | None = None
    begun = time.monotonic()
    while True:
        loaded = _patiently(load, seconds)
        refuse_unfollowed(loaded)
        files = _patiently(lambda: files_of_timepoints(loaded), seconds)  # noqa: B023 -- called at once
        settled.look({path for paths in files.values() for path in paths})
        ready = tuple(itertools.takewhile(lambda t: files[t] and all(map(settled, files[t])), sorted(files)))  # noqa: B023
        if new := set(ready) - set(made):
            say(f"complete: {_timepoints(new)}")
            result = make(only(loaded, ready))
            made, begun, waited = ready, time.monotonic(), ""
            continue
        left = files.keys() - set(ready)
        waiting = f"waiting for timepoint {min(left)}" if left else "waiting for more timepoints"
        if waiting != waited:
            say(f"{waiting}; Ctrl-C ends it")
            waited = waiting
        if idle is not None and time.monotonic() - begun >= max(idle, 2 * seconds):
            return result, made
        time.sleep(min(_MOST_PAUSE, max(0.05, seconds / 2)))


def _patiently(read: Callable[[], T], seconds: float) -> T:
    """Read what somebody may be writing right now; an error that stays is raised."""
    until = time.monotonic() + seconds
    while True:
        try:
            return read()
        except FusestackError:
            if time.monotonic() >= until:
                raise
        time.sleep(min(1.0, max(0.05, seconds / 4)))


def refuse_unfollowed(loaded: LoadedConfig) -> None:
    """Refuse what has no timepoints that come one by one.

    Raises
    ------
    ConfigError
    """
    config = loaded.config
    if config.input is None or config.input.images is not None:
        raise ConfigError("--follow: follows the timepoints of input.project or input.views, and there are none")
    if config.focus is not None:
        raise ConfigError("--follow: fuses only; leave out 'focus', and run it when the acquisition is over")


def files_of_timepoints(loaded: LoadedConfig) -> dict[int, set[str]]:
    """Files that every timepoint is made of; none where one of its views has no place yet.

    Raises
    ------
    InputError
        If the project cannot be read.
    ConfigError
        If a view does not say its timepoint.
    """
    source = loaded.config.input
    if source is None:
        return {}
    wanted = selection_of(source.select)
    found: dict[int, set[str]] = defaultdict(set)
    if source.project is None:
        for number, view in enumerate(source.views or ()):
            if view.timepoint is None:
                raise ConfigError(f"input.views.{number}: --follow has to know its timepoint; add timepoint: ...")
            if wanted.timepoints is None or view.timepoint in wanted.timepoints:
                found[view.timepoint].add(loaded.resolve_path(view.path))
        return dict(found)
    project, _ = without_appended(read_project(loaded.resolve_path(source.project)), wanted)
    for one in project.views:
        found[one.id.timepoint] |= set(one.source.paths)
    for view_id in (*project.unregistered, *project.flaws):
        found[view_id.timepoint] = set()
    return {t: paths for t, paths in found.items() if wanted.timepoints is None or t in wanted.timepoints}


def only(loaded: LoadedConfig, timepoints: tuple[int, ...]) -> LoadedConfig:
    """The configuration of some timepoints."""
    source = loaded.config.input
    if source is None:
        return loaded
    if source.project is None:
        changes: Mapping[str, object] = {
            "views": tuple(view for view in source.views or () if view.timepoint in timepoints)
        }
    else:
        changes = {"select": source.select.model_copy(update={"timepoints": timepoints})}
    config = loaded.config.model_copy(update={"input": source.model_copy(update=changes)})
    return replace(loaded, config=config)


def _timepoints(timepoints: Iterable[int]) -> str:
    found = sorted(timepoints)
    if len(found) == 1:
        return f"timepoint {found[0]}"
    return f"{counted(len(found), 'timepoint')}, {found[0]} to {found[-1]}"
