"""Deep Zoom out: one plane as PNG tiles of many resolutions, for OpenSeadragon in a web page."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.etree import ElementTree

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.storage import LocalFolder, is_address
from fusestack.writers.base import output_errors, refuse_link, unchecked
from fusestack.writers.folder import OutputFolder
from fusestack.writers.staged import StagedWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec

    _Read: TypeAlias = Callable[[slice, slice], NDArray[np.uint8]]

_TILE, _OVERLAP = 256, 1
_BAND = 2 * _TILE
_MOST_CHANNELS = 3
_MARK = ".fusestack"
_FILE = re.compile(r"\.fusestack|\d+/\d+_\d+\.png")
_NAMESPACE = "http://schemas.microsoft.com/deepzoom/2008"


class DeepZoomWriter(StagedWriter):
    """One plane of one to three channels of 8 bits: ``name.dzi`` and the tiles in ``name_files``.

    One channel is grey, more are red, green and blue, as in BigStitcher. The tiles are made when all blocks are there;
    of a plane of any size, some rows are in memory. Level n of L has half of the pixels of level n + 1, rounded up;
    tiles of 256 pixels overlap by one.

    Parameters
    ----------
    spec : ImageSpec
        (1, c, 1, y, x), one level.
    work : str
        Local folder that all workers see.

    Raises
    ------
    OutputError
        If the path is an address, or Deep Zoom does not hold the image.
    """

    def __init__(self, spec: ImageSpec, work: str) -> None:
        problems = list(_unfit(spec))
        if is_address(spec.path) or is_address(work):
            problems.append("Deep Zoom needs a local path; choose output.format ome-zarr for addresses")
        if problems:
            raise OutputError(*(f"{spec.path}: {problem}" for problem in problems))
        super().__init__(spec, work)
        self._work = Path(work)
        self._tiles = self.path.with_name(f"{self.path.stem}_files")

    def create(self) -> None:
        """As every staged file; tiles of somebody else are left alone.

        Raises
        ------
        OutputError
        """
        self._check_tiles()
        super().create()

    def check_removable(self) -> None:
        """Refuse a file that is no Deep Zoom image of ours, and tiles of somebody else.

        Raises
        ------
        OutputError
        """
        super().check_removable()
        self._check_tiles()
        self._check_inside()

    def _check_tiles(self) -> None:
        refuse_link(self._tiles)
        if self._tiles.exists() and not (self._tiles / _MARK).exists():
            raise OutputError(f"{self._tiles}: is there already, and is left alone: choose another output.path")

    def _check_inside(self) -> None:
        """Refuse tiles among which somebody keeps something else."""
        foreign = OutputFolder(str(self._tiles)).foreign(lambda key: _FILE.fullmatch(key) is not None)
        if foreign is not None:
            raise OutputError(
                f"{self._tiles}: holds {foreign!r}, which is no tile, and is left alone: choose another output.path"
            )

    def remove(self) -> None:
        """Delete the file, its tiles and the store of its blocks.

        Raises
        ------
        OutputError
            If the file is no Deep Zoom image of ours; nothing is deleted then.
        """
        super().remove()
        with output_errors(self._tiles, "cannot be deleted"):
            if (self._tiles / _MARK).exists():
                self._work.mkdir(parents=True, exist_ok=True)
                old = self._work / f"{self._tiles.name}.old"
                shutil.rmtree(old, ignore_errors=True)
                self._tiles.rename(old)  # so that a kill leaves no tiles without their mark
                shutil.rmtree(old)

    def whole(self) -> dict[str, int]:
        """Bytes of the file, and of all tiles together; 0 where they are not there."""
        tiles = LocalFolder(self._tiles)
        count = sum(max(1, size) for name, size in tiles.files() if name != _MARK)
        return {**super().whole(), str(self._tiles): count if (self._tiles / _MARK).exists() else 0}

    def finish(self, options: Mapping[str, Any], check: Callable[[], None] = unchecked) -> None:
        """As every staged file; the tiles are exchanged before the file appears.

        Parameters
        ----------
        options : mapping
            JSON values; not used.
        check : callable
            Called before anything appears in the place of what is there; may refuse.
        """

        def exchange() -> None:
            check()
            self._exchange_tiles()

        super().finish(options, exchange)

    def _exchange_tiles(self) -> None:
        """A kill leaves the blocks, from which all is made again."""
        self._check_inside()
        old = self._work / f"{self._tiles.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        if self._tiles.exists():
            self._tiles.rename(old)
        (self._work / self._tiles.name).rename(self._tiles)
        shutil.rmtree(old, ignore_errors=True)

    def _encode(self, path: Path, options: Mapping[str, Any]) -> None:
        made = self._work / self._tiles.name
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        (made / _MARK).touch()
        read: _Read = self._plane
        height, width = self.spec.shape[3:]
        scratch = [self._work / f"{self._tiles.name}.{number}" for number in range(2)]
        try:
            for left in scratch:
                left.unlink(missing_ok=True)
            for level in range(_levels(height, width) - 1, -1, -1):
                _write_tiles(made / str(level), read, height, width)
                if level:
                    read, (height, width) = _halved(read, height, width, self._colours, scratch[level % 2])
        finally:
            read = self._plane  # lets the last file go: Windows deletes none that is mapped
            for left in scratch:
                left.unlink(missing_ok=True)
        size = {"Width": str(self.spec.shape[4]), "Height": str(self.spec.shape[3])}
        facts = {"xmlns": _NAMESPACE, "Format": "png", "Overlap": str(_OVERLAP), "TileSize": str(_TILE)}
        root = ElementTree.Element("Image", facts)
        ElementTree.SubElement(root, "Size", size)
        path.write_bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))

    @property
    def _colours(self) -> int:
        return 1 if self.spec.shape[1] == 1 else 3

    def _plane(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Pixels [y, x, colour] of the store."""
        channels = self.spec.shape[1]
        box = Box((0, 0, 0, rows.start, columns.start), (1, channels, 1, rows.stop, columns.stop))
        pixels = np.moveaxis(self._store.read(0, box)[0, :, 0], 0, -1)
        if channels == self._colours:
            return pixels
        return np.concatenate([pixels, np.zeros((*pixels.shape[:2], self._colours - channels), np.uint8)], axis=2)

    def _decode(self, level: int, box: Box) -> NDArray[Any]:
        import imagecodecs

        _, channels, _, rows, columns = box.slices
        out = np.empty(box.shape, np.uint8)
        folder = self._tiles / str(_levels(*self.spec.shape[3:]) - 1)
        for row in range(rows.start // _TILE, -(-rows.stop // _TILE)):
            for column in range(columns.start // _TILE, -(-columns.stop // _TILE)):
                tile = imagecodecs.png_decode((folder / f"{column}_{row}.png").read_bytes())
                tile = np.moveaxis(np.atleast_3d(tile), -1, 0)[channels]
                top, left = max(0, row * _TILE - _OVERLAP), max(0, column * _TILE - _OVERLAP)
                y = slice(max(rows.start, top), min(rows.stop, top + tile.shape[1]))
                x = slice(max(columns.start, left), min(columns.stop, left + tile.shape[2]))
                target = out[0, :, 0, y.start - rows.start :, x.start - columns.start :]
                part = tile[:, y.start - top : y.stop - top, x.start - left : x.stop - left]
                target[:, : part.shape[1], : part.shape[2]] = part
        return out

    def _is_ours(self) -> bool:
        from defusedxml.ElementTree import parse

        try:
            if not (self._tiles / _MARK).exists():
                raise ValueError("its tiles are not")
            size = parse(self.path).getroot().find(f"{{{_NAMESPACE}}}Size")
            found = int(size.get("Height")), int(size.get("Width"))
        except Exception as error:  # the library has exceptions of its own
            raise OutputError(
                f"{self.path}: is no Deep Zoom image of ours ({error}), and is left alone: choose another output.path"
            ) from error
        return found == self.spec.shape[3:]


def _unfit(spec: ImageSpec) -> Iterator[str]:
    """What Deep Zoom does not hold of an image."""
    t, c, z, _, _ = spec.shape
    if z != 1:
        yield f"Deep Zoom holds one plane, not {z}; fuse a box of one plane (fusion.bounding_box), or use ome-zarr"
    if t != 1 or c > _MOST_CHANNELS:
        yield f"Deep Zoom holds one timepoint of at most {_MOST_CHANNELS} channels; use input.select, or ome-zarr"
    if spec.dtype != "uint8":
        yield f"Deep Zoom holds uint8, not {spec.dtype}; set fusion.dtype to uint8 (and fusion.intensity_range)"
    if len(spec.levels) != 1:
        yield "Deep Zoom makes its levels itself; leave output.pyramid out"


def _levels(height: int, width: int) -> int:
    return math.ceil(math.log2(max(height, width, 1))) + 1


def _write_tiles(folder: Path, read: _Read, height: int, width: int) -> None:
    import imagecodecs

    folder.mkdir()
    for row in range(-(-height // _TILE)):
        rows = slice(max(0, row * _TILE - _OVERLAP), min(height, (row + 1) * _TILE + _OVERLAP))
        for column in range(-(-width // _TILE)):
            columns = slice(max(0, column * _TILE - _OVERLAP), min(width, (column + 1) * _TILE + _OVERLAP))
            pixels = read(rows, columns)
            data = imagecodecs.png_encode(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
            (folder / f"{column}_{row}.png").write_bytes(data)


def _halved(read: _Read, height: int, width: int, colours: int, path: Path) -> tuple[_Read, tuple[int, int]]:
    """The next level, in a file: rounded means of two by two pixels, of those that are there at the edges."""
    shape = (-(-height // 2), -(-width // 2), colours)
    level = np.memmap(path, np.uint8, "w+", shape=shape)
    for top in range(0, height, _BAND):
        rows = read(slice(top, min(top + _BAND, height)), slice(0, width)).astype(np.uint16)
        rows = np.pad(rows, ((0, len(rows) % 2), (0, width % 2), (0, 0)), mode="edge")
        total = rows[0::2, 0::2] + rows[0::2, 1::2] + rows[1::2, 0::2] + rows[1::2, 1::2]
        level[top // 2 : top // 2 + len(total)] = (total + 2) // 4
    level.flush()
    return lambda rows, columns: np.asarray(level[rows, columns]), shape[:2]
