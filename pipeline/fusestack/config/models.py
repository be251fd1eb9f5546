"""The configuration, version 1: every section, key, default and limit in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Strict, model_validator

from fusestack.config.execution import Cache, Execution
from fusestack.config.functions import Method, OwnFunction, PlainMethod
from fusestack.config.output import Output  # noqa: TC001 - pydantic
from fusestack.config.values import (
    Array,
    Elsewhere,
    Id,
    Model,
    NotNegative,
    Number,
    NumberPerAxis,
    Numbers,
    Pairs,
    Positive,
    PositivePerAxis,
    Switch,
    Text,
    WholePerAxis,
    needs_path,
    switch,
    unsaid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fusestack.config.focus import Focus
else:
    Focus = Annotated[Any, Elsewhere("fusestack.config.focus", "Focus")]


class ViewInput(Model):
    """A file and where its pixels are."""

    model_config = ConfigDict(json_schema_extra=needs_path)

    path: Text = Field(
        default="",
        description="TIFF, OME-TIFF, OME-Zarr; what is not said here comes from it",
        examples=["tile0.ome.tif"],
    )
    array: Array = Field(default=None, description="from Python: instead of path, an array [z, y, x] or [y, x]")
    affine: Annotated[tuple[Number, ...], Field(min_length=12, max_length=12)] | None = Field(
        default=None,
        description="3x4 matrix, row-major, x, y, z: pixel index to world pixels; default: the file's place",
        examples=[[1, 0, 0, 920.5, 0, 1, 0, 0, 0, 0, 1, 0]],
    )
    translation: NumberPerAxis | None = Field(
        default=None,
        description="world pixels; instead of affine; default: as the file says",
        examples=[{"x": 920.5, "y": 0, "z": 0}],
    )
    voxel_size: PositivePerAxis | None = Field(
        default=None,
        description="physical size of a pixel; default: as the file says",
        examples=[{"x": 0.406, "y": 0.406, "z": 2}],
    )
    unit: Text | None = Field(
        default=None, description="unit of voxel_size, such as micrometer", examples=["micrometer"]
    )
    timepoint: Id | None = Field(
        default=None,
        description="timepoint; also the index along t in files that hold several; default: all",
        examples=[0],
    )
    channel: Id | None = Field(
        default=None,
        description="channel; also the index along c in files that hold several; default: all",
        examples=[1],
    )
    illumination: Id = Field(default=0, description="illumination direction")
    angle: Id = Field(default=0, description="angle")
    tile: Id = Field(default=0, description="tile")
    no_data: Number | None = Field(
        default=None, description="value of the pixels where nothing was recorded; default: input.no_data", examples=[0]
    )
    series: Id | None = Field(default=None, description="image of a file that holds several", examples=[0])
    axes: Annotated[Text, Field(pattern="^[tczyx]+$")] | None = Field(
        default=None,
        description="axes of the file's array, slowest first, such as zyx; default: what the file says",
        examples=["tyx"],
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse two placements, and anything but one source."""
        if self.array is None and not self.path:
            yield "path", "is missing, but needed here"
        if self.array is not None and self.path:
            yield "array", "the view has a path already; use one of both"
        if self.affine is not None and self.translation is not None:
            yield "translation", "the view has an affine already; use one of both"


class Select(Model):
    """Which views take part; all conditions must hold. None stands for all."""

    timepoints: Numbers = Field(
        default=None, description="all, a list, or a pattern such as 0-3,5 or 0-6:3", examples=["0-3"]
    )
    channels: Numbers = Field(default=None, description="all, a list, or a pattern", examples=[[0, 2]])
    illuminations: Numbers = Field(default=None, description="all, a list, or a pattern", examples=[[0]])
    angles: Numbers = Field(default=None, description="all, a list, or a pattern", examples=[[0, 180]])
    tiles: Numbers = Field(default=None, description="all, a list, or a pattern", examples=["0-5"])
    setups: Numbers = Field(default=None, description="all, a list, or a pattern", examples=[[0, 1]])
    views: Pairs = Field(default=None, description="all, or pairs [timepoint, setup]", examples=[[[0, 3], [0, 4]]])


