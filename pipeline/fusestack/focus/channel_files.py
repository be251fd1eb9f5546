"""Stacks whose channels are files of their own: ``stack_C0.tif``, ``stack_C1.tif``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.focus.hyperstacks import Hyperstack, hyperstack_of
from fusestack.model.amounts import times_xyz
from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHANNEL = re.compile(r"(?<![a-z])(c|ch|chan|channel)[-_= ]?(\d+)(?!\d)", re.IGNORECASE)
"""ImageJ's ``C1-stack``, Micro-Manager's ``channel000``, ``_ch00`` of Leica, ``_c1``."""


def channel_files(files: Sequence[str]) -> tuple[Hyperstack, ...]:
    """Channels of a stack by the names of their files; none where the names do not say it, or files name no axes.

    Parameters
    ----------
    files : sequence of str
        All files of a stack.

    Raises
    ------
    InputError
        If the files are called channels of one stack, and do not fit one another.
    """
    numbers = channel_numbers(files)
    if numbers is None:
        return ()
    first = hyperstack_of(files[:1])
    if not isinstance(first, Hyperstack) or set(files) <= {*first.facts.source(0, 0).paths}:
        return ()
    found = [first, *(hyperstack_of([path]) for path in files[1:])]
    stacks = [one for one in found if isinstance(one, Hyperstack) and one.facts.shape[1] == 1]
    if len(stacks) < len(found):
        return ()
    for one in stacks[1:]:
        what = None
        if one.facts.shape != first.facts.shape:
            what = _size(one), _size(first)
        elif one.facts.dtype != first.facts.dtype:
            what = f"pixels {one.facts.dtype}", f"pixels {first.facts.dtype}"
        elif (one.pixel_size, one.unit) != (first.pixel_size, first.unit):
            what = _place(one), _place(first)
        if what is not None:
            raise InputError(
                f"{one.facts.path}: is called a channel beside {Path(first.facts.path).name}, and has {what[0]} where "
                f"that has {what[1]}; channels of one stack must be alike: leave it out, or write it again"
            )
    return tuple(stack for _, stack in sorted(zip(numbers, stacks, strict=True), key=lambda pair: pair[0]))


def channel_numbers(files: Sequence[str]) -> list[int] | None:
    """Numbers of the channels, where the names of files differ in them only; None where they do not."""
    matches = [list(_CHANNEL.finditer(Path(path).name)) for path in files]
    if len(files) < 2 or not all(matches):
        return None
    found = [listed[-1] for listed in matches]
    places = zip(files, found, strict=True)
    rest = {
        path[: len(path) - len(Path(path).name)] + m.string[: m.start(2)] + m.string[m.end(2) :] for path, m in places
    }
    numbers = [int(match[2]) for match in found]
    return numbers if len(rest) == 1 and len(set(numbers)) == len(files) else None


def _size(one: Hyperstack) -> str:
    return f"{times_xyz(one.facts.shape[2:])} pixels (xyz) at {one.facts.shape[0]} timepoints"


def _place(one: Hyperstack) -> str:
    return f"pixels of {times_xyz(one.pixel_size)} {one.unit or '(no unit)'}"
