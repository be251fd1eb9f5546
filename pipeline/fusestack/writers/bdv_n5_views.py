"""Images of one view each in an N5 container: of somebody else's, or of one that the images of a run share."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError
from fusestack.storage import SCRATCH
from fusestack.writers.base import settings_differ, unchecked
from fusestack.writers.bdv_n5 import ATTRIBUTES, IN_VIEW, MARK, SETUP, VERSION, BdvN5Writer, rank
from fusestack.writers.folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fusestack.model.image import ImageSpec

_SHARED = "several images"


class BdvN5ViewWriter(BdvN5Writer):
    """One view in an N5 container of somebody else, of which nothing else is touched.

    Parameters
    ----------
    spec : ImageSpec
        One timepoint and channel; `path` is ``<container>/setup<S>/timepoint<T>``.
    work : str
        Not used.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        super().__init__(spec, work)
        self._container, self._setup, _ = spec.path.rsplit("/", 2)
        self._view = self._view_name(0, 0)
        self._scratch = f"{self._view}/{SCRATCH}"
        self._folder = OutputFolder(self._container, self._scratch)

    def adapts(self) -> bool:
        """Whether an earlier image can become another one: it is one view."""
        return False

    def exists(self) -> bool:
        """Whether `create` has made the view, and it is still there."""
        return self._attributes(self._view) is not None

    def create(self) -> None:
        """Make the attributes of the setup and of the view.

        Raises
        ------
        OutputError
            If there is no container, or another view or setup is there.
        """
        if self._attributes("") is None:
            raise OutputError(f"{self._container}: is no N5 container any more; restore it")
        self._refuse_other()
        for name, attributes in self._groups():
            there = self._attributes(name)
            if there is None:
                self._put(name, attributes)
            elif {**there, MARK: None} != {**json.loads(json.dumps(attributes)), MARK: None}:
                raise settings_differ(f"{self._container}/{name}", "shape, dtype, chunks, pyramid, place or codec")

    def _groups(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """As of a container of ours; setup and view bear the mark."""
        for name, facts in super()._groups():
            yield name, {**facts, MARK: {}} if name in (self._setup, self._view) else facts

    def finish(self, options: Mapping[str, Any], check: Callable[[], None] = unchecked) -> None:
        """Record how the image was made, as the attribute ``fusestack`` of the view."""
        made = json.loads(json.dumps(dict(options), default=str))
        found = self._attributes(self._view) or {}
        if found.get(MARK) != made:
            check()
            self._put(self._view, {**found, MARK: made})
        self._folder.delete_tree(self._scratch)

    def remove(self) -> None:
        """Delete the view, and its setup if it was the last one.

        Raises
        ------
        OutputError
            If it is not one that this class made; nothing is deleted then.
        """
        self._readers.clear()
        self.check_removable()
        self._folder.remove_ours(_is_of_view(self._view), rank, self._view)
        if self._folder.entries(self._setup) == [ATTRIBUTES]:
            self._folder.remove_ours(lambda key: key == f"{self._setup}/{ATTRIBUTES}", rank, self._setup)

    def check_removable(self) -> None:
        """Refuse a setup or a view that this class did not make, and what somebody added to it.

        Raises
        ------
        OutputError
        """
        self._refuse_other()
        foreign = self._folder.foreign(_is_of_view(self._view), self._view)
        if foreign is not None:
            raise OutputError(
                f"{self._container}/{foreign}: is no part of the view, and is left alone: choose another output.path"
            )

    def is_marked(self) -> bool:
        """Whether the attributes of the view say that fusestack made it."""
        return MARK in (self._attributes(self._view) or {})

    def _refuse_other(self) -> None:
        """Refuse a setup or a view without our mark."""
        for name in (self._setup, self._view):
            there = self._attributes(name)
            others = [entry for entry in self._folder.entries(name) if entry not in (SCRATCH, ATTRIBUTES)]
            if (there is None and others and name == self._view) or (there is not None and MARK not in there):
                raise OutputError(f"{self._container}/{name}: is there already, and is left alone: run on a project")

    def _setup_name(self, c: int) -> str:
        return self._setup


class BdvN5MemberWriter(BdvN5ViewWriter):
    """One of several images of a run that share a container: a view of it.

    Parameters
    ----------
    spec : ImageSpec
        As of `BdvN5ViewWriter`.
    work : str
        Not used.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        super().__init__(spec, work)
        self._work = work

    def create(self) -> None:
        """Make the container, if it is not there yet, and the attributes of the setup and of the view.

        Raises
        ------
        OutputError
            If something else is there.
        """
        root = self._attributes("") if self._is_whole(ATTRIBUTES) else None
        if root is None:
            others = [name for name in self._folder.entries() if name not in (SCRATCH, ATTRIBUTES)]
            if foreign := [name for name in others if not SETUP.fullmatch(name)]:
                raise self._foreign(f"holds {foreign[0]!r}, which is no part of a BigDataViewer container")
            self._put("", {"n5": VERSION, MARK: {_SHARED: True}})
        elif not _is_shared(root):
            raise settings_differ(self._container, "grouping")
        super().create()

    def remove(self) -> None:
        """Delete the view; of a container that holds one image, all of it.

        Raises
        ------
        OutputError
            If it is not one that this program made; nothing is deleted then.
        """
        root = self._attributes("")
        if root is None or _is_shared(root):
            super().remove()
        else:
            self._alone().remove()

    def is_marked(self) -> bool:
        """Whether the view bears our mark, or the container, where it holds one image."""
        return super().is_marked() or MARK in (self._attributes("") or {})

    def check_removable(self) -> None:
        """Refuse what `remove` would refuse.

        Raises
        ------
        OutputError
        """
        root = self._attributes("")
        if root is None or _is_shared(root):
            super().check_removable()
        else:
            self._alone().check_removable()

    def _alone(self) -> BdvN5Writer:
        return BdvN5Writer(replace(self.spec, path=self._container), self._work)


def _is_of_view(view: str) -> Callable[[str], bool]:
    """Whether a key is of a file that a view has."""
    file = re.compile(f"{re.escape(view)}/(?:{IN_VIEW})")
    return lambda key: file.fullmatch(key) is not None


def _is_shared(root: Mapping[str, Any]) -> bool:
    """Whether attributes of a container are those of one that several images share."""
    mark = root.get(MARK)
    return isinstance(mark, dict) and bool(mark.get(_SHARED))
