"""What a run did, for those who called it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fusestack.model.amounts import counted, duration, size
from fusestack.model.summary import Shown, Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_OUTPUTS = 6
_MOST_IMAGES = 20
_MOST_FAILED = 20


@dataclass(frozen=True, repr=False)
class StageReport:
    """What a run did with a stage.

    `seconds` passed from its beginning to its end; `working` are those of all workers together, `reading` and `writing`
    parts of them.
    """

    image: str
    stage: str
    action: str
    blocks: int
    computed: int
    seconds: float
    retries: int
    bytes_written: int
    failed: dict[int, str] = field(default_factory=dict)
    tracebacks: dict[int, str] = field(default_factory=dict)
    working: float = 0.0
    reading: float = 0.0
    writing: float = 0.0

    def __repr__(self) -> str:
        made = f"{self.computed:,} of {counted(self.blocks, 'block')} in {duration(self.seconds)}"
        failed = f", {len(self.failed):,} failed" if self.failed else ""
        return f"<StageReport {self.stage}: {self.action}, {made}, {size(self.bytes_written)} written{failed}>"


@dataclass(frozen=True, repr=False)
class RunReport(Shown):
    """What a run made.

    Parameters
    ----------
    outputs : tuple of str
        Paths of its images.
    stages : tuple of StageReport
        What became of every stage that was needed.
    seconds : float
    cache_bytes, cache_freed : int
        Size of the cache after the run, and how much of it was deleted.
    page : str
        Path of the page with pictures, timings and settings.
    found : tuple of str
        What stages found that there is to say: photographs that were left out.
    """

    outputs: tuple[str, ...]
    stages: tuple[StageReport, ...]
    seconds: float
    cache_bytes: int = 0
    cache_freed: int = 0
    page: str = ""
    found: tuple[str, ...] = ()

    def summary(self) -> Summary:
        """Outputs, and what each stage took."""
        written, cached = self.bytes_written
        retries = sum(stage.retries for stage in self.stages)
        facts = [("output", path) for path in self.outputs[:_MOST_OUTPUTS]]
        if (more := len(self.outputs) - _MOST_OUTPUTS) > 0:
            facts.append(("", f"... {counted(more, 'more image')}"))
        speed = f", {_speed(written + cached, self.seconds)}" if written + cached else ""
        amount = f"{size(written)} of outputs, {size(cached)} of cache" if cached else size(written)
        facts.append(("written", f"{amount} in {duration(self.seconds)}{speed}"))
        if retries:
            facts.append(("retries", f"{retries:,}"))
        if self.cache_bytes:
            freed = f", {size(self.cache_freed)} of it were freed" if self.cache_freed else ""
            facts.append(("cache", f"{size(self.cache_bytes)}{freed}"))
        facts.append(("report", self.page))
        done = "everything was already made" if self.reused_all else "done"
        head = ("stage", "image", "", "blocks", "computed", "time", "written", "speed", "retries")
        rows = tuple(_row(stage) for stage in listed(self.stages))
        return Summary(f"Run of {counted(len(self.outputs), 'image')}: {done}", tuple(facts), head, rows)

    @property
    def bytes_written(self) -> tuple[int, int]:
        """Bytes of outputs and bytes of the cache that this run wrote."""
        own = set(self.outputs)
        outputs = sum(stage.bytes_written for stage in self.stages if stage.image in own)
        return outputs, sum(stage.bytes_written for stage in self.stages) - outputs

    @property
    def reused_all(self) -> bool:
        """Whether nothing had to be computed."""
        return all(stage.computed == 0 for stage in self.stages)


def listed(stages: Sequence[StageReport]) -> list[StageReport]:
    """Stages as people and records have them: those of many images as one, but for some that failed."""
    if len({stage.image for stage in stages}) <= _MOST_IMAGES:
        return list(stages)
    failed = [stage for stage in stages if stage.failed][:_MOST_FAILED]
    apart = set(map(id, failed))
    alike: dict[tuple[str, str], list[StageReport]] = {}
    for stage in stages:
        if id(stage) not in apart:
            alike.setdefault((stage.stage, stage.action), []).append(stage)
    return [*failed, *map(_together, alike.values())]


def _together(stages: Sequence[StageReport]) -> StageReport:
    """The same stage of several images."""
    first = stages[0]
    return StageReport(
        image=first.image if len(stages) == 1 else counted(len(stages), "image"),
        stage=first.stage,
        action=first.action,
        blocks=sum(stage.blocks for stage in stages),
        computed=sum(stage.computed for stage in stages),
        seconds=max(stage.seconds for stage in stages),
        retries=sum(stage.retries for stage in stages),
        bytes_written=sum(stage.bytes_written for stage in stages),
        working=sum(stage.working for stage in stages),
        reading=sum(stage.reading for stage in stages),
        writing=sum(stage.writing for stage in stages),
    )


def _row(stage: StageReport) -> tuple[str, ...]:
    counts = (f"{stage.blocks:,}", f"{stage.computed:,}")
    took: tuple[str, ...] = ("", "", "")
    if stage.computed:
        took = (duration(stage.seconds), size(stage.bytes_written), _speed(stage.bytes_written, stage.seconds))
    image = stage.image.rpartition("/")[2]
    return (stage.stage, image, stage.action, *counts, *took, f"{stage.retries:,}" if stage.retries else "")


def _speed(count: int, seconds: float) -> str:
    return f"{count / 1e6 / seconds:,.0f} MB/s" if seconds else ""
