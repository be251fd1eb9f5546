"""A stack becomes a picture: the stages from its slices to what is written, and what a recipe may not ask of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fusestack.focus.channels import MaskSets, Scale, SharedScale, SliceChannels
from fusestack.focus.multiscale import mixing_stages
from fusestack.focus.recipe import NESTED, Recipe, StackRecipe, ranges
from fusestack.focus.slices import stored_slices
from fusestack.focus.statistics import Bands, Extremes, WideExtremes
from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.focus.cached import CachedStages
    from fusestack.focus.input import StackInput
    from fusestack.focus.picture import Background
    from fusestack.model.stage import StoredArray


@dataclass(frozen=True)
class Painted:
    """A stack and what its stages make.

    Parameters
    ----------
    on : StackRecipe
        With all stages so far.
    final : StoredArray
        The picture over its backgrounds.
    pictures : tuple of StoredArray
        Of each substack, in order.
    backgrounds : tuple of Background
        The first one is the lowest.
    """

    on: StackRecipe
    final: StoredArray
    pictures: tuple[StoredArray, ...]
    backgrounds: tuple[Background, ...]


def paint_stack(
    loaded: LoadedConfig,
    recipe: Recipe,
    stack: StackInput,
    cached: CachedStages,
    reference: int | None,
    *,
    opaque: bool,
    depth: bool = True,
) -> Painted:
    """Collect the stages that make a picture of a stack.

    Parameters
    ----------
    loaded : LoadedConfig
        For messages and paths.
    recipe : Recipe
    stack : StackInput
    cached : CachedStages
        Where they are collected.
    reference : int or None
        Channel that masks are made of.
    opaque : bool
        Whether there must be a background.
    depth : bool
        Whether depth or mask are wanted.

    Raises
    ------
    ConfigError
        If the recipe asks for what the stack does not have.
    """
    on = StackRecipe(cached, _sets(loaded, stack, cached, reference), recipe, loaded.resolve_path)
    _check_between(loaded, recipe)
    pictures: list[StoredArray] = []
    keeps = False
    counts = None
    parts = ranges(recipe.substacks, stack.shape[2])
    if recipe.multiscale is not None:
        names = tuple(name.rpartition("/")[2] for name in stack.names) if stack.photographs else ()
        needed = depth or bool(recipe.finals or recipe.backgrounds or recipe.substacks)
        pictures, counts = mixing_stages(on, recipe.multiscale, parts, names, depth=needed, no_data=stack.no_data)
    elif recipe.generators:
        from fusestack.focus.montage import montage_stages

        painted = montage_stages(on, parts, between=recipe.between, sharpen=recipe.sharpen)
        keeps = painted[0][1].keeps_canvas
        pictures = [made for made, _ in painted]
    if recipe.retouch:
        from fusestack.focus.retouching import check_retouch, retouched

        check_retouch(loaded, recipe, stack)
        pictures = [retouched(on, pictures[0], counts, stack.timepoints)]
    if recipe.finals:
        from fusestack.focus.finals import final_stages

        numbers = range(len(pictures)) if len(pictures) > 1 else [-1]
        pictures = [final_stages(on, made, number) for made, number in zip(pictures, numbers, strict=False)]
    solid = recipe.multiscale is not None and not (recipe.finals or recipe.backgrounds or recipe.substacks)
    if solid and len(pictures) == 1:
        return Painted(on, pictures[0], tuple(pictures), ())
    from fusestack.focus.picture import backgrounds_of, composition_stage

    backgrounds = [] if solid else backgrounds_of(on, opaque=opaque)
    final = pictures[0] if len(pictures) == 1 and not backgrounds and not keeps else None
    if final is None:
        final = composition_stage(on, pictures, backgrounds, keeps_canvas=keeps)
    return Painted(on, final, tuple(pictures), tuple(backgrounds))


def check_recipe(loaded: LoadedConfig, recipe: Recipe) -> None:
    """Refuse what there is not: backgrounds, programs of this machine.

    Raises
    ------
    ConfigError
    """
    if recipe.backgrounds:
        _check_backgrounds(loaded, recipe)
    if recipe.operators:
        from fusestack.operators.commands import COMMANDS, check_command

        for operator in recipe.operators:
            if isinstance(operator, COMMANDS):
                check_command(operator)
    if (
        not recipe.generators
        and recipe.multiscale is None
        and all(name.lower() == "transparent" for name in recipe.backgrounds)
    ):
        raise ConfigError(
            f"{loaded.cite('focus.background')}: without masks, nothing would be painted; name a background"
        )


def _check_backgrounds(loaded: LoadedConfig, recipe: Recipe) -> None:
    from fusestack.focus.picture import is_background

    for name in recipe.backgrounds:
        if not is_background(name):
            raise ConfigError(
                f"{loaded.cite('focus.background')}: '{name}' is no background; use a colour (a name or #rrggbb), "
                f"transparent, {', '.join(NESTED)}, enfuse, or an image of the stack such as max, median, overlay"
            )


def doubts_of(recipe: Recipe, focus: Focus) -> list[str]:
    """What is allowed, but probably not meant."""
    transparent = {"threshold", "alpha"}
    if focus.method == "multiscale" and recipe.multiscale is None:
        return [
            "focus.method: multiscale is for stacks without operators of masks; masks are made by those that are named"
        ]
    if recipe.multiscale is not None and recipe.substacks and not focus.layered:
        return [
            "focus.substacks: the first one covers all others, since method multiscale shows what is blurred, too; use "
            "method masks, or write all of them (layered: true)"
        ]
    if recipe.multiscale is not None and recipe.backgrounds and not (recipe.finals or recipe.substacks):
        return ["focus.background: nothing of it is seen: method multiscale paints every pixel; remove it"]
    idle = [key for key in ("merge", "cut", "final", "substacks") if getattr(focus, key)] if not focus.masks else []
    if focus.masks is not None and idle:
        return [
            f"focus.{idle[0]}: is not used: without masks, only the background is painted; name masks, or leave masks "
            "out for the preset"
        ]
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


def _check_between(loaded: LoadedConfig, recipe: Recipe) -> None:
    if recipe.sharpen and not recipe.between:
        raise ConfigError(
            f"{loaded.cite('focus.output.sharpen_between')}: needs the depth between slices; set between_slices to true"
        )
    if recipe.multiscale is None and recipe.sharpen and any(cut.halo() or cut.name == "alpha" for cut in recipe.cuts):
        raise ConfigError(
            f"{loaded.cite('focus.output.sharpen_between')}: needs hard cuts, with one slice at each pixel; "
            "set it to 0, or remove the cuts that blur"
        )


def _sets(loaded: LoadedConfig, one: StackInput, cached: CachedStages, reference: int | None) -> MaskSets:
    """The stored slices by mask set; the limits of their pixels, where those say what is black and white."""
    array = stored_slices(cached, one)
    scale = Scale(one.dtype)
    colours = len(one.colours.rstrip("A"))
    if not one.photographs:
        limits = cached.statistic("slices limits", "limits/slices", Extremes(array, Bands(one.shape)))
        scale = Scale(one.dtype, limits)
    elif one.dtype not in ("uint8", "uint16"):
        limits = cached.statistic("slices limits", "limits/slices", WideExtremes(array, Bands(one.shape)))
        scale = SharedScale(one.dtype, limits, colours)
    every = tuple(range(one.shape[1]))
    looked: tuple[tuple[int, ...], ...] = tuple((c,) for c in every)
    painted = looked
    if one.photographs:
        looked = painted = (every[:colours],)
    elif reference is not None:
        looked, painted = ((reference_number(loaded, one, reference),),), (every,)
    opacity = SliceChannels(array, scale, (every[-1:],)) if one.colours.endswith("A") else None
    seen = replace(scale, clips=True) if isinstance(scale, SharedScale) else scale
    return MaskSets(SliceChannels(array, seen, looked), SliceChannels(array, scale, painted), opacity)


def reference_number(loaded: LoadedConfig, one: StackInput, channel: int) -> int:
    """Number of the channel that masks are made of.

    Raises
    ------
    ConfigError
        If there is none.
    """
    ids = [known.id for known in one.channels]
    if channel not in ids:
        raise ConfigError(
            f"{loaded.cite('focus.reference_channel')}: there is no channel {channel}; "
            f"the stack has {', '.join(map(str, ids))}"
        )
    return ids.index(channel)
