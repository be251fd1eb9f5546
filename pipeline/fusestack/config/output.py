"""The section ``output``: where the fused image goes, and in what form."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from fusestack.config.values import (
    CountPerAxis,
    Id,
    Model,
    Switch,
    Text,
    Whole,
    unsaid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["ome-zarr", "bdv-hdf5", "bdv-n5", "tiff", "bdv-tiff", "dzi"]
CodecName = Literal["blosc", "zstd", "lz4", "gzip", "none"]

_SUFFIXES: dict[str, Format] = {
    ".zarr": "ome-zarr",
    ".h5": "bdv-hdf5",
    ".hdf5": "bdv-hdf5",
    ".n5": "bdv-n5",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".dzi": "dzi",
}
_CODEC_LEVELS: dict[CodecName, tuple[int, int, int]] = {  # default, least, most
    "blosc": (1, 0, 9),
    "zstd": (3, 1, 22),
    "lz4": (1, 1, 9),
    "gzip": (1, 0, 9),
    "none": (0, 0, 0),
}


class Compression(Model):
    """How chunks are compressed."""

    codec: CodecName = Field(default="blosc", description="blosc is zstd with bit shuffle")
    level: Whole = Field(
        default_factory=lambda data: _CODEC_LEVELS[data["codec"]][0],
        description="effort: blosc and gzip 0..9, lz4 1..9, zstd 1..22; default: 3 for zstd, 1 for the others",
        examples=[5],
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse levels that the codec does not have."""
        _, least, most = _CODEC_LEVELS[self.codec]
        if not least <= self.level <= most:
            allowed = f"{least} to {most}" if most else "nothing, it has no levels"
            yield "level", f"{self.level} is not allowed for codec {self.codec}; use {allowed}"


class Partitions(Model):
    """How many timepoints and setups one file of an HDF5 output holds; 0 stands for all."""

    timepoints: Id = Field(default=0, description="timepoints in one file, or 0")
    setups: Id = Field(default=0, description="setups in one file, or 0")


