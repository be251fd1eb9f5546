"""What a project XML that is there already names, to know whether it is one of ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fusestack.model.errors import InputError
from fusestack.project.document import read_tree
from fusestack.project.loaders.base import base_folder, resolve_path
from fusestack.project.xml import read_project
from fusestack.storage import is_address, slashed

if TYPE_CHECKING:
    from pathlib import Path


def containers_named(path: str | Path) -> frozenset[str]:
    """Files and containers in which a project finds the pixels of its views, as `same_place` gives them.

    Empty where the file is missing, or no project that can be read.
    """
    try:
        project = read_project(path)
        root = read_tree(path).getroot()
    except InputError:
        return frozenset()
    found = {view.source.path for view in project.views}
    main = root.find("SequenceDescription/ImageLoader/hdf5")
    if main is not None:  # links to the files in which the views are
        found.add(resolve_path(main, base_folder(root.find("BasePath"), project.path.rpartition("/")[0])))
    return frozenset(map(same_place, found))


def same_place(path: str) -> str:
    """A path without links, to compare it with others; an address as it is."""
    return path if is_address(path) else slashed(os.path.realpath(path))
