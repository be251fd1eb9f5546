"""The section ``focus.tune``: which sets of focus settings are tried, on which part of the stack."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fusestack.config.values import Count, Id, Model, Text


def _flat(value: Any) -> Any:
    """``cutless: {percent: [10, 20]}`` is ``cutless.percent: [10, 20]``, too."""
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            found |= {f"{key}.{name}": one for name, one in _flat(inner).items()}
        else:
            found[str(key)] = inner
    return found


Values = Annotated[tuple[Any, ...], Field(min_length=1)]


SIDE = 768
"""Pixels of a part along y and x, where nobody says how large it is."""


class Crop(Model):
    """A part of the slices, in pixels."""

    x: Id = Field(default=0, description="first column")
    y: Id = Field(default=0, description="first row")
    width: Count = Field(default=SIDE, description="columns")
    height: Count = Field(default=SIDE, description="rows")


class Tune(Model):
    """Sets of focus settings that are tried on a crop, for fusestack tune; a run does not look at it."""

    options: tuple[Text | dict[str, Any], ...] = Field(
        default=(),
        description="sets, each an option string, or keys of focus such as {method: multiscale}; default: what focus "
        "says",
        examples=[["--multiscale", {"method": "masks"}]],
    )
    vary: Annotated[dict[str, Values], BeforeValidator(_flat)] = Field(
        default={},
        description="values of options, such as cutless.percent: [10, 20, 30]; every set with every combination",
        examples=[{"multiscale.levels": [4, 5, 6]}],
    )
    crop: Literal["auto"] | Crop = Field(
        default="auto",
        description="part of the slices; auto: where the depth has most edges",
        examples=[{"x": 900, "y": 300}],
    )
    truth: Text | None = Field(
        default=None,
        description="a picture that is as it should be, as large as the slices: PSNR and SSIM are told",
        examples=["true.tif"],
    )
