"""The section ``focus``: from a stack to one sharp picture, its mask and its depth map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from fusestack.config.operators import (  # noqa: TC001 - pydantic
    CutOperators,
    FinalOperators,
    Generators,
    MaskOperators,
    Preparations,
)
from fusestack.config.tuning import Tune  # noqa: TC001 - pydantic
from fusestack.config.values import (
    Count,
    CountPerAxis,
    Id,
    Model,
    NotNegative,
    Number,
    Positive,
    Switch,
    Text,
    not_allowed,
    switch,
    unsaid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPELLED = ("masks", "merge", "cut", "final", "background", "substacks", "colorspace", "mask_size")


class Align(Model):
    """How the slices are brought over one another."""

    model: Literal["translation", "rigid", "similarity", "affine", "homography"] | None = Field(
        default=None, description="what may move; default: similarity (shift, turn, size), in volumes translation"
    )
    reference: Literal["first", "middle", "last"] | Id = Field(
        default="middle", description="slice that stays where it is; numbers from 0"
    )
    crop: Switch = Field(default=True, description="cut away what not every slice covers; false: edges are repeated")
    exposure: Switch = Field(default=False, description="make all slices as bright as the median slice")
    white_balance: Switch = Field(default=False, description="the same for each colour")
    interpolation: Literal["lanczos", "cubic", "linear"] = Field(
        default="lanczos", description="how pixels between pixels are found"
    )
    transforms: Text | None = Field(
        default=None,
        description="file of transforms that a run wrote, or somebody else; nothing is estimated",
        examples=["transforms.json"],
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse a model of transforms that are given."""
        if self.transforms is not None and self.model is not None:
            yield "model", "the transforms are given, nothing is estimated; remove one of them"


class Statistics(Model):
    """Levels and histograms of a whole stack, kept so that a crop gives the same pixels."""

    save: Text | None = Field(default=None, description="file to keep them in", examples=["moss.json"])
    use: Text | None = Field(default=None, description="file to take them from", examples=["moss.json"])


def _capitalised(value: Any) -> Any:
    return value.capitalize() if isinstance(value, str) else value


def _space(value: Any) -> Any:
    """A colour space, in any spelling of upper and lower case."""
    from fusestack.operators.base import spelled
    from fusestack.operators.choices import SPACES

    if not isinstance(value, str):
        return value
    found = spelled(SPACES, value)
    if found is None:
        raise not_allowed(f"one of {', '.join(SPACES)}")
    return found


class MaskSize(Model):
    """Masks are made at another size than the slices (imfuse: prepresize)."""

    percent: Annotated[float, Strict(), Field(gt=0, le=400)] = Field(
        default=50, description="percent of the size of the slices"
    )
    interpolation: Annotated[
        Literal["Spline", "Catrom", "Bilinear", "Nearest", "Average"], BeforeValidator(_capitalised)
    ] = Field(default="Spline", description="how pixels between pixels are found")


class Colorspace(Model):
    """What the generators look at, where they do not say it themselves."""

    space: Annotated[Text, BeforeValidator(_space)] = Field(
        default="sRGB", description="colour space, such as Lab", examples=["Lab"]
    )
    channel: Id | None = Field(default=None, description="one channel of it, 0-based", examples=[0])


