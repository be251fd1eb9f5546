"""Collects the stages of a run that are kept in the cache, and the statistics among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusestack.focus.measures import Bands, FrozenValues, StoredValues
from fusestack.focus.stack import Stored
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest
from fusestack.planning.stored import entries, stored_stage, stored_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.focus.measures import Values
    from fusestack.focus.stack import Pixels
    from fusestack.model.image import Level
    from fusestack.model.stage import Compute, Stage
    from fusestack.planning.resources import Resources

VERSION = 2


@dataclass(frozen=True)
class Made:
    """An array that other stages read: its pixels, the keys of its stages, the fingerprint of what is in it."""

    pixels: Pixels
    keys: tuple[str, ...]
    fingerprint: str


@dataclass
class Workshop:
    """Collects the stages of one run.

    Parameters
    ----------
    cache : str
    resources : Resources
    frozen : mapping or None
        Statistics that are known, by label.
    """

    cache: str
    resources: Resources
    frozen: Mapping[str, Mapping[str, list[float]]] | None = None
    stages: dict[str, Stage] = field(default_factory=dict)
    saved: list[tuple[str, StoredValues, int, int]] = field(default_factory=list)
    saved_keys: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        title: str,
        compute: Compute,
        level: Level,
        *,
        facts: Any,
        needs: Sequence[Made],
        peak: int,
        dtype: str = "float32",
    ) -> Made:
        """Add a stage, once."""
        before = [one.fingerprint for one in needs]
        fingerprint = digest([VERSION, name, facts, before, level.shape, level.block, level.shards])
        target = stored_target(self.cache, name, fingerprint, title, dtype, level)
        keys = tuple(dict.fromkeys(key for one in needs for key in one.keys))
        stage = stored_stage(name, target, compute, fingerprint, peak, keys, self.resources)
        self.stages.setdefault(stage.key, stage)
        return Made(Stored(target), (stage.key,), fingerprint)

    def values(
        self, label: str, name: str, compute: Any, numbers: int, needs: Sequence[Made], how: str, **operator: Any
    ) -> tuple[Values, Made]:
        """Add a statistic, or take it from what is known."""
        bands: Bands = compute.bands
        t, c = bands.shape[:2]
        if self.frozen is not None:
            if label not in self.frozen:
                known = ", ".join(sorted(self.frozen)) or "none"
                raise ConfigError(
                    f"focus.statistics.use: the file has no statistics of '{label}' (it has {known}); "
                    "save them again with these operators"
                )
            known_values = self.frozen[label]
            for place in (f"{i} {j}" for i in range(t) for j in range(c)):
                if place not in known_values:
                    raise ConfigError(
                        f"focus.statistics.use: the file has no statistics of '{label}' for timepoint and channel "
                        f"{place}; save them again with a stack like this one"
                    )
            return FrozenValues.from_mapping(known_values), Made(Empty(), (), digest(known_values))
        level = entries((t, c, 1, bands.entries, numbers))
        made = self.add(
            name,
            f"statistics of {name.partition('/')[2]}",
            compute,
            level,
            facts=[how, [part.facts() for part in operator.values() if hasattr(part, "facts")], operator.get("number")],
            needs=needs,
            peak=bands.peak_bytes * (6 if operator else 1),
            dtype="float64",
        )
        stored: Stored = made.pixels  # type: ignore[assignment]
        values = StoredValues(stored.target, how, **operator)
        if label not in [one[0] for one in self.saved]:
            self.saved.append((label, values, t, c))
            self.saved_keys += made.keys
        return values, made


@dataclass(frozen=True)
class Empty:
    """No pixels: what is known needs no array."""

    def read(self, box: object) -> Any:
        """Nobody reads it."""
        raise NotImplementedError(f"there are no pixels in {box}")
