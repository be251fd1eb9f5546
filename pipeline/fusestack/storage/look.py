"""A look at stores: for a while, what they have said is not asked for again."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Look: TypeAlias = "dict[tuple[str, str], Any]"
"""Answers by what was asked and of which address."""
_LISTINGS = ("entries", "files")

_look: ContextVar[Look | None] = ContextVar("look", default=None)


@contextmanager
def looking(look: Look | None) -> Iterator[None]:
    """Ask stores for nothing twice: where nobody else writes there, or nobody needs to know what others write.

    What is written meanwhile by the same thread, or by `fusestack.storage.together` for it, is seen.

    Parameters
    ----------
    look : dict or None
        Empty in the beginning; may be gone on with later. With None everything is asked, also within another look.
    """
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


def is_looking() -> bool:
    """Whether answers are kept."""
    return _look.get() is not None


def seen(what: str, path: str, ask: Callable[[], Any]) -> Any:
    """An answer: the one that was given before, if it is kept."""
    look = _look.get()
    if look is None:
        return ask()
    if (what, path) not in look:
        look[what, path] = ask()
    return look[what, path]


def changed(path: str) -> None:
    """Forget what was seen of an address, of all below it, and of what lists it."""
    look = _look.get()
    for what, place in list(look or ()):
        if f"{place}/".startswith(f"{path}/") or (what in _LISTINGS and path.startswith(place)):
            look.pop((what, place), None)  # type: ignore[union-attr]
