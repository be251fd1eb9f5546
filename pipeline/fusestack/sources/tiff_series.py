"""One image of a TIFF file, or of a set of files (OME-TIFF): what describes it, and which files hold its planes."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import check_exists, input_errors, opened_file
from fusestack.sources.facts import refuse_choice
from fusestack.sources.ome_xml import excerpt, images_in, master_of, ome_images, shared_name, stored_images, uuid_of
from fusestack.sources.tiff_log import quiet_tifffile
from fusestack.sources.tiff_structure import Structure, check_structure
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from fusestack.sources.ome_xml import OmeImage

_RESTORE = "restore it from its source, or write the image again"
_MOST_NAMED = 5


@dataclass(frozen=True)
class OpenedTiff:
    """A TIFF file while it is open.

    Parameters
    ----------
    path : str
    tiff : tifffile.TiffFile
    structure : Structure
    text : str or None
        OME-XML.
    images : tuple of OmeImage
        Images that the OME-XML describes, by the numbers of `series`; empty where there is none.
    master : str or None
        File that describes the image of which this one is a part.
    """

    path: str
    tiff: Any
    structure: Structure
    text: str | None = None
    images: tuple[OmeImage, ...] = ()
    master: str | None = None

    @property
    def own(self) -> tuple[int, ...]:
        """Numbers of the images of which planes lie in this file."""
        return tuple(range(len(self.tiff.series))) if self.text is None else images_in(self.text, Path(self.path).name)

    @property
    def described(self) -> tuple[str, int]:
        """What describes its images and others, and how many they are; a set has one description in all files."""
        if self.text is None:
            return (self.path, len(self.tiff.series)) if len(self.tiff.series) > 1 else ("", 1)
        return (shared_name(self.text), len(self.images)) if len(self.images) > 1 else ("", 1)

    def choose(self, series: int | None) -> int:
        """Number of an image: the one that is asked for, the only one, or the only one that lies in this file.

        Raises
        ------
        InputError
            If there is no such image, or it is not clear which one is meant.
        """
        count = len(self.images) if self.images else len(self.tiff.series)
        if not count:
            raise InputError(f"{self.path}: holds no image; {_RESTORE}")
        if series is not None:
            if not 0 <= series < count:
                raise InputError(f"{self.path}: has {count} series, and no series {series}; correct it")
            return series
        if count == 1:
            return 0
        # Files of a set describe all of it, and each holds one of its images.
        if len(self.own) == 1:
            return self.own[0]
        raise refuse_choice(self.path, "images (series)", self.titles())

    def titles(self) -> list[str]:
        """Name and size of every image, for people."""
        if self.images:
            sizes = [[image.lengths[axis] for axis in (*image.order, "y", "x")] for image in self.images]
            long = [[*(n for n in size[:-2] if n > 1), *size[-2:]] for size in sizes]
            named = [image.name for image in self.images]
        else:
            long = [list(image.shape) for image in self.tiff.series]
            named = [image.name for image in self.tiff.series]
        return [f"{name or 'no name'}, {' x '.join(map(str, shape))}" for name, shape in zip(named, long, strict=True)]

    def files(self, number: int, planes: Container[int] | None = None) -> tuple[str, ...]:
        """Files that hold an image that is described, or only some of its planes; empty where that is this one alone.

        Raises
        ------
        InputError
            If some are missing: names them.
        """
        if self.text is None:
            return ()
        own, name = uuid_of(self.text), Path(self.path).name
        parts = [part for part in self.images[number].parts if part.holds(planes)]
        others = {part.file for part in parts if part.uuid not in (None, own)} - {None, name}
        if not others:
            return ()
        if is_address(self.path):
            raise InputError(
                f"{self.path}: its image lies in several files ({_named(sorted(map(str, others)))}), which are not "
                "looked for at addresses; copy them to a disk, or write the image as one file"
            )
        folder = Path(self.tiff.filehandle.dirname)  # of the file itself, where a link leads to it
        missing = sorted(str(other) for other in others if not Path(folder, str(other)).exists())
        if missing:
            raise InputError(
                f"{self.path}: planes of the image are in files that are missing ({_named(missing)}); restore them "
                "beside it"
            )
        here = [self.path] if any(part.uuid in (None, own) or part.file == name for part in parts) else []
        return tuple(sorted({*here, *(str(Path(folder, str(other))) for other in others)}))

    @contextmanager
    def series(self, number: int, planes: Sequence[int] | None = None) -> Iterator[Any]:
        """One of its images as tifffile has it; of a set, no file is opened that holds none of some planes.

        Parameters
        ----------
        number : int
        planes : sequence of int, optional
            Of an image that is described, those that are looked for; all others may be None.

        Raises
        ------
        InputError
            If there is no such image, or its description does not fit its planes.
        """
        wanted = None if planes is None else set(planes)
        if self.text is not None and not 0 <= number < len(self.images):
            self.choose(number)
        if self.text is None or (not self.files(number, wanted) and len(self.images) < 2):
            yield self._checked(self.tiff, number)
            return
        import tifffile

        part = excerpt(self.text, number, wanted)
        with tifffile.TiffFile(self.tiff.filehandle, omexml=part, is_mmstack=False) as tiff:
            yield self._checked(tiff, 0)

    def _checked(self, tiff: Any, number: int) -> Any:
        listed = tiff.series
        if not listed:
            raise InputError(f"{self.path}: holds no image; {_RESTORE}")
        if not 0 <= number < len(listed):
            raise InputError(f"{self.path}: has {len(listed)} series, and no series {number}; correct it")
        if listed[number].kind in ("generic", "uniform") and (tiff.is_ome or tiff.is_imagej) and self.master is None:
            raise InputError(
                f"{self.path}: its OME or ImageJ description does not fit its planes, as if it were truncated; "
                f"{_RESTORE}"
            )
        return listed[number]


@contextmanager
def open_tiff(path: str) -> Iterator[OpenedTiff]:
    """Open a TIFF file, once, and see that it is whole; no pixel is read.

    Raises
    ------
    InputError
        If it is missing, truncated, or no TIFF file.
    """
    import tifffile

    check_exists(path)
    with (
        quiet_tifffile(),
        input_errors(path, "is not a TIFF file that can be read", _RESTORE),
        tifffile.FileHandle(opened_file(path) if is_address(path) else path) as file,
    ):
        structure = check_structure(path, file)
        with tifffile.TiffFile(file) as tiff:
            text = tiff.ome_metadata if tiff.is_ome else None
            images = stored_images(text) if text else ()
            master = master_of(text) if text and not ome_images(text) else None
            yield OpenedTiff(path, tiff, structure, text if images else None, images, master)


def planes_of(image: OmeImage, timepoint: int, channel: int) -> list[int] | None:
    """Numbers of the planes of a timepoint and a channel of an image that is described; None where there are none."""
    shape = [image.lengths[axis] // (image.samples if axis == "c" else 1) for axis in image.order]
    wanted = {"t": timepoint, "c": channel // image.samples}
    if any(n > 1 and not 0 <= wanted.get(axis, 0) < n for axis, n in zip(image.order, shape, strict=True)):
        return None
    numbers = np.arange(math.prod(shape)).reshape(shape)
    index = tuple(
        slice(None) if axis == "z" else (wanted[axis] if n > 1 else 0)
        for axis, n in zip(image.order, shape, strict=True)
    )
    return [int(number) for number in np.atleast_1d(numbers[index])]


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
