"""Projects of fused images: XML that BigDataViewer, BigStitcher and npy2bdv open."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from fusestack.model.geometry import flip3
from fusestack.project.document import bytes_of, write_tree
from fusestack.project.model import ATTRIBUTES, Setup, check_registration
from fusestack.storage import absolute, is_address, relative
from fusestack.storage.hdf5_links import LinkedFile, is_main, write_main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.model.geometry import Affine
    from fusestack.model.image import Partition

_LOADERS = {  # format, version and element of the container
    "bdv-hdf5": ("bdv.hdf5", None, "hdf5"),
    "bdv-n5": ("bdv.n5", "1.0", "n5"),
    "ome-zarr": ("bdv.multimg.zarr", "3.0", "zarr"),
    "bdv-tiff": ("spimreconstruction.filelist", None, "files"),
}
_NO_XML_CHARACTER = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class StoredAt:
    """Where the pixels of one view are: the container, and the index along its channels and timepoints."""

    path: str
    channel: int = 0
    timepoint: int = 0


@dataclass(frozen=True)
class FusedImage:
    """A fused image of one setup, in the same place at all its timepoints.

    Parameters
    ----------
    setup : Setup
        With its shape. A setup without voxel size is written as 1 x 1 x 1 px.
    timepoints : tuple of int
        Where the image exists; at the other timepoints of the project it is a missing view.
    pixel_to_world : Affine
        Pixel index of the fused image to world pixels (reference, formula 2.1).
    stored : tuple of StoredAt
        Where it is at each of its timepoints; empty where one container holds all images in the order of their setups.
    """

    setup: Setup
    timepoints: tuple[int, ...]
    pixel_to_world: Affine
    stored: tuple[StoredAt, ...] = ()


@dataclass(frozen=True)
class FusedProject:
    """A project XML that is to be written.

    Parameters
    ----------
    path : str
        XML file.
    container : str
        As `write_project` has it.
    images : tuple of FusedImage
    file_format : str
    partitions : tuple of Partition
        Of a split HDF5.
    """

    path: str
    container: str
    images: tuple[FusedImage, ...]
    file_format: str
    partitions: tuple[Partition, ...] = ()

    @property
    def links(self) -> tuple[LinkedFile, ...]:
        """Files to which the container, an HDF5, is to have links; none where it holds the pixels itself."""
        return tuple(LinkedFile(path, numbers) for path, (_, numbers) in _linked(self.container, self.images).items())

    def write(self) -> None:
        """Write it, in one step, after the file of links where there is one; see `write_project`."""
        if self.file_format == "bdv-hdf5" and self.links:
            write_main(Path(self.container), self.links)
        write_project(self.path, self.container, self.images, self.file_format, self.partitions)

    @property
    def is_written(self) -> bool:
        """Whether the file is there, to the byte, and that of links."""
        place = Path(self.path)
        if self.file_format == "bdv-hdf5" and self.links and not is_main(self.container):
            return False
        content = bytes_of(_tree(self.path, self.container, self.images, self.file_format, self.partitions))
        return place.is_file() and place.read_bytes() == content


def write_project(
    path: str | Path,
    container: str | Path,
    images: Sequence[FusedImage],
    file_format: str = "bdv-hdf5",
    partitions: Sequence[Partition] = (),
) -> None:
    """Write the project XML of fused images in a container, in one step.

    Does not touch the container. A project that is there already with other content is kept as backup ``~1``.
    Same arguments, same bytes.

    Parameters
    ----------
    path : str or Path
        XML file.
    container : str or Path
        Where the pixels are: a container, or the folder of all of them. The XML names a file or a folder relative to
        its own folder, an address as it is.
    images : sequence of FusedImage
        One per setup, in any order.
    file_format : str
        ``bdv-hdf5``, ``bdv-n5``, ``ome-zarr`` (images t, c, z, y, x; without `FusedImage.stored` it is one whose
        channels are the setups in the order of their ids) or ``bdv-tiff`` (stacks, one for each view).
    partitions : sequence of Partition
        Files to which `container`, an HDF5, has links; their channels are the setups, their times those of all images.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If there is no image, two share a setup, or one has no shape, no timepoint or no valid place.

    Notes
    -----
    ``SpimData`` XML as mpicbg's ``XmlIoSpimData``, BigDataViewer's ``XmlIoBasicImgLoader``, ``XmlIoN5ImageLoader`` and
    BigStitcher's ``XmlIoAllenOMEZarrLoader`` read it.
    """
    write_tree(_tree(path, container, images, file_format, partitions), path)


def _tree(
    path: str | Path,
    container: str | Path,
    images: Sequence[FusedImage],
    file_format: str,
    partitions: Sequence[Partition],
) -> ElementTree[Element]:
    for image in images:
        if image.setup.shape is None or not image.timepoints:
            raise ValueError(f"fused image of setup {image.setup.id} has no shape or no timepoint")
        check_registration(image.pixel_to_world)
    ordered = sorted(images, key=lambda image: image.setup.id)
    if not ordered or len({image.setup.id for image in ordered}) < len(ordered):
        raise ValueError("a project needs at least one fused image, and one setup for each")
    root = Element("SpimData", version="0.2")
    _text(root, "BasePath", ".").set("type", "relative")
    timepoints = sorted({timepoint for image in ordered for timepoint in image.timepoints})
    loader = _loader(file_format, container, path, ordered, timepoints)
    folder = absolute(Path(path).absolute().parent)
    for part in partitions:
        times, numbers = [timepoints[t] for t in part.times], {c: c for c in part.channels}
        loader.append(partition(part.path, folder, times, numbers))
    if file_format == "bdv-hdf5" and not partitions:
        for place, (there, channels) in _linked(str(container), ordered).items():
            loader.append(partition(place, folder, sorted(there), {setup: c for c, setup in channels.items()}))
    _append_sequence(root, loader, ordered, timepoints)
    _append_registrations(root, ordered, timepoints)
    for block in ("ViewInterestPoints", "BoundingBoxes", "PointSpreadFunctions", "StitchingResults"):
        SubElement(root, block)
    SubElement(root, "IntensityAdjustments")
    indent(root)
    return ElementTree(root)


def _linked(container: str, images: Sequence[FusedImage]) -> dict[str, tuple[set[int], dict[int, int]]]:
    """Files besides the container in which images are: their timepoints, and setups by the channels there."""
    found: dict[str, tuple[set[int], dict[int, int]]] = {}
    for image in images:
        for timepoint, at in zip(image.timepoints, image.stored, strict=False):
            if at.path != container:
                times, numbers = found.setdefault(at.path, (set(), {}))
                times.add(timepoint)
                numbers[at.channel] = image.setup.id
    return found


def set_place(element: Element, path: str | Path, folder: str | Path, *, uri: bool = False) -> None:
    """Let an element name a file: as seen from the folder of the project, where both are on one drive."""
    seen = relative(path, folder)
    if os.path.isabs(seen):  # noqa: PTH117 -- a text
        element.text = Path(seen).as_uri() if uri else seen
        element.set("type", "absolute")
    else:
        element.text = quote(seen) if uri else seen
        element.set("type", "relative")


def _text(parent: Element, tag: str, text: object) -> Element:
    element = SubElement(parent, tag)
    element.text = _NO_XML_CHARACTER.sub("\ufffd", str(text))
    return element


def _loader(
    file_format: str, container: str | Path, path: str | Path, images: Sequence[FusedImage], timepoints: Sequence[int]
) -> Element:
    """Element that says how pixels are read; the containers of N5 and Zarr are named as URIs."""
    kind, version, tag = _LOADERS[file_format]
    loader = Element("ImageLoader", format=kind)
    if file_format == "bdv-tiff":
        _append_files(loader, path, images)
        return loader
    if version:
        loader.set("version", version)
    if is_address(str(container)):
        _text(loader, tag, container).set("type", "absolute")
    else:
        set_place(SubElement(loader, tag), absolute(container), Path(path).absolute().parent, uri=bool(version))
    if file_format == "ome-zarr":
        groups = SubElement(loader, "zgroups")
        for channel, image in enumerate(images):
            usual = tuple(StoredAt(str(container), channel, timepoints.index(t)) for t in image.timepoints)
            for timepoint, at in zip(image.timepoints, image.stored or usual, strict=True):
                groups.append(zgroup(image.setup.id, timepoint, at, str(container)))
    return loader


def _append_files(loader: Element, path: str | Path, images: Sequence[FusedImage]) -> None:
    """A file for each view."""
    _text(loader, "ZGrouped", "false")
    files = SubElement(loader, "files")
    for image in images:
        for timepoint, at in zip(image.timepoints, image.stored, strict=True):
            view = {"view_setup": str(image.setup.id), "timepoint": str(timepoint), "series": "0", "channel": "0"}
            entry = SubElement(files, "FileMapping", view)
            set_place(SubElement(entry, "file"), absolute(at.path), Path(path).absolute().parent)


def zgroup(setup: int, timepoint: int, at: StoredAt, container: str) -> Element:
    """Where the pixels of a view are in a container of Zarr images."""
    inside = at.path.removeprefix(container).strip("/")
    facts = {"setup": str(setup), "tp": str(timepoint), "path": inside or "/"}
    return Element("zgroup", {**facts, "indicies": f"{at.channel} {at.timepoint}"})


def _append_sequence(root: Element, loader: Element, images: Sequence[FusedImage], timepoints: Sequence[int]) -> None:
    sequence = SubElement(root, "SequenceDescription")
    sequence.append(loader)
    setups = SubElement(sequence, "ViewSetups")
    setups.extend(view_setup(image.setup) for image in images)
    for kind in ATTRIBUTES:
        attributes = SubElement(setups, "Attributes", name=kind)
        first = {getattr(image.setup, kind): image.setup for image in reversed(images)}
        attributes.extend(attribute_entry(setup, kind) for _, setup in sorted(first.items()))
    _append_timepoints(sequence, timepoints)
    missing = SubElement(sequence, "MissingViews")
    for timepoint in timepoints:
        missing.extend(missing_view(timepoint, image) for image in images if timepoint not in image.timepoints)


def missing_view(timepoint: int, image: FusedImage) -> Element:
    """That an image is not there at a timepoint."""
    return Element("MissingView", timepoint=str(timepoint), setup=str(image.setup.id))


def attribute_entry(setup: Setup, kind: str) -> Element:
    """Id and name of an attribute of a setup."""
    entry = Element(kind.capitalize())
    number = getattr(setup, kind)
    _text(entry, "id", number)
    _text(entry, "name", setup.channel_name or number if kind == "channel" else number)
    return entry


def view_setup(setup: Setup) -> Element:
    """Id, name, size, voxel size and attributes of a setup."""
    element = Element("ViewSetup")
    _text(element, "id", setup.id)
    _text(element, "name", setup.name or setup.id)
    _text(element, "size", " ".join(map(str, reversed(setup.shape or ()))))
    voxel = SubElement(element, "voxelSize")
    _text(voxel, "unit", setup.unit or "px")
    _text(voxel, "size", " ".join(map(repr, flip3(setup.voxel_size or (1.0, 1.0, 1.0)))))
    attributes = SubElement(element, "attributes")
    for kind in ATTRIBUTES:
        _text(attributes, kind, getattr(setup, kind))
    return element


def _append_timepoints(sequence: Element, timepoints: Sequence[int]) -> None:
    first, last = timepoints[0], timepoints[-1]
    if len(timepoints) == last - first + 1:
        element = SubElement(sequence, "Timepoints", type="range")
        _text(element, "first", first)
        _text(element, "last", last)
        return
    element = SubElement(sequence, "Timepoints", type="list")
    for timepoint in timepoints:
        _text(SubElement(element, "Timepoint"), "id", timepoint)


def _append_registrations(root: Element, images: Sequence[FusedImage], timepoints: Sequence[int]) -> None:
    registrations = SubElement(root, "ViewRegistrations")
    for timepoint in timepoints:
        registrations.extend(registration(timepoint, image) for image in images if timepoint in image.timepoints)


def registration(timepoint: int, image: FusedImage) -> Element:
    """Where an image lies."""
    view = Element("ViewRegistration", timepoint=str(timepoint), setup=str(image.setup.id))
    transform = SubElement(view, "ViewTransform", type="affine")
    _text(transform, "Name", "fusion bounding box")
    _text(transform, "affine", " ".join(map(repr, image.pixel_to_world.to_xyz())))
    return view


def partition(path: str, folder: str, timepoints: Sequence[int], setups: Mapping[int, int]) -> Element:
    """A file that holds some views of an HDF5 project; `setups` has the number in it by that in the project."""
    element = Element("partition")
    set_place(SubElement(element, "path"), path, folder)
    _text(element, "timepoints", " ".join(map(str, timepoints)))
    _text(element, "setups", " ".join(map(str, setups)))
    if any(here != there for here, there in setups.items()):
        _text(element, "setupsMapped", " ".join(map(str, setups.values())))
    return element
