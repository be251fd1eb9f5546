"""The outputs of focus stacking, and the stages that make them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.config.focus import Focus
from fusestack.focus.files import KINDS, FocusFiles, check_suffix, split_suffix
from fusestack.focus.finals import add_finals
from fusestack.focus.finish import Background, Compose
from fusestack.focus.input import StackInput, stack_inputs
from fusestack.focus.measures import Bands, Extremes
from fusestack.focus.montage import planes_of
from fusestack.focus.recipe import NESTED, Recipe, ranges, recipe_of
from fusestack.focus.slices import PictureSlices, VolumeSlices
from fusestack.focus.stack import Stack
from fusestack.focus.stages import BLOCK, FocusStages
from fusestack.focus.workshop import Empty, Made, Workshop
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import digest
from fusestack.operators.base import spelled
from fusestack.operators.choices import IMAGES
from fusestack.planning.plan import FrozenStatistics, PlannedImage
from fusestack.planning.stored import sharded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.planning.resources import Resources

WHOLE_PIXELS = 2**26
"""Photographs of up to so many pixels are read in one piece."""


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
    frozen = _frozen(loaded, focus)
    images: list[PlannedImage] = []
    kept: list[tuple[str, Any, int, int]] = []
    kept_stages: list[str] = []
    paths: list[str] = []
    recipe = recipe_of(focus, photographs=inputs[0].photographs)
    _check(loaded, recipe, inputs[0])
    for one in inputs:
        title = one.title if len(inputs) > 1 else ""
        prefix = f"{title}: " if title else ""
        known = None if frozen is None else {label.removeprefix(prefix): found for label, found in frozen.items()}
        workshop = Workshop(cache, resources, known)
        maker = _Maker(loaded, focus, recipe, one, workshop, title)
        made = maker.images()
        paths.append(maker.path)
        images += made
        kept += [(f"{prefix}{label}", values, t, c) for label, values, t, c in workshop.saved]
        kept_stages += workshop.saved_keys
    save = focus.statistics.save
    return FocusPlan(
        path=paths[0],
        images=tuple(images),
        read=tuple(path for one in inputs if one.needs is None for path in one.read),
        source="; ".join(one.source for one in inputs),
        facts=(recipe.option_string() + (" (the default)" if recipe.is_preset else ""),),
        statistics=FrozenStatistics(loaded.resolve_path(save), tuple(kept), tuple(kept_stages)) if save else None,
        warnings=(*(warning for one in inputs for warning in one.warnings), *_doubts(recipe, focus)),
    )


def _frozen(loaded: LoadedConfig, focus: Focus) -> dict[str, Any] | None:
    if focus.statistics.use is None:
        return None
    path = loaded.resolve_path(focus.statistics.use)
    try:
        found = json.loads(Path(path).read_text())
        return dict(found["statistics"])
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); correct focus.statistics.use") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no file of statistics ({error}); make it with focus.statistics.save") from error


def _check(loaded: LoadedConfig, recipe: Recipe, stack: StackInput) -> None:
    """Refuse what the stack or this machine does not have."""
    from fusestack.operators.commands import COMMANDS, check_command

    for name in recipe.backgrounds:
        if name.lower() not in ("transparent", *NESTED) and _image_name(name) is None and _colour(name) is None:
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


def _image_name(name: str) -> str | None:
    return spelled(IMAGES, name)


def _colour(name: str) -> tuple[float, float, float] | None:
    from PIL import ImageColor

    grey = re.fullmatch(r"gr[ae]y(\d{1,3})", name.lower())  # as ImageMagick: 0 is black, 100 white
    if grey and int(grey[1]) <= 100:
        return (int(grey[1]) / 100,) * 3
    try:
        r, g, b = ImageColor.getrgb(name)[:3]
    except ValueError:
        return None
    return r / 255, g / 255, b / 255


class _Maker:
    """The outputs of one stack."""

    def __init__(
        self, loaded: LoadedConfig, focus: Focus, recipe: Recipe, stack: StackInput, workshop: Workshop, title: str
    ) -> None:
        self.loaded = loaded
        self.focus = focus
        self.recipe = recipe
        self.input = stack
        self.workshop = workshop
        self.title = title
        self.output = focus.output
        self.options = recipe.option_string()
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
        """Name made of the sources and the options (reference 10.5)."""
        output = self.output
        numbers = f"{digest(sorted(self.input.read.items()))[-6:]}_{digest(self.options)[-6:]}"
        layered = "_layered" if self.focus.layered else ""
        long_name = self.options.replace(" ", "").replace("/", "-")[:150] if output.long_name else ""
        return f"{output.folder.rstrip('/')}/{output.basename}{numbers}{layered}{long_name}.result{output.suffix}"

    def images(self) -> list[PlannedImage]:
        """All outputs, in order."""
        slices, limits, stack = self._slices()
        stages = FocusStages(self.workshop, stack, slices, self.recipe, self.loaded.resolve_path)
        count = len(stack.painted[0])
        parts = ranges(self.recipe.substacks, stack.slices)
        self._check_between()
        between, sharpen = self.recipe.between, self.recipe.sharpen
        pictures: list[Made] = []
        keeps = False
        if self.recipe.generators:
            painted = stages.montages(parts, between=between, sharpen=sharpen)
            keeps = painted[0][1].keeps_canvas
            planes = planes_of(count, canvas=keeps)
            numbers = range(len(painted)) if len(painted) > 1 else [-1]
            pictures = [
                add_finals(stages, made, planes, number) for (made, _), number in zip(painted, numbers, strict=True)
            ]
        backgrounds = self._backgrounds(stages, stack, slices)
        final = pictures[0] if len(pictures) == 1 and not backgrounds and not keeps else None
        if final is None:
            final = self._compose(stages, stack, pictures, backgrounds, keeps=keeps)
        pages = [final]
        if self.focus.layered:
            pages += [self._compose(stages, stack, [], [one], keeps=False) for one in backgrounds]
            pages += list(reversed(pictures))
        files = FocusFiles(
            self.focus,
            self.input,
            self.workshop,
            self.path,
            self.options,
            self._opaque(),
            (between, sharpen),
            limits,
        )
        made = [files.image("image", self.path, pages, stack)]
        for kind in KINDS:
            path = getattr(self.output, kind)
            if path is not None:
                made.append(files.image(kind, self._place(path), [final], stack))
        return made

    def _opaque(self) -> bool:
        """Whether a background covers everything."""
        solid = [name for name in self.recipe.backgrounds if name.lower() not in ("transparent", *NESTED)]
        return bool(solid) and self.input.colours in ("L", "RGB")

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

    def _slices(self) -> tuple[Made, Made | None, Stack]:
        """Slices, the limits of their pixels where those say what is black and white, and both as a stack."""
        one = self.input
        known: Made | None = None
        _, c, _, height, width = one.shape
        needs = [Made(Empty(), (one.needs.stages[0].key,), one.needs.stages[0].fingerprint)] if one.needs else []
        facts = [_identities(one), one.colours, getattr(one.slices, "axis", None), getattr(one.slices, "reverse", None)]
        if one.photographs:
            rows = _rows_at_once(one)
            level = sharded(one.shape, (1, c, 1, rows, width))
            peak = 4 * c * min(height, rows + 2 * BLOCK) * width * np.dtype(one.dtype).itemsize
        else:
            level = sharded(one.shape, (1, 1, one.depth_chunk, BLOCK, BLOCK))
            itemsize = np.dtype(one.dtype).itemsize
            peak = 4 * itemsize * one.depth_chunk * min(BLOCK, height) * min(BLOCK, width)
        if one.direct:
            slices = Made(one.slices, needs[0].keys if needs else (), digest([facts, [n.fingerprint for n in needs]]))  # type: ignore[arg-type]
        else:
            slices = self.workshop.add(
                "slices", "slices", one.slices, level, facts=facts, needs=needs, peak=peak, dtype=one.dtype
            )
        looked, painted, alpha = self._channels()
        stack = Stack(slices.pixels, one.shape, one.dtype, looked, painted, alpha)
        if not one.photographs or one.dtype == "float32":
            limits, made = self.workshop.values(
                "slices limits",
                "limits/slices",
                Extremes(slices.pixels, Bands(one.shape, deep=False)),
                2,
                [slices],
                "extremes",
            )
            stack = replace(stack, limits=limits)
            known = made
            keys = (*slices.keys, *made.keys)
            slices = Made(slices.pixels, keys, digest([slices.fingerprint, made.fingerprint]))
        return slices, known, stack

    def _channels(self) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...], int | None]:
        """Channels of each mask set that are looked at, that are painted, and the one that is the opacity."""
        one = self.input
        if one.photographs:
            colours = tuple(range(len(one.colours.rstrip("A"))))
            return (colours,), (colours,), len(colours) if one.colours.endswith("A") else None
        every = tuple(range(one.shape[1]))
        reference = self.focus.reference_channel
        if reference is None:
            return tuple((c,) for c in every), tuple((c,) for c in every), None
        ids = [channel.id for channel in one.channels]
        if reference not in ids:
            raise ConfigError(
                f"{self.loaded.cite('focus.reference_channel')}: there is no channel {reference}; "
                f"the stack has {', '.join(map(str, ids))}"
            )
        return ((ids.index(reference),),), (every,), None

    def _backgrounds(self, stages: FocusStages, stack: Stack, slices: Made) -> list[tuple[Background, list[Made]]]:
        found: list[tuple[Background, list[Made]]] = []
        opaque = not self.input.photographs or split_suffix(self.path)[1].lower() in (".jpg", ".jpeg")
        names = [name for name in self.recipe.backgrounds if name.lower() != "transparent"]
        for name in names or (["max"] if opaque else []):
            colour, image = _colour(name), _image_name(name)
            if name.lower() in NESTED:
                recipe = recipe_of(Focus.model_validate({"options": NESTED[name.lower()]}), photographs=True)
                nested = FocusStages(self.workshop, stack, slices, recipe, prefix=f"{name.lower()}/")
                ((made, _),) = nested.montages([(0, stack.slices)])
                made = add_finals(nested, made, planes_of(len(stack.painted[0])), -1)
                found.append((Background(picture=made.pixels), [made]))
            elif image is not None:
                made = stages.image(image)
                found.append((Background(image=made.pixels), [made, *([] if stack.alpha is None else [slices])]))
            elif colour is not None:
                found.append((Background(colour=colour), []))
        return found

    def _compose(
        self,
        stages: FocusStages,
        stack: Stack,
        pictures: Sequence[Made],
        backgrounds: Sequence[tuple[Background, list[Made]]],
        *,
        keeps: bool,
    ) -> Made:
        t, _, _, height, width = stack.shape
        sets, count = len(stack.painted), len(stack.painted[0])
        planes = planes_of(count)
        return self.workshop.add(
            "picture" if pictures else "background",
            "the picture over its background",
            Compose(tuple(made.pixels for made in pictures), stack, tuple(one for one, _ in backgrounds), keeps),
            sharded((t, sets, planes, height, width), (1, 1, planes, BLOCK, BLOCK)),
            facts=[[one.colour for one, _ in backgrounds], keeps, stack.painted],
            needs=[*pictures, *(made for _, needs in backgrounds for made in needs)],
            peak=4 * BLOCK * BLOCK * 6 * planes,
        )


def _rows_at_once(one: StackInput) -> int:
    """Rows of photographs that are read together: all of them, unless that are very many and fewer can be read."""
    height, width = one.shape[3:]
    pieces = [picture.piece for picture in one.slices.pictures] if isinstance(one.slices, PictureSlices) else [0]
    in_pieces = height * width > WHOLE_PIXELS and all(0 < piece <= BLOCK for piece in pieces)
    return BLOCK if in_pieces else height


def _identities(one: StackInput) -> Any:
    """What the files are, in the order of the slices where each is one."""
    if isinstance(one.slices, VolumeSlices):
        return sorted(one.read.values())
    return [(Path(picture.path).name, picture.page, one.read[picture.path]) for picture in one.slices.pictures]
