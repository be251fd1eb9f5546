"""What is done with a stack: the section ``focus``, with all that it leaves open decided."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.config.focus import Focus
from fusestack.focus.areas import Area
from fusestack.focus.channels import Resizing

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusestack.config.focus import Colorspace, MaskSize, Multiscale, Substacks
    from fusestack.focus.cached import CachedStages
    from fusestack.focus.channels import MaskSets
    from fusestack.operators.base import Operator
    from fusestack.operators.cuts import CutOperator
    from fusestack.operators.finals import FinalOperator
    from fusestack.operators.generators import Generator
    from fusestack.operators.masks import MaskLevel, MaskOperator

PRESET = "--blur=s1,S2 --maskwave=p100 --maskblur=s4"
"""What method masks does where the configuration names no masks.

Details of the size of a pixel decide; where they are weak, the wavelets leave the decision to their neighbourhood, so
that smooth areas are not patched together from slices far out of focus.
"""

NESTED = {
    "wave": "--wavelet=p100 --cutwave=p100 --finalalpha=off",
    "wavedark": "--wavelet=p100 --darkness=w25 --cutwave=p100 --finalalpha=off",
}
"""Backgrounds that are the pictures of other recipes, as imfuse's ``--bg=wave`` and ``--bg=wavedark``."""

_PERCENT_OF_SERIES = 14.0


@dataclass(frozen=True)
class Recipe:
    """Everything between the slices and the picture.

    Parameters
    ----------
    generators : tuple of Generator
        With their weights, 0..1, in `weights`.
    weights : tuple of float
    mode : str
        How masks are merged; empty where there are none.
    chain : tuple of MaskOperator
    level : MaskLevel or None
        None where there are no masks.
    cuts : tuple of CutOperator
    finals : tuple of FinalOperator
    backgrounds : tuple of str
        The first one is the lowest.
    substacks : tuple of Substacks
    colorspace : Colorspace
    mask_size : MaskSize or None
    reverse : bool
        Slices are counted from the back.
    between : bool
        Whether the depth is found between slices.
    sharpen : float
        Share of the blur between slices that is undone, 0..1.
    multiscale : Multiscale or None
        How slices are mixed at every scale; None where they are painted by masks.
    retouch : tuple of Area
        What was chosen by hand, in this order.
    """

    generators: tuple[Generator, ...]
    weights: tuple[float, ...]
    mode: str
    chain: tuple[MaskOperator, ...]
    level: MaskLevel | None
    cuts: tuple[CutOperator, ...]
    finals: tuple[FinalOperator, ...]
    backgrounds: tuple[str, ...]
    substacks: tuple[Substacks, ...]
    colorspace: Colorspace
    mask_size: MaskSize | None
    reverse: bool
    between: bool
    sharpen: float
    multiscale: Multiscale | None = None
    retouch: tuple[Area, ...] = ()

    @property
    def operators(self) -> tuple[Operator, ...]:
        """All of them, but how masks are merged and stretched."""
        return (*self.generators, *self.chain, *self.cuts, *self.finals)

    def function_sources(self) -> dict[str, str]:
        """Hashes of the sources of the user's functions, by name."""
        if not self.operators:  # their modules would be loaded for nothing
            return {}
        from fusestack.operators.commands import function_sources

        return function_sources(self.operators)

    def option_string(self) -> str:
        """The shortest option string that says the same."""
        words = [] if self.multiscale is None else [_multiscale_option(self.multiscale)]
        words += self._operator_options()
        if self.mask_size is not None:
            words.insert(0, f"--prepresize=p{self.mask_size.percent:g},{self.mask_size.interpolation}")
        if self.colorspace.space != "sRGB" or self.colorspace.channel is not None:
            channel = "" if self.colorspace.channel is None else f",c{self.colorspace.channel}"
            words.insert(0, f"--colorspace={self.colorspace.space}{channel}")
        words += [_substacks_option(substacks) for substacks in self.substacks]
        words += [shlex.quote(f"--bg={name}") for name in self.backgrounds]
        if self.between:
            words.append(f"--between=p{100 * self.sharpen:g}" if self.sharpen else "--between")
        if self.reverse:
            words.append("--revert")
        return " ".join(words)

    def _operator_options(self) -> list[str]:
        if self.level is None and not self.operators:
            return []
        from fusestack.config.optionstring import option_string
        from fusestack.operators.masks import MaskLevel, MaskMerge

        levels = () if self.level in (None, MaskLevel()) else (self.level,)
        merges = () if self.mode in ("", MaskMerge().mode) else (MaskMerge(mode=self.mode),)
        lists = (self.generators, merges, self.chain, levels, self.cuts, self.finals)
        return [option_string(operators) for operators in lists if operators]


