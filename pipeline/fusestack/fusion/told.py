"""What people should know of the files of a run, in few lines however many files there are."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_ALIKE = 3
_NUMBER = re.compile(r"-?\d[\d.e+-]*")


@dataclass
class Told:
    """What people should know of the files: sentences, and what was taken from where, each with the files it is of."""

    said: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    found: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def warnings(self) -> tuple[str, ...]:
        """A sentence for all files of which the same is said; of many that differ in numbers only, the first ones."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for sentence in self.said:
            kinds[_NUMBER.sub("0", sentence)].append(sentence)
        lines: list[str] = []
        for alike in kinds.values():
            lines += [f"{_few(self.said[sentence])}: {sentence}" for sentence in alike[:_MOST_ALIKE]]
            if others := [file for sentence in alike[_MOST_ALIKE:] for file in self.said[sentence]]:
                lines[-1] += f" ({_few(others)}: the same with other numbers)"
        return tuple(lines)

    def facts(self) -> tuple[str, ...]:
        """``position: OME-XML of tile0.ome.tif``, one line for each kind of file."""
        return tuple(
            f"{what}: {where}" + (f" ({_few(files)})" if what == "axes" or not where else f" of {_few(files)}")
            for (what, where), files in self.found.items()
        )


def _few(files: Sequence[str]) -> str:
    listed = list(dict.fromkeys(files))
    more = len(listed) - 1
    return listed[0] + (f" and {more:,} more" if more else "")
