"""Workers that a job system starts: asked for, waited for in its own words, and replaced when it ends them."""

from __future__ import annotations

import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError, OutputError
from fusestack.taskgraph.clusters import Cluster, dask_settings, silent, worker_environment
from fusestack.taskgraph.job_systems import DRIVER, SYSTEM, SYSTEMS, dask_jobqueue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.taskgraph.clusters import Say
    from fusestack.taskgraph.job_states import JobState
    from fusestack.taskgraph.job_systems import JobSystem

_START_SECONDS = 300
_LOOK_SECONDS = 3.0
_SAY_SECONDS = 60.0
_POLL_SECONDS = 0.2
_WORKER_SETTINGS = {
    # what fills the memory is a block, which neither spilling nor pausing makes smaller
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
}
_LINES_SHOWN = 8
_MOST_SHOWN = 3


def job_cluster(
    system: str, workers: int, profile: Mapping[str, Any], *, say: Say = silent, logs: str | None = None
) -> Cluster:
    """Let a job system start the workers, and replace those that it ends.

    The scheduler and its workers know one another by certificates that are made for this run; the dashboard listens on
    loopback only.

    Parameters
    ----------
    system : str
        A key of `SYSTEMS`.
    workers : int
        Jobs.
    profile : mapping
        Keyword arguments of the dask-jobqueue cluster class.
    say : callable
        Takes what there is to say while jobs wait.
    logs : str, optional
        Folder, seen by all machines, for what jobs print and for the certificates.

    Raises
    ------
    ConfigError
        If dask-jobqueue is missing, the profile does not fit, the job system refuses, or jobs end without a worker.
    """
    queue = _Queue(SYSTEMS[system], say, logs)
    cluster = queue.cluster(profile)
    from distributed import Client

    client = None
    try:
        queue.system.check(cluster.job_script())
        # scale() asks at once, adapt() after its first interval; but only adapt() replaces a lost job
        cluster.scale(jobs=workers)
        cluster.adapt(minimum_jobs=workers, maximum_jobs=workers, interval="5s")
        client = Client(cluster, set_as_default=False)
        queue.wait(client, cluster)
        return _JobCluster(client, cluster, workers, queue)
    except BaseException:
        if client is not None:
            client.close()
        cluster.close()
        _Certificates(cluster).close()
        raise


class _JobCluster(Cluster):
    """Workers whose jobs may have to wait again, as long as their system says that they do."""

    def __init__(self, client: Any, cluster: Any, workers: int, queue: _Queue) -> None:
        super().__init__(client, (client, cluster, _Certificates(cluster)), workers)
        self._queue = queue

    def _waiting(self) -> bool:
        return self._queue.look()


class _Certificates:
    """Files of certificates for the workers, which dask-jobqueue leaves open."""

    def __init__(self, cluster: Any) -> None:
        self._files = [getattr(cluster, f"_job_{name}", None) for name in ("ca_file", "cert", "key")]

    def close(self) -> None:
        """Delete them."""
        for file in self._files:
            if file is not None:
                file.close()


