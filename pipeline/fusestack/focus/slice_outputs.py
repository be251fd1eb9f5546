"""Slices as pictures of their own, aligned and prepared (imfuse's ``stackalign`` and ``stackprepare``)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.slices import reaches_of
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest
from fusestack.model.geometry import Box
from fusestack.model.image import ImageSpec
from fusestack.model.stage import Along, Compute, Target
from fusestack.planning.levels import cut_facts, layout_facts
from fusestack.planning.pictures import CODEC, colour_channel, plane_levels
from fusestack.planning.plan import PlannedImage, replace_with
from fusestack.planning.stages import make_stage
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.focus.cached import CachedStages
    from fusestack.focus.slices import SliceArray
    from fusestack.focus.stack import StackInput
    from fusestack.model.stage import Reach, StoredArray

_KEY = "focus.output.slices"


@dataclass(frozen=True)
class SliceImage(Compute):
    """One slice [1, c, 1, y, x].

    Parameters
    ----------
    array : SliceArray
    number : int
    """

    array: SliceArray
    number: int

    def __call__(self, box: Box) -> NDArray[Any]:
        """Read a region of it."""
        start, stop = (*box.start[:2], self.number, *box.start[3:]), (*box.stop[:2], self.number + 1, *box.stop[3:])
        found: NDArray[Any] = self.array.read(Box(start, stop))
        return found

    def reaches(self) -> dict[StoredArray, Reach]:
        """The same pixels, of any slice."""
        return reaches_of(self.array, (Along(), Along(), None, Along(), Along()))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: as it is read, decoded, and encoded."""
        return 4 * np.dtype(self.array.dtype).itemsize * math.prod(block) + 2**20


def slice_images(
    loaded: LoadedConfig, focus: Focus, stack: StackInput, array: SliceArray, cached: CachedStages, folder: str
) -> list[PlannedImage]:
    """Pictures of all slices in a folder, called like the files that they were.

    Parameters
    ----------
    loaded : LoadedConfig
        For messages and paths.
    focus : Focus
    stack : StackInput
        Aligned and prepared.
    array : SliceArray
        Its slices.
    cached : CachedStages
        With the stages that make them.
    folder : str

    Raises
    ------
    ConfigError
        If slices are planes of a volume.
    """
    if not stack.photographs:
        raise ConfigError(
            f"{loaded.cite(_KEY)}: photographs are written one by one; planes of a volume are not, leave it out"
        )
    place = loaded.resolve_path(folder).rstrip("/")
    work = f"{place}.fusestack"
    made = []
    for number, name in enumerate(_names(stack)):
        path = f"{place}/{name}.tif"
        spec = ImageSpec(
            path=path,
            name=name,
            dtype=stack.dtype,
            levels=plane_levels((1, stack.shape[1], 1, *stack.shape[3:]), stored=False),
            codec=CODEC,
            pixel_size=(abs(stack.step), *stack.plane_size),
            origin=(stack.first, *stack.plane_origin),
            unit=stack.unit,
            timepoints=(0,),
            channels=tuple(colour_channel(c, colour) for c, colour in enumerate(stack.colours)),
        )
        layout = layout_facts(spec, "picture")
        # whoever reads them again takes them for slices, not for a result
        notes = {**stack.notes, "description": f"slice: {name}", "software": "slices of fusestack"}
        target = Target(WRITERS["picture"], spec, 0, work)
        compute = SliceImage(array, number)
        stage = make_stage(f"write/slice {number + 1}", compute, target, cached.resources, [layout, notes])
        align = None if focus.align is None else focus.align.model_dump(mode="json")
        prepared = [one.facts() for one in focus.prepare]
        made.append(
            PlannedImage(
                title=f"slice {number + 1} of {stack.title}",
                target=target,
                preparation=tuple(cached.stages.values()),
                stages=(stage,),
                components={
                    "focus": {"output": "slices", "align": align, "prepare": prepared},
                    "inputs": dict(stack.read),
                    "output": {**layout, **cut_facts(spec)},
                },
                fingerprint=digest([stage.fingerprint]),
                overwrite=focus.output.overwrite,
                notes=notes,
                way_out=replace_with("focus.output", "slices"),
                key=_KEY,
                file_format="picture",
            )
        )
    return made


def _names(stack: StackInput) -> list[str]:
    """Names without suffix, each once; numbers where files hold several slices."""
    count = stack.shape[2]
    names = [Path(path).stem for path in stack.read]
    if len(names) != count:
        return [f"slice_{k + 1:0{len(str(count))}d}" for k in range(count)]
    if max(Counter(names).values()) > 1:
        return [f"{k + 1:0{len(str(count))}d}_{name}" for k, name in enumerate(names)]
    return names
