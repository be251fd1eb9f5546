"""The section ``focus``: from a stack to one sharp image, its mask and its depth map.

Structure only: names and options of operators are checked where the operators are declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fusestack.config.values import CountPerAxis, Id, Model, Switch, Text, not_allowed, switch

if TYPE_CHECKING:
    from collections.abc import Iterator


def _operator(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1 or not isinstance(next(iter(value.values())), dict | None):
        raise not_allowed("an operator, a mapping with one key such as {wave: {percent: 20}}")
    return {name: options or {} for name, options in value.items()}


Operator = Annotated[dict[str, dict[str, Any]], BeforeValidator(_operator)]
"""Name of an operator and its options."""
Operators = tuple[Operator, ...]


class Align(Model):
    """How the slices are brought over one another."""

    model: Literal["translation", "rigid", "similarity", "affine"] = Field(
        default="affine", description="what may move"
    )
    reference: Literal["first", "middle", "last"] | Id = Field(
        default="middle", description="slice that stays where it is"
    )
    crop: Switch = Field(default=True, description="cut away what not every slice covers")
    exposure: Switch = Field(default=False, description="also adjust the brightness")


class Statistics(Model):
    """Levels and histograms of a whole stack, kept so that a crop gives the same pixels."""

    save: Text | None = Field(default=None, description="file to keep them in")
    use: Text | None = Field(default=None, description="file to take them from")


class FocusOutput(Model):
    """What is written; the suffix chooses OME-Zarr, TIFF, PNG or JPEG."""

    path: Text = Field(description="the sharp image")
    mask: Text | None = Field(default=None, description="the final mask")
    depth: Text | None = Field(default=None, description="the depth map")
    pyramid: Literal["auto", "none"] | tuple[CountPerAxis, ...] = Field(default="auto", description="levels")


class Focus(Model):
    """Focus stacking: one sharp image from a stack."""

    input: Text = Field(
        default="fused", description="fused, or the path of an OME-Zarr, a TIFF stack or a folder of images"
    )
    axis: Literal["x", "y", "z"] = Field(default="z", description="axis along which the focus changes")
    reference_channel: Id | None = Field(
        default=None, description="channel that the masks are built from; they are applied to all channels"
    )
    align: Annotated[
        Align | None, BeforeValidator(switch("{model: affine}"), json_schema_input_type=bool | Align | None)
    ] = Field(default=None, description="bring the slices over one another first: false, true, or options")
    prepare: Operators = Field(
        default=(), description="operators applied to the slices first: crop, shave, resize, gamma ..."
    )
    options: Text | None = Field(
        default=None, description="imfuse's option string, instead of masks, merge, cut and final"
    )
    masks: Operators = Field(default=(), description="operators that say how sharp each pixel is")
    merge: Operators = Field(default=(), description="operators applied to the merged mask")
    cut: Operators = Field(default=(), description="operators applied to the cut mask of every slice")
    final: Operators = Field(default=(), description="operators applied to the sharp image")
    background: Text | Operator | tuple[Text | Operator, ...] | None = Field(
        default=None, description="what is painted where nothing is sharp"
    )
    substacks: dict[str, Any] | tuple[dict[str, Any], ...] | None = Field(
        default=None, description="ranges of slices that are focused by themselves and painted over one another"
    )
    statistics: Statistics = Field(default=Statistics(), description="statistics of the whole stack")
    output: FocusOutput | None = Field(default=None, description="what is written")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Refuse operators that are written twice."""
        spelled_out = [key for key in ("masks", "merge", "cut", "final") if getattr(self, key)]
        if self.options and spelled_out:
            yield "options", f"says the same as {', '.join(spelled_out)}; use either the string or the lists"
