"""From views and options to fused images: their grid, groups, pixel rule and place; metadata only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.config.functions import OwnFunction
from fusestack.config.models import Blending
from fusestack.fusion.blocks import FuseBlocks, PixelRule
from fusestack.fusion.data_borders import impossible_values
from fusestack.fusion.extent import refuse_absurd
from fusestack.fusion.ground import lay_out
from fusestack.fusion.groups import Group, channel_of, channels_of, group_views
from fusestack.fusion.intensity import adjustments_of
from fusestack.fusion.opened import members_read
from fusestack.fusion.placement import Edges, OpenedView, PlacedView
from fusestack.fusion.sampling import compare_sampling
from fusestack.fusion.times import time_of
from fusestack.fusion.view_table import tables_of
from fusestack.kernels.convert import value_dtype
from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.models import Fusion
    from fusestack.fusion.frame import Frame
    from fusestack.fusion.ground import Ground
    from fusestack.model.geometry import Box, Float3
    from fusestack.model.image import Channel
    from fusestack.model.units import TimeStep
    from fusestack.model.view import View, ViewId

_TITLES_SHOWN = 5
_NO_MODELS: Mapping[ViewId, tuple[float, float]] = MappingProxyType({})
_NO_IDENTITIES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class DesignedImage:
    """A fused image before it has a format: what it shows, how large it is, where it lies.

    Parameters
    ----------
    title : str
    compute : FuseBlocks
    shape : tuple of int
        t, c, z, y, x.
    dtype : str
    frame : Frame
    pixel_size, origin : (float, float, float)
        Physical, z, y, x, in `unit` (world pixels where the project has no voxel size).
    unit : str or None
        UDUNITS name.
    timepoints : tuple of int
    time : TimeStep or None
    channels : tuple of Channel
    groups : tuple of Group
    anisotropy : float
        Factor along z that the image preserves, for its pyramid.
    """

    title: str
    compute: FuseBlocks
    shape: tuple[int, ...]
    dtype: str
    frame: Frame
    pixel_size: Float3
    origin: Float3
    unit: str | None
    timepoints: tuple[int, ...]
    time: TimeStep | None
    channels: tuple[Channel, ...]
    groups: tuple[Group, ...]
    anisotropy: float


@dataclass(frozen=True)
class Design:
    """All fused images of a configuration, on one frame, what the user should know about them, and what they read.

    `read` holds the identities of files and containers by path, where those that are known were given.
    """

    images: tuple[DesignedImage, ...]
    ground: Ground
    input_dtype: str
    warnings: tuple[str, ...]
    read: Mapping[str, str]

    @property
    def frame(self) -> Frame:
        """The frame that all images lie on."""
        return self.ground.frame

    @property
    def anisotropy(self) -> float:
        """Of the frame."""
        return self.ground.anisotropy

    @property
    def opened(self) -> Mapping[ViewId, OpenedView]:
        """Views whose levels are known."""
        return self.ground.opened


def design_images(
    views: Sequence[View],
    all_views: Sequence[View],
    boxes: Mapping[str, Box],
    options: Fusion,
    models: Mapping[ViewId, tuple[float, float]] = _NO_MODELS,
    identities: Mapping[str, str] = _NO_IDENTITIES,
    *,
    apart: bool = False,
) -> Design:
    """Design the fused images of selected views.

    Parameters
    ----------
    views : sequence of View
        Selected views.
    all_views : sequence of View
        Present views of the project, for the box ``all_views``.
    boxes : mapping of str to Box
        Named boxes of the project, world pixels.
    options : Fusion
        With absolute paths.
    models : mapping of ViewId to (float, float)
        Linear intensity models of the project.
    identities : mapping of str to str
        Size and time of change of the files that are read, by path; for fingerprints.
    apart : bool
        Whether timepoints and channels are images of their own, too.

    Raises
    ------
    InputError, ConfigError
    """
    ground = lay_out(views, all_views, boxes, options)
    views, opened, registrations = ground.views, ground.opened, ground.registrations
    frame, anisotropy, warnings = ground.frame, ground.anisotropy, [*ground.warnings]
    said = compare_sampling(views, registrations, frame, options.downsampling, options.preserve_anisotropy)
    said += ground.stray
    refuse_absurd(frame, said)
    warnings += said
    input_dtype = _input_dtype(opened)
    rule = _pixel_rule(opened, input_dtype, options, warnings)
    adjustments = adjustments_of(views, models, options.intensity_adjustment, warnings)
    warnings += impossible_values(opened.values())
    if any(view.no_data is not None for view in views):
        input_dtype = value_dtype(input_dtype).name  # NaN is no data
    if adjustments:
        input_dtype = "float32"
    pixel_size, origin, unit = ground.calibrated(warnings)
    groups = group_views(views, options.group_by)
    edges = _edges(options)
    read = {**identities, **members_read(opened.values(), identities)}
    placed = {i: PlacedView.of(o, registrations[i], frame, edges, adjustments.get(i), read) for i, o in opened.items()}
    if edges.to_data and not any(view.pixels.may_lack_data for view in placed.values()):
        warnings.append(
            "fusion.blending.from: data changes nothing, since no pixel of the views means that there is no data; "
            "input.no_data says which value does"
        )
    laid = tables_of([[placed[v.id] for v in group.views] for group in groups], frame, edges, options.numerics)
    tables = {group.title: table for group, table in zip(groups, laid, strict=True)}
    whole = frame.box.shift([-v for v in frame.box.start])
    empty = [group.title for group in groups if not tables[group.title].reaches(whole)]
    if empty:
        more = f" and {len(empty) - _TITLES_SHOWN} more" if len(empty) > _TITLES_SHOWN else ""
        titles = ", ".join(empty[:_TITLES_SHOWN])
        warnings.append(f"{titles}{more}: no view reaches the bounding box, the image will be empty")
    if len(empty) == len(groups):
        low, high = frame.box.inclusive()
        raise ConfigError(
            f"fusion.bounding_box: no selected view reaches it (pixels of the fused image {low} to {high}, xyz); "
            "check the box, or use all_views"
        )

    def image(
        title: str, members: Sequence[Group], times: tuple[int, ...], channels: tuple[Channel, ...]
    ) -> DesignedImage:
        place = {channel.id: i for i, channel in enumerate(channels)}
        placed = {(times.index(g.timepoint), place[g.views[0].channel]): tables[g.title] for g in members}
        content = None
        if wanted := options.content_based:
            from fusestack.fusion.content import content_weights

            sigmas = wanted.sigma1, wanted.sigma2
            content = content_weights(placed, frame.shape, sigmas, anisotropy)
        compute = FuseBlocks(placed, rule, input_dtype, content=content)
        if options.weights is not None or isinstance(options.method, OwnFunction):
            from fusestack.fusion.own import fuse_by

            compute = fuse_by(options, compute)
        shape = (len(times), len(channels), *frame.shape)
        return DesignedImage(
            title=title,
            compute=compute,
            shape=shape,
            dtype=rule.dtype,
            frame=frame,
            pixel_size=pixel_size,
            origin=origin,
            unit=unit,
            timepoints=times,
            time=time_of(views, times, warnings),
            channels=channels,
            groups=tuple(members),
            anisotropy=anisotropy,
        )

    if options.group_by == "timepoint_channel" and not apart:
        times = tuple(sorted({v.id.timepoint for v in views}))
        images = [image("fused", groups, times, channels_of(views))]
    else:
        images = [image(group.title, (group,), (group.timepoint,), (channel_of(group, views),)) for group in groups]
    return Design(tuple(images), ground, input_dtype, tuple(dict.fromkeys(warnings)), read)


def _edges(options: Fusion) -> Edges:
    """Borders of the views for a method; only the average fades (BigStitcher: `Blending`, else `Masking`)."""
    blending = options.blending
    border = blending.border if blending else 0.0
    if options.method == "mask":
        return Edges(0.0, 0.0, options.mask_offset.zyx)
    if options.method == "closest_pixel":
        # BigStitcher compares its blending weights; distances are measured in pixels of the fused image
        fade = (blending or Blending()).range
        return Edges(fade if options.numerics == "bigstitcher" else 1.0, border)
    if not blending or options.plain_method != "average":
        return Edges(0.0, border)
    return Edges(blending.range, border, to_data=blending.source == "data")


def _input_dtype(opened: Mapping[ViewId, OpenedView]) -> str:
    return np.result_type(*{o.dtype for o in opened.values()}).name


def _pixel_rule(
    opened: Mapping[ViewId, OpenedView], input_dtype: str, options: Fusion, warnings: list[str]
) -> PixelRule:
    kinds = Counter(o.dtype.name for o in opened.values())
    if options.dtype == "input" and len(kinds) > 1:
        found = ", ".join(f"{count} of {name}" for name, count in kinds.items())
        raise ConfigError(f"fusion.dtype: 'input' is ambiguous, the views have several pixel types ({found}); name one")
    dtype = np.dtype(input_dtype if options.dtype == "input" else options.dtype)
    intensity_range = _intensity_range(np.dtype(input_dtype), dtype, options, warnings)
    fill = float(options.background)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        if not limits.min <= fill <= limits.max:
            raise ConfigError(
                f"fusion.background: {fill:g} does not fit {dtype.name} ({limits.min} to {limits.max}); "
                "choose a value inside, or fusion.dtype: float32"
            )
        fill = float(np.floor(fill + 0.5) if options.rounding == "half_up" else np.floor(fill))
    return PixelRule(
        method=options.plain_method,
        interpolation=options.interpolation,
        numerics=options.numerics,
        dtype=dtype.name,
        rounding=options.rounding,
        intensity_range=intensity_range,
        fill=fill,
    )


def _intensity_range(
    source: np.dtype[Any], target: np.dtype[Any], options: Fusion, warnings: list[str]
) -> tuple[float, float] | None:
    """Range of input values that is mapped to the whole range of the output; None keeps values."""
    wanted = options.intensity_range
    if target.kind == "f":
        if wanted != "auto":
            warnings.append("fusion.intensity_range: float32 output keeps its values, the range is not used")
        return None
    if wanted != "auto":
        return wanted
    if source == target:
        return None
    if source in (np.uint8, np.uint16):
        return 0.0, float(np.iinfo(source).max)
    warnings.append(
        f"fusion.intensity_range: auto keeps the values of {source.name} input and clips them to the range of "
        f"{target.name}; give [min, max] to map another range"
    )
    return None
