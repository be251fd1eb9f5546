"""Stage and camera: 2 x 2 overlapping tiles of a specimen with shot noise, and what they would be without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.errors import ConfigError
from fusestack.model.geometry import Box
from fusestack.simulate.project import Placement, write_project
from fusestack.simulate.specimen import Specimen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fusestack.model.geometry import Int3

OFFSET = 100.0  # grey value of no light
GREY_PER_ELECTRON = 2.2
READ_NOISE = 1.6  # electrons
GAIN_SPREAD = 0.03  # brightness differs from tile to tile by up to this fraction
JITTER = (1.2, 2.4, 2.4)  # how far the stage misses its grid at most, world pixels, z, y, x


@dataclass(frozen=True)
class Truth:
    """What a perfect microscope without noise would see.

    Parameters
    ----------
    image : float32[c, z, y, x]
        Expected grey values of a tile of mean brightness, on whole world pixels.
    views : uint8[z, y, x]
        Number of tiles that cover each pixel.
    box : Box
        World pixels (z, y, x) of `image`: the bounding box of all views (BigStitcher's ``BoundingBoxMaximal``).
    noise : tuple of float
        Root mean square of shot and read noise in the raw tiles, grey values, one per channel.
    raw_error : tuple of float
        Root mean square difference of raw tiles from the truth at their own pixels, grey values, one per channel:
        `noise` and the brightness differences.
    """

    image: NDArray[np.float32]
    views: NDArray[np.uint8]
    box: Box
    noise: tuple[float, ...]
    raw_error: tuple[float, ...]


@dataclass(frozen=True)
class Simulation:
    """A simulated acquisition: the project XML on disk, and its truth."""

    project: Path
    truth: Truth


def simulate_acquisition(
    folder: str | Path,
    *,
    seed: int = 0,
    tile_shape: Int3 = (32, 160, 160),
    overlap: float = 0.15,
    channels: int = 2,
    z_step: float = 3.0,
) -> Simulation:
    """Write ``dataset.h5`` and ``dataset.xml``: 2 x 2 tiles at sub-pixel places that the registrations know.

    Parameters
    ----------
    folder : str or Path
        Made if missing; files of an earlier simulation are replaced.
    seed : int
        The same seed gives the same specimen, places and noise.
    tile_shape : (int, int, int)
        Pixels of a tile, z, y, x; at least 16 along each axis.
    overlap : float
        Fraction of a tile shared with its neighbour, 0 to 0.5.
    channels : int
        At least 1. Every nucleus shows in the first one, some in the others.
    z_step : float
        Distance of planes in pixels of x and y, at least 1.

    Returns
    -------
    Simulation

    Raises
    ------
    ConfigError
        If an argument is out of its range.
    OutputError
        If the files cannot be written.
    """
    _check(tile_shape, overlap, channels, z_step)
    layout, scene, camera = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
    scale = np.array([z_step, 1.0, 1.0])
    tiles = _place(tile_shape, overlap, layout)
    gains = (1 + GAIN_SPREAD * layout.uniform(-1, 1, len(tiles))).astype(np.float32)
    box = _bounds(tiles, tile_shape, scale)
    specimen = Specimen(box, channels, scene)

    raw: list[NDArray[np.uint16]] = []
    noise, error = np.zeros(channels), np.zeros(channels)
    for tile, gain in zip(tiles, gains, strict=True):
        electrons = specimen.sample(tile.origin, scale, tile_shape)
        pixels = _expose(gain * electrons, camera)
        raw.append(pixels)
        noise += _mean_squares(pixels - _grey(gain * electrons)) / len(tiles)
        error += _mean_squares(pixels - _grey(electrons)) / len(tiles)
    truth = Truth(
        image=_grey(specimen.sample(np.array(box.start, dtype=np.float64), np.ones(3), box.shape)),
        views=_coverage(tiles, tile_shape, scale, box),
        box=box,
        noise=tuple(np.sqrt(noise).tolist()),
        raw_error=tuple(np.sqrt(error).tolist()),
    )
    return Simulation(write_project(Path(folder), tiles, raw, z_step), truth)


def _check(tile_shape: Int3, overlap: float, channels: int, z_step: float) -> None:
    problems = []
    if len(tile_shape) != 3 or min(tile_shape) < 16:
        problems.append(f"tile_shape: {tuple(tile_shape)} is not three sizes z, y, x of at least 16")
    if not 0 <= overlap <= 0.5:
        problems.append(f"overlap: {overlap} is not between 0 and 0.5")
    if channels < 1:
        problems.append(f"channels: {channels} is less than 1")
    if not 1 <= z_step <= 20:
        problems.append(f"z_step: {z_step} is not between 1 and 20")
    if problems:
        raise ConfigError(*(f"simulation: {problem}; correct it" for problem in problems))


def _place(tile_shape: Int3, overlap: float, rng: np.random.Generator) -> list[Placement]:
    """2 x 2 tiles, x first; the first one stays on the grid, as after stitching."""
    steps = [round(n * (1 - overlap)) for n in tile_shape[1:]]
    tiles: list[Placement] = []
    for row, column in np.ndindex(2, 2):
        z, y, x = np.round(rng.uniform(-1, 1, 3) * JITTER, 4).tolist() if tiles else (0.0, 0.0, 0.0)
        tiles.append(Placement((0.0, float(row * steps[0]), float(column * steps[1])), (z, y, x)))
    return tiles


def _bounds(tiles: Iterable[Placement], tile_shape: Int3, scale: NDArray[np.float64]) -> Box:
    """Bounding box of all views (BigStitcher's ``BoundingBoxMaximal``)."""
    low = np.min([tile.origin for tile in tiles], axis=0)
    high = np.max([tile.origin for tile in tiles], axis=0) + scale * (np.array(tile_shape) - 1)
    return Box(tuple(np.floor(low).astype(int).tolist()), tuple((np.ceil(high).astype(int) + 1).tolist()))


def _coverage(tiles: Iterable[Placement], tile_shape: Int3, scale: NDArray[np.float64], box: Box) -> NDArray[np.uint8]:
    """Number of tiles that cover each world pixel; borders are covered."""
    views = np.zeros(box.shape, dtype=np.uint8)
    for tile in tiles:
        inside = []
        for axis in range(3):
            place = (np.arange(box.start[axis], box.stop[axis]) - tile.origin[axis]) / scale[axis]
            inside.append((place >= 0) & (place <= tile_shape[axis] - 1))
        z, y, x = inside
        views += z[:, None, None] & y[:, None] & x
    return views


def _grey(electrons: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(OFFSET) + np.float32(GREY_PER_ELECTRON) * electrons


def _expose(electrons: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Raw pixels of a scientific CMOS camera: shot noise, read noise, offset, clipping."""
    counted = rng.poisson(electrons) + rng.normal(0, READ_NOISE, electrons.shape)
    return np.clip(np.floor(OFFSET + GREY_PER_ELECTRON * counted + 0.5), 0, 65535).astype(np.uint16)


def _mean_squares(image: NDArray[np.floating]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.mean(np.square(image, dtype=np.float64), axis=(1, 2, 3))
    return means
