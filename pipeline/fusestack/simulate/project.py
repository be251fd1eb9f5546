"""Simulated tiles as files: BigDataViewer HDF5 and the XML of a BigStitcher project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Affine, flip3
from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3, Int3

PIXEL_UM = 0.5  # lateral size of a pixel; world pixels have it along all axes
FACTORS: tuple[Int3, ...] = ((1, 1, 1), (1, 2, 2))  # resolution levels
CHANNEL_NAMES = ("nuclei", "marker")


@dataclass(frozen=True)
class Placement:
    """Place of a tile: the grid of the stage, and how far the stage missed it; world pixels, z, y, x."""

    grid: Float3
    jitter: Float3

    @property
    def origin(self) -> NDArray[np.float64]:
        """World place of the first pixel."""
        return np.array(self.grid) + self.jitter


def write_project(folder: Path, tiles: Sequence[Placement], raw: Sequence[NDArray[np.uint16]], z_step: float) -> Path:
    """Write ``dataset.h5`` and ``dataset.xml``; the XML comes last, so that no project is without its pixels.

    Parameters
    ----------
    folder : Path
        Made if missing.
    tiles : sequence of Placement
    raw : sequence of uint16[c, z, y, x]
        One per tile; becomes setup ``tile + tiles * channel``.
    z_step : float
        Distance of planes in pixels of x and y.

    Returns
    -------
    Path
        The XML.

    Raises
    ------
    OutputError
        If the files cannot be written.
    """
    project = folder / "dataset.xml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        project.unlink(missing_ok=True)
        # by a rename: a viewer or a notebook may hold the file of an earlier simulation open
        partial = folder / ".dataset.h5.partial"
        _write_pixels(partial, [image for channel in zip(*raw, strict=True) for image in channel])
        take_place(partial, folder / "dataset.h5")
        tree = _project_tree(tiles, len(raw[0]), raw[0].shape[1:], z_step)
        tree.write(project, encoding="UTF-8", xml_declaration=True)
    except OSError as error:
        raise OutputError(f"{folder}: the simulated data cannot be written ({error}); choose another folder") from error
    return project


def _write_pixels(path: Path, images: Sequence[NDArray[np.uint16]]) -> None:
    """BigDataViewer's HDF5 layout (its ``Hdf5ImageLoader``)."""
    import h5py

    with h5py.File(path, "w") as file:
        for setup, image in enumerate(images):
            levels = [_downsample(image, factors) for factors in FACTORS]
            chunks = [tuple(map(min, (16, 64, 64), level.shape)) for level in levels]
            group = file.create_group(f"s{setup:02d}")
            group.attrs["dataType"] = np.bytes_(image.dtype.name)
            group["resolutions"] = np.array([f[::-1] for f in FACTORS], dtype=np.float64)
            group["subdivisions"] = np.array([c[::-1] for c in chunks], dtype=np.int32)
            for number, (level, chunk) in enumerate(zip(levels, chunks, strict=True)):
                file.create_dataset(
                    f"t00000/s{setup:02d}/{number}/cells",
                    data=level,
                    chunks=chunk,
                    compression="gzip",
                    compression_opts=1,
                    shuffle=True,
                )


def _downsample(image: NDArray[np.uint16], factors: Int3) -> NDArray[np.uint16]:
    """Rounded mean of whole blocks; what is left over at the far borders is dropped."""
    counts = [n // f for n, f in zip(image.shape, factors, strict=True)]
    whole = image[tuple(slice(n * f) for n, f in zip(counts, factors, strict=True))]
    split = whole.reshape(*(size for n, f in zip(counts, factors, strict=True) for size in (n, f)))
    mean: NDArray[np.uint16] = np.floor(split.mean(axis=(1, 3, 5)) + 0.5).astype(np.uint16)
    return mean


def _project_tree(tiles: Sequence[Placement], channels: int, shape: Sequence[int], z_step: float) -> ET.ElementTree:
    """SpimData2: ``stitching @ grid @ calibration``, and every optional block."""
    root = ET.Element("SpimData", version="0.2")
    _leaf(root, "BasePath", ".", type="relative")
    sequence = ET.SubElement(root, "SequenceDescription")
    loader = ET.SubElement(sequence, "ImageLoader", format="bdv.hdf5")
    _leaf(loader, "hdf5", "dataset.h5", type="relative")
    setups = ET.SubElement(sequence, "ViewSetups")
    registrations = ET.SubElement(root, "ViewRegistrations")
    for channel in range(channels):
        for number, tile in enumerate(tiles):
            setup = len(tiles) * channel + number
            _add_setup(setups, setup, channel, number, shape, z_step)
            registration = ET.SubElement(registrations, "ViewRegistration", timepoint="0", setup=str(setup))
            _add_transform(registration, "Stitching Transform", Affine.translation(tile.jitter))
            _add_transform(registration, "Translation to Regular Grid", Affine.translation(tile.grid))
            _add_transform(registration, "calibration", Affine.scaling((z_step, 1, 1)))
    _add_attributes(setups, tiles, channels)
    _leaf(ET.SubElement(sequence, "Timepoints", type="pattern"), "integerpattern", "0")
    ET.SubElement(sequence, "MissingViews")
    for block in (
        "ViewInterestPoints",
        "BoundingBoxes",
        "PointSpreadFunctions",
        "StitchingResults",
        "IntensityAdjustments",
    ):
        ET.SubElement(root, block)
    ET.indent(root)
    return ET.ElementTree(root)


def _add_setup(parent: ET.Element, setup: int, channel: int, tile: int, shape: Sequence[int], z_step: float) -> None:
    element = ET.SubElement(parent, "ViewSetup")
    _leaf(element, "id", setup)
    _leaf(element, "name", f"{_channel_name(channel)}, tile {tile}")
    _leaf(element, "size", " ".join(str(n) for n in reversed(shape)))
    voxel = ET.SubElement(element, "voxelSize")
    _leaf(voxel, "unit", "micrometer")
    _leaf(voxel, "size", _numbers((PIXEL_UM, PIXEL_UM, PIXEL_UM * z_step)))
    attributes = ET.SubElement(element, "attributes")
    for name, value in (("illumination", 0), ("channel", channel), ("tile", tile), ("angle", 0)):
        _leaf(attributes, name, value)


def _add_attributes(parent: ET.Element, tiles: Sequence[Placement], channels: int) -> None:
    tables = {
        "illumination": ["0"],
        "channel": [_channel_name(channel) for channel in range(channels)],
        "tile": [str(number) for number in range(len(tiles))],
        "angle": ["0"],
    }
    for attribute, names in tables.items():
        table = ET.SubElement(parent, "Attributes", name=attribute)
        for number, name in enumerate(names):
            entry = ET.SubElement(table, attribute.capitalize())
            _leaf(entry, "id", number)
            _leaf(entry, "name", name)
            if attribute == "tile":
                _leaf(entry, "location", _numbers(flip3(tiles[number].grid)))


def _channel_name(channel: int) -> str:
    return CHANNEL_NAMES[channel] if channel < len(CHANNEL_NAMES) else f"marker {channel}"


def _add_transform(parent: ET.Element, name: str, affine: Affine) -> None:
    element = ET.SubElement(parent, "ViewTransform", type="affine")
    _leaf(element, "Name", name)
    _leaf(element, "affine", _numbers(affine.to_xyz()))


def _leaf(parent: ET.Element, tag: str, text: object, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = str(text)


def _numbers(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)
