"""Integer patterns: the short way in which projects and configurations list ids."""

from __future__ import annotations

import itertools
import re

LIMIT = 1_000_000
"""Most integers that one pattern may stand for."""

_PART = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*(?::\s*(\d{1,9})\s*)?)?", re.ASCII)


def parse_integer_pattern(text: str) -> tuple[int, ...]:
    """Integers that a pattern such as ``0-6:3,9`` stands for: ``(0, 3, 6, 9)``.

    Negative numbers cannot be written. Nothing is sorted; what is named twice is given once.

    Parameters
    ----------
    text : str
        Comma list of ``n``, ``a-b`` and ``a-b:step``, both ends included, also downwards; empty stands for 0.

    Raises
    ------
    ValueError
        If a part is none of these, a step is 0, or there are more than a million integers.

    Notes
    -----
    spimdata's ``IntegerPattern.parseIntegerString``.

    Examples
    --------
    >>> parse_integer_pattern("0-6:3,9")
    (0, 3, 6, 9)
    >>> parse_integer_pattern("5-3")
    (5, 4, 3)
    """
    if not text.strip():
        return (0,)
    ranges = [_range_of(part) for part in text.split(",")]
    if sum(map(len, ranges)) > LIMIT:
        raise ValueError(f"'{text}' stands for more than {LIMIT:,} numbers")
    return tuple(dict.fromkeys(itertools.chain.from_iterable(ranges)))


def _range_of(part: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"'{part.strip()}' is not a pattern of whole numbers such as 4, 0-6 or 0-6:3")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    step = 1 if match[3] is None else int(match[3])
    if step == 0:
        raise ValueError(f"'{part.strip()}' has a step of 0")
    return range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
