"""The outputs of focus stacking, and the stages that make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.focus.cached import CachedStages
from fusestack.focus.channels import MaskSets, Scale, SliceChannels
from fusestack.focus.files import KINDS, FocusFiles, check_suffix, split_suffix
from fusestack.focus.finals import final_stages
from fusestack.focus.input import StackInput, stack_inputs
from fusestack.focus.montage import montage_stages
from fusestack.focus.picture import backgrounds_of, composition_stage, is_background
from fusestack.focus.recipe import NESTED, Recipe, StackRecipe, ranges, recipe_of
from fusestack.focus.slices import stored_slices
from fusestack.focus.statistics import Bands, Extremes, known_statistics
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest
from fusestack.planning.plan import FrozenStatistics, PlannedImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.model.stage import StoredArray
    from fusestack.planning.plan import Statistic
    from fusestack.planning.resources import Resources


@dataclass(frozen=True)
class FocusPlan:
    """Outputs of focus stacking and what they are made of."""

    path: str
    images: tuple[PlannedImage, ...]
    read: tuple[str, ...]
    source: str
    facts: tuple[str, ...]
    statistics: FrozenStatistics | None
    warnings: tuple[str, ...]


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
    if loaded.config.input is not None and loaded.config.input.reverse:
        focus = focus.model_copy(update={"reverse": True})
    inputs = stack_inputs(loaded, focus, fused)
    use, save = focus.statistics.use, focus.statistics.save
    frozen = None if use is None else known_statistics(loaded.resolve_path(use))
    recipe = recipe_of(focus, photographs=inputs[0].photographs)
    _check(loaded, recipe, inputs[0])
    images: list[PlannedImage] = []
    kept: list[tuple[str, Statistic, int, int]] = []
    paths: list[str] = []
    for one in inputs:
        title = one.title if len(inputs) > 1 else ""
        prefix = f"{title}: " if title else ""
        known = None if frozen is None else {label.removeprefix(prefix): found for label, found in frozen.items()}
        cached = CachedStages(cache, resources, known)
        outputs = _StackOutputs(loaded, focus, recipe, one, cached, title)
        images += outputs.images()
        paths.append(outputs.path)
        for label, found in cached.statistics.items():
            times, channels = found.array.shape[:2]
            kept.append((f"{prefix}{label}", found, times, channels))
    return FocusPlan(
        path=paths[0],
        images=tuple(images),
        read=tuple(path for one in inputs if not one.fused for path in one.read),
        source="; ".join(one.source for one in inputs),
        facts=(recipe.option_string() + (" (the default)" if recipe.is_preset else ""),),
        statistics=FrozenStatistics(loaded.resolve_path(save), tuple(kept)) if save else None,
        warnings=(*(warning for one in inputs for warning in one.warnings), *_doubts(recipe, focus)),
    )


def _check(loaded: LoadedConfig, recipe: Recipe, stack: StackInput) -> None:
    """Refuse what the stack or this machine does not have."""
    from fusestack.operators.commands import COMMANDS, check_command

    for name in recipe.backgrounds:
        if not is_background(name):
            raise ConfigError(
                f"{loaded.cite('focus.background')}: '{name}' is no background; use a colour (a name or #rrggbb), "
                f"transparent, {', '.join(NESTED)}, enfuse, or an image of the stack such as max, median, overlay"
            )
    for operators in (recipe.generators, recipe.chain, recipe.cuts, recipe.finals):
        for operator in operators:
            if isinstance(operator, COMMANDS):
                check_command(operator)
    if not recipe.generators and all(name.lower() == "transparent" for name in recipe.backgrounds):
        raise ConfigError(
            f"{loaded.cite('focus.background')}: without masks, nothing would be painted; name a background"
        )


def _doubts(recipe: Recipe, focus: Focus) -> list[str]:
    """What is allowed, but probably not meant."""
    transparent = {"threshold", "alpha"}
    if (
        recipe.substacks
        and not focus.layered
        and not transparent & {one.name for one in (*recipe.cuts, *recipe.finals)}
    ):
        return [
            "focus.substacks: the first one covers all others; let it be transparent where it is not sharp "
            "(final: [{threshold: {low: 20}}]), or write all of them (layered: true)"
        ]
    return []


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
        recipe = self.recipe
        on = StackRecipe(self.cached, self._sets(), recipe, self.loaded.resolve_path)
        self._check_between()
        pictures: list[StoredArray] = []
        keeps = False
        if recipe.generators:
            parts = ranges(recipe.substacks, self.input.shape[2])
            painted = montage_stages(on, parts, between=recipe.between, sharpen=recipe.sharpen)
            keeps = painted[0][1].keeps_canvas
            numbers = range(len(painted)) if len(painted) > 1 else [-1]
            pictures = [final_stages(on, made, number) for (made, _), number in zip(painted, numbers, strict=True)]
        opaque = not self.input.photographs or split_suffix(self.path)[1].lower() in (".jpg", ".jpeg")
        backgrounds = backgrounds_of(on, opaque=opaque)
        final = pictures[0] if len(pictures) == 1 and not backgrounds and not keeps else None
        if final is None:
            final = composition_stage(on, pictures, backgrounds, keeps_canvas=keeps)
        pages = [final]
        if self.focus.layered:
            pages += [composition_stage(on, [], [one], keeps_canvas=False) for one in backgrounds]
            pages += list(reversed(pictures))
        files = FocusFiles(self.focus, self.input, on, self.path)
        made = [files.image("image", self.path, pages)]
        for kind in KINDS:
            path = getattr(self.output, kind)
            if path is not None:
                made.append(files.image(kind, self._place(path), [final]))
        return made

    def _check_between(self) -> None:
        if self.recipe.sharpen and not self.recipe.between:
            raise ConfigError(
                f"{self.loaded.cite('focus.output.sharpen_between')}: needs the depth between slices; "
                "set between_slices to true"
            )
        if self.recipe.sharpen and any(cut.halo() or cut.name == "alpha" for cut in self.recipe.cuts):
            raise ConfigError(
                f"{self.loaded.cite('focus.output.sharpen_between')}: needs hard cuts, with one slice at each pixel; "
                "set it to 0, or remove the cuts that blur"
            )

    def _sets(self) -> MaskSets:
        """The stored slices by mask set; the limits of their pixels, where those say what is black and white."""
        one = self.input
        array = stored_slices(self.cached, one)
        scale = Scale(one.dtype)
        if not one.photographs or one.dtype == "float32":
            limits = self.cached.statistic("slices limits", "limits/slices", Extremes(array, Bands(one.shape)))
            scale = Scale(one.dtype, limits)
        every = tuple(range(one.shape[1]))
        looked: tuple[tuple[int, ...], ...] = tuple((c,) for c in every)
        painted = looked
        if one.photographs:
            looked = painted = (every[: len(one.colours.rstrip("A"))],)
        elif self.focus.reference_channel is not None:
            looked, painted = ((self._reference(self.focus.reference_channel),),), (every,)
        opacity = SliceChannels(array, scale, (every[-1:],)) if one.colours.endswith("A") else None
        return MaskSets(SliceChannels(array, scale, looked), SliceChannels(array, scale, painted), opacity)

    def _reference(self, channel: int) -> int:
        """Number of the channel that masks are made of."""
        ids = [one.id for one in self.input.channels]
        if channel not in ids:
            raise ConfigError(
                f"{self.loaded.cite('focus.reference_channel')}: there is no channel {channel}; "
                f"the stack has {', '.join(map(str, ids))}"
            )
        return ids.index(channel)
