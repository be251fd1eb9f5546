"""Image loaders of projects to which fused images are added: how the new pixels are found beside the old ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

from fusestack.model.errors import OutputError
from fusestack.project import elements
from fusestack.project.loaders.base import join, resolve_path, resolve_uri
from fusestack.project.write import partition, set_place, zgroup
from fusestack.storage import relative, slashed
from fusestack.storage.hdf5_links import LinkedFile, write_links
from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from fusestack.project.write import FusedImage

_LINKS = re.compile(r"-m\d+$")


def add_to_loader(root: Element, folder: str, images: Sequence[FusedImage], *, without: AbstractSet[int]) -> None:
    """Change the ``ImageLoader`` of a project so that it finds fused images; files that are there are left alone.

    Parameters
    ----------
    root : Element
        Of the project.
    folder : str
        Where its relative paths begin.
    images : sequence of FusedImage
        With `FusedImage.stored`.
    without : set of int
        Setups that were taken out.

    Raises
    ------
    OutputError
        If a file that is needed for it cannot be written.
    """
    loader = root.find("SequenceDescription/ImageLoader")
    if loader is None:
        raise ValueError("a project has an ImageLoader")
    match loader.get("format"):
        case "bdv.hdf5":
            _add_hdf5(root, loader, folder, images, without)
        case "bdv.multimg.zarr":
            _add_zarr(loader, folder, images, without)
        case _:  # bdv.n5: a container, whose setups are found by their numbers
            pass


def _add_hdf5(
    root: Element, loader: Element, folder: str, images: Sequence[FusedImage], without: AbstractSet[int]
) -> None:
    """A new main file with links to the files of before and to the new ones (BigStitcher's ``AppendSpimData2HDF5``)."""
    element = loader.find("hdf5")
    if element is None:
        raise ValueError("a loader of HDF5 names its file")
    old = Path(resolve_path(element, folder))
    files: dict[str, dict[int, int]] = {}
    times: dict[str, set[int]] = {}
    for image in images:
        for timepoint, at in zip(image.timepoints, image.stored, strict=True):
            files.setdefault(at.path, {})[at.channel] = image.setup.id
            times.setdefault(at.path, set()).add(timepoint)
    linked = [LinkedFile(str(old), without=without), *(LinkedFile(path, setups) for path, setups in files.items())]
    set_place(element, str(_new_main(old, linked)), folder)
    found = loader.findall("partition")
    if not found:
        every = elements.timepoints(root.find("SequenceDescription/Timepoints"))  # type: ignore[arg-type]
        setups = root.findall("SequenceDescription/ViewSetups/ViewSetup")
        new = {image.setup.id for image in images}
        ids = [n for n in (elements.integer(one.findtext("id"), "id") for one in setups) if n not in new]
        loader.append(partition(str(old), folder, every, {n: n for n in ids}))
    for one in found:
        if without and set(map(int, (one.findtext("setups") or "").split())) <= without:
            loader.remove(one)
    for path, numbers in files.items():
        loader.append(partition(path, folder, sorted(times[path]), {setup: n for n, setup in sorted(numbers.items())}))


def _new_main(old: Path, linked: list[LinkedFile]) -> Path:
    """Write the links beside the main file of before: the first free name, or what an interrupted run has left."""
    stem = _LINKS.sub("", old.stem)
    temporary = old.with_name(f".{stem}.{os.getpid()}.tmp")
    try:
        write_links(temporary, linked)
        content = temporary.read_bytes()
        number = 0
        while True:
            path = old.with_name(f"{stem}-m{number}{old.suffix}")
            if not path.exists():
                take_place(temporary, path)
                return path
            if path != old and path.read_bytes() == content:
                return path
            number += 1
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{old.parent}: the links of the project cannot be written there ({reason})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _add_zarr(loader: Element, folder: str, images: Sequence[FusedImage], without: AbstractSet[int]) -> None:
    """Groups of the container; it becomes a folder further up where that does not hold the new images."""
    element = loader.find("zarr")
    if element is None:
        raise ValueError("a loader of Zarr names its container")
    old = resolve_uri(element, folder)
    paths = {at.path for image in images for at in image.stored}
    inside = all(path.startswith(old.rstrip("/") + "/") for path in paths)
    container = old if inside else slashed(os.path.commonpath([old, *map(os.path.dirname, paths)]))
    groups = loader.find("zgroups")
    if groups is None:
        groups = SubElement(loader, "zgroups")
    for group in groups.findall("zgroup"):
        if elements.integer(group.get("setup"), "setup of a zgroup") in without:
            groups.remove(group)
            continue
        _modernise(group, container, old)
    loader.set("version", "3.0")
    set_place(element, container, folder, uri=True)
    for image in images:
        for timepoint, at in zip(image.timepoints, image.stored, strict=True):
            groups.append(zgroup(image.setup.id, timepoint, at, container))


def _modernise(group: Element, container: str, old: str) -> None:
    """Say as version 3.0 does where a view is, which knows channels and timepoints of an image."""
    name = (group.findtext("path") or group.get("path") or "").strip().replace("\\", "/").strip("/")
    place = join(old, name) if name else old
    timepoint = group.get("tp", group.get("timepoint", "0"))
    for child in group.findall("path"):
        group.remove(child)
    group.attrib.pop("timepoint", None)
    group.set("tp", timepoint)
    group.set("path", relative(place, container) if place != container else "/")
    group.set("indicies", group.get("indicies", "[]"))
