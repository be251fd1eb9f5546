"""Workers and memory that a run may use, from the configuration and the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusestack.model.amounts import size
from fusestack.model.errors import ConfigError
from fusestack.model.machine import cores, memory_bytes
from fusestack.planning.cluster_profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fusestack.config.execution import Execution

# What a process holds before its first block: Python, numba, the libraries of the formats.
WORKER_BYTES = 350 * 2**20
_SHARE_OF_MACHINE = 0.6
_MOST_KEPT = 128 * 2**20
_CLUSTER_WORKERS = 4
_CLUSTER_MEMORY = 4 * 2**30
_SHARE_OF_JOB = 0.9
"""Of the memory of a job: what dask counts as full is a little less than all of it."""


@dataclass(frozen=True)
class Resources:
    """Who computes, and with how much memory.

    Parameters
    ----------
    scheduler : str
        As in the configuration.
    workers, threads_per_worker : int
    memory : int
        Bytes per worker.
    retries : int
    profile : mapping
        Settings of the job system.
    block_timeout : float or None
        Seconds after which a block on a worker of dask will never return; None: many times what others took.
    """

    scheduler: str
    workers: int
    threads_per_worker: int
    memory: int
    retries: int
    profile: Mapping[str, Any] = field(default_factory=dict)
    block_timeout: float | None = None

    @property
    def block_bytes(self) -> int:
        """Memory for one block: what a worker has beside the program, shared by its threads."""
        if self.scheduler == "threads":
            return self.memory - WORKER_BYTES // self.workers
        return (self.memory - WORKER_BYTES) // self.threads_per_worker

    def kept_bytes(self, most: int) -> int:
        """Memory for what is read again, where blocks need `most`: none where workers are processes of their own."""
        if self.scheduler != "threads":
            return 0
        return max(0, min(_MOST_KEPT, self.workers * (self.block_bytes - most)))


def resolve_resources(execution: Execution, folder: Path, client: Any = None) -> Resources:
    """Turn ``auto`` into numbers.

    Parameters
    ----------
    execution : Execution
    folder : Path
        Profiles are looked for here.
    client : distributed.Client, optional
        Whose workers there are; the configuration's are not used.

    Raises
    ------
    ConfigError
        If the profile is missing, not a mapping, or contradicts the configuration.
    """
    if client is not None:
        return _of_client(client, execution)
    local = execution.scheduler in ("threads", "processes", "distributed")
    if not local and "://" not in execution.scheduler:
        return _of_jobs(execution, load_profile(execution.profile, folder))
    workers = execution.workers
    if workers == "auto":
        workers = cores() if local else _CLUSTER_WORKERS
    memory = execution.memory
    if memory == "auto":
        memory = int(memory_bytes() * _SHARE_OF_MACHINE) // workers if local else _CLUSTER_MEMORY
    return Resources(
        scheduler=execution.scheduler,
        workers=workers,
        threads_per_worker=execution.threads_per_worker,
        memory=int(memory),
        retries=execution.retries,
        block_timeout=execution.seconds,
    )


def _of_jobs(execution: Execution, profile: Mapping[str, Any]) -> Resources:
    """Workers of jobs have the threads and the memory that the profile asks for."""
    from dask.utils import parse_bytes

    workers = _CLUSTER_WORKERS if execution.workers == "auto" else execution.workers
    threads, memory = execution.threads_per_worker, execution.memory
    processes = profile.get("processes")
    try:
        if processes and profile.get("cores"):
            threads = max(1, int(profile["cores"]) // int(processes))
        given = None if profile.get("memory") is None else parse_bytes(profile["memory"]) // int(processes or 1)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"execution.profile: cores, processes and memory: {error}") from error
    if "threads_per_worker" in execution.model_fields_set and threads != execution.threads_per_worker:
        raise ConfigError(
            f"execution.threads_per_worker: {execution.threads_per_worker}, but cores / processes of the profile are "
            f"{threads}; change one of them"
        )
    if memory == "auto":
        memory = _CLUSTER_MEMORY if given is None else int(given * _SHARE_OF_JOB)
    elif given is not None and processes and memory > given:
        raise ConfigError(
            f"execution.memory: {size(int(memory))}, but a worker of the profile has {size(given)}; lower it, or raise "
            "memory in the profile"
        )
    return Resources(execution.scheduler, workers, threads, int(memory), execution.retries, profile, execution.seconds)


def _of_client(client: Any, execution: Execution) -> Resources:
    """Workers and memory of a client; its worker with least memory decides."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    threads = max((worker["nthreads"] for worker in workers), default=1)
    limits = [worker["memory_limit"] for worker in workers if worker["memory_limit"]]
    memory = execution.memory if execution.memory != "auto" else min(limits, default=_CLUSTER_MEMORY)
    count = sum(worker["nthreads"] for worker in workers)
    return Resources("client", max(1, count), threads, int(memory), execution.retries, block_timeout=execution.seconds)
