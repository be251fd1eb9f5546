"""Sets of focus options, tried on a part of a stack, scored, shown on one page, and written into a configuration."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fusestack.api.configured import checked_client, client_of, loaded_from
from fusestack.model.errors import ConfigError, tell
from fusestack.model.geometry import Box
from fusestack.model.summary import Shown, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from distributed import Client

    from fusestack.config.load import LoadedConfig
    from fusestack.focus.region import Region
    from fusestack.focus.tuning import PlannedTuning
    from fusestack.planner import Tuning
    from fusestack.planning.plan import Plan
    from fusestack.running.report import RunReport
    from fusestack.taskgraph.events import Listener

    Warn = Callable[[Iterable[str]], None]

_LEAST_SIDE = 384
RESULTS = "results.json"
"""In the folder of what tuning makes."""


@dataclass(frozen=True, repr=False)
class TunedSet(Shown):
    """A set of options that was tried.

    Parameters
    ----------
    number : int
        From 1, as `apply_set` takes it.
    options : str
        As an option string.
    settings : mapping
        Keys of ``focus``, as a configuration says them.
    scores : mapping of str to float
        See `fusestack.focus.scores`.
    seconds : float or None
        Of a worker, for the part; None where it was in the cache already and nobody remembers what it took.
    run_seconds : float or None
        Of a worker, for the whole stack, estimated; None where a stage of it was in the cache already.
    """

    number: int
    options: str
    settings: Mapping[str, Any]
    scores: Mapping[str, float]
    seconds: float | None
    run_seconds: float | None

    def summary(self) -> Summary:
        """Its options and scores."""
        scores = tuple((name, f"{value:.4g}") for name, value in self.scores.items())
        return Summary(f"Set {self.number}: {self.options}", (*scores, ("seconds", _told(self.seconds, ".3g"))))


@dataclass(frozen=True, repr=False)
class Tuned(Shown):
    """Sets of options that were tried on a part of a stack.

    Parameters
    ----------
    page : str
        Path of the contact sheet.
    folder : str
        Of the pictures and their scores.
    sets : tuple of TunedSet
    part : mapping
        Pixels ``x``, ``y``, ``width``, ``height`` of the slices.
    plane : (int, int)
        Rows and columns of the slices.
    source : str
        The stack, for people.
    seconds : float
    cache_bytes : int
        Size of the cache now.
    """

    page: str
    folder: str
    sets: tuple[TunedSet, ...]
    part: Mapping[str, int]
    plane: tuple[int, int]
    source: str
    seconds: float
    cache_bytes: int

    def summary(self) -> Summary:
        """Sets and their scores."""
        names = tuple(self.sets[0].scores)
        rows = tuple(
            (str(one.number), *(f"{one.scores[name]:.4g}" for name in names), _told(one.seconds, ".2f"), one.options)
            for one in self.sets
        )
        x, y, width, height = (self.part[key] for key in ("x", "y", "width", "height"))
        facts = (("part", f"{width} x {height} pixels at x {x}, y {y}"), ("contact sheet", self.page))
        return Summary(f"{len(self.sets)} sets", facts, ("set", *names, "seconds", "options"), rows)


def tune(
    config: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    progress: bool | None = None,
    listener: Listener | None = None,
    client: Client | None = None,
) -> Tuned:
    """Try sets of focus options on a part of a stack, as ``focus.tune`` names them, and make a contact sheet.

    Statistics are those of the whole stack, so each picture is what a run would make there. What sets share is
    computed once, and kept in the cache, where a run finds it.

    Parameters
    ----------
    config : str, Path or mapping
        Configuration file, or what it would hold.
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.
    progress, listener, client
        See `fusestack.run`.

    Raises
    ------
    ConfigError, InputError, OutputError, BlockError

    Examples
    --------
    >>> report = fusestack.run("fuse.yaml")
    >>> focus = {"input": "fused.ome.zarr", "output": {"path": "sharp.tif"}}
    >>> tuned = fusestack.tune({"version": 1, "focus": focus}, ["focus.tune.vary={multiscale.levels: [2, 3, 4]}"])
    >>> [one.options for one in tuned.sets]
    ['--multiscale=l2 --between=p100', '--multiscale=l3 --between=p100', '--multiscale=l4 --between=p100']
    >>> tuned.page  # doctest: +ELLIPSIS
    '...sharp.tif.tune.html'
    """
    from fusestack.api.configured import everyone
    from fusestack.planner import Tuning
    from fusestack.running.aligning import align_first

    loaded = loaded_from(config, overrides)
    client = checked_client(client) or client_of(loaded)
    align_first(loaded)
    return try_sets(Tuning.of(loaded, client), listener=everyone(progress, listener), client=client, warn=tell)


def try_sets(
    tuning: Tuning, *, listener: Listener | None = None, client: Client | None = None, warn: Warn = tell
) -> Tuned:
    """Try the sets of a tuning, score them, and write the contact sheet; see `tune`.

    Parameters
    ----------
    tuning : Tuning
    listener : callable, optional
        Takes the events of both runs: of the one that chooses a part, and of the one that makes the pictures.
    client : distributed.Client, optional
    warn : callable
        Takes sentences.
    """
    from fusestack.display.sheet import write_sheet
    from fusestack.focus.tuned import scored

    start = time.perf_counter()
    part, reports = _part(tuning, listener, client, warn)
    planned, plan = tuning.on_part(part)
    warn(planned.warnings)
    truth = _truth(tuning)
    reports.append(_run(plan, listener, client, warn))
    warn(reports[-1].found)
    scores = scored(planned, part, truth, tuning.resources.workers)
    place = {"x": part.left, "y": part.top, "width": part.shape[1], "height": part.shape[0]}
    seconds = _seconds(tuning, planned, reports)
    tuned = Tuned(
        f"{tuning.path}.html",
        tuning.path,
        _sets(planned, part, scores, seconds),
        place,
        planned.slices.painted.plane,
        tuning.stack.source,
        time.perf_counter() - start,
        reports[-1].cache_bytes,
    )
    _remember(tuned, seconds)
    write_sheet(tuned, planned)
    return tuned


def _part(
    tuning: Tuning, listener: Listener | None, client: Client | None, warn: Warn
) -> tuple[Region, list[RunReport]]:
    """The part that is named, or the one with most edges of the depth; and the run that has looked for it."""
    from fusestack.config.tuning import SIDE
    from fusestack.focus.busiest import busiest
    from fusestack.focus.region import Region

    focus = tuning.loaded.config.focus
    assert focus is not None
    assert focus.tune is not None
    wanted, (height, width) = focus.tune.crop, tuning.stack.shape[3:]
    if not isinstance(wanted, str):
        if wanted.x >= width or wanted.y >= height:
            raise ConfigError(
                f"{tuning.loaded.cite('focus.tune.crop')}: begins at x {wanted.x}, y {wanted.y}, and the slices have "
                f"{width:,} x {height:,} pixels"
            )
        bottom, right = min(height, wanted.y + wanted.height), min(width, wanted.x + wanted.width)
        return Region(wanted.y, bottom, wanted.x, right), []
    side = min(SIDE, max(_LEAST_SIDE, min(height, width) // 2))
    if max(height, width) <= side:
        return Region(0, height, 0, width), []
    plan = tuning.rough_depth()
    report = _run(plan, listener, client, warn)
    stored = plan.images[0].stages[0].array
    depth, detail = stored.read(Box.of_shape(stored.shape))[0, :, 0]
    return busiest(depth, detail, (height, width), (side, side)), [report]


def _run(plan: Plan, listener: Listener | None, client: Client | None, warn: Warn) -> RunReport:
    from fusestack.running.damage import look
    from fusestack.running.places import check_places, scarce_space
    from fusestack.running.probing import probe_plan
    from fusestack.running.runner import run_plan

    known = look(plan)
    check_places(plan)
    warn([*known.damage.said, *scarce_space(plan, known.states), *probe_plan(plan, known.states).warnings])
    return run_plan(plan, listener=listener, client=client, known=known)


def _truth(tuning: Tuning) -> str | None:
    """Path of the truth, where one is named and can be compared with."""
    import importlib.util

    from fusestack.focus.tuned import check_truth

    focus = tuning.loaded.config.focus
    assert focus is not None
    assert focus.tune is not None
    if focus.tune.truth is None:
        return None
    said = tuning.loaded.cite("focus.tune.truth")
    if importlib.util.find_spec("skimage") is None:
        raise ConfigError(f"{said}: needs scikit-image; install it with: pip install 'fusestack[tune]'")
    path = tuning.loaded.resolve_path(focus.tune.truth)
    check_truth(path, tuning.stack, said)
    return path


def _seconds(tuning: Tuning, planned: PlannedTuning, reports: Sequence[RunReport]) -> dict[str, float]:
    """What stages took of a worker, by key; of those that were there, what an earlier tuning has noted."""
    places = {stage.target.image.path: stage.key for stage in planned.image.preparation}
    noted = _noted(tuning.path).get("seconds", {})
    found: dict[str, float] = {key: value for key, value in noted.items() if key in places.values()}
    made = [stage for report in reports for stage in report.stages if stage.image in places and stage.computed]
    return found | {places[stage.image]: stage.working for stage in made}


def _sets(
    planned: PlannedTuning, part: Region, scores: Sequence[Mapping[str, float]], seconds: Mapping[str, float]
) -> tuple[TunedSet, ...]:
    height, width = planned.slices.painted.plane
    times = height * width / (part.shape[0] * part.shape[1])
    found = []
    for one, its in zip(planned.sets, scores, strict=True):
        own = seconds.get(one.part.key)
        whole = [seconds.get(key) for key in one.whole]
        known = own is not None and None not in whole
        run = own * times + sum(each or 0 for each in whole) if known and own is not None else None
        chosen = one.chosen
        found.append(TunedSet(chosen.number, chosen.options, chosen.settings, its, own, run))
    return tuple(found)


def _told(seconds: float | None, form: str) -> str:
    from fusestack.focus.scores import NOT_KNOWN

    return NOT_KNOWN if seconds is None else f"{seconds:{form}}"


def _noted(folder: str) -> dict[str, Any]:
    from fusestack.storage import folder_of

    place, name = folder_of(f"{folder}/{RESULTS}")
    try:
        found = place.get(name)
        noted: dict[str, Any] = {} if found is None else json.loads(found)
    except (OSError, ValueError):
        return {}
    return noted


def _remember(tuned: Tuned, seconds: Mapping[str, float]) -> None:
    """Keep what was found, for `apply_set` and for the times of the next tuning."""
    from fusestack.running.records import write_json

    sets = [asdict(one) for one in tuned.sets]
    write_json(f"{tuned.folder}/{RESULTS}", {"part": dict(tuned.part), "sets": sets, "seconds": dict(seconds)})


def apply_set(path: str | Path, number: int, overrides: Sequence[str] = ()) -> tuple[str, str]:
    """Write a set that was tried into the configuration file; its comments and its order stay.

    Parameters
    ----------
    path : str or Path
        The configuration that was tuned.
    number : int
        Of the set, as the contact sheet shows it.
    overrides : sequence of str
        As they were given when it was tuned.

    Returns
    -------
    (str, str)
        The text of the file before and after.

    Raises
    ------
    ConfigError
        If there is no such set, if the sets are others than those that were tried, or if the file cannot be kept.
    OutputError
        If the file cannot be written.
    """
    from fusestack.api.rewriting import replace_text
    from fusestack.config.load import load_config
    from fusestack.config.rewriting import rewritten
    from fusestack.focus.option_sets import PLAIN, SETTINGS
    from fusestack.planner import Tuning

    loaded = load_config(path, overrides)
    tuning = Tuning.of(loaded)
    noted = _noted(tuning.path).get("sets", [])
    if not noted:
        raise ConfigError(f"{loaded.name}: nothing was tuned yet; look at the contact sheet of fusestack tune first")
    if not 1 <= number <= len(noted):
        raise ConfigError(f"--apply {number}: there is no such set; the contact sheet has 1 to {len(noted)}")
    chosen = next((one for one in tuning.sets if one.number == number), None)
    if chosen is None or chosen.options != noted[number - 1]["options"]:
        raise ConfigError(
            f"--apply {number}: {loaded.name} has been changed since the contact sheet was made, and its sets are "
            "others; make the sheet again with fusestack tune"
        )
    settings, keys = dict(chosen.settings), list(SETTINGS)
    plain = load_config(path).data.get("focus") or {}
    for key in PLAIN:
        if key in settings:
            settings[key] = {**(plain.get(key) or {}), **settings[key]}
            keys.append(key)
    after = rewritten(loaded.text, loaded.name, "focus", keys, settings)
    _check_rewritten(loaded, chosen.recipe, after)
    replace_text(path, after)
    return loaded.text, after


def _check_rewritten(loaded: LoadedConfig, recipe: Any, text: str) -> None:
    """Refuse a text that does not say what it should."""
    from fusestack.api.rewriting import focus_of, said_otherwise
    from fusestack.focus.recipe import recipe_of

    focus = focus_of(text, loaded)
    known = [recipe_of(focus, photographs=a, opacity=b) for a in (True, False) for b in (False, True)] if focus else []
    if recipe not in known:
        raise said_otherwise(loaded)
