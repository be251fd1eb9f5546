"""The final operators on a picture, and the statistics that they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack.focus.blocks import BYTES, BlockWise, in_blocks, in_planes, read_planes
from fusestack.focus.lowpass import transformed_whole
from fusestack.focus.montage import PICTURE_PLANES, planes_of
from fusestack.focus.region import Region
from fusestack.focus.statistics import Bands, BandStatistic
from fusestack.model.stage import Along
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.recipe import StackRecipe
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.base import Place
    from fusestack.operators.finals import FinalOperator
    from fusestack.planning.plan import Statistic

    Planes = NDArray[np.float32]
    Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class FinalChain:
    """Final operators one after the other: the block function of final pictures.

    Parameters
    ----------
    operators : tuple of FinalOperator
    planes : int
        Planes of the picture; what follows is handed on.
    """

    operators: tuple[FinalOperator, ...]
    planes: int

    @property
    def depth(self) -> int | None:
        """The halos of all operators; None where one sees whole planes."""
        if any(operator.needs_whole_plane for operator in self.operators):
            return None
        return sum(operator.halo() for operator in self.operators)

    def __call__(self, planes: Planes, known: list[list[Numbers]], place: Place) -> Planes:
        """Transform picture planes float32[plane, y, x], with the statistics that each operator needs."""
        picture = Picture.unpacked(planes[: self.planes])
        for operator, statistics in zip(self.operators, known, strict=True):
            picture = operator.apply(picture, statistics)
        return np.concatenate([picture.packed(), planes[self.planes :]])


@dataclass(frozen=True)
class FinalPicture(BlockWise):
    """A picture [t, m, plane, y, x] after some final operators.

    Parameters
    ----------
    picture : StoredArray
    statistics : tuple of tuple of Statistic
        What each operator needs.
    """

    function: FinalChain
    picture: StoredArray
    statistics: tuple[tuple[Statistic, ...], ...]

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Planes, list[list[Numbers]]]:
        """All planes, and statistics."""
        planes = read_planes(self.picture, t, m, (0, self.picture.shape[2]), region)
        return planes, [[one.of(t, m) for one in known] for known in self.statistics]

    def reaches(self) -> dict[StoredArray, Reach]:
        """All planes, with the halo of the operators."""
        halo = self.halo
        return {self.picture: (Along(), Along(), None, halo, halo)}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: the picture before and after, and the work of an operator."""
        return BYTES * self.outer_pixels(block) * 6 * block[2]


@dataclass(frozen=True)
class PictureStatistic(BandStatistic):
    """One measure of a final operator, of each band of a picture [t, m, plane, y, x].

    Parameters
    ----------
    picture : StoredArray
    planes : int
        Planes of the picture; others may follow.
    bands : Bands
    operator : FinalOperator
    number : int
        Of the measure.
    known : tuple of Statistic
        The measures before.
    """

    picture: StoredArray
    planes: int
    bands: Bands
    operator: FinalOperator
    number: int
    known: tuple[Statistic, ...]

    @property
    def unites(self) -> str:
        """As the operator says."""
        return self.operator.unites_of(self.number)

    @property
    def NUMBERS(self) -> int:  # type: ignore[override]
        """As the operator says."""
        return self.operator.numbers_of(self.number, self.planes - PICTURE_PLANES)

    @property
    def halo(self) -> int:
        """Of the operator."""
        return self.operator.halo()

    def measure(self, box: Box) -> Numbers:
        """See `BandStatistic.measure`."""
        t, m = box.start[:2]
        region = Region.of(box)
        around = region.grown(self.halo, (self.bands.shape[3], self.bands.shape[4]))
        picture = Picture.unpacked(read_planes(self.picture, t, m, (0, self.planes), around))
        return self.operator.measure(self.number, picture, region.within(around), [one.of(t, m) for one in self.known])

    def reaches(self) -> dict[StoredArray, Reach]:
        """The rows of the bands, with the halo of the operator."""
        return {self.picture: self.bands.reach(self.halo)}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry: the picture, and the work of the operator."""
        return BYTES * self.bands.plane_pixels(self.halo) * (2 * self.planes + 6) + 24 * self.NUMBERS


def final_stages(on: StackRecipe, picture: StoredArray, number: int) -> StoredArray:
    """The picture after the final operators; one that needs statistics of it begins a stage of its own.

    Parameters
    ----------
    on : StackRecipe
    picture : StoredArray
        What was painted.
    number : int
        Of the substack, -1 where there is only one.
    """
    name = f"{on.prefix}final" + (f"/{number + 1}" if number >= 0 else "")
    planes = planes_of(on.sets.colours)
    ready: list[tuple[FinalOperator, tuple[Statistic, ...]]] = []

    def made() -> StoredArray:
        """The picture after the operators that are ready."""
        if not ready:
            return picture
        operators, statistics = zip(*ready, strict=True)
        ready.clear()
        compute = FinalPicture(on.sets.size, FinalChain(operators, planes), picture, statistics)
        whole = any(transformed_whole(operator, on.sets.painted.plane) for operator in operators)
        level = (in_planes if whole else in_blocks)(picture.shape, (1, 1, picture.shape[2]))
        return on.cached.add(name, "the picture after final operators", compute, level)

    for place, operator in enumerate(on.recipe.finals):
        known: tuple[Statistic, ...] = ()
        if operator.measures:
            picture = made()
        for measure in range(operator.measures):
            bands = Bands((*picture.shape[:2], 1, *picture.shape[3:]))
            label = f"{on.prefix}final {number + 1} {place + 1} {operator.name} {measure}"
            compute = PictureStatistic(picture, planes, bands, operator, measure, known)
            known = (*known, on.cached.statistic(label, f"{on.prefix}measure/{operator.name}-{measure}", compute))
        ready.append((operator, known))
    return made()