class _Queue:
    """The jobs of a cluster, as their system sees them."""

    def __init__(self, system: JobSystem, say: Say, logs: str | None) -> None:
        self.system, self._say, self._logs = system, say, logs
        self._numbers: list[str] = []
        self._words: list[str] = []
        self._said, self._said_at = "", 0.0
        self._ended = False

    def cluster(self, profile: Mapping[str, Any]) -> Any:
        """Make the cluster of dask-jobqueue, with no job yet."""
        import dask

        found = getattr(dask_jobqueue(self.system.name), self.system.cluster)
        settings = {key: value for key, value in profile.items() if key not in (DRIVER, SYSTEM)}
        exports = [f"export {key}={value}" for key, value in (worker_environment() | _WORKER_SETTINGS).items()]
        settings["job_script_prologue"] = [*exports, *settings.get("job_script_prologue", ())]
        # workers have pages, too
        own = ["--dashboard-address", "127.0.0.1:0"]
        settings["worker_extra_args"] = [*own, *settings.get("worker_extra_args", ())]
        shown = {"dashboard_address": "127.0.0.1:0"}
        settings["scheduler_options"] = shown | dict(settings.get("scheduler_options", {}))
        if self._logs is not None:
            make_private(self._logs)
            settings.setdefault("log_directory", self._logs)
            settings.setdefault("shared_temp_directory", self._logs)
        self._logs = settings.get("log_directory")
        if "security" not in settings and "protocol" not in settings:
            settings["security"] = _certificates()
        with dask.config.set(dask_settings()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using a temporary security object")
            try:
                return found(job_cls=self._recording(found.job_cls), **settings)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"execution.profile: {error}") from error

    def _recording(self, job: Any) -> Any:
        """A class of jobs that keeps their numbers, and what the system says where it refuses: dask hides both."""
        numbers, words = self._numbers, self._words

        async def start(self: Any) -> None:
            try:
                await job.start(self)
            except RuntimeError as error:
                words.append(str(error).partition("stderr:\n")[2].strip() or str(error))
                raise
            numbers.append(str(self.job_id))

        return type(job.__name__, (job,), {"start": start})

    def wait(self, client: Any, cluster: Any) -> None:
        """Wait for the first worker, as long as the system says that jobs wait.

        Raises
        ------
        ConfigError
            If none will come.
        """
        begun = looked = time.monotonic()
        while not client.nthreads():
            time.sleep(_POLL_SECONDS)
            if self._words and not self._numbers:
                self._refuse(f"did not accept the jobs: {self._words[-1]}")
            now = time.monotonic()
            if now - looked < _LOOK_SECONDS:
                continue
            looked = now
            waits = self.look()
            if self._over():
                self._refuse("started the jobs, and all ended before they were workers", self._tail())
            if not waits and now - begun > _START_SECONDS:
                raise ConfigError(
                    f"execution.scheduler: no {self.system.name} worker started within {_START_SECONDS} s; "
                    f"look at the queue, and at the job that was submitted:\n{cluster.job_script()}{self._tail()}"
                )

    def _over(self) -> bool:
        """Whether the system says, twice, that it has none of the jobs any more."""
        ended = bool(self._numbers) and self.system.states(self._numbers) == []
        over, self._ended = ended and self._ended, ended
        return over

    def look(self) -> bool:
        """Whether the system says that jobs wait; says why they do.

        Raises
        ------
        ConfigError
            If they would wait for ever.
        """
        states = self.system.states(self._numbers)
        if not states:
            return False
        waiting = [state for state in states if not state.runs]
        hopeless = [state for state in waiting if state.hopeless]
        if hopeless and len(hopeless) == len(states):
            self._refuse(f"would never start the jobs: {hopeless[0]}")
        if waiting and len(waiting) == len(states):
            text = f"waiting for {self.system.name}: {_named(waiting)}"
            if text != self._said or time.monotonic() - self._said_at > _SAY_SECONDS:
                self._said, self._said_at = text, time.monotonic()
                self._say(text)
        return bool(waiting)

    def _refuse(self, what: str, more: str = "") -> None:
        raise ConfigError(f"execution.scheduler: {self.system.name} {what}; mend the profile{more}")

    def _tail(self) -> str:
        """The last lines that a job has printed."""
        found = sorted(Path(self._logs).glob("*.*"), key=lambda path: path.stat().st_mtime) if self._logs else []
        for path in reversed(found):
            with suppress(OSError):
                lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
                if lines:
                    return "\n".join([f"; the last lines of {path}:", *lines[-_LINES_SHOWN:]])
        return ""


def make_private(folder: str) -> None:
    """Make a folder that nobody else can look into, where there is none.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        Path(folder).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}; choose another output.path") from error


def _named(states: list[JobState]) -> str:
    more = f" and {len(states) - _MOST_SHOWN} more" if len(states) > _MOST_SHOWN else ""
    return ", ".join(map(str, states[:_MOST_SHOWN])) + more


def _certificates() -> Any:
    """Certificates that only the scheduler and the workers of this run have.

    Raises
    ------
    ConfigError
        If they cannot be made.
    """
    from distributed.security import Security

    try:
        return Security.temporary()
    except ImportError as error:
        raise ConfigError(
            "execution.scheduler: the scheduler of a cluster listens on the network, and what it is sent is run; "
            "certificates that keep others out need cryptography: pip install 'fusestack[cluster]'"
        ) from error
