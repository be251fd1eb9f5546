"""What an image becomes: a container with levels, or a picture."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import ConfigError, InputError
from fusestack.model.image import ImageSpec, is_ome_tiff
from fusestack.planning.pictures import CODEC, pixels_per_inch, plane_levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.api.labelled import LabelledImage
    from fusestack.config.load import LoadedConfig
    from fusestack.fusion.design import DesignedImage

_ORDERS = (("L",), ("L", "A"), ("R", "G", "B"), ("R", "G", "B", "A"))


@dataclass(frozen=True)
class Wanted:
    """What is written of an image.

    Parameters
    ----------
    pixels : numpy or dask array
        t, c, z, y, x.
    spec : ImageSpec
    file_format : str
        Key of `fusestack.writers.WRITERS`.
    output : mapping
        What was asked for, for records.
    overwrite : bool
    project : str or None
        Project XML to write beside it.
    notes : mapping
        What the writer is told at the end.
    warnings : tuple of str
        What of the image is not written.
    """

    pixels: Any
    spec: ImageSpec
    file_format: str
    output: Mapping[str, Any]
    overwrite: bool
    project: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def as_container(image: LabelledImage, fused: DesignedImage | None, loaded: LoadedConfig) -> Wanted:
    """OME-Zarr, BigDataViewer HDF5 or N5, or a TIFF stack, as the section ``output`` of a configuration says.

    Parameters
    ----------
    image : LabelledImage
    fused : DesignedImage or None
        What `fuse` has made of it: it is written as it is designed, unless its labels say something else meanwhile.
    loaded : LoadedConfig

    Raises
    ------
    ConfigError
        If the format does not have an option.
    InputError
        If the format does not hold its pixels.
    """
    from fusestack.fusion.plan import place_of, project_path
    from fusestack.planning.image_spec import image_spec
    from fusestack.writers.bdv_hdf5 import DTYPES

    output = loaded.config.output
    if output is None:
        raise ValueError("a configuration that writes has an output")
    path = place_of(output, loaded.resolve_path(output.path))
    if image.time is not None and output.format != "ome-zarr":
        lost = f"the time step of {image.time} is not written: projects of BigDataViewer have no place for it"
        image = replace(image, warnings=(*image.warnings, lost))
    z, y, x = image.pixel_size if fused is None else fused.frame.spacing
    fill = 0.0 if fused is None else fused.compute.rule.fill
    spec = image_spec(image, output, path, 2 * z / (y + x), fill)
    if fused is not None:
        designed = image_spec(fused, output, path, 2 * z / (y + x), fill)
        spec = designed if _alike(spec, designed) else spec
    if output.format == "bdv-hdf5" and spec.dtype not in DTYPES:
        raise InputError(
            f"image: BigDataViewer HDF5 has no {spec.dtype}, only {', '.join(DTYPES)}; "
            "write .ome.zarr, or convert it with astype"
        )
    return Wanted(
        image.pixels,
        spec,
        output.format,
        output.model_dump(mode="json"),
        output.overwrite,
        project_path(output, path),
        {"setup_names": [channel.name for channel in spec.channels]},
        (*image.warnings, *(_lost_in_stack(image, path) if output.is_stacks else ())),
    )


def _lost_in_stack(image: LabelledImage, path: str) -> tuple[str, ...]:
    """What an image says that a TIFF stack cannot say; OME-TIFF knows names, but sizes with a unit only."""
    ome = is_ome_tiff(path)
    said = {
        "the size of a pixel": ome and image.unit is None and image.pixel_size != (1.0, 1.0, 1.0),
        "the place": ome and image.unit is None and any(image.origin),
        "the timepoint": image.timepoints != (0,),
        "the name of the channel": not ome and image.channels[0].name != "channel 0",
    }
    lost = [what for what, is_said in said.items() if is_said]
    return (f"{Path(path).name} does not hold {', '.join(lost)} of the image; .ome.zarr does",) if lost else ()


def _alike(one: ImageSpec, other: ImageSpec) -> bool:
    """Whether place, unit, timepoints and names of channels are the same, up to the rounding of coordinates."""
    places = ((one.pixel_size, other.pixel_size), (one.origin, other.origin))
    same = all(np.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in places)
    names = [[channel.name for channel in spec.channels] for spec in (one, other)]
    return same and one.unit == other.unit and one.timepoints == other.timepoints and names[0] == names[1]


def check_picture_options(path: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a picture does not have.

    Raises
    ------
    ConfigError
    """
    levels = options.get("levels")
    if not isinstance(levels, str) or levels not in ("auto", "none"):
        raise ConfigError(f"levels: {path}: a picture has one level; leave levels out, or write .ome.zarr")
    if more := [key for key in options if key not in ("levels", "overwrite")]:
        raise ConfigError(f"{more[0]}: {path}: a picture has no such option; leave it out, or write .ome.zarr")