class Substacks(Model):
    """Ranges of slices, counted from 1, that are focused by themselves and painted over one another.

    Either one range, `number` to `last_number`, or a series of ranges, one every `number` slices; percentages of the
    number of slices where they are given instead. Each range is made longer by `radius` on both sides.
    """

    number: Count | None = Field(
        default=None, description="first slice of the range; alone: slices of each range", examples=[3]
    )
    last_number: Count | None = Field(default=None, description="last slice of the range", examples=[7])
    percent: Positive | None = Field(default=None, description="the same in percent; default: 14", examples=[14])
    last_percent: Positive | None = Field(default=None, description="the same in percent", examples=[50])
    radius: Id | None = Field(
        default=None, description="slices that ranges reach beyond; default: 5 percent", examples=[1]
    )
    radius_percent: NotNegative = Field(default=5, description="the same in percent")
    kurt: Switch = Field(default=False, description="every range begins with the first slice")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse ranges that end before they begin."""
        for first, last, name in (
            (self.number, self.last_number, "last_number"),
            (self.percent, self.last_percent, "last_percent"),
        ):
            if first is not None and last is not None and last < first:
                yield name, f"is {last:g}, before the first one, {first:g}; exchange them"


class Multiscale(Model):
    """How slices are mixed at every scale, for method multiscale."""

    levels: Annotated[int, Strict(), Field(ge=1, le=10)] = Field(
        default=5, description="scales, each twice as coarse as the last; more where slices are blurred more widely"
    )
    sharpness: Annotated[int, Strict(), Field(ge=1, le=32)] = Field(
        default=6, description="large: the slice with most detail alone; small: others with much detail count, too"
    )
    noise: Annotated[float, Strict(), Field(gt=0, le=100)] = Field(
        default=1.5, description="detail that is not told from noise, in units of the noise; more smooths more"
    )
    highlights: Annotated[int, Strict(), Field(ge=0, le=256)] = Field(
        default=256, description="how strongly white discs of highlights out of focus are kept out; 0: not"
    )


class Retouch(Model):
    """An area of the picture that one slice shows, drawn by hand."""

    slice: Id = Field(description="slice that is shown there, counted from 0, as in the depth map", examples=[7])
    polygon: Annotated[tuple[tuple[Number, Number], ...], Field(min_length=3, max_length=10_000)] = Field(
        description="outline of the area: corners [x, y], in pixels of the picture",
        examples=[[[410, 120], [520, 135], [470, 240]]],
    )
    timepoint: Id | None = Field(default=None, description="which one, of a stack with several", examples=[0])

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse outlines around nothing."""
        if len(set(self.polygon)) < 3:
            yield "polygon", "has fewer than three different corners; draw around an area"


class FocusOutput(Model):
    """What is written; the suffix chooses OME-Zarr, TIFF, PNG or JPEG."""

    path: Text | None = Field(
        default=None,
        description="the sharp picture; default: a name made of the sources and the options",
        examples=["sharp.tif"],
    )
    mask: Text | None = Field(default=None, description="the final mask", examples=["mask.tif"])
    depth: Text | None = Field(
        default=None,
        description="the depth map: index of the slice, from 0 (TIFF, OME-Zarr); its share of the last one (PNG); "
        "its colour (JPEG)",
        examples=["depth.tif"],
    )
    height: Text | None = Field(
        default=None, description="the depth map in physical units (TIFF, OME-Zarr)", examples=["height.tif"]
    )
    mesh: Text | None = Field(
        default=None,
        description="the surface as a mesh of triangles (PLY, STL), in physical units; holes where the depth is not "
        "known; needs fusestack[mesh]",
        examples=["surface.ply"],
    )
    mesh_corners: Annotated[int, Strict(), Field(ge=4, le=100_000_000)] = Field(
        default=500_000, description="corners of the mesh, at most: squares of pixels become one corner, their median"
    )
    slices: Text | None = Field(
        default=None,
        description="a folder for the slices themselves, aligned and prepared, as TIFF files",
        examples=["aligned"],
    )
    depth_colour: Text | None = Field(
        default=None, description="the depth map in colours, red in front", examples=["depth.png"]
    )
    between_slices: Switch | None = Field(
        default=None,
        description="depth between slices; default: with method multiscale, and with the masks and the cut of the "
        "preset",
        examples=[True],
    )
    sharpen_between: Annotated[float, Strict(), Field(ge=0, le=100)] | None = Field(
        default=None,
        description="undo so much of the blur of what lies between two slices, percent; default: 100 with method "
        "multiscale, and with the masks and the cut of the preset, where the depth is found between slices, else 0",
        examples=[50],
    )
    dtype: Literal["input", "uint8", "uint16", "float32"] = Field(default="input", description="type of its pixels")
    pyramid: Literal["auto", "none"] | tuple[CountPerAxis, ...] = Field(
        default="auto", description="levels of OME-Zarr and OME-TIFF"
    )
    folder: Text = Field(default=".", description="where a default name goes", examples=["results"])
    basename: Annotated[str, Strict()] = Field(default="", description="beginning of a default name", examples=["moss"])
    long_name: Switch = Field(default=False, description="append the options to a default name")
    suffix: Literal[".tif", ".png", ".jpg", ".ome.zarr"] = Field(default=".tif", description="of a default name")
    overwrite: Switch = Field(default=False, description="replace an output that was made with other settings")


