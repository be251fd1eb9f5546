"""Progress for people: a bar on a terminal, a plain line every few seconds elsewhere; `notebook` has its own."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from fusestack.model.amounts import counted, duration
from fusestack.taskgraph.events import BlocksEnded, Event, Noticed, RunEnded, RunStarted, StageEnded, StageStarted

if TYPE_CHECKING:
    from fusestack.taskgraph.events import Listener

_INTERVAL = 5.0
_SHORT = 0.1
_SURE = 2.0


def progress_listener(progress: bool | None) -> Listener | None:
    """Listener that fits where somebody looks.

    Parameters
    ----------
    progress : bool or None
        True: in the notebook, else on a terminal a bar, else plain lines on standard error. None: in a notebook only.
    """
    if progress is False:
        return None
    if in_notebook():
        from fusestack.display.notebook import NotebookProgress

        return NotebookProgress()
    if progress is None:
        return None
    return _Bar() if sys.stderr.isatty() else _Lines()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, whose front end shows HTML."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get is not None and getattr(get(), "kernel", None) is not None


def continuing(event: RunStarted) -> str:
    """What a run says that goes on with an earlier one."""
    return f"continuing: {event.done:,} of {event.blocks:,} blocks are already done"


class Rate:
    """Speed and time left of a stage, without the blocks of earlier runs; it begins when it is made."""

    def __init__(self, event: StageStarted) -> None:
        self.stage = event
        self.start = time.perf_counter()
        self.done = event.done
        self._first: tuple[float, int] | None = None
        self.bytes = 0
        self.failed = 0
        self.ended: StageEnded | None = None

    def add(self, event: BlocksEnded) -> None:
        """Take blocks that came back."""
        self.done += event.count
        if self._first is None and event.count:
            self._first = time.perf_counter(), self.done
        self.failed += len(event.failed)
        self.bytes += event.bytes

    def end(self, event: StageEnded) -> None:
        """Stop the clock."""
        self.ended = event

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.perf_counter() - self.start if self.ended is None else self.ended.seconds

    @property
    def speed(self) -> str:
        """``120 MB/s``, once it lasts long enough to be known."""
        return f"{self.bytes / 1e6 / self.seconds:,.0f} MB/s" if self.seconds > _SHORT else ""

    @property
    def seconds_left(self) -> float | None:
        """None where it is not known yet: the first blocks wait for kernels to be compiled, and do not count."""
        if self._first is None:
            return None
        begin, before = self._first
        seconds, new = time.perf_counter() - begin, self.done - before
        return seconds / new * (self.stage.blocks - self.done) if new and seconds >= _SURE else None

    @property
    def trouble(self) -> str:
        """What failed, empty where nothing did."""
        if self.ended is None:
            return f"{counted(self.failed, 'try', 'tries')} failed" if self.failed else ""
        retries = counted(self.ended.retries, "retry", "retries") if self.ended.retries else ""
        failed = f"{counted(self.ended.failed, 'block')} failed" if self.ended.failed else ""
        return ", ".join(one for one in (retries, failed) if one)


class _Lines:
    """A line at the end of every stage, and every few seconds while it lasts."""

    def __init__(self) -> None:
        self._rates: dict[str, Rate] = {}
        self._last = time.perf_counter()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                if event.dashboard:
                    print(f"dashboard: {event.dashboard}", file=sys.stderr)
                if 0 < event.done < event.blocks:
                    print(continuing(event), file=sys.stderr)
            case StageStarted():
                self._rates[event.stage] = Rate(event)
            case BlocksEnded():
                self._rates[event.stage].add(event)
                if time.perf_counter() - self._last > _INTERVAL:
                    self._last = time.perf_counter()
                    print(self._line(self._rates[event.stage]), file=sys.stderr, flush=True)
            case StageEnded() if event.stage in self._rates:
                rate = self._rates[event.stage]
                rate.end(event)
                speed = f", {rate.speed}" if rate.speed else ""
                failed = f", {event.failed:,} failed" if event.failed else ""
                left = "" if rate.done == rate.stage.blocks else f", {rate.done:,} of them done"
                took = f"{duration(event.seconds)}{speed}"
                print(f"{event.stage}: {rate.stage.title}{left}{failed}, {took}", file=sys.stderr)
            case Noticed():
                print(event.text, file=sys.stderr, flush=True)
            case _:
                pass

    @staticmethod
    def _line(rate: Rate) -> str:
        stage = rate.stage
        left = f", {duration(rate.seconds_left)} left" if rate.seconds_left is not None else ""
        failed = f", {rate.trouble}" if rate.trouble else ""
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
        self._bars: dict[str, tuple[Any, Rate]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                if event.dashboard:
                    self._progress.console.print(f"dashboard: {event.dashboard}")
                if 0 < event.done < event.blocks:
                    self._progress.console.print(continuing(event))
                self._progress.start()
            case StageStarted():
                self._started[event.stage] = event
                if len(self._started) == 1:
                    self._bar(event.stage)
            case BlocksEnded():
                bar, rate = self._bar(event.stage)
                rate.add(event)
                note = f"[yellow]{rate.trouble}[/]" if rate.trouble else ""
                self._progress.update(bar, completed=rate.done, rate=rate.speed, note=note)
            case StageEnded() if event.stage in self._bars:
                bar, _ = self._bars[event.stage]
                if event.failed:
                    self._progress.update(bar, note=f"[red]{event.failed} blocks failed[/]")
                self._progress.stop_task(bar)
            case Noticed():
                self._progress.console.print(event.text, markup=False, highlight=False)
            case RunEnded():
                self._progress.stop()
            case _:
                pass

    def _bar(self, stage: str) -> tuple[Any, Rate]:
        """Bar of a stage, shown from now on."""
        if stage not in self._bars:
            event = self._started[stage]
            bar = self._progress.add_task(stage, total=event.blocks, completed=event.done, rate="", note="")
            self._bars[stage] = bar, Rate(event)
        return self._bars[stage]