class Output(Model):
    """What is written."""

    path: Text = Field(description="local path or URL", examples=["fused.ome.zarr"])
    format: Format = Field(
        default=cast("Format", None), validate_default=True, description="default: guessed from the suffix of path"
    )
    project: Text | None = Field(
        default=None, description="also write (or extend) this BigDataViewer project", examples=["fused.xml"]
    )
    append: Switch = Field(default=False, description="add the fused images to input.project, which keeps all else")
    ome_zarr_version: Annotated[
        Literal["0.5", "0.4"], BeforeValidator(lambda v: str(v) if isinstance(v, float) else v)
    ] = Field(default="0.5", description="version of the OME-Zarr specification")
    chunks: CountPerAxis | Annotated[tuple[CountPerAxis, ...], Field(min_length=1)] = Field(
        default_factory=lambda data: _default_chunks(data["format"]),
        description="smallest compressed unit, of all levels or a list of each (the last one is that of all further "
        "levels); default: x 128, y 128, z 64; bdv-hdf5: x 64, y 64, z 32; not for tiff, bdv-tiff, dzi",
        examples=[{"x": 256, "y": 256, "z": 32}],
    )
    partitions: Partitions | None = Field(
        default=None,
        description="bdv-hdf5: split the file, path is then a file of links; default: one file",
        examples=[{"timepoints": 1}],
    )
    shards: Literal["auto", "none"] | CountPerAxis = Field(
        default="auto",
        description="smallest unit that is written (Zarr 0.5): auto, none, or multiples of chunks",
        examples=[{"x": 1024, "y": 1024, "z": 64}],
    )
    compression: Compression = Field(
        default_factory=lambda data: _default_compression(data["format"]),
        description="default: blosc, level 1; bdv-hdf5: gzip, level 1; bdv-n5: zstd, level 3; tiff, bdv-tiff: none",
        examples=[{"codec": "zstd", "level": 5}],
    )
    pyramid: Literal["auto", "none"] | Annotated[tuple[CountPerAxis, ...], Field(min_length=1)] = Field(
        default="auto",
        description="resolution levels: auto, none, or a list of factors that begins with 1",
        examples=[[1, {"x": 2, "y": 2, "z": 1}, {"x": 4, "y": 4, "z": 2}]],
    )
    overwrite: Switch = Field(default=False, description="replace an output that was made with other settings")

    @field_validator("format", mode="before")
    @classmethod
    def _guess(cls, value: Any, info: ValidationInfo) -> Any:
        path = info.data.get("path")
        if value is not None or path is None:
            return value
        guess = _format_of(path)
        if guess is None:
            text = f"cannot be guessed from '{path}'; set it to ome-zarr, bdv-hdf5, bdv-n5, tiff, bdv-tiff or dzi"
            raise PydanticCustomError("unguessable", "{text}", {"text": text})
        return guess

    @field_validator("compression", mode="before")
    @classmethod
    def _codec_of_the_format(cls, value: Any, info: ValidationInfo) -> Any:
        """A level alone keeps the codec that the format has unsaid."""
        if isinstance(value, dict) and "codec" not in value and info.data.get("format") is not None:
            return {"codec": _default_compression(info.data["format"]).codec, **value}
        return value

    @property
    def chunks_of_levels(self) -> tuple[CountPerAxis, ...]:
        """Chunks that are written, of the first levels; the last one is that of all further levels."""
        return self.chunks if isinstance(self.chunks, tuple) else (self.chunks,)

    @property
    def resolved_codec(self) -> Compression:
        """Codec and level that are used; equal to `compression`, whose default depends on the format."""
        return self.compression

    @property
    def is_stacks(self) -> bool:
        """Whether TIFF stacks are written, with a project or without."""
        return self.format in ("tiff", "bdv-tiff")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse what the format cannot do."""
        guess = _format_of(self.path)
        if guess is not None and guess != self.format and self.format != "bdv-tiff":
            yield "format", f"{self.format} does not fit the suffix of '{self.path}', which means {guess}; change one"
        if self.format == "bdv-hdf5" and self.compression.codec not in ("gzip", "none", "blosc"):
            yield "compression.codec", f"'{self.compression.codec}' is not allowed in bdv-hdf5; use gzip, none or blosc"
        if self.is_stacks:
            yield from self._tiff_contradictions()
        if self.format == "dzi":
            yield from self._dzi_contradictions()
        if self.format != "bdv-hdf5" and self.partitions is not None:
            yield "partitions", f"only for bdv-hdf5, the format is {self.format}; remove it"
        if self.append and self.project is not None:
            yield "project", "append adds to input.project; remove one of them"
        if self.append and self.format not in ("bdv-hdf5", "bdv-n5", "ome-zarr"):
            yield "append", f"{self.format} is not added to a project; use .h5, .n5 or .ome.zarr, as the project has"
        yield from self._shards_contradictions()
        yield from self._pyramid_contradictions()

    def _tiff_contradictions(self) -> Iterator[tuple[str, str]]:
        is_ome = self.path.lower().endswith((".ome.tif", ".ome.tiff"))
        allowed = ("gzip", "zstd", "none") if is_ome else ("gzip", "none")
        if self.compression.codec not in allowed:
            choices = " or ".join((", ".join(allowed[:-1]), allowed[-1]))
            yield "compression.codec", f"'{self.compression.codec}' is not allowed in this TIFF; use {choices}"
        if self.chunks != _default_chunks("tiff"):
            yield "chunks", "a TIFF is stored plane by plane; remove it"
        if self.project is not None and self.format == "tiff":
            yield "project", "a project of TIFF files is the format bdv-tiff; remove it, or set format: bdv-tiff"
        if not isinstance(self.pyramid, str):
            if not is_ome and len(self.pyramid) > 1:
                yield "pyramid", "ImageJ's TIFF has one level; use none, or the suffix .ome.tif"
            if any(level.xyz[2] != 1 for level in self.pyramid):
                yield "pyramid", "the levels of an OME-TIFF keep all planes; set z to 1 in all of them"

    def _dzi_contradictions(self) -> Iterator[tuple[str, str]]:
        usual = {"chunks": _default_chunks("dzi"), "compression": _default_compression("dzi"), "pyramid": "auto"}
        for key, value in {**usual, "project": None}.items():
            if getattr(self, key) != value:
                yield key, "Deep Zoom has its own tiles and levels, and no project; remove it"

    def _shards_contradictions(self) -> Iterator[tuple[str, str]]:
        if isinstance(self.shards, str):
            return
        if self.format != "ome-zarr":
            yield "shards", f"{self.format} has no shards; remove it"
        elif self.ome_zarr_version == "0.4":
            yield "shards", 'OME-Zarr 0.4 has no shards; remove it, or use ome_zarr_version "0.5"'
        for chunks in self.chunks_of_levels:
            if not _is_multiple(self.shards, chunks):
                yield "shards", f"{self.shards} is not a multiple of the chunks, {chunks}; use multiples on every axis"

    def _pyramid_contradictions(self) -> Iterator[tuple[str, str]]:
        if isinstance(self.pyramid, str):
            return
        if isinstance(self.chunks, tuple) and len(self.chunks) > len(self.pyramid):
            yield "chunks", f"has {len(self.chunks)} entries, and pyramid {len(self.pyramid)} levels; remove some"
        if self.pyramid[0].xyz != (1, 1, 1):
            yield "pyramid.0", "the first level must be {x: 1, y: 1, z: 1}"
        for number, (before, level) in enumerate(itertools.pairwise(self.pyramid), 1):
            if not _is_multiple(level, before):
                yield f"pyramid.{number}", f"{level} is not a multiple of {before}, the level before, on every axis"
            if level == before:
                yield f"pyramid.{number}", "is the same as the level before; remove it"


def _format_of(path: str) -> Format | None:
    name = path.lower().rstrip("/")
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def _is_multiple(larger: CountPerAxis, smaller: CountPerAxis) -> bool:
    return all(a % b == 0 for a, b in zip(larger.xyz, smaller.xyz, strict=True))


def _default_chunks(kind: Format) -> CountPerAxis:
    match kind:
        case "bdv-hdf5":
            return CountPerAxis(x=64, y=64, z=32)
        case "tiff" | "bdv-tiff" | "dzi":
            return CountPerAxis(x=512, y=512, z=1)
        case _:
            return CountPerAxis(x=128, y=128, z=64)


def _default_compression(kind: Format) -> Compression:
    match kind:
        case "bdv-hdf5":
            return Compression(codec="gzip")
        case "bdv-n5":
            return Compression(codec="zstd")
        case "dzi":
            return Compression(codec="none")  # its tiles are PNG
        case "tiff" | "bdv-tiff":
            return Compression(codec="none")
        case _:
            return unsaid(Compression)
