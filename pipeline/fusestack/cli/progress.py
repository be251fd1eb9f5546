"""Progress for people: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from fusestack.taskgraph.events import BlocksEnded, Event, RunEnded, RunStarted, StageEnded, StageStarted

if TYPE_CHECKING:
    from fusestack.taskgraph.events import Listener

_INTERVAL = 5.0
_SHORT = 0.1
_SURE = 2.0


def progress_listener(*, quiet: bool) -> Listener:
    """Listener that fits where standard error goes."""
    if quiet:
        return lambda event: None
    return _Bar() if sys.stderr.isatty() else _Lines()


def duration(seconds: float) -> str:
    """Time for people: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(count: float) -> str:
    """Bytes for people, in MiB, GiB or TiB."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count / 2**10:,.0f} KiB"


def _continuing(event: RunStarted) -> str:
    return f"continuing: {event.done:,} of {event.blocks:,} blocks are already done"


class _Rate:
    """Speed and time left of a stage, without the blocks of earlier runs; it begins with its first blocks."""

    def __init__(self, event: StageStarted) -> None:
        self.stage = event
        self.start = time.perf_counter()
        self.done = event.done
        self.bytes = 0
        self.failed = 0

    def add(self, event: BlocksEnded) -> None:
        self.done += event.count
        self.failed += len(event.failed)
        self.bytes += event.bytes

    @property
    def speed(self) -> str:
        """``120 MB/s``, once it lasts long enough to be known."""
        seconds = time.perf_counter() - self.start
        return f"{self.bytes / 1e6 / seconds:,.0f} MB/s" if seconds > _SHORT else ""

    @property
    def seconds_left(self) -> float | None:
        new = self.done - self.stage.done
        if not new or time.perf_counter() - self.start < _SURE:
            return None
        return (time.perf_counter() - self.start) / new * (self.stage.blocks - self.done)


class _Lines:
    """A line at the end of every stage, and every few seconds while it lasts."""

    def __init__(self) -> None:
        self._rates: dict[str, _Rate] = {}
        self._last = time.perf_counter()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                if event.dashboard:
                    print(f"dashboard: {event.dashboard}", file=sys.stderr)
                if 0 < event.done < event.blocks:
                    print(_continuing(event), file=sys.stderr)
            case StageStarted():
                self._rates[event.stage] = _Rate(event)
            case BlocksEnded():
                self._rates[event.stage].add(event)
                if time.perf_counter() - self._last > _INTERVAL:
                    self._last = time.perf_counter()
                    print(self._line(self._rates[event.stage]), file=sys.stderr, flush=True)
            case StageEnded() if event.stage in self._rates:
                rate = self._rates[event.stage]
                speed = f", {rate.bytes / 1e6 / event.seconds:,.0f} MB/s" if event.seconds > _SHORT else ""
                failed = f", {event.failed:,} failed" if event.failed else ""
                left = "" if rate.done == rate.stage.blocks else f", {rate.done:,} of them done"
                took = f"{duration(event.seconds)}{speed}"
                print(f"{event.stage}: {rate.stage.title}{left}{failed}, {took}", file=sys.stderr)
            case _:
                pass

    @staticmethod
    def _line(rate: _Rate) -> str:
        stage = rate.stage
        left = f", {duration(rate.seconds_left)} left" if rate.seconds_left is not None else ""
        failed = f", {rate.failed:,} tries failed" if rate.failed else ""
        return f"{stage.stage}: {rate.done:,} of {stage.blocks:,} blocks, {rate.speed}{left}{failed}"


class _Bar:
    """Bars of rich, one for each stage that has begun."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("blocks"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._started: dict[str, StageStarted] = {}
        self._bars: dict[str, tuple[Any, _Rate]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                if event.dashboard:
                    self._progress.console.print(f"dashboard: {event.dashboard}")
                if 0 < event.done < event.blocks:
                    self._progress.console.print(_continuing(event))
                self._progress.start()
            case StageStarted():
                self._started[event.stage] = event
                if len(self._started) == 1:
                    self._bar(event.stage)
            case BlocksEnded():
                bar, rate = self._bar(event.stage)
                rate.add(event)
                note = f"[yellow]{rate.failed} tries failed[/]" if rate.failed else ""
                self._progress.update(bar, completed=rate.done, rate=rate.speed, note=note)
            case StageEnded() if event.stage in self._bars:
                bar, _ = self._bars[event.stage]
                if event.failed:
                    self._progress.update(bar, note=f"[red]{event.failed} blocks failed[/]")
                self._progress.stop_task(bar)
            case RunEnded():
                self._progress.stop()
            case _:
                pass

    def _bar(self, stage: str) -> tuple[Any, _Rate]:
        """Bar of a stage, shown from now on."""
        if stage not in self._bars:
            event = self._started[stage]
            bar = self._progress.add_task(stage, total=event.blocks, completed=event.done, rate="", note="")
            self._bars[stage] = bar, _Rate(event)
        return self._bars[stage]
