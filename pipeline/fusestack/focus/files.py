"""The files of focus stacking: what each of them holds, its levels, and what is said in it."""

from __future__ import annotations

import importlib.util
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.recipe import NESTED
from fusestack.focus.surfaces import Surface, corner_step
from fusestack.focus.written import Shown, WrittenImage
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest
from fusestack.model.image import (
    MESH_SUFFIXES,
    OME_TIFF_SUFFIXES,
    PICTURE_SUFFIXES,
    Channel,
    Codec,
    ImageSpec,
    is_ome_tiff,
)
from fusestack.model.stage import Target
from fusestack.planning import pyramid
from fusestack.planning.levels import cut_facts, int3, layout_facts, with_pyramid
from fusestack.planning.pictures import CODEC, colour_channel, is_picture, picture_suffix, pixels_per_inch, plane_levels
from fusestack.planning.plan import PlannedImage, replace_with
from fusestack.planning.stages import make_stage
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.focus.computed import ComputedPicture, PictureArray
    from fusestack.focus.input import StackInput
    from fusestack.focus.recipe import StackRecipe

KINDS = ("mask", "depth", "height", "depth_colour", "mesh")
"""Outputs besides the sharp picture: keys of ``focus.output``."""
_TYPES = {".png": ("uint8", "uint16"), ".jpg": ("uint8",), ".jpeg": ("uint8",)}
"""Pixels that a file holds, where it does not hold all."""