class Focus(Model):
    """Focus stacking: one sharp picture from a stack."""

    input: Text = Field(
        default="fused",
        description="fused, or the path of an OME-Zarr, a TIFF stack or a folder of images",
        examples=["volume.ome.zarr"],
    )
    axis: Literal["x", "y", "z"] = Field(default="z", description="axis along which the focus changes")
    method: Literal["multiscale", "masks"] | None = Field(
        default=None,
        description="multiscale, or masks made by operators; default: multiscale, masks where operators of masks, "
        "colorspace, mask_size or substacks are named, or slices have an opacity",
    )
    multiscale: Multiscale | None = Field(
        default=None, description="options of method multiscale, which they ask for", examples=[{"levels": 6}]
    )
    reverse: Switch = Field(default=False, description="slices are ordered from back to front")
    reference_channel: Id | None = Field(
        default=None,
        description="channel that the masks are built from; they are applied to all channels",
        examples=[0],
    )
    align: Annotated[
        Align | None, BeforeValidator(switch("{model: rigid}"), json_schema_input_type=bool | Align | None)
    ] = Field(
        default=None, description="bring the slices over one another first: false, true, or options", examples=[True]
    )
    prepare: Preparations = Field(
        default=(),
        description="operators applied to the slices first: crop, shave, resize, rotate, gamma, level, "
        "contrast_stretch, sigmoidal, sharpen, compose",
        examples=[[{"shave": {"x": 20, "y": 20}}, {"level": {}}]],
    )
    options: Text | tuple[Text, ...] | None = Field(
        default=None,
        description="imfuse's option string, instead of masks, merge, cut and final",
        examples=["--blur=s1,S2 --statistic=r4 --maskwave=p20 --cutless=p20"],
    )
    colorspace: Colorspace = Field(
        default=unsaid(Colorspace), description="what the generators look at", examples=[{"space": "Lab", "channel": 0}]
    )
    mask_size: MaskSize | None = Field(
        default=None, description="make the masks at another size", examples=[{"percent": 50}]
    )
    masks: Generators | None = Field(
        default=None,
        description="operators that say how sharp each pixel is; default: a preset, []: none, the background alone",
        examples=[[{"blur": {"sigma": 1, "sigma2": 2}}, {"statistic": {"window": 4}}]],
    )
    merge: MaskOperators | None = Field(
        default=None,
        description="operators applied to the merged mask; default: those of the preset, none with masks",
        examples=[[{"wave": {"percent": 20}}]],
    )
    cut: CutOperators | None = Field(
        default=None,
        description="operators applied to the cut mask of every slice; default: those of the preset, none with masks",
        examples=[[{"less": {"percent": 20}}]],
    )
    final: FinalOperators | None = Field(
        default=None,
        description="operators applied to the sharp picture; default: those of the preset, none with masks",
        examples=[[{"sharpen": {}}]],
    )
    background: tuple[Text, ...] | None = Field(
        default=None,
        description="what is painted where nothing is sharp: a colour, transparent, enfuse, wave, wavedark, or an "
        "image of the stack such as max; several are painted in order; default: that of the preset; with masks, "
        "transparent in photographs and max in volumes",
        examples=[["enfuse"]],
    )
    substacks: tuple[Substacks, ...] = Field(
        default=(),
        description="ranges of slices that are focused by themselves and painted over one another",
        examples=[[{"number": 3, "radius": 1}]],
    )
    retouch: tuple[Retouch, ...] = Field(
        default=(), description="areas of the picture that are shown as in one slice, blended in without a border"
    )
    layered: Switch = Field(default=False, description="a TIFF of pages: the picture, backgrounds, substacks")
    statistics: Statistics = Field(
        default=unsaid(Statistics), description="statistics of the whole stack", examples=[{"save": "moss.json"}]
    )
    output: FocusOutput = Field(default=unsaid(FocusOutput), description="what is written")
    tune: Tune | None = Field(default=None, description="sets of these settings that fusestack tune tries")

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        """Turn the option string into the lists that it stands for."""
        if not isinstance(value, dict):
            return value
        split = "options" in value and any(key not in cls.model_fields and value[key] is None for key in value)
        if split or any("--" in str(key) for key in value):
            raise _contradiction([("options", "put quotes around the string: in braces, a comma begins another key")])
        empty = set(cls.model_fields) - {"background"}
        value = {key: one for key, one in value.items() if one is not None or key not in empty}
        if isinstance(value.get("background"), str | dict):
            value["background"] = [value["background"]]
        if isinstance(value.get("background"), list | tuple):
            value["background"] = [_name_of(one) for one in value["background"]]
        if isinstance(value.get("substacks"), dict):
            value["substacks"] = [value["substacks"]]
        options = value.get("options")
        words = [options] if isinstance(options, str) else options
        if not words or not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            return value
        from fusestack.config.optionstring import parse_options

        try:
            found = parse_options(options)
        except ValueError as error:
            raise _contradiction([("options", str(error))]) from error
        twice = [key for key in _SPELLED if value.get(key) and (key in found or key in _SPELLED[:4])]
        if twice:
            raise _contradiction(
                [("options", f"says the same as {', '.join(twice)}; use either the string or the lists")]
            )
        if "background" in found and "multiscale" not in (*found, *value) and value.get("method") != "multiscale":
            found.setdefault("masks", [])  # as imfuse: a background without masks is all that is painted
        if isinstance(value.get("output"), dict):
            found["output"] = found.get("output", {}) | value["output"]
        return {key: one for key, one in value.items() if key != "options"} | found

    @property
    def mixing(self) -> Multiscale | None:
        """Options of method multiscale; None where masks are made: where their operators are named."""
        if self.multiscale is not None:
            return self.multiscale
        hides = bool(self.substacks) and not self.layered  # what is blurred in one of them must be transparent
        if self.method == "masks" or self._mask_operators or (self.method is None and (self._mask_options or hides)):
            return None
        return Multiscale()

    @property
    def _mask_operators(self) -> list[str]:
        return [key for key in ("masks", "merge", "cut") if getattr(self, key) is not None]

    @property
    def _mask_options(self) -> list[str]:
        named = {"colorspace": self.colorspace != Colorspace(), "mask_size": self.mask_size is not None}
        return [key for key, is_named in named.items() if is_named]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse weights that leave nothing, and what only the other method has."""
        if self.mixing is not None:
            if self.method == "masks":
                yield "multiscale", "these are options of method multiscale, the method is masks; remove one of them"
            for key in (*self._mask_operators, *self._mask_options):
                yield key, "belongs to method masks, the method is multiscale; remove it, or use method masks"
        masks = self.masks or ()
        weights = [mask.weight for mask in masks if mask.weight is not None]
        rest = 100 - sum(weights)
        if rest < 0:
            yield "masks", f"the weights add up to {sum(weights):g} percent; lower them to 100 or less"
        elif len(weights) < len(masks) and rest < len(masks) - len(weights):
            yield "masks", "the weights leave nothing for the masks without a weight; lower them"


def _name_of(background: Any) -> Any:
    """``{wave: {}}`` is ``wave``, too, as operators are written."""
    if isinstance(background, dict) and len(background) == 1 and not next(iter(background.values())):
        return next(iter(background))
    return background


def _contradiction(found: list[tuple[str, str]]) -> PydanticCustomError:
    text = "; ".join(f"{key}: {sentence}" for key, sentence in found)
    return PydanticCustomError("contradiction", "{text}", {"text": text, "found": found})
