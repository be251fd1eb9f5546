"""Where slices lie over one another: found or given, kept as a file, and cut to what all of them cover."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.aligning.motions import move
from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.focus.aligning.motions import Matrix

FORMAT = "fusestack transforms"


@dataclass(frozen=True)
class SliceMotion:
    """Where a slice lies.

    Parameters
    ----------
    name : str
    matrix : float64[3, 3]
        From its pixels (x, y, 1) to those of the reference.
    gains : float64[c]
        By what its colours are multiplied.
    points : int
        Details that say so; 0 where nothing does.
    error : float
        Pixels by which they are off, the median.
    """

    name: str
    matrix: Matrix
    gains: NDArray[np.float64]
    points: int = 0
    error: float = 0.0


@dataclass(frozen=True)
class Alignment:
    """How slices lie over one another.

    Parameters
    ----------
    model : str
    reference : int
        Slice that stays where it is.
    size : (int, int)
        Columns and rows of the slices.
    slices : tuple of SliceMotion
    said : tuple of str
        For people.
    """

    model: str
    reference: int
    size: tuple[int, int]
    slices: tuple[SliceMotion, ...]
    said: tuple[str, ...] = ()

    def covered(self) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of a part of the reference that all slices cover; no part if they cross."""
        right, bottom = (n - 1.0 for n in self.size)
        edges = np.array([0.0, 0.0, right, bottom])
        corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]])
        for one in self.slices:
            places = np.sort(move(one.matrix, corners), axis=0)  # two corners at each side, also of what is turned
            edges[:2] = np.maximum(edges[:2], places[1])
            edges[2:] = np.minimum(edges[2:], places[2])
        left, top = (int(n) for n in np.ceil(edges[:2] - 1e-6))
        end, low = (int(n) + 1 for n in np.floor(edges[2:] + 1e-6))
        return top, low, left, end

    def facts(self) -> dict[str, Any]:
        """As a file has it."""
        slices = [
            {
                "name": one.name,
                "matrix": [[_short(value) for value in row] for row in one.matrix],
                "gains": [_short(value) for value in one.gains],
                "points": one.points,
                "error": round(one.error, 4),
            }
            for one in self.slices
        ]
        return {
            "model": self.model,
            "reference": self.reference,
            "size": list(self.size),
            "slices": slices,
            "said": list(self.said),
        }


def alignments_file(stacks: Sequence[Alignment], made_of: str) -> bytes:
    """The file of the alignments of all timepoints; `made_of` is the fingerprint of slices and options."""
    made = {
        "format": FORMAT,
        "version": 1,
        "about": "matrix: from pixels (x, y, 1) of a slice to those of the reference; gains multiply its colours",
        "made_of": made_of,
        "stacks": [one.facts() for one in stacks],
    }
    return (json.dumps(made, indent=1) + "\n").encode()


def alignments_of(content: bytes, path: str) -> tuple[list[Alignment], str]:
    """Read what `alignments_file` made, and of what it was made.

    Raises
    ------
    InputError
        If it is something else.
    """
    try:
        found = json.loads(content)
        if found["format"] != FORMAT or found["version"] != 1:
            raise ValueError(f"format {found['format']!r}, version {found['version']!r}")
        return [_alignment(one) for one in found["stacks"]], str(found.get("made_of", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: holds no transforms of slices ({type(error).__name__}: {error}); let focus.align make it"
        ) from error


def _alignment(facts: dict[str, Any]) -> Alignment:
    columns, rows = (int(n) for n in facts["size"])
    slices = tuple(
        SliceMotion(
            str(one.get("name", "")),
            _matrix(one["matrix"]),
            np.array(one.get("gains", [1.0]), float),
            int(one.get("points", 0)),
            float(one.get("error", 0)),
        )
        for one in facts["slices"]
    )
    said = tuple(map(str, facts.get("said", ())))
    return Alignment(str(facts.get("model", "given")), int(facts.get("reference", 0)), (columns, rows), slices, said)


def _matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    found = np.array(rows, float)
    if found.shape == (2, 3):
        found = np.vstack([found, [0, 0, 1]])
    if found.shape != (3, 3) or not np.isfinite(found).all() or abs(np.linalg.det(found)) < 1e-9:
        raise ValueError("a matrix is not 3 x 3 (or 2 x 3), or cannot be inverted")
    return np.asarray(found / found[2, 2])


def _short(value: float) -> float:
    return float(f"{value:.12g}")
