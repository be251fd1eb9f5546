"""Workers and memory that a run may use, from the configuration and the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.config.execution import Execution

# What a process holds before its first block: Python, numba, the libraries of the formats.
WORKER_BYTES = 350 * 2**20
_SHARE_OF_MACHINE = 0.6
_CLUSTER_WORKERS = 4
_CLUSTER_MEMORY = 4 * 2**30


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
    """

    scheduler: str
    workers: int
    threads_per_worker: int
    memory: int
    retries: int
    profile: Mapping[str, Any] = field(default_factory=dict)

    @property
    def block_bytes(self) -> int:
        """Memory for one block: what a worker has beside the program, shared by its threads."""
        if self.scheduler == "threads":
            return self.memory - WORKER_BYTES // self.workers
        return (self.memory - WORKER_BYTES) // self.threads_per_worker


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
        If the profile is missing or not a mapping.
    """
    if client is not None:
        return _of_client(client, execution)
    local = execution.scheduler in ("threads", "processes", "distributed")
    workers = execution.workers
    if workers == "auto":
        workers = len(os.sched_getaffinity(0)) if local else _CLUSTER_WORKERS
    memory = execution.memory
    if memory == "auto":
        memory = _machine_bytes() // workers if local else _CLUSTER_MEMORY
    return Resources(
        scheduler=execution.scheduler,
        workers=workers,
        threads_per_worker=execution.threads_per_worker,
        memory=int(memory),
        retries=execution.retries,
        profile={} if local or "://" in execution.scheduler else load_profile(execution.profile, folder),
    )


def _of_client(client: Any, execution: Execution) -> Resources:
    """Workers and memory of a client; its worker with least memory decides."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    threads = max((worker["nthreads"] for worker in workers), default=1)
    limits = [worker["memory_limit"] for worker in workers if worker["memory_limit"]]
    memory = execution.memory if execution.memory != "auto" else min(limits, default=_CLUSTER_MEMORY)
    count = sum(worker["nthreads"] for worker in workers)
    return Resources("client", max(1, count), threads, int(memory), execution.retries)


def _machine_bytes() -> int:
    """Share of the memory of this machine (or of its container) that a run takes by itself."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text()))
        except (OSError, ValueError):
            continue
    return int(total * _SHARE_OF_MACHINE)


def load_profile(name: str | None, folder: Path) -> dict[str, Any]:
    """Read a cluster profile: a path, or a name in ``profiles/`` or ``configs/profiles/`` near the configuration.

    Raises
    ------
    ConfigError
        If there is none of that name, or it is not a mapping.
    """
    if name is None:
        raise ConfigError("execution.profile: a job system needs a cluster profile; name one, see configs/profiles")
    places = [folder / name]
    for base in (folder, *folder.parents[:2], Path.cwd()):
        places += [base / "profiles" / f"{name}.yaml", base / "configs" / "profiles" / f"{name}.yaml"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = ", ".join(str(place) for place in dict.fromkeys(places))
        raise ConfigError(f"execution.profile: no profile '{name}'; looked for {looked}")
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        profile = YAML(typ="safe").load(found)
    except YAMLError as error:
        raise ConfigError(f"{found}: not readable as YAML: {error}") from error
    if not isinstance(profile, dict):
        raise ConfigError(f"{found}: a profile is a mapping of settings of the job system")
    return dict(profile)