def as_picture(image: LabelledImage, path: str, *, overwrite: bool) -> Wanted:
    """TIFF, PNG or JPEG: colours as the colours of one picture; planes, or channels that are no colours, as pages.

    Parameters
    ----------
    image : LabelledImage
    path : str
    overwrite : bool

    Raises
    ------
    InputError
        If it has colours, or channels and planes, that no picture has. What a format does not hold, its writer refuses.
    """
    name = Path(path).name
    names = tuple(channel.name for channel in image.channels)
    if image.colours and names not in _ORDERS:
        raise InputError(
            f"image: its colours are {', '.join(names)}, those of {name} are L or R, G, B, then A (opacity), if any; "
            'bring them into this order (image.sel), or name them: image.assign_coords(colour=list("RGB"))'
        )
    _, c, z, _, _ = image.shape
    pixels = image.pixels
    if not image.colours and c > 1:
        if z > 1:
            raise InputError(
                f"image: has {c} channels and {z} planes, and {name} has pages for one of both; "
                "take one of them, image.isel(c=0) or image.isel(z=0), or write .ome.zarr"
            )
        pixels = pixels.swapaxes(1, 2)
    spec = ImageSpec(
        path=path,
        name=name.partition(".")[0],
        dtype=image.dtype,
        levels=plane_levels(tuple(int(n) for n in pixels.shape), stored=False),
        codec=CODEC,
        pixel_size=image.pixel_size,
        origin=image.origin,
        unit=image.unit,
        timepoints=image.timepoints,
        channels=image.channels[: pixels.shape[1]],
    )
    resolution = pixels_per_inch(image.pixel_size[1:], image.unit)
    notes: dict[str, Any] = {} if resolution is None else {"resolution": resolution}
    ome = is_ome_tiff(path)
    if ome and not image.colours and c > 1:
        notes |= {"page_axis": "C", "page_names": list(names)}
    lost = _lost(image, resolved=resolution is not None, ome=ome)
    said = (f"{name} does not hold {', '.join(lost)} of the image; .ome.zarr does",) if lost else ()
    return Wanted(
        pixels,
        spec,
        "picture",
        {"path": path, "overwrite": overwrite},
        overwrite,
        None,
        notes,
        (*image.warnings, *said),
    )


def _lost(image: LabelledImage, *, resolved: bool, ome: bool) -> list[str]:
    """What an image says that a picture cannot say; OME-TIFF knows sizes in units, and names."""
    resolved = resolved or (ome and image.unit is not None)
    z, y, x = image.pixel_size
    names = [] if image.colours else [channel.name for channel in image.channels]
    said = {
        "the size of a pixel": (y, x) != (1.0, 1.0) and not resolved,
        "the distance of its planes": image.shape[2] > 1 and z != 1.0 and not (ome and resolved),
        "the place": any(image.origin),
        "the timepoint": image.timepoints != (0,),
        "the names of channels": not (ome and len(names) > 1)
        and any(name != f"channel {number}" for number, name in enumerate(names)),
    }
    return [what for what, is_said in said.items() if is_said]
