"""Sets of options on a part of a stack: what must be known of the whole is made whole, once; the rest for the part."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.busiest import RoughDepth
from fusestack.focus.cached import CachedStages
from fusestack.focus.coarse import reduced_stages
from fusestack.focus.files import KINDS, FocusFiles
from fusestack.focus.input import stack_inputs
from fusestack.focus.nested import Part
from fusestack.focus.painted import check_recipe, doubts_of, paint_stack
from fusestack.focus.preparing import ready_stack
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import arrays_of, digest
from fusestack.model.image import Channel, ImageSpec
from fusestack.model.stage import Along, Compute, Target
from fusestack.planning.levels import cut_facts, layout_facts
from fusestack.planning.pictures import CODEC, colour_channel, picture_suffix, plane_levels
from fusestack.planning.plan import PlannedImage
from fusestack.planning.stages import make_cached_stage, make_stage
from fusestack.planning.stored import sharded
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.config.load import LoadedConfig
    from fusestack.focus.channels import MaskSets
    from fusestack.focus.option_sets import OptionSet
    from fusestack.focus.region import Region
    from fusestack.focus.stack import StackInput
    from fusestack.focus.written import WrittenImage
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, Stage, StoredArray
    from fusestack.planning.resources import Resources

_OPAQUE = "A"


@dataclass(frozen=True)
class PlannedSet:
    """A set of options on a part.

    Parameters
    ----------
    chosen : OptionSet
    part : Stage
        That makes its picture of the part.
    whole : tuple of str
        Keys of the stages that are made of the whole stack for it.
    picture : WrittenImage
        What a run would write.
    names : tuple of str
        Of its channels.
    """

    chosen: OptionSet
    part: Stage
    whole: tuple[str, ...]
    picture: WrittenImage
    names: tuple[str, ...]


@dataclass(frozen=True)
class PlannedTuning:
    """All sets on a part.

    Parameters
    ----------
    image : PlannedImage
        Their pictures, one after another along z.
    sets : tuple of PlannedSet
    stack : StackInput
    slices : MaskSets
        Of the stack.
    warnings : tuple of str
    """

    image: PlannedImage
    sets: tuple[PlannedSet, ...]
    stack: StackInput
    slices: MaskSets
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Gathered(Compute):
    """Pictures [1, c, z, y, x] of a part, those of each set behind those of the one before.

    Parameters
    ----------
    pictures : tuple of StoredArray
    """

    pictures: tuple[StoredArray, ...]

    def __call__(self, box: Box) -> NDArray[Any]:
        """Read a region; what has no opacity is opaque."""
        out = np.empty(box.shape, self.pictures[0].dtype)
        out[:] = 1 if out.dtype.kind == "f" else np.iinfo(out.dtype).max
        pages = self.pictures[0].shape[2]
        for z in range(box.start[2], box.stop[2]):
            picture, page = self.pictures[z // pages], z % pages
            last = min(box.stop[1], picture.shape[1])
            if last > box.start[1]:
                start, stop = (0, box.start[1], page, *box.start[3:]), (1, last, page + 1, *box.stop[3:])
                out[:, : last - box.start[1], z - box.start[2]] = picture.read(type(box)(start, stop))[:, :, 0]
        return out

    def reaches(self) -> dict[StoredArray, Reach]:
        """The same pixels."""
        return dict.fromkeys(self.pictures, (Along(), None, None, Along(), Along()))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: as it is read, and encoded."""
        return 4 * math.prod(block) * np.dtype(self.pictures[0].dtype).itemsize


