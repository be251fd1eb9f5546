"""Views whose files were asked what they hold, and which other files they read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fusestack.fusion.placement import OpenedView
from fusestack.model.amounts import bounded
from fusestack.model.errors import InputError
from fusestack.model.fingerprint import identities
from fusestack.sources.base import excludable, files_of, open_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fusestack.model.view import View, ViewId


def open_views(views: Sequence[View]) -> dict[ViewId, OpenedView]:
    """Open the pixel sources of views whose files were not asked yet; reads metadata only.

    Raises
    ------
    InputError
        Names every view whose source cannot be opened or has another size than the project says.
    """
    opened: dict[ViewId, OpenedView] = {}
    problems: list[tuple[str, str]] = []
    for view in views:
        if view.pixels is not None:
            opened[view.id] = OpenedView(view, np.dtype(view.pixels.dtype), view.pixels.levels)
            continue
        try:
            source = open_source(view.source)
        except InputError as error:
            problems += [(str(view.id), problem) for problem in error.problems]
            continue
        members = tuple(path for path in files_of(source) if path not in view.source.paths)
        whole = replace(view, source=replace(view.source, files=(*view.source.files, *members))) if members else view
        found = OpenedView(whole, source.dtype, source.levels)
        if view.shape is not None and view.shape != found.shape:
            given, real = (" x ".join(str(n) for n in reversed(shape)) for shape in (view.shape, found.shape))
            text = f"the project says {given} pixels (xyz), {view.source.path} holds {real}; re-save the project"
            problems.append((str(view.id), text))
        opened[view.id] = found
    if problems:
        raise InputError(*bounded(excludable(problems, len(views))))
    return opened


def members_read(opened: Iterable[OpenedView], known: Mapping[str, str]) -> dict[str, str]:
    """Identities of the files of sets that only opening them has shown; none where none are asked for."""
    files = {path for view in opened for path in view.view.source.files}
    return identities(files - known.keys()) if known else {}
