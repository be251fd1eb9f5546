"""The stages of one stack that are kept in the cache, and the statistics among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fusestack.focus.statistics import KnownStatistic, StoredStatistic
from fusestack.model.errors import ConfigError
from fusestack.planning.stages import make_cached_stage
from fusestack.planning.stored import entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fusestack.focus.statistics import BandStatistic
    from fusestack.model.image import Level
    from fusestack.model.stage import Compute, Stage, StoredArray
    from fusestack.planning.plan import Finding, Statistic
    from fusestack.planning.resources import Resources


@dataclass
class CachedStages:
    """Collects stages, each once, in the order in which they are made.

    Parameters
    ----------
    cache : str
    resources : Resources
    known : mapping or None
        Statistics that need no stage, by label.
    stages, statistics, findings
        What was collected.
    """

    cache: str
    resources: Resources
    known: Mapping[str, Mapping[str, list[float]]] | None = None
    stages: dict[str, Stage] = field(default_factory=dict)
    statistics: dict[str, StoredStatistic] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def fitting(self, compute: Compute, levels: Iterable[Level]) -> Level:
        """The first of some ways to cut a stage whose blocks fit the memory of a worker; else the last."""
        levels = list(levels)
        return next((one for one in levels if compute.peak_bytes(one.block) <= self.resources.block_bytes), levels[-1])

    def add(self, name: str, title: str, compute: Compute, level: Level, dtype: str = "float32") -> StoredArray:
        """Add a stage; `title` is for people."""
        stage = make_cached_stage(name, title, compute, self.cache, level, self.resources, dtype)
        return self.stages.setdefault(stage.key, stage).array

    def statistic(self, label: str, name: str, compute: BandStatistic) -> Statistic:
        """Add a statistic, or take it from what is known."""
        t, c = compute.bands.shape[:2]
        if self.known is None:
            title = f"statistics of {name.partition('/')[2]}"
            level = entries((t, c, 1, compute.bands.entries, compute.NUMBERS))
            array = self.add(name, title, compute, level, dtype="float64")
            return self.statistics.setdefault(label, StoredStatistic(array, compute.unites))
        if label not in self.known:
            listed = ", ".join(sorted(self.known)) or "none"
            raise ConfigError(
                f"focus.statistics.use: the file has no statistics of '{label}' (it has {listed}); "
                "save them again with these operators"
            )
        found = self.known[label]
        for place in (f"{i} {j}" for i in range(t) for j in range(c)):
            if place not in found:
                raise ConfigError(
                    f"focus.statistics.use: the file has no statistics of '{label}' for timepoint and channel "
                    f"{place}; save them again with a stack like this one"
                )
        return KnownStatistic(tuple((place, tuple(map(float, found[place]))) for place in sorted(found)))
