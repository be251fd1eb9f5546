"""What of the views is decoded before a fusion begins."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from fusestack.sources.probe import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fusestack.fusion.design import Design
    from fusestack.fusion.placement import OpenedView
    from fusestack.model.view import SourceRef, ViewId


_FULL: Mapping[SourceRef, int] = MappingProxyType({})


def samples_of(design: Design) -> tuple[Sample, ...]:
    """A chunk of each view that is a file, of the level that is read."""
    levels = {
        view.pixels.source: view.pixels.level
        for image in design.images
        for table in image.compute.tables.values()
        for view in table.placed
    }
    return tuple(samples_of_views(design.opened, levels))


def samples_of_views(opened: Mapping[ViewId, OpenedView], levels: Mapping[SourceRef, int] = _FULL) -> Iterable[Sample]:
    """A chunk of each view that is a file; of level 0 where `levels` does not say another one."""
    for number, view in opened.items():
        source = view.view.source
        if source.paths:
            level = levels.get(source, 0)
            nbytes = math.prod(view.levels[level].chunks) * view.dtype.itemsize
            yield Sample(str(number), source, level, nbytes)
