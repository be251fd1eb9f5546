"""The files of focus stacking: what each of them holds, its levels, and what is said in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.focus.finish import Output
from fusestack.focus.stages import BLOCK
from fusestack.model.errors import ConfigError
from fusestack.model.fingerprint import digest
from fusestack.model.grid import Grid
from fusestack.model.image import PICTURE_SUFFIXES, Channel, Codec, ImageSpec
from fusestack.model.stage import Stage, Target
from fusestack.planning import pyramid
from fusestack.planning.layout import cut_levels
from fusestack.planning.levels import cut_facts, int3, layout_facts, with_pyramid
from fusestack.planning.plan import PlannedImage
from fusestack.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.focus.input import StackInput
    from fusestack.focus.stack import Stack
    from fusestack.focus.workshop import Made, Workshop

KINDS = ("mask", "depth", "height", "depth_colour")
"""Outputs besides the sharp picture: keys of ``focus.output``."""
_CODEC = Codec("zstd", 3)
_PLANE_CHUNK = 512
_TYPES = {".png": ("uint8", "uint16"), ".jpg": ("uint8",), ".jpeg": ("uint8",)}
"""Pixels that a file holds, where it does not hold all."""
_MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
_INCH = 25400.0


@dataclass(frozen=True)
class FocusFiles:
    """The outputs of one stack.

    Parameters
    ----------
    focus : Focus
    input : StackInput
    workshop : Workshop
        With all stages before the outputs.
    path : str
        Of the sharp picture.
    options : str
        All operators as an option string.
    opaque : bool
        Whether a background covers everything.
    between : tuple
        What is done between slices, for the fingerprint.
    limits : Made or None
        Limits of the slices' pixels, where those say what is black and white.
    """

    focus: Focus
    input: StackInput
    workshop: Workshop
    path: str
    options: str
    opaque: bool
    between: tuple[bool, float]
    limits: Made | None = None

    def image(self, kind: str, path: str, pages: Sequence[Made], stack: Stack) -> PlannedImage:
        """One output: its spec, its stages, what its fingerprint is made of."""
        suffix = split_suffix(path)[1].lower()
        picture = suffix in PICTURE_SUFFIXES
        what, dtype, channels, names = self._written(kind, suffix, stack)
        spread = 1
        if picture and not self.input.photographs:
            spread = len(stack.painted) if what == "rainbow" else len(channels)
        if spread > 1 and suffix not in (".tif", ".tiff"):
            raise ConfigError(
                f"focus.output: {path}: a {suffix} file holds one channel, the stack has {spread}; "
                "use .tif (a page for each) or .ome.zarr"
                + (", or one mask for all channels (focus.reference_channel)" if kind != "image" else "")
            )
        t = stack.shape[0]
        if picture and t > 1:
            raise ConfigError(
                f"focus.output: {path}: a {suffix} file holds one timepoint, the stack has {t}; use .ome.zarr"
            )
        if len(pages) > 1 and suffix not in (".tif", ".tiff"):
            raise ConfigError(f"focus.layered: {path}: only TIFF files have pages; use the suffix .tif")
        if kind == "image" and dtype not in _TYPES.get(suffix, (dtype,)):
            raise ConfigError(
                f"focus.output.dtype: {path}: a {suffix} file does not hold {dtype}; use "
                f"{' or '.join(_TYPES[suffix])}, or the suffix .tif or .ome.zarr"
            )
        spec = self._spec(path, dtype, names, len(channels) // spread, stack, pages=max(spread, len(pages)))
        writer = WRITERS["picture" if picture else "ome-zarr"]
        target = Target(writer, spec, 0, f"{self.path}.fusestack")
        compute = Output(
            tuple(made.pixels for made in pages),
            stack,
            what,
            dtype,
            channels,
            first=self.input.first,
            step=self.input.step,
            pages=spread,
            over_black=suffix in (".jpg", ".jpeg") and self.input.photographs,
        )
        notes = self._notes(kind, picture=picture, alpha="A" in names)
        layout = layout_facts(spec, "picture" if picture else "ome-zarr")
        components = {
            "focus": {
                "options": self.options,
                "output": kind,
                "dtype": dtype,
                "layered": self.focus.layered,
                "between_slices": self.between[0],
                "sharpen_between": self.between[1],
            },
            "inputs": dict(self.input.read),
            "output": {**layout, **cut_facts(spec)},
        }
        read = [*pages, *([self.limits] if self.limits else [])]
        before = [made.fingerprint for made in read]
        fingerprint = digest(
            [before, what, dtype, channels, self.input.first, self.input.step, stack.slices, stack.dtype, layout, notes]
        )
        needs = tuple(dict.fromkeys(key for made in read for key in made.keys))
        peak = 8 * 4 * int(spec.levels[0].block[3]) * int(spec.levels[0].block[4])
        first = Stage(
            f"write/{kind}", Grid(spec.shape, spec.levels[0].block), compute, target, fingerprint, peak, needs
        )
        stages = with_pyramid(first, self.workshop.resources)
        return PlannedImage(
            title=f"{kind} of {self.input.title}",
            target=target,
            preparation=tuple(self.workshop.stages.values()),
            stages=stages,
            components=components,
            fingerprint=digest([stage.fingerprint for stage in stages]),
            overwrite=self.focus.output.overwrite,
            notes=notes,
        )

    def _notes(self, kind: str, *, picture: bool, alpha: bool) -> dict[str, Any]:
        sources = [Path(path).name for path in self.input.read]
        listed = ", ".join(sources[:20]) + (f" and {len(sources) - 20} more" if len(sources) > 20 else "")
        notes: dict[str, Any] = {"description": f"{kind}: {self.options} [{listed}]".strip()}
        if not picture:
            return notes
        notes |= self.input.notes
        if alpha:
            notes["drop_opaque_alpha"] = True
        if kind not in ("image", "depth_colour"):
            notes.pop("icc", None)
        height, width = self.input.plane_size
        micrometres = _MICROMETRES.get(self.input.unit or "")
        if micrometres and not self.input.photographs and math.isclose(height, width, rel_tol=1e-3):
            notes["resolution"] = _INCH / (width * micrometres)
        return notes

    def _written(
        self, kind: str, suffix: str, stack: Stack
    ) -> tuple[str, str, tuple[tuple[int, int], ...], tuple[str, ...]]:
        """What is written: its kind, dtype, mask set and plane of each channel, names of the channels."""
        jpeg = suffix in (".jpg", ".jpeg")
        sets = range(len(stack.painted))
        if kind == "image":
            wanted = self.focus.output.dtype
            dtype = self.input.dtype if wanted == "input" else wanted
            if wanted == "input" and suffix in _TYPES and dtype not in _TYPES[suffix]:
                dtype = _TYPES[suffix][-1]
            channels = [(m, plane) for m in sets for plane in range(len(stack.painted[m]))]
            if self.input.photographs:
                alpha = [] if jpeg or self.opaque else [(0, -1)]
                return (
                    "image",
                    dtype,
                    (*channels, *alpha),
                    tuple("RGB" if len(channels) == 3 else "L") + ("A",) * len(alpha),
                )
            names = [self.input.channels[stack.painted[m][plane]].name for m, plane in channels]
            return "image", dtype, tuple(channels), tuple(names)
        names = [self.input.channels[stack.looked[m][0]].name if self.input.channels else kind for m in sets]
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
        stack: Stack,
        *,
        pages: int,
    ) -> ImageSpec:
        one = self.input
        t, _, _, height, width = stack.shape
        zarr = split_suffix(path)[1].lower() not in PICTURE_SUFFIXES
        shape = (t, count, pages, height, width)
        factors = [(1, 1, 1)]
        if zarr and self.focus.output.pyramid == "auto":
            factors = list(pyramid.propose_factors((1, height, width)))
        elif zarr and not isinstance(self.focus.output.pyramid, str):
            factors = [int3((1, int(level.y), int(level.x))) for level in self.focus.output.pyramid]
        levels = cut_levels(
            shape, factors, (1, _PLANE_CHUNK, _PLANE_CHUNK), None if zarr else (1, BLOCK, BLOCK), sharded=zarr
        )
        return ImageSpec(
            path=path,
            name=Path(path).name.split(".")[0],
            dtype=dtype,
            levels=levels,
            codec=_CODEC,
            pixel_size=(abs(one.step), *one.plane_size),
            origin=(one.first, *one.plane_origin),
            unit=one.unit,
            timepoints=one.timepoints,
            channels=tuple(self._channel(c, names) for c in range(count)),
        )

    def _channel(self, number: int, names: tuple[str, ...]) -> Channel:
        """A channel for viewers, which add up channels in their colours: opacity is black."""
        name = names[number] if number < len(names) else str(number)
        if not self.input.photographs:
            listed = {channel.name: channel.color for channel in self.input.channels}
            return Channel(number, name, listed.get(name, "FFFFFF"))
        return Channel(number, name, {"R": "FF0000", "G": "00FF00", "B": "0000FF", "A": "000000"}.get(name, "FFFFFF"))


def split_suffix(path: str) -> tuple[str, str]:
    """Path without its suffix, and the suffix; ``.ome.zarr`` and the like are one."""
    for suffix in (".ome.zarr", ".ome.tif", ".ome.tiff"):
        if path.lower().endswith(suffix):
            return path[: -len(suffix)], path[-len(suffix) :]
    plain = Path(path)
    return path[: len(path) - len(plain.suffix)], plain.suffix


def check_suffix(loaded: LoadedConfig, key: str, path: str | None) -> None:
    """Refuse a path whose suffix says no format.

    Raises
    ------
    ConfigError
    """
    if path is None or path.rstrip("/").lower().endswith((".zarr", *PICTURE_SUFFIXES)):
        return
    raise ConfigError(
        f"{loaded.cite(f'focus.output.{key}')}: '{path}' has no suffix that is known; "
        f"use .ome.zarr or one of {', '.join(PICTURE_SUFFIXES)}"
    )
