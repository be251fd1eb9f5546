"""A look at stores: for a while, what they have said is not asked for again, nor what follows from it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_KEPT = 2**20
"""Bytes of a file that is written during a look and may be read in it, too."""
_ABSENT = {"content": None, "identity": None}


class Look:
    """What stores have said of their addresses; what is not in a listing needs not be asked for.

    Changes are noted one by one: what a listing said of everything else goes on to hold.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Any] = {}
        self._names: dict[str, frozenset[str]] = {}  # directly below an address
        self._files: dict[str, dict[str, int]] = {}  # all below an address, with their bytes
        self._changed: set[str] = set()
        self._above: set[str] = set()  # addresses below which something has changed
        self._lock = Lock()

    def clear(self) -> None:
        """Forget everything: others have written."""
        with self._lock:
            for known in (self._answers, self._names, self._files, self._changed, self._above):
                known.clear()

    def answer(self, what: str, path: str, ask: Callable[[], Any]) -> Any:
        """An answer: the one that was given before, or that follows from others, or a new one."""
        with self._lock:
            if (what, path) in self._answers:
                return self._answers[what, path]
            if what in _ABSENT and self._is_absent(path):
                return _ABSENT[what]
            if what in ("entries", "files") and (below := self._below(path)) is not None:
                return sorted({name.partition("/")[0] for name in below}) if what == "entries" else list(below.items())
        found = ask()
        with self._lock:
            self._answers[what, path] = found
            if what == "entries":
                self._names[path] = frozenset(found)
            elif what == "files" and found is not None:
                self._files[path] = dict(found)
        return found

    def has_nothing(self, path: str) -> bool:
        """Whether it is known that there is no file of a name, and none below it."""
        with self._lock:
            return self._is_absent(path)

    def change(self, path: str, content: bytes | None = None) -> None:
        """Forget what was seen of an address, of all below it, and of what lists it; keep what was written."""
        with self._lock:
            for what, place in list(self._answers):
                listed = what in ("entries", "files") and path.startswith(place)
                if listed or f"{place}/".startswith(f"{path}/"):
                    del self._answers[what, place]
            self._changed.add(path)
            self._above.update(_ancestors(path))
            if content is not None and len(content) <= _MOST_KEPT:
                self._answers["content", path] = content

    def _is_absent(self, path: str) -> bool:
        """Whether listings say that nothing is at an address, nor below it."""
        if self._has_changed(path):
            return False
        for above in _ancestors(path):
            rest = path[len(above) + 1 :]
            if above in self._names and rest.partition("/")[0] not in self._names[above]:
                return True
            if above in self._files:
                return rest not in self._files[above] and not self._below(path)
        return False

    def _below(self, path: str) -> dict[str, int] | None:
        """Files below an address, with their bytes, as a listing of more has them; None where there is none."""
        if self._has_changed(path):
            return None
        if self._names.get(path) == frozenset():
            return {}
        for above in _ancestors(path):
            rest = path[len(above) + 1 :]
            if above in self._names and rest.partition("/")[0] not in self._names[above]:
                return {}
            if (files := self._files.get(above)) is not None:
                start = f"{rest}/"
                return {name[len(start) :]: size for name, size in files.items() if name.startswith(start)}
        return None

    def _has_changed(self, path: str) -> bool:
        return path in self._changed or path in self._above or not self._changed.isdisjoint(_ancestors(path))


_look: ContextVar[Look | None] = ContextVar("look", default=None)


@contextmanager
def looking(look: Look | None) -> Iterator[None]:
    """Ask stores for nothing twice: where nobody else writes there, or nobody needs to know what others write.

    What is written meanwhile by the same thread, or by `fusestack.storage.together` for it, is seen.

    Parameters
    ----------
    look : Look or None
        New in the beginning; may be gone on with later. With None everything is asked, also within another look.
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
    return ask() if look is None else look.answer(what, path, ask)


def has_nothing(path: str) -> bool:
    """Whether it is known already that there is no file of a name, and none below it."""
    look = _look.get()
    return look is not None and look.has_nothing(path)


def changed(path: str, content: bytes | None = None) -> None:
    """Forget what was seen of an address, of all below it, and of what lists it; `content` is what was written."""
    look = _look.get()
    if look is not None:
        look.change(path, content)


def forget() -> None:
    """Forget all that was seen: others have written."""
    look = _look.get()
    if look is not None:
        look.clear()


def _ancestors(path: str) -> list[str]:
    """Addresses above one, the nearest first, down to its bucket."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 2, -1)]
