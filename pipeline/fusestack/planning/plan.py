"""What a plan is: images, the stages that make them, and what they depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.focus.measures import StoredValues
    from fusestack.fusion.design import Design, DesignedImage
    from fusestack.fusion.inputs import Inputs
    from fusestack.fusion.statistics import BlockStatistics
    from fusestack.model.stage import Stage, Target
    from fusestack.planning.resources import Resources


@dataclass(frozen=True)
class PlannedFusion:
    """What only fused images have: the views of each block."""

    image: DesignedImage
    statistics: BlockStatistics


@dataclass(frozen=True)
class PlannedImage:
    """One image of a plan.

    Parameters
    ----------
    title : str
    target : Target
        Level 0.
    preparation : tuple of Stage
        What the first of `stages` reads, each with a target of its own in the cache; needed until that is complete.
    stages : tuple of Stage
        Level 0, then one per pyramid level.
    components : mapping
        What the fingerprint is made of, for reasons to run again.
    fingerprint : str
        Of the whole image: its pixels, its levels and its metadata.
    fusion : PlannedFusion or None
    project : str or None
        Project XML to write beside it.
    overwrite : bool
        Whether it may replace one that was made with other settings.
    notes : mapping
        What its writer is told when the pixels are there.
    """

    title: str
    target: Target
    preparation: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    components: Mapping[str, Any]
    fingerprint: str
    fusion: PlannedFusion | None = None
    project: str | None = None
    overwrite: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FrozenStatistics:
    """Statistics that a run keeps in a file: by label, with the timepoints and channels that they have."""

    path: str
    entries: tuple[tuple[str, StoredValues, int, int], ...]
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All stages of a run, in order; pure metadata.

    Parameters
    ----------
    output : str
        Path of the first output, absolute: records are kept beside it.
    work : str
        Folder beside it for records and unfinished parts.
    cache : str
        Folder of the stages that outputs are made of.
    cache_limit : int or None
        Most bytes that the cache may keep.
    images : tuple of PlannedImage
    resources : Resources
    config : mapping
        The resolved configuration.
    source : str
        What is read, for people.
    facts : tuple of str
        More about it.
    inputs : Inputs or None
        Views, where there are any.
    design : Design or None
        Of the fusion.
    statistics : FrozenStatistics or None
    warnings : tuple of str
    """

    output: str
    work: str
    cache: str
    cache_limit: int | None
    images: tuple[PlannedImage, ...]
    resources: Resources
    config: Mapping[str, Any]
    source: str
    facts: tuple[str, ...] = ()
    inputs: Inputs | None = None
    design: Design | None = None
    statistics: FrozenStatistics | None = None
    warnings: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage once, those first that others need."""
        found = {
            (stage.target.work, stage.key): stage
            for image in self.images
            for stage in (*image.preparation, *image.stages)
        }
        return tuple(found.values())
