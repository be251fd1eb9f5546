"""What a plan is: images, the stages that make them, and what they depend on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fusestack.model.amounts import counted, size
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import arrays_of
from fusestack.model.summary import Shown, Summary
from fusestack.planning.overview import layout_facts, output_facts, overview

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fusestack.fusion.design import Design, DesignedImage
    from fusestack.fusion.inputs import Inputs
    from fusestack.fusion.statistics import BlockStatistics
    from fusestack.model.stage import Stage, Target
    from fusestack.planning.resources import Resources
    from fusestack.project.write import FusedImage
    from fusestack.sources.probe import Sample


@dataclass(frozen=True)
class PlannedFusion:
    """What only fused images have: the views of each block."""

    image: DesignedImage
    statistics: BlockStatistics


@dataclass(frozen=True)
class Product:
    """An image as records know it: what was made where, and of what.

    Parameters
    ----------
    target : Target
        Level 0.
    fingerprint : str
    stages : tuple of str
        Their keys; stage n makes level n.
    components : mapping
        What the fingerprint is made of, for people.
    """

    target: Target
    fingerprint: str
    stages: tuple[str, ...]
    components: Mapping[str, Any]


def replace_with(section: str, key: str = "path") -> str:
    """What to do where something else is in the place of an image that a key of a section names."""
    return (
        f"choose another {section}.{key}, or replace it with {section}.overwrite: true "
        "(--force does that, too, and computes anew what is in the cache)"
    )


@dataclass(frozen=True, repr=False)
class PlannedImage(Shown):
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
    setups : tuple of FusedImage
        What the project has of it.
    container : str
        Where several images of one project are found together: a main file of links (HDF5), or what holds them (N5).
    appended : (str, str) or None
        Where the project is there and the image is added to it: ``output.path``, and the fingerprint of all images.
    file_format : str
        As ``output.format`` says it.
    overwrite : bool
        Whether it may replace one that was made with other settings.
    notes : mapping
        What its writer is told when the pixels are there.
    way_out : str
        What to do where something else is in its place.
    key : str
        Which says its path, in the configuration or of a function.
    """

    title: str
    target: Target
    preparation: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    components: Mapping[str, Any]
    fingerprint: str
    fusion: PlannedFusion | None = None
    project: str | None = None
    setups: tuple[FusedImage, ...] = ()
    container: str = ""
    appended: tuple[str, str] | None = None
    file_format: str = ""
    overwrite: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
    way_out: str = replace_with("output")
    key: str = "output.path"

    def __repr__(self) -> str:
        spec = self.target.image
        levels = counted(len(spec.levels), "level")
        return f"<PlannedImage {self.title}: {spec.dtype} {spec.shape}, {levels}, {size(spec.nbytes)}>"

    def summary(self) -> Summary:
        """Its pixels, their place, and how they are cut."""
        return Summary(f"Image {self.title}", (*output_facts(self.target.image, self.file_format), *layout_facts(self)))

    @property
    def product(self) -> Product:
        """As records know it."""
        return Product(self.target, self.fingerprint, tuple(stage.key for stage in self.stages), self.components)


class Statistic(Protocol):
    """Numbers about every timepoint and channel of a whole stack."""

    def __hash__(self) -> int: ...

    def of(self, t: int, c: int) -> NDArray[np.float64]:
        """Those of one timepoint and channel (or mask set), float64[n]."""
        ...


class Finding(Protocol):
    """What is known of the inputs only when stages have looked at them, and people are told after a run."""

    @property
    def stages(self) -> tuple[str, ...]:
        """Keys of the stages that must be made for it."""
        ...

    def said(self) -> list[str]:
        """Sentences; none where there is nothing to say."""
        ...


@dataclass(frozen=True)
class FrozenStatistics:
    """Statistics that a run keeps in a file: by label, with the numbers of timepoints and channels that they have."""

    path: str
    entries: tuple[tuple[str, Statistic, int, int], ...]

    @property
    def stages(self) -> tuple[str, ...]:
        """Keys of the stages that make them."""
        return tuple(array.key for array in arrays_of(self.entries))


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """All stages of a run, in order; pure metadata.

    Parameters
    ----------
    output : str
        Path of the first output, absolute: records are kept beside it.
    work : str
        Folder beside it for records and unfinished parts.
    cache : str
        Folder of the stages that outputs are made of.
    cache_limit : int, "auto" or None
        Most bytes that the cache may keep; see `fusestack.config.execution.Cache`.
    images : tuple of PlannedImage
    resources : Resources
    config : mapping
        The resolved configuration.
    source : str
        What is read, for people.
    found : tuple of str
        What was taken from where: "voxel size: NGFF".
    facts : tuple of str
        What is done with it.
    inputs : Inputs or None
        Views, where there are any.
    design : Design or None
        Of the fusion.
    statistics : FrozenStatistics or None
    warnings : tuple of str
    samples : tuple of Sample
        Of what is read: a chunk of each is decoded before a run.
    findings : tuple of Finding
        What there may be to say after a run.
    folder : str
        Where relative paths of the configuration begin; empty where there is none.
    pending : tuple of str
        What must be known before it can run: folders of alignments that nobody has made yet.
    """

    output: str
    work: str
    cache: str
    cache_limit: int | Literal["auto"] | None
    images: tuple[PlannedImage, ...]
    resources: Resources
    config: Mapping[str, Any]
    source: str
    found: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    inputs: Inputs | None = None
    design: Design | None = None
    statistics: FrozenStatistics | None = None
    warnings: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    findings: tuple[Finding, ...] = ()
    folder: str = ""
    pending: tuple[str, ...] = ()

    def summary(self) -> Summary:
        """Outputs, workers, warnings, and what the stages cost."""
        return overview(self)

    @property
    def report(self) -> str:
        """Path of the page that tells of a run."""
        return f"{self.output}.report.html"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage once, those first that others need."""
        found = {
            (stage.target.work, stage.key): stage
            for image in self.images
            for stage in (*image.preparation, *image.stages)
        }
        return tuple(found.values())

    @property
    def peak_bytes(self) -> int:
        """Memory that a block of any stage needs at most."""
        return max((stage.peak_bytes for stage in self.stages), default=0)


def refuse_inputs_as_outputs(images: Sequence[PlannedImage], paths: Sequence[str], key: str = "output.path") -> None:
    """Never write over what is read, not even where overwriting is allowed; `key` is said to be wrong."""
    read = {os.path.realpath(path) for path in paths}
    for image in images:
        for where, written in ((key, image.target.image.path), ("output.project", image.project)):
            if written is None or (where == "output.project" and image.appended):
                continue
            place = os.path.realpath(written)
            if any(_is_within(path, place) for path in read if path != os.sep):
                raise ConfigError(
                    f"{where}: {written} is an input of this run, and would be replaced; choose another name"
                )


def _is_within(path: str, place: str) -> bool:
    """Whether a path is a place or below it, also on a disk that takes capitals for small letters."""
    head, rest = path[: len(place)], path[len(place) :]
    if rest and not rest.startswith(os.sep):
        return False
    alike = head != place and head.casefold() == place.casefold()
    return head == place or (alike and Path(place).exists() and Path(head).samefile(place))