@dataclass
class _Painter:
    """Collects stages of several recipes on one stack."""

    cache: str
    resources: Resources
    folder: str
    stages: dict[str, Stage] = field(default_factory=dict)
    statistics: set[str] = field(default_factory=set)
    stacks: dict[bool, StackInput] = field(default_factory=dict)
    ready: StackInput | None = None
    """As the first set asks for it, aligned and prepared."""
    slices: MaskSets | None = None
    warnings: dict[str, None] = field(default_factory=dict)

    def stack(self, loaded: LoadedConfig) -> StackInput:
        """The stack as it is read, front first or back first."""
        focus = loaded.config.focus
        assert focus is not None
        given = loaded.config.input
        reverse = focus.reverse or (given is not None and given.reverse)
        if reverse not in self.stacks:
            (self.stacks[reverse],) = stack_inputs(loaded, focus.model_copy(update={"reverse": reverse}), ())
        return self.stacks[reverse]

    def paint(self, chosen: OptionSet) -> tuple[WrittenImage, tuple[str, ...]]:
        """What a run of a set would write, and the names of its channels."""
        loaded, focus = chosen.loaded, chosen.loaded.config.focus
        assert focus is not None
        check_recipe(loaded, chosen.recipe)
        cached = CachedStages(self.cache, self.resources)  # labels are those of one recipe
        stack, missing = ready_stack(loaded, focus, self.stack(loaded), cached)
        self.ready = self.ready or stack
        if missing is not None or stack.shape != self.ready.shape:
            raise ConfigError(
                f"{loaded.cite('focus.tune')}: set '{chosen.options}' aligns or prepares slices in another way, so "
                "that its picture does not lie over the others; name align, and what moves pixels, for all sets"
            )
        path = loaded.resolve_path(focus.output.path or f"x{focus.output.suffix}")
        opaque = not stack.photographs or picture_suffix(path) in (".jpg", ".jpeg")
        depth = focus.layered or any(getattr(focus.output, kind) is not None for kind in KINDS)
        painted = paint_stack(loaded, chosen.recipe, stack, cached, focus.reference_channel, opaque=opaque, depth=depth)
        self.slices = self.slices or painted.on.sets
        self.stages |= {key: stage for key, stage in cached.stages.items() if key not in self.stages}
        self.statistics |= {one.array.key for one in cached.statistics.values()}
        self.warnings |= dict.fromkeys((*stack.warnings, *doubts_of(chosen.recipe, focus)))
        return FocusFiles(focus, stack, painted.on, path).written("image", picture_suffix(path), [painted.final])


def stack_of(loaded: LoadedConfig, cache: str, resources: Resources) -> StackInput:
    """The stack that sets are tried on, aligned and prepared; reads headers only.

    Raises
    ------
    ConfigError
        If it is to be aligned, and nobody has done that yet.
    """
    focus = loaded.config.focus
    assert focus is not None
    found = _Painter(cache, resources, "").stack(loaded)
    stack, missing = ready_stack(loaded, focus, found, CachedStages(cache, resources))
    if missing is not None:
        raise ConfigError(
            f"{loaded.cite('focus.align')}: the slices are not aligned yet; fusestack tune and fusestack run do that "
            "first"
        )
    return stack


def plan_rough_depth(chosen: OptionSet, cache: str, resources: Resources, folder: str) -> PlannedImage:
    """Plan the rough depth of a stack, by which a part is chosen.

    Parameters
    ----------
    chosen : OptionSet
        Any set.
    cache : str
    resources : Resources
    folder : str
        Where what tuning makes is kept.
    """
    painter = _Painter(cache, resources, folder)
    painter.paint(chosen)
    assert painter.slices is not None
    cached = CachedStages(cache, resources, stages=painter.stages)
    small = reduced_stages(cached, painter.slices, mixes=True, whites=True)
    compute = RoughDepth(small.array, len(painter.slices.looked.sets[0]))
    shape = (1, 2, 1, *small.array.shape[3:])
    return _image(f"{folder}/depth", "rough depth", compute, shape, "float32", ("depth", "detail"), cached)


