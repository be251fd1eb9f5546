"""Units of length: one for several things, or none."""

from __future__ import annotations

import pytest

from fusestack.model.errors import InputError
from fusestack.model.units import common_unit, conversion


def test_units_are_converted_to_the_first_one() -> None:
    assert conversion("nanometer", "micrometer") == 0.001
    assert conversion("inch", "millimeter") == 25.4
    unit, factors = common_unit({"a": "um", "b": "NM", "c": "µm", "d": "mm"})
    assert (unit, factors) == ("um", {"a": 1.0, "b": 0.001, "c": 1.0, "d": 1000.0})
    assert common_unit({}) == (None, {})
    assert common_unit({"a": None, "b": "pixels"}) == (None, {"a": 1.0, "b": 1.0})
    assert common_unit({"a": "furlong", "b": "Furlong"})[1] == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("other", [None, "px", "furlong"])
def test_units_that_cannot_be_converted_are_refused_by_name(other: str | None) -> None:
    with pytest.raises(InputError, match=r"tile 7.*tile 0.*micrometer"):
        common_unit({"tile 0": "um", "tile 7": other})
