"""The stages of the final operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.focus.finish import Finals
from fusestack.focus.measures import Bands, PictureMeasure
from fusestack.focus.montage import planes_of
from fusestack.focus.stack import PicturePlanes
from fusestack.focus.stages import BLOCK, block_bytes
from fusestack.planning.stored import sharded

if TYPE_CHECKING:
    from fusestack.focus.measures import Values
    from fusestack.focus.stages import FocusStages
    from fusestack.focus.workshop import Made
    from fusestack.operators.finals import FinalOperator


def add_finals(stages: FocusStages, picture: Made, planes: int, number: int) -> Made:
    """Stages of the final operators; one that needs statistics of the picture begins a stage of its own.

    Parameters
    ----------
    stages : FocusStages
    picture : Made
        What was painted.
    planes : int
        Its planes.
    number : int
        Of the substack, -1 where there is only one.

    Returns
    -------
    Made
        The picture after them.
    """
    t, _, _, height, width = stages.stack.shape
    count = planes_of(len(stages.stack.painted[0]))
    ready: list[tuple[FinalOperator, tuple[Values, ...]]] = []
    needs: list[Made] = [picture]

    def flush() -> Made:
        nonlocal ready, needs
        if not ready:
            return picture
        halo = sum(operator.halo() for operator, _ in ready)
        made = stages.workshop.add(
            f"{stages.prefix}final" + (f"/{number + 1}" if number >= 0 else ""),
            "the picture after final operators",
            Finals(picture.pixels, (height, width), count, tuple(ready)),
            sharded((t, stages.sets, planes, height, width), (1, 1, planes, BLOCK, BLOCK)),
            facts=[operator.facts() for operator, _ in ready],
            needs=needs,
            peak=block_bytes(halo, (height, width)) * 6 * planes,
        )
        ready = []
        needs = [made]
        return made

    for place, operator in enumerate(stages.recipe.finals):
        known: list[Values] = []
        if operator.measures:
            picture = flush()
        for measure in range(operator.measures):
            bands = Bands((t, stages.sets, 1, height, width), deep=False)
            values, made = stages.workshop.values(
                f"{stages.prefix}final {number + 1} {place + 1} {operator.name} {measure}",
                f"{stages.prefix}measure/{operator.name}-{measure}",
                PictureMeasure(PicturePlanes(picture.pixels, count), bands, operator, measure, tuple(known)),
                2,
                needs,
                "measure",
                operator=operator,
                number=measure,
            )
            known.append(values)
            needs = [*needs, made]
        ready.append((operator, tuple(known)))
    return flush()