class Input(Model):
    """What is read: exactly one of project, views, images."""

    project: Text | None = Field(
        default=None, description="BigDataViewer or BigStitcher project (XML)", examples=["dataset.xml"]
    )
    views: Annotated[tuple[ViewInput, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="files with their placement",
        examples=[[{"path": "tile0.ome.tif"}, {"path": "tile1.ome.tif"}]],
    )
    images: Text | Annotated[tuple[Text, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="focus stack of plain images, natural order, front to back: pattern such as *.jpg, or list; with / "
        "at the end (*/), each folder is a stack of its own",
        examples=["moss/*.jpg"],
    )
    no_data: Number | None = Field(
        default=None,
        description="value of the pixels of views where nothing was recorded, such as 0 for padding",
        examples=[0],
    )
    reverse: Switch = Field(default=False, description="images are ordered from back to front")
    select: Select = Field(default=unsaid(Select), description="which views take part", examples=[{"channels": [0]}])

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse none or several sources, and options of another source."""
        given = [key for key in ("project", "views", "images") if getattr(self, key) is not None]
        if not given:
            yield "", "names no source; give one of project, views, images"
        for key in given[1:]:
            yield key, f"there is input.{given[0]} already; give exactly one of project, views, images"
        if self.reverse and self.images is None:
            yield "reverse", "only for images; remove it"
        if self.no_data is not None and self.images is not None:
            yield "no_data", "only for project and views, images have no such value; remove it"
        if self.select != unsaid(Select) and self.images is not None:
            yield "select", "images have no views to select; remove it"


class Corners(Model):
    """A box of world pixels; the maximum is included."""

    min: WholePerAxis = Field(description="first pixel", examples=[{"x": 0, "y": 0, "z": 0}])
    max: WholePerAxis = Field(description="last pixel", examples=[{"x": 511, "y": 511, "z": 99}])

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse empty boxes."""
        for axis, low, high in zip("xyz", self.min.xyz, self.max.xyz, strict=True):
            if high < low:
                yield "max", f"{axis}: {high} is below the minimum {low}; the box would be empty"


class Blending(Model):
    """Fade of a view towards its borders, in pixels of the fused image."""

    model_config = ConfigDict(serialize_by_alias=True)

    range: Positive = Field(default=40.0, description="width of the fade")
    border: NotNegative = Field(default=0.0, description="width of the dark rim outside the fade")
    source: Literal["views", "data"] = Field(
        default="views",
        alias="from",
        description="borders of the views, or also those of their data (input.no_data, NaN)",
    )


class ContentBased(Model):
    """Weights by local contrast, in pixels of the input."""

    sigma1: Positive = Field(default=20.0, description="sigma of the local mean")
    sigma2: Positive = Field(default=40.0, description="sigma of the smoothed weight")


class IntensityAdjustment(Model):
    """Linear correction of the intensities of every view."""

    coefficients: Text | None = Field(
        default=None,
        description="container of coefficient maps (N5, Zarr, HDF5); default: the models of the project",
        examples=["maps.n5"],
    )
    group: Annotated[str, Strict()] = Field(
        default="", description="group of the maps in their container", examples=["coefficients"]
    )
    dataset: Text = Field(default="intensity", description="name of the map of each view")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse places inside a container that is not there."""
        if self.coefficients is None:
            for key, default in (("group", ""), ("dataset", "intensity")):
                if getattr(self, key) != default:
                    yield key, "only with coefficients; remove it, or give coefficients: PATH"


class Fusion(Model):
    """How views become one image."""

    bounding_box: Text | Corners = Field(
        default="all_views",
        description="all_views, selected_views, a name in the project, or {min, max} in world pixels",
        examples=[{"min": 0, "max": {"x": 511, "y": 511, "z": 99}}],
    )
    group_by: Literal["timepoint_channel", "timepoint_channel_illumination", "all", "view"] = Field(
        default="timepoint_channel", description="produce one fused image for each"
    )
    method: Method = Field(
        default="average",
        description="what is made of the views that cover a pixel; module:function of your own",
        examples=["closest_pixel"],
    )
    weights: OwnFunction | None = Field(
        default=None, description="module:function of your own: further weights", examples=["my_module:weigh"]
    )
    mask_offset: NumberPerAxis = Field(
        default=NumberPerAxis(x=0.0, y=0.0, z=0.0),
        description="method mask: by how many input pixels views are widened",
        examples=[2],
    )
    background: Annotated[float, Field(strict=True, allow_inf_nan=True)] = Field(
        default=0.0, description="value where no view covers; .nan with dtype float32", examples=[100]
    )
    blending: Annotated[
        Blending | None,
        BeforeValidator(switch("{range: 40, border: 0}"), json_schema_input_type=bool | Blending | None),
    ] = Field(
        default=unsaid(Blending),
        description="fade views towards their borders: false, true, or options",
        examples=[{"range": 20}],
    )
    content_based: Annotated[
        ContentBased | None,
        BeforeValidator(switch("{sigma1: 20, sigma2: 40}"), json_schema_input_type=bool | ContentBased | None),
    ] = Field(default=None, description="prefer the sharper view: false, true, or options", examples=[True])
    interpolation: Literal["linear", "nearest"] = Field(default="linear", description="between the pixels of a view")
    downsampling: Positive = Field(
        default=1.0, description="world pixels in one pixel of the fused image, along every axis", examples=[2]
    )
    preserve_anisotropy: Switch | Positive = Field(
        default=False,
        description="keep z coarser than x and y: false, true (factor from the voxel sizes), or a factor",
        examples=[True],
    )
    dtype: Literal["input", "uint8", "uint16", "float32"] = Field(
        default="input", description="pixel type of the output"
    )
    rounding: Literal["half_up", "down"] = Field(
        default="half_up", description="integer output: half_up as BigStitcher computes, down as its manual says"
    )
    intensity_range: Literal["auto"] | tuple[Number, Number] = Field(
        default="auto",
        description="auto, or [min, max] that is mapped to the whole range of an integer dtype",
        examples=[[100, 4000]],
    )
    intensity_adjustment: Annotated[
        IntensityAdjustment | None,
        BeforeValidator(switch("{coefficients: PATH}"), json_schema_input_type=bool | IntensityAdjustment | None),
    ] = Field(
        default=None,
        description="correct the intensity of every view: false, true (models of the project), or options",
        examples=[True],
    )
    numerics: Literal["exact", "bigstitcher"] = Field(
        default="exact", description="exact, or equal numbers to BigStitcher's"
    )

    @property
    def plain_method(self) -> PlainMethod:
        """The method; of a function of the user's the one that weighs views as it is told: average."""
        return "average" if isinstance(self.method, OwnFunction) else self.method

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse values that the pixel type or the method cannot have."""
        if self.background != self.background and self.dtype != "float32":
            yield "background", f".nan needs fusion.dtype float32, it is {self.dtype}; use a number or that dtype"
        if abs(self.background) == float("inf"):
            yield "background", "is infinite; use a finite number, or .nan with dtype float32"
        if self.intensity_range != "auto" and self.intensity_range[0] >= self.intensity_range[1]:
            yield "intensity_range", "its maximum must be greater than its minimum"
        if self.method != "mask" and any(self.mask_offset.xyz):
            yield "mask_offset", f"only for method mask, the method is {self.method}; remove it"
        if self.blending is not None and self.blending.source == "data":
            if self.plain_method != "average":
                yield (
                    "blending.from",
                    f"data is only for method average or one of your own, not {self.method}; remove it",
                )
            if self.numerics != "exact":
                yield "blending.from", "data is unknown to BigStitcher; remove it, or use numerics: exact"
            if self.content_based is not None:
                yield "blending.from", "data is not possible with content_based; remove one of both"
        for key in ("content_based", "weights"):
            if self.plain_method != "average" and getattr(self, key) is not None:
                yield key, f"only for method average or one of your own, the method is {self.method}; remove it"


class Config(Model):
    """A fusestack configuration."""

    version: Literal[1] = Field(default=1, description="version of this format")
    input: Input | None = Field(default=None, description="what is read; needed unless focus.input names a stack")
    fusion: Fusion = Field(default=unsaid(Fusion), description="how views become one image")
    output: Output | None = Field(default=None, description="what is written")
    focus: Focus | None = Field(default=None, description="focus stacking of the fused image, or of images")
    execution: Execution = Field(default=unsaid(Execution), description="who computes")
    cache: Cache = Field(default=unsaid(Cache), description="where the results of stages are kept")

    @model_validator(mode="before")
    @classmethod
    def _skip_empty_sections(cls, value: Any) -> Any:
        """Take a section all of whose keys are commented out as left out."""
        if not isinstance(value, dict):
            return value
        return {key: section for key, section in value.items() if section is not None}

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse sections that need one another."""
        stack = self.focus is not None and self.focus.input != "fused"
        if self.input is None and not stack:
            yield "input", "is missing, but needed here; give input.project, input.views or input.images"
        if self.input is not None and self.input.images is not None and stack:
            yield "focus.input", "there is input.images already; give one of them"
        if self.output is not None and self.output.append and (self.input is None or self.input.project is None):
            yield "output.append", "there is no input.project to add the images to; use output.project"