@dataclass(frozen=True)
class StackRecipe:
    """A recipe on a stack: what its stages are made of.

    Parameters
    ----------
    cached : CachedStages
        Where they are collected.
    sets : MaskSets
    recipe : Recipe
    resolve : callable
        Absolute path of a path in the recipe.
    prefix : str
        Before the names of stages and statistics of a recipe within a recipe.
    """

    cached: CachedStages
    sets: MaskSets
    recipe: Recipe
    resolve: Callable[[str], str] = str
    prefix: str = ""

    @property
    def resizing(self) -> Resizing:
        """From slices to masks."""
        plane, size = self.sets.looked.plane, self.recipe.mask_size
        if size is None:
            return Resizing(plane, plane)
        height, width = (max(1, int(n * size.percent / 100 + 0.5)) for n in plane)
        return Resizing(plane, (height, width), size.interpolation)

    @property
    def mask_shape(self) -> tuple[int, int, int, int, int]:
        """Of the masks: t, m, k, y, x."""
        return (self.sets.times, self.sets.count, self.sets.looked.slices, *self.resizing.target)


def recipe_of(focus: Focus, *, photographs: bool, opacity: bool = False) -> Recipe:
    """Decide what the configuration leaves open.

    Parameters
    ----------
    focus : Focus
    photographs : bool
        Whether the slices are photographs; volumes are never transparent.
    opacity : bool
        Whether the slices have an opacity. They are mixed only where that is asked for: a silhouette is that of the
        slice that is sharp, and where that one is transparent, mixing takes what others show.

    Returns
    -------
    Recipe
        Slices are mixed, unless the configuration asks for masks. Where it names none of them, they are those of
        `PRESET`, of which each key that it names replaces only itself.
    """
    asked = focus.multiscale is not None or focus.method == "multiscale"
    if (multiscale := focus.mixing) is not None and (asked or not opacity):
        return _mixing(focus, multiscale)
    from fusestack.operators.masks import MaskLevel, MaskMerge  # here: who mixes slices has no masks

    background = focus.background
    own_masks = focus.masks is not None
    lists = {key: getattr(focus, key) for key in ("masks", "merge", "cut", "final")}
    unsaid = Focus() if own_masks else Focus.model_validate({"options": PRESET})
    masks, merge, cuts, finals = (
        (getattr(unsaid, key) or ()) if found is None else found for key, found in lists.items()
    )
    if background is None:
        # as imfuse: what nothing is sharp in stays transparent, unless nobody asked for its operators
        background = ("transparent",) if photographs and own_masks else ("max",)
    # between slices, there is something to find only where a single slice is cut hard
    usual = not own_masks and not cuts
    between = usual if focus.output.between_slices is None else focus.output.between_slices
    percent = focus.output.sharpen_between
    if percent is None:
        percent = 100 if usual and between else 0
    modes = [operator.mode for operator in merge if isinstance(operator, MaskMerge)]
    levels = [operator for operator in merge if isinstance(operator, MaskLevel)]
    return Recipe(
        generators=masks,
        weights=_weights(masks),
        mode=modes[-1] if modes else MaskMerge().mode,
        chain=tuple(one for one in merge if not isinstance(one, MaskMerge | MaskLevel)),
        level=levels[-1] if levels else MaskLevel(),
        cuts=cuts,
        finals=finals,
        backgrounds=_named(background),
        substacks=focus.substacks,
        colorspace=focus.colorspace,
        mask_size=focus.mask_size,
        reverse=focus.reverse,
        between=between,
        sharpen=percent / 100,
        retouch=_areas(focus),
    )


