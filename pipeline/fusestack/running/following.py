"""Time lapses that are still being acquired: timepoints that are complete, one run after another."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from fusestack.fusion.inputs import selection_of
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError, FusestackError
from fusestack.model.fingerprint import identities
from fusestack.project.select import without_appended
from fusestack.project.xml import read_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fusestack.config.load import LoadedConfig

    T = TypeVar("T")

_MOST_PAUSE = 5.0
_MISSING = "missing"


@dataclass
class Settled:
    """Files as they were seen: one is settled when size and time of change have stayed for some seconds of our clock.

    Clocks of machines are not compared: a file that was there already is watched for as long.

    Parameters
    ----------
    seconds : float
    """

    seconds: float
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def look(self, paths: Iterable[str]) -> None:
        """Look at files; once before they are asked for."""
        now = time.monotonic()
        for path, identity in identities(paths).items():
            if self._seen.get(path, ("", 0.0))[0] != identity:
                self._seen[path] = identity, now

    def __call__(self, path: str) -> bool:
        """Whether a file that was looked at is there, and settled."""
        identity, since = self._seen[path]
        return identity != _MISSING and time.monotonic() - since >= self.seconds


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
        loaded = _patiently(load, begun, seconds)
        refuse_unfollowed(loaded)
        files = _patiently(lambda: files_of_timepoints(loaded), begun, seconds)  # noqa: B023 -- called at once
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


def _patiently(read: Callable[[], T], begun: float, seconds: float) -> T:
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
