"""Progress in a notebook: one small table that is drawn again while a run lasts.

Events become HTML, in the colours of the notebook, and plain text for front ends without HTML. rich needs ipywidgets
there, and without them shows a warning and no bar; IPython is there wherever a notebook is.
"""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING, Any

from fusestack.display.progress import Rate, continuing
from fusestack.model.amounts import counted, duration
from fusestack.taskgraph.events import BlocksEnded, Event, Noticed, RunEnded, RunStarted, StageEnded, StageStarted

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTERVAL = 0.25
_MOST_STAGES = 16
_MOST_NOTICES = 4


class NotebookProgress:
    """Listener that shows every stage that has begun: a bar, blocks, speed, time left, what failed."""

    def __init__(self) -> None:
        self._announced: dict[str, StageStarted] = {}
        self._rates: dict[str, Rate] = {}
        self._head: list[str] = []
        self._foot = ""
        self._dashboard = ""
        self._handle: Any = None
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted():
                self._head = [continuing(event)] if 0 < event.done < event.blocks else []
                self._dashboard = event.dashboard
            case StageStarted():
                self._announced[event.stage] = event
                if len(self._announced) == 1:
                    self._rate(event.stage)
            case BlocksEnded():
                self._rate(event.stage).add(event)
            case StageEnded() if event.stage in self._rates:
                self._rates[event.stage].end(event)
            case Noticed():
                self._head = [*self._head[:_MOST_NOTICES], event.text]
            case RunEnded():
                what = f"{counted(len(self._announced), 'stage')} in {duration(event.seconds)}"
                why = event.message.partition("\n")[0]  # the rest stands in the error below
                self._foot = f"{event.outcome}: {what}{f'; {why}' if why else ''}"
            case _:
                pass
        if isinstance(event, RunStarted | RunEnded | Noticed) or time.perf_counter() - self._last > _INTERVAL:
            self._show()

    def _rate(self, stage: str) -> Rate:
        """Speed of a stage, which has begun if it had not yet."""
        if stage not in self._rates:
            self._rates[stage] = Rate(self._announced[stage])
        return self._rates[stage]

    def _show(self) -> None:
        from IPython.display import display

        self._last = time.perf_counter()
        shown = {"text/html": self.html(), "text/plain": self.text()}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def html(self) -> str:
        """What a notebook shows."""
        rows = []
        for name, rate, cells in self._rows():
            blocks = rate.stage.blocks if rate is not None else 0
            bar = f'<progress max="{blocks}" value="{rate.done}"></progress>' if rate is not None else ""
            texts = "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in cells)
            title = escape(rate.stage.title) if rate is not None else ""
            rows.append(
                f'<tr title="{title}"><th style="text-align:left">{escape(name)}</th><td>{bar}</td>{texts}</tr>'
            )
        link = ""
        if self._dashboard.startswith(("http://", "https://")):
            address = escape(self._dashboard)
            link = f'<div><a href="{address}" target="_blank">{address}</a></div>'
        head, foot = ("".join(f"<div>{escape(line)}</div>" for line in lines) for lines in (self._head, [self._foot]))
        return f"<div>{head}{link}<table>{''.join(rows)}</table>{foot}</div>"

    def text(self) -> str:
        """What a front end without HTML shows."""
        rows = [f"{name}: {', '.join(filter(None, cells))}".removesuffix(": ") for name, _, cells in self._rows()]
        return "\n".join(line for line in (*self._head, *rows, self._foot) if line)

    def _rows(self) -> Iterator[tuple[str, Rate | None, tuple[str, ...]]]:
        """Name, speed and texts of each stage; of many, only the last ones."""
        hidden = len(self._rates) - _MOST_STAGES
        if hidden > 0:
            yield f"... {counted(hidden, 'more stage')}", None, ("", "", "", "")
        for name, rate in list(self._rates.items())[max(0, hidden) :]:
            left = rate.seconds_left
            lasts = "" if left is None else f"{duration(left)} left"
            took = duration(rate.seconds) if rate.ended is not None else lasts
            yield name, rate, (f"{rate.done:,} of {rate.stage.blocks:,} blocks", rate.speed, took, rate.trouble)