@dataclass(frozen=True)
class FocusFiles:
    """The outputs of one stack.

    Parameters
    ----------
    focus : Focus
    input : StackInput
    on : StackRecipe
        With all stages before the outputs.
    path : str
        Of the sharp picture.
    """

    focus: Focus
    input: StackInput
    on: StackRecipe
    path: str

    def written(self, kind: str, suffix: str, pages: Sequence[PictureArray]) -> tuple[WrittenImage, tuple[str, ...]]:
        """What a file of that suffix holds, and the names of its channels."""
        sets = self.on.sets
        what, dtype, channels, names = self._written(kind, suffix)
        spread = 1
        if suffix in PICTURE_SUFFIXES and not self.input.photographs:
            spread = sets.count if what == "rainbow" else len(channels)
        over_black = suffix in (".jpg", ".jpeg") and self.input.photographs
        place = (self.input.first, self.input.step) if what == "height" else (0.0, 1.0)
        shown = Shown(what, sets.painted.slices, *place, over_black)
        own_scale = what == "image" and (np.dtype(dtype).kind == "f" or dtype == self.input.dtype)
        scale = sets.painted.scale if own_scale else None
        return WrittenImage(tuple(pages), shown, dtype, channels, sets.painted.sets, scale, spread), names

    def computes(self, kind: str, path: str, picture: ComputedPicture) -> bool:
        """Whether blocks of a file are those of a picture, each needed once, and there is memory for both."""
        suffix = picture_suffix(path)
        if suffix not in PICTURE_SUFFIXES:
            return False
        compute, _ = self.written(kind, suffix, [picture])
        (level,) = plane_levels((1, len(compute.channels), 1, *picture.array.shape[3:]), stored=False)
        sides = {tuple(map(min, block[3:], level.shape[3:])) for block in (picture.block, level.block)}
        alone = compute.pages in (1, self.on.sets.count)
        return len(sides) == 1 and alone and compute.peak_bytes(level.block) <= self.on.cached.resources.block_bytes

    def image(self, kind: str, path: str, pages: Sequence[PictureArray]) -> PlannedImage:
        """One output: its spec, its stages, what its fingerprint is made of."""
        suffix = picture_suffix(path)
        if kind == "mesh":
            return self._mesh(path, suffix, pages)
        picture = suffix in PICTURE_SUFFIXES
        compute, names = self.written(kind, suffix, pages)
        dtype, spread = compute.dtype, compute.pages
        self._check(kind, path, suffix, dtype, spread, len(pages))
        spec = self._spec(path, dtype, names, len(compute.channels) // spread, pages=max(spread, len(pages)))
        file_format = "picture" if picture else "ome-zarr"
        if kind == "height" and suffix in (".tif", ".tiff") and not is_ome_tiff(path) and spread == 1 and spec.unit:
            file_format = "tiff"  # what ImageJ opens, with the unit
            spec = replace(spec, codec=Codec("none", 0))
        target = Target(WRITERS[file_format], spec, 0, f"{self.path}.fusestack")
        notes = self._notes(kind, picture=picture, alpha="A" in names)
        if is_ome_tiff(path):
            notes |= {"page_axis": "C", "page_names": list(names) if spread > 1 else []}
        return self._planned(kind, compute, target, notes, file_format)

    def _mesh(self, path: str, suffix: str, pages: Sequence[PictureArray]) -> PlannedImage:
        """The surface: corners are coarse pixels of the heights."""
        heights, names = self.written("height", suffix, pages)
        self._check("mesh", path, suffix, "float32", len(names), 1)
        step = self.corner_step
        spec = self._spec(path, "float32", names, 1, pages=1)
        rows, columns = (n // step for n in spec.shape[3:])
        if min(rows, columns) < 2:
            raise ConfigError(
                f"focus.output.mesh: {path}: {columns} x {rows} corners are no surface; raise mesh_corners"
            )
        z, y, x = spec.pixel_size
        spec = replace(
            spec,
            levels=plane_levels((1, 1, 1, rows, columns), stored=False),
            pixel_size=(z, step * y, step * x),
            origin=(spec.origin[0], spec.origin[1] + (step - 1) / 2 * y, spec.origin[2] + (step - 1) / 2 * x),
        )
        target = Target(WRITERS["mesh"], spec, 0, f"{self.path}.fusestack")
        # the first slice is in front: its side of the surface is the outside
        notes = {"facing": -1 if self.input.step > 0 else 1}
        return self._planned("mesh", Surface(heights, step), target, notes, "mesh")

    @property
    def corner_step(self) -> int:
        """Pixels of a corner of the mesh."""
        return corner_step((self.input.shape[3], self.input.shape[4]), self.focus.output.mesh_corners)

    def _planned(
        self, kind: str, compute: WrittenImage | Surface, target: Target, notes: dict[str, Any], file_format: str
    ) -> PlannedImage:
        recipe, spec = self.on.recipe, target.image
        key = "path" if kind == "image" else kind
        layout = layout_facts(spec, file_format)
        functions = recipe.function_sources()
        components = {
            "focus": {
                "options": recipe.option_string(),
                **({"functions": functions} if functions else {}),
                "output": kind,
                "dtype": spec.dtype,
                "layered": self.focus.layered,
                "between_slices": recipe.between,
                "sharpen_between": recipe.sharpen,
                **(
                    {"retouch": [f"slice {one.slice} ({digest(astuple(one))[:8]})" for one in recipe.retouch]}
                    if recipe.retouch
                    else {}
                ),
            },
            "inputs": dict(self.input.read),
            "output": {**layout, **cut_facts(spec)},
        }
        resources = self.on.cached.resources
        stages = with_pyramid(make_stage(f"write/{kind}", compute, target, resources, [layout, notes]), resources)
        return PlannedImage(
            title=f"{kind} of {self.input.title}",
            target=target,
            preparation=tuple(self.on.cached.stages.values()),
            stages=stages,
            components=components,
            fingerprint=digest([stage.fingerprint for stage in stages]),
            overwrite=self.focus.output.overwrite,
            notes=notes,
            way_out=replace_with("focus.output", key),
            key=f"focus.output.{key}",
            file_format=file_format,
        )

    def _check(self, kind: str, path: str, suffix: str, dtype: str, spread: int, pages: int) -> None:
        """Refuse what a file does not hold."""
        if kind == "mesh" and spread > 1:
            raise ConfigError(
                f"focus.output.mesh: {path}: a mesh is one surface, the stack has {spread}, one for each channel; "
                "use one mask for all channels (focus.reference_channel)"
            )
        if spread > 1 and suffix not in (".tif", ".tiff"):
            raise ConfigError(
                f"focus.output: {path}: a {suffix} file holds one channel, the stack has {spread}; "
                "use .tif (a page for each) or .ome.zarr"
                + (", or one mask for all channels (focus.reference_channel)" if kind != "image" else "")
            )
        if suffix in (*PICTURE_SUFFIXES, *MESH_SUFFIXES) and self.on.sets.times > 1:
            raise ConfigError(
                f"focus.output: {path}: a {suffix} file holds one timepoint, the stack has {self.on.sets.times}; "
                "use .ome.zarr"
            )
        if pages > 1 and suffix not in (".tif", ".tiff"):
            raise ConfigError(f"focus.layered: {path}: only TIFF files have pages; use the suffix .tif")
        if kind == "image" and dtype not in _TYPES.get(suffix, (dtype,)):
            raise ConfigError(
                f"focus.output.dtype: {path}: a {suffix} file does not hold {dtype}; use "
                f"{' or '.join(_TYPES[suffix])}, or the suffix .tif or .ome.zarr"
            )

    def _notes(self, kind: str, *, picture: bool, alpha: bool) -> dict[str, Any]:
        sources = [Path(path).name for path in self.input.read]
        listed = ", ".join(sources[:20]) + (f" and {len(sources) - 20} more" if len(sources) > 20 else "")
        retouched = f", retouched in {counted(len(self.on.recipe.retouch), 'area')}" if self.on.recipe.retouch else ""
        options = self.on.recipe.option_string()
        notes: dict[str, Any] = {"description": f"{kind}: {options}{retouched} [{listed}]".strip()}
        if not picture:
            return notes
        notes |= self.input.notes
        if alpha:
            notes["drop_opaque_alpha"] = True
        if kind not in ("image", "depth_colour"):
            notes.pop("icc", None)
        resolution = pixels_per_inch(self.input.plane_size, self.input.unit)
        if resolution is not None and not self.input.photographs:
            notes["resolution"] = resolution
        return notes

    @property
    def _opaque(self) -> bool:
        """Whether a background covers everything, or all of it is painted."""
        recipe = self.on.recipe
        solid = [name for name in recipe.backgrounds if name.lower() not in ("transparent", *NESTED)]
        whole = recipe.multiscale is not None and not (recipe.finals or recipe.substacks)
        return (bool(solid) or whole) and self.input.colours in ("L", "RGB")

    def _written(self, kind: str, suffix: str) -> tuple[str, str, tuple[tuple[int, int], ...], tuple[str, ...]]:
        """What is written: its kind, dtype, mask set and plane of each channel, names of the channels."""
        jpeg = suffix in (".jpg", ".jpeg")
        looked, painted = self.on.sets.looked.sets, self.on.sets.painted.sets
        sets = range(len(painted))
        if kind == "image":
            wanted = self.focus.output.dtype
            dtype = self.input.dtype if wanted == "input" else wanted
            if wanted == "input" and suffix in _TYPES and dtype not in _TYPES[suffix]:
                dtype = _TYPES[suffix][-1]
            channels = [(m, plane) for m in sets for plane in range(len(painted[m]))]
            if self.input.photographs:
                alpha = [] if jpeg or self._opaque else [(0, -1)]
                return (
                    "image",
                    dtype,
                    (*channels, *alpha),
                    tuple("RGB" if len(channels) == 3 else "L") + ("A",) * len(alpha),
                )
            names = [self.input.channels[painted[m][plane]].name for m, plane in channels]
            return "image", dtype, tuple(channels), tuple(names)
        names = [self.input.channels[looked[m][0]].name if self.input.channels else kind for m in sets]
        one_each = tuple((m, 0) for m in sets)
        if kind == "mask":
            return "mask", "uint8" if jpeg else "uint16", one_each, tuple(names)
        if kind == "depth_colour" or (kind == "depth" and jpeg):
            planes = [0, 1, 2] if jpeg else [0, 1, 2, -1]
            return "rainbow", "uint8", tuple((m, plane) for m in sets for plane in planes), ("R", "G", "B", "A")
        if kind == "depth" and suffix == ".png":
            alpha = [(0, -1)] if self.input.photographs else []
            return "share", "uint16", (*one_each, *alpha), ("L", "A") if alpha else tuple(names)
        if suffix in (".png", ".jpg", ".jpeg"):
            raise ConfigError(f"focus.output.{kind}: physical depths are numbers; use the suffix .tif or .ome.zarr")
        return kind, "float32", one_each, tuple(names)

    def _spec(
        self,
        path: str,
        dtype: str,
        names: tuple[str, ...],
        count: int,
        *,
        pages: int,
    ) -> ImageSpec:
        one = self.input
        t, _, _, height, width = one.shape
        zarr = not is_picture(path)
        levelled = zarr or is_ome_tiff(path)
        shape = (t, count, pages, height, width)
        factors = [(1, 1, 1)]
        if levelled and self.focus.output.pyramid == "auto":
            factors = list(pyramid.propose_factors((1, height, width)))
        elif levelled and not isinstance(self.focus.output.pyramid, str):
            factors = [int3((1, int(level.y), int(level.x))) for level in self.focus.output.pyramid]
        levels = plane_levels(shape, factors, stored=zarr)
        return ImageSpec(
            path=path,
            name=Path(path).name.split(".")[0],
            dtype=dtype,
            levels=levels,
            codec=CODEC,
            pixel_size=(abs(one.step), *one.plane_size),
            origin=(one.first, *one.plane_origin),
            unit=one.unit,
            timepoints=one.timepoints,
            time=one.time,
            channels=tuple(self._channel(c, names) for c in range(count)),
        )

    def _channel(self, number: int, names: tuple[str, ...]) -> Channel:
        """A channel for viewers, which add up channels in their colours: opacity is black."""
        name = names[number] if number < len(names) else str(number)
        if not self.input.photographs:
            listed = {channel.name: channel.color for channel in self.input.channels}
            return Channel(number, name, listed.get(name, "FFFFFF"))
        return colour_channel(number, name)


def check_suffix(loaded: LoadedConfig, key: str, path: str | None) -> None:
    """Refuse a path whose suffix says no format.

    Raises
    ------
    ConfigError
    """
    if key == "mesh" and path is not None:
        check_mesh(loaded, path)
        return
    if path is None or path.rstrip("/").lower().endswith(".zarr") or is_picture(path):
        return
    raise ConfigError(
        f"{loaded.cite(f'focus.output.{key}')}: '{path}' has no suffix that is known; "
        f"use .ome.zarr or one of {', '.join((*PICTURE_SUFFIXES, *OME_TIFF_SUFFIXES))}"
    )


def check_mesh(loaded: LoadedConfig, path: str) -> None:
    """Refuse a mesh that cannot be written.

    Raises
    ------
    ConfigError
    """
    said = loaded.cite("focus.output.mesh")
    if picture_suffix(path) not in MESH_SUFFIXES:
        raise ConfigError(f"{said}: '{path}' is no mesh; use one of {', '.join(MESH_SUFFIXES)}")
    if importlib.util.find_spec("trimesh") is None:
        raise ConfigError(f"{said}: needs trimesh; install it with: pip install 'fusestack[mesh]'")
