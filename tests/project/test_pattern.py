from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.project.pattern import parse_integer_pattern

RANGES = st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(1, 50))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0-6:3,9", (0, 3, 6, 9)),
        ("", (0,)),
        ("  ", (0,)),
        ("7", (7,)),
        ("2-4", (2, 3, 4)),
        ("4-2", (4, 3, 2)),
        ("9-3:3", (9, 6, 3)),
        ("10-3:3", (10, 7, 4)),
        ("5-5", (5,)),
        (" 1 , 3 - 5 : 2 ", (1, 3, 5)),
        ("3,1,3,1-2", (3, 1, 2)),
        ("007", (7,)),
    ],
)
def test_forms(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_integer_pattern(text) == numbers


@pytest.mark.parametrize(
    "text", ["-1", "1-", "a", "1,,2", "1,", "1.5", "1:2", "0-4:0", "1-2-3", "1 2", "1_0", "٣", "9" * 10, "0-9999999"]
)
def test_what_is_no_pattern_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|step of 0|more than 1,000,000"):
        parse_integer_pattern(text)


@given(st.lists(RANGES, min_size=1, max_size=5))
def test_stands_for_the_union_of_its_ranges(ranges: list[tuple[int, int, int]]) -> None:
    text = ",".join(f"{first}-{last}:{step}" for first, last, step in ranges)
    expected: list[int] = []
    for first, last, step in ranges:
        sign = 1 if last >= first else -1
        expected += [n for n in range(first, last + sign, sign * step) if n not in expected]
    assert list(parse_integer_pattern(text)) == list(dict.fromkeys(expected))


@given(st.text(max_size=20))
def test_any_text_gives_numbers_or_a_value_error(text: str) -> None:
    try:
        numbers = parse_integer_pattern(text)
    except ValueError:
        return
    assert all(n >= 0 for n in numbers)