def plan_sets(sets: Sequence[OptionSet], part: Region, cache: str, resources: Resources, folder: str) -> PlannedTuning:
    """Plan the pictures of a part that sets of options make.

    What statistics are made of is made whole, and what so many sets read that it is cheaper; everything else is
    computed for the part alone.

    Parameters
    ----------
    sets : sequence of OptionSet
    part : Region
    cache : str
    resources : Resources
    folder : str
        Where what tuning makes is kept.

    Raises
    ------
    ConfigError
        If an option asks for what cannot be.
    """
    painter = _Painter(cache, resources, folder)
    pictures = [painter.paint(one) for one in sets]
    stages = painter.stages
    read = [_closure(arrays_of(picture), stages) for picture, _ in pictures]
    assert painter.slices is not None
    share = math.prod(part.shape) / math.prod(painter.slices.painted.plane)
    whole = _whole(stages, painter.statistics, read, share)
    planned = []
    cached = CachedStages(cache, resources, stages=dict(stages))
    for one, (picture, names), keys in zip(sets, pictures, read, strict=True):
        own = tuple(stages[key] for key in stages if key in keys and key not in whole)
        compute = Part(picture, own, (0, 0, 0, *part.origin))
        size = (1, len(picture.channels) // picture.pages, picture.pages, *part.shape)
        title = f"part of {one.options}"
        stage = make_cached_stage("part", title, compute, cache, sharded(size, size), resources, picture.dtype)
        stage = cached.stages.setdefault(stage.key, stage)
        planned.append(PlannedSet(one, stage, tuple(key for key in stages if key in keys & whole), picture, names))
    most = max(planned, key=lambda one: len(one.names))
    pages = most.picture.pages
    shape = (1, most.part.grid.shape[1], len(sets) * pages, *part.shape)
    gathered = Gathered(tuple(one.part.array for one in planned))
    names = most.names if pages == 1 else ("grey",)
    image = _image(f"{folder}/results", "sets on a part", gathered, shape, most.picture.dtype, names, cached)
    stack = painter.ready
    assert stack is not None
    warnings = (*painter.warnings, *_left_out(sets[0], stack, painter.slices))
    return PlannedTuning(image, tuple(planned), stack, painter.slices, warnings)


def _left_out(chosen: OptionSet, stack: StackInput, slices: MaskSets) -> list[str]:
    """What of a stack, and of the configuration, tuning does not look at."""
    said = []
    if stack.shape[0] > 1:
        said.append(f"tune: of {stack.shape[0]:,} timepoints, sets are tried on the first one")
    if slices.count > 1:
        shown = stack.channels[slices.painted.sets[0][0]].name if stack.channels else "1"
        said.append(f"tune: of {counted(slices.count, 'channel')}, the page shows and scores the first one, {shown}")
    focus = chosen.loaded.config.focus
    if focus is not None and focus.statistics.use is not None:
        said.append(
            "focus.statistics.use: is not used by tune: each set has statistics of its own, measured of this stack"
        )
    return said


def _closure(first: Iterable[StoredArray], stages: Mapping[str, Stage]) -> set[str]:
    """Keys of stages that are read, at any depth."""
    found: set[str] = set()
    left = [array.key for array in first]
    while left:
        key = left.pop()
        if key in stages and key not in found:
            found.add(key)
            left += stages[key].needs
    return found


def _whole(stages: Mapping[str, Stage], statistics: Iterable[str], read: Sequence[set[str]], share: float) -> set[str]:
    """Stages that are made of the whole stack: statistics, what reads files, what many sets read, and what these read.

    Parameters
    ----------
    stages : mapping of str to Stage
    statistics : iterable of str
        Their keys.
    read : sequence of set of str
        What each set reads.
    share : float
        Of the part in the whole.
    """
    used = {key: sum(key in one for one in read) for key in stages}
    first = {key for key in statistics if used.get(key)}
    first |= {key for key, stage in stages.items() if used[key] and stage.compute.paths}
    first |= {key for key, count in used.items() if count * share > 1}
    needed = set(first)
    for key in first:
        needed |= _closure([stages[one].array for one in stages[key].needs if one in stages], stages)
    return needed


def _image(
    place: str,
    title: str,
    compute: Compute,
    shape: tuple[int, ...],
    dtype: str,
    names: Sequence[str],
    cached: CachedStages,
) -> PlannedImage:
    """What tuning makes, as an image of its own folder, which it may replace."""
    spec = ImageSpec(
        path=f"{place}.ome.zarr",
        name=title,
        dtype=dtype,
        levels=plane_levels(shape, stored=True),
        codec=CODEC,
        pixel_size=(1.0, 1.0, 1.0),
        origin=(0.0, 0.0, 0.0),
        unit=None,
        timepoints=(0,),
        channels=tuple(
            colour_channel(c, name) if name in ("R", "G", "B", _OPAQUE) else Channel(c, name)
            for c, name in enumerate(names)
        ),
    )
    target = Target(WRITERS["ome-zarr"], spec, 0, f"{place}.fusestack")
    layout = layout_facts(spec, "ome-zarr")
    stages = (make_stage("write/image", compute, target, cached.resources, layout),)
    return PlannedImage(
        title=title,
        target=target,
        preparation=tuple(cached.stages.values()),
        stages=stages,
        components={"output": {**layout, **cut_facts(spec)}, "made of": [array.key for array in arrays_of(compute)]},
        fingerprint=digest([stage.fingerprint for stage in stages]),
        overwrite=True,
        key="focus.output.path",
        file_format="ome-zarr",
    )