def _areas(focus: Focus) -> tuple[Area, ...]:
    return tuple(Area(one.slice, one.polygon, one.timepoint) for one in focus.retouch)


def _named(backgrounds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("transparent" if name.lower() == "none" else name for name in backgrounds)


def _mixing(focus: Focus, multiscale: Multiscale) -> Recipe:
    """Method multiscale: there are no masks, so nothing of the preset, and no background but one that is named."""
    between = focus.output.between_slices is not False
    percent = focus.output.sharpen_between
    if percent is None:
        percent = 100 if between else 0
    return Recipe(
        generators=(),
        weights=(),
        mode="",
        chain=(),
        level=None,
        cuts=(),
        finals=focus.final or (),
        backgrounds=_named(focus.background or ()),
        substacks=focus.substacks,
        colorspace=focus.colorspace,
        mask_size=None,
        reverse=focus.reverse,
        between=between,
        sharpen=(percent or 0) / 100,
        multiscale=multiscale,
        retouch=_areas(focus),
    )


def _weights(generators: tuple[Generator, ...]) -> tuple[float, ...]:
    """Given weights, and equal whole shares of what they leave."""
    given = sum(one.weight for one in generators if one.weight is not None)
    open_ = sum(one.weight is None for one in generators)
    share = math.floor((100 - given) / open_) if open_ else 0
    return tuple((share if one.weight is None else one.weight) / 100 for one in generators)


def ranges(substacks: tuple[Substacks, ...], count: int) -> list[tuple[int, int]]:
    """Ranges of slices ``first <= k < last``, 0-based; all slices where there are no substacks."""
    found: list[tuple[int, int]] = []
    for one in substacks:
        first = _number(one.number, one.percent, count)
        last = _number(one.last_number, one.last_percent, count)
        radius = one.radius
        if radius is None:
            radius = max(1, min(count, math.floor(count * one.radius_percent / 100))) if one.radius_percent else 0
        if last is not None:
            found.append((max(0, (first or 1) - radius - 1), min(count, last + radius)))
        else:
            found += _series(first or _number(None, _PERCENT_OF_SERIES, count) or 1, radius, count, kurt=one.kurt)
    return found or [(0, count)]


def _number(number: int | None, percent: float | None, count: int) -> int | None:
    if number is not None:
        return min(number, count)
    return None if percent is None else max(1, min(count, math.floor(count * percent / 100)))


def _series(step: int, radius: int, count: int, *, kurt: bool) -> list[tuple[int, int]]:
    found = []
    at = 0
    while True:
        first = 1 if kurt else max(1, at - radius)
        last = min(count, at + step + radius)
        found.append((first - 1, last))
        if last == count:
            return found
        at += step


def _multiscale_option(one: Multiscale) -> str:
    letters = {"levels": "l", "sharpness": "s", "noise": "n", "highlights": "h"}
    said = [f"{letters[key]}{value:g}" for key, value in one.model_dump(exclude_defaults=True).items()]
    return f"--multiscale={','.join(said)}".rstrip("=")


def _substacks_option(one: Substacks) -> str:
    letters = {"number": "n", "last_number": "N", "percent": "p", "last_percent": "P", "radius": "r"}
    said = [
        f"{letters[key]}{value:g}" for key, value in one.model_dump(exclude_defaults=True).items() if key in letters
    ]
    if one.radius is None and one.radius_percent != 5:
        said.append(f"r{one.radius_percent:g}%")
    return f"--substacks={','.join(said + ['kurt'] * one.kurt)}".rstrip("=")
