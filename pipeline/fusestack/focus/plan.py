"""The outputs of focus stacking, and the stages that make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.config.focus import Focus
from fusestack.focus.cached import CachedStages
from fusestack.focus.computed import ComputedPicture
from fusestack.focus.files import KINDS, FocusFiles, check_suffix
from fusestack.focus.input import stack_inputs
from fusestack.focus.painted import check_recipe, doubts_of, paint_stack
from fusestack.focus.recipe import recipe_of
from fusestack.focus.samples import samples_of
from fusestack.focus.slice_outputs import slice_images
from fusestack.focus.statistics import known_statistics
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest
from fusestack.planning.pictures import picture_suffix, split_suffix
from fusestack.planning.plan import FrozenStatistics, PlannedImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.focus.aligning.wanted import WantedAlignment
    from fusestack.focus.computed import PictureArray
    from fusestack.focus.input import StackInput
    from fusestack.focus.painted import Painted
    from fusestack.focus.recipe import Recipe
    from fusestack.planning.plan import Finding, Statistic
    from fusestack.planning.resources import Resources
    from fusestack.sources.probe import Sample


_PENDING = "focus.align: slices are aligned when the run begins; until then, sizes are those before the cut"


@dataclass(frozen=True)
class FocusPlan:
    """Outputs of focus stacking and what they are made of."""

    path: str
    images: tuple[PlannedImage, ...]
    read: tuple[str, ...]
    source: str
    found: tuple[str, ...]
    facts: tuple[str, ...]
    statistics: FrozenStatistics | None
    warnings: tuple[str, ...]
    samples: tuple[Sample, ...]
    findings: tuple[Finding, ...]
    pending: tuple[str, ...] = ()
    """Where alignments will be that are not known yet."""


def plan_focus(
    loaded: LoadedConfig, focus: Focus, fused: Sequence[PlannedImage], resources: Resources, cache: str
) -> FocusPlan:
    """Plan the focus stacking of a configuration.

    Raises
    ------
    ConfigError
        If an option asks for what cannot be.
    InputError
        If slices are missing, unreadable or do not fit one another.
    """
    focus = turned_round(loaded, focus)
    inputs = stack_inputs(loaded, focus, fused)
    if focus.retouch and len(inputs) > 1:
        raise ConfigError(
            f"{loaded.cite('focus.retouch')}: there are {len(inputs)} stacks; retouch one, named in focus.input"
        )
    use, save = focus.statistics.use, focus.statistics.save
    frozen = None if use is None else known_statistics(loaded.resolve_path(use))
    photographs, opacity = inputs[0].photographs, inputs[0].colours.endswith("A")
    recipe = recipe_of(focus, photographs=photographs, opacity=opacity)
    usual = recipe_of(Focus(), photographs=photographs, opacity=opacity)
    check_recipe(loaded, recipe)
    images: list[PlannedImage] = []
    pending: list[str] = []
    prepared: list[StackInput] = []
    kept: list[tuple[str, Statistic, int, int]] = []
    findings: list[Finding] = []
    paths: list[str] = []
    for one in inputs:
        title = one.title if len(inputs) > 1 else ""
        prefix = f"{title}: " if title else ""
        known = None if frozen is None else {label.removeprefix(prefix): found for label, found in frozen.items()}
        cached = CachedStages(cache, resources, known)
        if focus.align is not None or focus.prepare:
            from fusestack.focus.preparing import ready_stack

            one, missing = ready_stack(loaded, focus, one, cached)
            pending += [] if missing is None else [missing]
        prepared.append(one)
        outputs = _StackOutputs(loaded, focus, recipe, prepared[-1], cached, title)
        images += outputs.images()
        paths.append(outputs.path)
        findings += cached.findings
        for label, found in cached.statistics.items():
            times, channels = found.array.shape[:2]
            kept.append((f"{prefix}{label}", found, times, channels))
    return FocusPlan(
        path=paths[0],
        images=tuple(images),
        read=tuple(path for one in inputs if not one.fused for path in one.read),
        source="; ".join(one.source for one in prepared),
        found=tuple(dict.fromkeys(line for one in inputs for line in one.found)),
        facts=(recipe.option_string() + (" (the default)" if recipe == usual else ""),),
        statistics=FrozenStatistics(loaded.resolve_path(save), tuple(kept)) if save else None,
        warnings=(
            *(warning for one in prepared for warning in one.warnings),
            *([_PENDING] if pending else []),
            *doubts_of(recipe, focus),
            *_unmeasured(focus, inputs[0]),
        ),
        samples=tuple(sample for one in inputs for sample in samples_of(one)),
        findings=tuple(findings),
        pending=tuple(pending),
    )


def alignments_wanted(loaded: LoadedConfig, cache: str) -> list[WantedAlignment]:
    """Alignments that a configuration wants, of every stack that it names; none where slices stay where they are.

    Raises
    ------
    ConfigError, InputError
        See `plan_focus`.
    """
    focus = loaded.config.focus
    if focus is None or focus.align is None:
        return []
    focus = turned_round(loaded, focus)
    if focus.input == "fused" and (loaded.config.input is None or loaded.config.input.images is None):
        return []  # what is fused first is refused by the plan
    from fusestack.focus.preparing import alignment_of

    return [alignment_of(loaded, focus, one, cache) for one in stack_inputs(loaded, focus, ())]


def turned_round(loaded: LoadedConfig, focus: Focus) -> Focus:
    """The section, with what `input.reverse` says."""
    reverse = loaded.config.input is not None and loaded.config.input.reverse
    return focus.model_copy(update={"reverse": True}) if reverse else focus


def _unmeasured(focus: Focus, stack: StackInput) -> list[str]:
    """What is said of places that nothing says."""
    if stack.unit is not None or not stack.photographs:
        return []
    counted = {"height": "heights are numbers of slices", "mesh": "its x and y are pixels, its heights slices"}
    return [
        f"focus.output.{key}: photographs say neither the size of a pixel nor their distance: {said}"
        for key, said in counted.items()
        if getattr(focus.output, key) is not None
    ]


class _StackOutputs:
    """The outputs of one stack."""

    def __init__(
        self, loaded: LoadedConfig, focus: Focus, recipe: Recipe, stack: StackInput, cached: CachedStages, title: str
    ) -> None:
        self.loaded = loaded
        self.focus = focus
        self.recipe = recipe
        self.input = stack
        self.cached = cached
        self.title = title
        self.output = focus.output
        self.path = self._place(self.output.path or self._default_name())
        for key in ("path", *KINDS):
            check_suffix(loaded, key, getattr(self.output, key))

    def _place(self, path: str) -> str:
        place = self.loaded.resolve_path(path)
        if not self.title:
            return place
        stem, suffix = split_suffix(place)
        return f"{stem}_{self.title}{suffix}"

    def _default_name(self) -> str:
        """Name made of the sources and the options, as imfuse makes it."""
        output, options = self.output, self.recipe.option_string()
        numbers = f"{digest(sorted(self.input.read.items()))[-6:]}_{digest(options)[-6:]}"
        layered = "_layered" if self.focus.layered else ""
        long_name = options.replace(" ", "").replace("/", "-")[:150] if output.long_name else ""
        return f"{output.folder.rstrip('/')}/{output.basename}{numbers}{layered}{long_name}.result{output.suffix}"

    def images(self) -> list[PlannedImage]:
        """All outputs, in order."""
        opaque = not self.input.photographs or picture_suffix(self.path) in (".jpg", ".jpeg")
        reference = self.focus.reference_channel
        depth = self.focus.layered or any(getattr(self.output, kind) is not None for kind in KINDS)
        painted = paint_stack(self.loaded, self.recipe, self.input, self.cached, reference, opaque=opaque, depth=depth)
        files = FocusFiles(self.focus, self.input, painted.on, self.path)
        final = self._final(painted, files)
        pages = [final]
        if self.focus.layered:
            from fusestack.focus.picture import composition_stage

            pages += [composition_stage(painted.on, [], [one], keeps_canvas=False) for one in painted.backgrounds]
            pages += list(reversed(painted.pictures))
        made = [files.image("image", self.path, pages)]
        for kind in KINDS:
            path = getattr(self.output, kind)
            if path is not None:
                made.append(files.image(kind, self._place(path), [final]))
        if self.output.slices is not None:
            array = painted.on.sets.painted.array
            made += slice_images(self.loaded, self.focus, self.input, array, self.cached, self.output.slices)
        return made

    def _final(self, painted: Painted, files: FocusFiles) -> PictureArray:
        """The picture: computed where it is written, where all that is written is a file; else stored."""
        stages, output = self.cached.stages, self.output
        stage = stages[painted.final.key]
        paths = {"image": self.path} | {kind: path for kind in KINDS if (path := getattr(output, kind)) is not None}
        if self.focus.layered or "mesh" in paths or any(stage.key in other.needs for other in stages.values()):
            return painted.final
        computed = ComputedPicture.of(stage)
        if not all(files.computes(kind, path, computed) for kind, path in paths.items()):
            return painted.final
        del stages[stage.key]
        return computed
