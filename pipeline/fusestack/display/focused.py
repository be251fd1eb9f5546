"""Focus stacking for a viewer: slices as they are read, masks that the cache holds, and what was made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusestack.config.focus import Focus
from fusestack.display.computed import Computed, StagePixels, pictured
from fusestack.display.served import ServedImage, ServedLevel, settled, with_levels
from fusestack.focus.cached import CachedStages
from fusestack.focus.hyperstacks import Hyperstack, hyperstack_of
from fusestack.focus.input import stack_inputs
from fusestack.focus.masks import Masks
from fusestack.focus.merge import Merge
from fusestack.focus.photographs import photographs
from fusestack.focus.plan import turned_round
from fusestack.focus.preparing import ready_stack
from fusestack.focus.slices import AXES, PictureSlices
from fusestack.model.amounts import counted
from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine, Box, float3
from fusestack.model.image import PICTURE_SUFFIXES, Channel
from fusestack.planner import cache_folder
from fusestack.planning.levels import int3
from fusestack.planning.resources import resolve_resources
from fusestack.running.aligning import plan_aligned
from fusestack.running.inspection import finished, is_finished
from fusestack.sources.pictures import describe_picture
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fusestack.config.load import LoadedConfig
    from fusestack.focus.stack import StackInput
    from fusestack.model.stage import Compute, Target
    from fusestack.planning.plan import Plan, PlannedImage

_COLOURS = {"R": "FF0000", "G": "00FF00", "B": "0000FF"}


@dataclass(frozen=True)
class SlicePixels:
    """Pixels of the slices of a stack, read where they are.

    Parameters
    ----------
    slices : Compute
        ``[t, c, k, y, x]``
    shape : tuple of int
    """

    slices: Compute
    shape: tuple[int, ...]

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any]:
        """Read a region k, y, x."""
        if not isinstance(self.slices, PictureSlices):
            found = self.slices(Box((t, c, *box.start), (t + 1, c + 1, *box.stop)))
            assert found is not None
            volume: NDArray[Any] = found[0, 0]
            return volume
        rows, columns = box.slices[1:]
        planes = (pictured(self.slices, self.shape, t, k)[c] for k in range(box.start[0], box.stop[0]))
        return np.stack([plane[rows, columns] for plane in planes])


@dataclass(frozen=True)
class WrittenPixels:
    """Pixels that a stage has written.

    Parameters
    ----------
    target : Target
    pages : int
        Planes that are no slices but pages of a file: they are shown as channels, one page after another.
    """

    target: Target
    pages: int = 1

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any]:
        """Read a region z, y, x of a level."""
        page, c = divmod(c, self.target.image.shape[1]) if self.pages > 1 else (0, c)
        start, stop = (page + box.start[0], *box.start[1:]), (page + box.stop[0], *box.stop[1:])
        found: NDArray[Any] = self.target.open().read(level, Box((t, c, *start), (t + 1, c + 1, *stop)))[0, 0]
        return found


class FocusShown(NamedTuple):
    """Slices, masks and results of a focus stacking, what should be said about them, and the stacks."""

    images: list[ServedImage]
    said: list[str]
    stacks: list[StackInput]


def focus_images(loaded: LoadedConfig, *, fuses: bool) -> FocusShown:
    """What is shown of the focus stacking of a configuration.

    Masks that the cache does not have are computed when they are looked at; results are made by a run.

    Parameters
    ----------
    loaded : LoadedConfig
    fuses : bool
        Whether its slices are those of a fused image, which is shown itself.

    Raises
    ------
    ConfigError, InputError
    """
    plan = plan_aligned(loaded)
    fused = [image for image in plan.images if image.fusion is not None]
    source = _source(plan)
    stacks = _stacks(loaded, fused)
    results = [list(_results(plan, stack, several=len(stacks) > 1)) for stack in stacks]
    images: list[ServedImage] = []
    for stack, made in zip(stacks, results, strict=True):
        if not stack.fused:
            images.append(_slices(stack, _pixels(stack, plan, source), shown=not any(result.shown for result in made)))
        images += [replace(result, shown=result.shown and not fuses) for result in made]
    masks, computed = _masks(plan, stacks, source)
    said = []
    if computed:
        whole = "; those that are merged need limits of the whole stack first" if len(masks) > 1 else ""
        said.append(f"{counted(computed, 'stage')} of masks: not in the cache, and computed when looked at{whole}")
    if not any(results):
        said.append("the focus-stacked image is not made yet; fusestack run makes it")
    return FocusShown([*images, *masks], said, stacks)


def _stacks(loaded: LoadedConfig, fused: list[PlannedImage]) -> list[StackInput]:
    """Stacks, aligned and prepared."""
    focus = turned_round(loaded, loaded.config.focus or Focus())
    cached = CachedStages(cache_folder(loaded), resolve_resources(loaded.config.execution, loaded.folder))
    return [ready_stack(loaded, focus, one, cached)[0] for one in stack_inputs(loaded, focus, fused)]


def picture_image(path: str) -> ServedImage | None:
    """A picture, or the pages of a TIFF in colour, with its colours as channels; None for volumes of grey values.

    Raises
    ------
    InputError
        If it is missing, unreadable, or holds colours of several timepoints or channels.
    """
    if not path.lower().endswith(PICTURE_SUFFIXES) or is_address(path):
        return None
    if path.lower().endswith((".tif", ".tiff")) and _is_grey(path):
        return None
    found = hyperstack_of([path])
    if isinstance(found, Hyperstack):
        return None
    stack = photographs([path], (), reverse=False, described=found)
    return replace(_slices(stack, SlicePixels(stack.slices, stack.shape), shown=True), name=path.rpartition("/")[2])


def _is_grey(path: str) -> bool:
    """Whether a TIFF has no colours, or pixels that no picture has."""
    try:
        return describe_picture(path)[0].colours == "L"
    except InputError:
        return True


def world_of(stack: StackInput) -> Affine:
    """Slice, row and column to places z, y, x."""
    axis = AXES[_axis(stack)]
    plane = [i for i in range(3) if i != axis]
    linear, offset = np.zeros((3, 3)), np.zeros(3)
    linear[axis, 0], offset[axis] = stack.step, stack.first
    for column, i in enumerate(plane, 1):
        linear[i, column], offset[i] = stack.plane_size[column - 1], stack.plane_origin[column - 1]
    return Affine(linear, offset)


def _axis(stack: StackInput) -> str:
    slices = getattr(stack.slices, "placed", stack.slices)
    number = getattr(getattr(slices, "source", slices), "axis", 0)
    return next(name for name, i in AXES.items() if i == number)


def _pixels(stack: StackInput, plan: Plan, source: Computed) -> StagePixels | SlicePixels:
    """Pixels of slices: as a stage makes them that aligns and prepares them, or as they are read."""
    made = next((stage.key for stage in plan.stages if stage.compute == stack.slices), None)
    return SlicePixels(stack.slices, stack.shape) if made is None else StagePixels(source, made)


def _slices(stack: StackInput, pixels: StagePixels | SlicePixels, *, shown: bool) -> ServedImage:
    channels = tuple(Channel(i, name, _COLOURS.get(name, "FFFFFF")) for i, name in enumerate(stack.colours))
    if not stack.photographs:
        channels = stack.channels
    return _placed("slices", stack.dtype, stack.shape, channels, pixels, stack, shown)


def _source(plan: Plan) -> Computed:
    """What stages of a plan write, read where it is stored, else computed."""
    stages = {stage.key: stage for stage in plan.stages}
    return Computed(stages, {key for key, stage in stages.items() if finished(stage) == stage.grid.count})


def _masks(plan: Plan, stacks: list[StackInput], source: Computed) -> tuple[list[ServedImage], int]:
    """Masks, and how many of them are not in the cache, and are computed when they are asked for."""
    found, computed = [], 0
    for stage in plan.stages:
        key = stage.key
        shape = stage.grid.shape
        stack = next((one for one in stacks if one.shape[2] == shape[2]), None)
        if not isinstance(stage.compute, Masks | Merge) or stack is None:
            continue
        computed += key not in source.stored
        channels = tuple(Channel(i, f"mask {i}") for i in range(shape[1]))
        name, dtype = stage.target.image.name, stage.target.image.dtype
        image = _placed(name, dtype, shape, channels, StagePixels(source, key), stack, shown=False)
        found.append(replace(image, kind="mask"))
    return found, computed


def _results(plan: Plan, stack: StackInput, *, several: bool) -> Iterator[ServedImage]:
    """What is written of a stack; one plane, which is as thick as the stack."""
    for image in plan.images:
        if image.fusion is not None or (several and stack.title not in image.target.image.path):
            continue
        if not is_finished(image) or image.file_format == "mesh":
            continue
        spec, kind = image.target.image, image.stages[0].name.rpartition("/")[2]
        pages, channels = spec.shape[2], spec.channels
        if pages > 1:
            known = stack.channels if pages * len(channels) == len(stack.channels) else ()
            channels = known or tuple(Channel(i, f"page {i + 1}") for i in range(pages * len(channels)))
        shape = (spec.shape[0], len(channels), 1, *spec.shape[3:])
        pixels = WrittenPixels(image.target, pages)
        yield _placed(kind, spec.dtype, shape, channels, pixels, stack, shown=kind == "image")


def _placed(
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    channels: tuple[Channel, ...],
    pixels: Any,
    stack: StackInput,
    shown: bool,
) -> ServedImage:
    count = stack.shape[2]
    thick = count if shape[2] == 1 else 1
    scale = float3((thick, *(whole / n for whole, n in zip(stack.shape[3:], shape[3:], strict=True))))
    level = ServedLevel(int3(shape[2:]), scale, float3((n - 1) / 2 for n in scale))  # masks may be of another size
    image = ServedImage(
        name=name,
        dtype=dtype,
        levels=(level,),
        channels=channels,
        times=shape[0],
        unit=stack.unit,
        pixels=pixels,
        shown=shown,
        to_world=world_of(stack),
    )
    return with_levels(settled(image))
