"""What will be written of an image, as the configuration asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fusestack.model.errors import ConfigError
from fusestack.model.image import Codec, ImageSpec, is_ome_tiff
from fusestack.planning import pyramid
from fusestack.planning.layout import cut_levels
from fusestack.planning.levels import int3

if TYPE_CHECKING:
    from fusestack.config.output import Output
    from fusestack.model.geometry import Float3, Int3
    from fusestack.model.image import Channel
    from fusestack.model.units import TimeStep


class Described(Protocol):
    """An image before it has a format."""

    @property
    def title(self) -> str:
        """For people."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along t, c, z, y, x."""
        ...

    @property
    def dtype(self) -> str:
        """Type of its pixels."""
        ...

    @property
    def pixel_size(self) -> Float3:
        """Of a pixel along z, y, x, in `unit`."""
        ...

    @property
    def origin(self) -> Float3:
        """Of the first pixel's centre, z, y, x, in `unit`."""
        ...

    @property
    def unit(self) -> str | None:
        """UDUNITS name, or None."""
        ...

    @property
    def timepoints(self) -> tuple[int, ...]:
        """Ids along t."""
        ...

    @property
    def time(self) -> TimeStep | None:
        """From one entry along t to the next, or None."""
        ...

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Entries along c."""
        ...


def image_spec(image: Described, output: Output, path: str, anisotropy: float, fill: float = 0.0) -> ImageSpec:
    """Levels, chunks and codec of an image.

    Parameters
    ----------
    image : Described
    output : Output
        What the configuration says.
    path : str
        Where it is written.
    anisotropy : float
        Size of a pixel along z, in pixels along x and y.
    fill : float
        Value of pixels that are not stored.

    Raises
    ------
    ConfigError
        If the format has no shards.
    """
    factors = pyramid_factors(output, int3(image.shape[2:]), anisotropy, path)
    sharded = output.format == "ome-zarr" and output.ome_zarr_version == "0.5" and output.shards != "none"
    staged = output.is_stacks or output.format == "dzi"  # in a store whose shards are blocks, until it can be written
    shards = None if isinstance(output.shards, str) else int3(int(v) for v in output.shards.zyx)
    if shards and not sharded:
        raise ConfigError(
            f"output.shards: {output.format} {output.ome_zarr_version} has no shards; "
            "use ome_zarr_version '0.5', or shards: auto"
        )
    first, *coarser = (int3(int(v) for v in chunks.zyx) for chunks in output.chunks_of_levels)
    levels = cut_levels(
        image.shape,
        factors,
        first,
        shards,
        sharded=sharded or staged,
        chunks_per_block=4 if output.format == "bdv-hdf5" else None,
        coarser=coarser,
    )
    codec = output.resolved_codec
    return ImageSpec(
        path=path,
        name=image.title,
        dtype=image.dtype,
        levels=levels,
        codec=Codec(codec.codec, codec.level),
        pixel_size=image.pixel_size,
        origin=image.origin,
        unit=image.unit,
        timepoints=image.timepoints,
        time=image.time,
        channels=image.channels,
        fill=fill,
        ome_zarr_version=output.ome_zarr_version,
        split=None if output.partitions is None else (output.partitions.timepoints, output.partitions.setups),
    )


def pyramid_factors(output: Output, shape: Int3, anisotropy: float, path: str) -> tuple[Int3, ...]:
    """Factors of the levels (z, y, x) that the configuration asks for; an axis of one pixel is never divided."""
    if output.format == "dzi":
        return ((1, 1, 1),)  # its levels are made when it is put together
    if output.pyramid == "auto" and output.is_stacks:
        return pyramid.propose_factors((1, *shape[1:])) if is_ome_tiff(path) else ((1, 1, 1),)
    if output.pyramid == "auto":
        return pyramid.propose_factors(shape, anisotropy)
    if output.pyramid == "none":
        return ((1, 1, 1),)
    wanted = [int3(int(v) for v in level.zyx) for level in output.pyramid]
    return tuple(int3(1 if n == 1 else f for n, f in zip(shape, level, strict=True)) for level in wanted)
