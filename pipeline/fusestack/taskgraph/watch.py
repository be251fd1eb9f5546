"""Watching a dask cluster: who is silent, whose batch does not go on, and what workers are that come.

Nothing here compares clocks of machines: what counts is what changes while this process looks.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusestack.model.amounts import counted, duration, size
from fusestack.model.errors import BlockError, ConfigError
from fusestack.storage import open_folder
from fusestack.taskgraph.job import tick_name
from fusestack.taskgraph.ledger import ledger_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fusestack.taskgraph.clusters import Say
    from fusestack.taskgraph.job import Key, TaskGraph
    from fusestack.taskgraph.results import BatchResult

ANSWER_SECONDS = 10.0
SILENT_SECONDS = 15.0
"""Without a sign of life after which a worker, or the scheduler, is told of."""
GIVEN_UP_SECONDS = 60.0
"""After which what a silent worker was at is given to another one."""
LOST_SECONDS = 600.0
_RESTART_SECONDS = 15
_SHORTEST_TIMEOUT = 600.0
_TIMES_THE_MEDIAN = 50
_NOTHING_KNOWN = 3600.0
_MOST_KNOWN = 1000
_FACTS = "(__import__('fusestack').__version__, __import__('numpy').__version__)"
_MOST_NAMED = 5


@dataclass
class _Seen:
    """Something that changes while all is well, and when it did last."""

    value: Any
    at: float
    told: bool = False


@dataclass
class Watch:
    """What is known of the workers of a client.

    Parameters
    ----------
    client : distributed.Client
    say : callable
        Takes what people want to know.
    block_timeout : float or None
        Seconds after which a block will never return; None: many times what others took.
    block_bytes : int
        Memory that a block needs.
    """

    client: Any
    say: Say
    block_timeout: float | None = None
    block_bytes: int = 0
    stuck: dict[Any, str] = field(default_factory=dict)
    """Why workers were ended, by the tasks that they were at."""
    _checked: set[str] = field(default_factory=set)
    _workers: dict[str, _Seen] = field(default_factory=dict)
    _batches: dict[str, _Seen] = field(default_factory=dict)
    _block_seconds: list[float] = field(default_factory=list)
    _answered: float = field(default_factory=time.monotonic)
    _scheduler: str = ""
    _told: bool = False

    def learn(self, result: BatchResult) -> None:
        """Take notice of how long blocks take."""
        for stage in result.stages:
            count = sum(map(len, stage.done))
            if count:
                self._block_seconds = [*self._block_seconds[-_MOST_KNOWN:], stage.seconds / count]

    @property
    def timeout(self) -> float:
        """Seconds after which a block will never return."""
        if self.block_timeout is not None:
            return self.block_timeout
        if not self._block_seconds:
            return _NOTHING_KNOWN
        return max(_SHORTEST_TIMEOUT, _TIMES_THE_MEDIAN * statistics.median(self._block_seconds))

    def ask(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What a function gives on each worker that answers, by address.

        Raises
        ------
        TimeoutError
            If some, or the scheduler, do not answer at all.
        """
        found: dict[str, Any] = self.client.sync(
            self.client._run, function, *arguments, on_error="ignore", callback_timeout=ANSWER_SECONDS
        )
        return found

    def workers(self) -> dict[str, Mapping[str, Any]] | None:
        """What the scheduler knows of its workers, by address; None where it does not answer.

        Raises
        ------
        BlockError
            If it has not for ten minutes, or is another one.
        """
        now = time.monotonic()
        try:
            found = self.client.sync(self.client.scheduler.identity, callback_timeout=ANSWER_SECONDS)
        except (OSError, TimeoutError):
            found = None
        if found is None:
            silent = time.monotonic() - self._answered
            if silent > LOST_SECONDS:
                raise BlockError(
                    f"the dask scheduler has not answered for {duration(silent)}; what is done is kept, "
                    "running again continues"
                )
            if silent > SILENT_SECONDS and not self._told:
                self._told = True
                self.say(f"the dask scheduler has not answered for {duration(silent)}: it is stopped, or cut off")
            return None
        if self._scheduler and found["id"] != self._scheduler:
            raise BlockError(
                "the dask scheduler was started anew and knows nothing of this run; what is done is kept, "
                "running again continues"
            )
        if self._told:
            self.say("the dask scheduler answers again")
        self._answered, self._told, self._scheduler = now, False, found["id"]
        return dict(found["workers"])

    def check(self, workers: Mapping[str, Mapping[str, Any]]) -> None:
        """See that new workers have this version of the package.

        Raises
        ------
        ConfigError
            If none has.
        """
        new = [address for address in workers if address not in self._checked]
        if not new:
            return
        import numpy as np

        ours = str(sys.modules["fusestack"].__version__)
        try:
            answers = self.client.sync(
                self.client._run, eval, _FACTS, workers=new, on_error="return", callback_timeout=ANSWER_SECONDS
            )
        except (OSError, TimeoutError):
            return  # whoever is silent is told of
        self._checked.update(new)
        self._check_memory([workers[address] for address in new])
        wrong: dict[str, str] = {}
        for address, answer in answers.items():
            if not isinstance(answer, tuple):
                wrong[address] = f"has no fusestack ({answer})"
            elif answer[0] != ours:
                wrong[address] = f"has fusestack {answer[0]}"
            elif answer[1] != np.__version__:
                self.say(f"worker {address} has NumPy {answer[1]}, here it is {np.__version__}")
        if not wrong:
            return
        named = "; ".join(f"{address} {what}" for address, what in list(wrong.items())[:_MOST_NAMED])
        text = f"{len(wrong)} of {len(workers)} workers cannot take part: {named}"
        if len(wrong) == len(workers):
            raise ConfigError(
                f"execution.scheduler: {text}; install fusestack {ours} in the environment of the workers"
            )
        self.say(f"{text}; they are sent away: install fusestack {ours} in their environment")
        for address in wrong:
            self._send_away(address)

    def _check_memory(self, workers: Iterable[Mapping[str, Any]]) -> None:
        """Tell of workers that have less than their threads will need."""
        small = [facts for facts in workers if 0 < facts["memory_limit"] < self.block_bytes * facts["nthreads"]]
        if small:
            least = min(small, key=lambda facts: facts["memory_limit"] / facts["nthreads"])
            threads = counted(least["nthreads"], "thread")
            self.say(
                f"{counted(len(small), 'worker')} may run out of memory: worker {least['name']} has "
                f"{size(least['memory_limit'])} for {threads}, and a block needs {size(self.block_bytes)} in each; "
                "start workers with more, or lower execution.memory to what a thread has"
            )

    def look(self, workers: Mapping[str, Mapping[str, Any]], graph: TaskGraph) -> None:
        """Tell of workers that are silent, and give their batches to others; end those whose block does not return."""
        now = time.monotonic()
        self._workers = {address: self._workers.get(address, _Seen(None, now)) for address in workers}
        try:
            at = self.client.sync(self.client.scheduler.processing, callback_timeout=ANSWER_SECONDS)
        except (OSError, TimeoutError):
            return
        for address, facts in workers.items():
            seen, keys = self._workers[address], [key for key in at.get(address, ()) if key in graph.batches]
            if seen.value != facts["last_seen"]:
                self._workers[address] = _Seen(facts["last_seen"], now)
                self._look_at_batches(address, keys, graph, now)
                continue
            silent = now - seen.at
            who = f"worker {facts['name']} ({address}){_at(keys)}"
            if silent > GIVEN_UP_SECONDS and len(workers) > 1:
                self.say(f"{who} has been silent for {duration(silent)}: what it was at is given to another one")
                self._send_away(address)
            elif silent > SILENT_SECONDS and not seen.told:
                seen.told = True
                self.say(f"{who} has been silent for {duration(silent)}")

    def _look_at_batches(self, address: str, keys: list[Key], graph: TaskGraph, now: float) -> None:
        """See whether a worker that lives gets on: other batches, or more blocks ticked off."""
        before = self._batches.get(address)
        if before is None or before.value[0] != keys or not keys:
            self._batches[address] = _Seen((keys, None), now)
            return
        if now - before.at < self.timeout / 2:
            return
        ticks = [_ticks(graph, key) for key in keys]
        if before.value[1] != ticks:
            late = before.at if before.value[1] is None else now  # the first look only tells where it is
            self._batches[address] = _Seen((keys, ticks), late)
        if now - self._batches[address].at < self.timeout:
            return
        lasts = duration(now - self._batches[address].at)
        text = f"a block did not return within {lasts} (execution.block_timeout) on worker {address}"
        self.say(f"{text}{_at(keys)}: it is ended, and the batch is given to another one")
        self.stuck.update(dict.fromkeys(keys, text))
        del self._batches[address]
        self._end(address)

    def _end(self, address: str) -> None:
        """Kill a worker; who looks after it starts another one."""
        try:
            self.client.restart_workers([address], timeout=_RESTART_SECONDS, raise_for_error=False)
        except (OSError, TimeoutError, ValueError):
            self._send_away(address)

    def _send_away(self, address: str) -> None:
        """Have the scheduler forget a worker: what it was at is done by others, and nobody is blamed."""
        try:
            self.client.sync(
                self.client.scheduler.unregister,
                address=address,
                stimulus_id="fusestack",
                expected=True,
                callback_timeout=ANSWER_SECONDS,
            )
        except (OSError, TimeoutError):
            return


def _at(keys: Iterable[Key]) -> str:
    """Which batches, for people."""
    named = [f"{key[0].rpartition('-')[0]} batch {key[1]}" for key in keys]
    return f", at {', '.join(named[:2])}" if named else ""


def _ticks(graph: TaskGraph, key: Key) -> list[str | None]:
    """What a batch has ticked off so far, as its files are."""
    tower, _ = graph.batches[key]
    name = tick_name(graph.run, key)
    folders = [ledger_path(stage.target.work, stage.key) for stage in tower.stages]
    return [open_folder(folder, scratch="").identity(name) for folder in folders]
