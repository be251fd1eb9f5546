"""A real Slurm of one machine: its daemons, started for the tests that ask for it, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CORES = 4
MEMORY_MB = 8000
PARTITION = "debug"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
_CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=10
MinJobAge=60
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr={address} CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName={partition} Nodes=ALL Default=YES MaxTime=60 State=UP OverSubscribe=NO
"""


class Slurm:
    """A cluster of one node, with ``CORES`` cores and ``MEMORY_MB`` in the partition ``PARTITION``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def said(self, *command: str) -> str:
        """What a command of Slurm prints."""
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    def jobs(self) -> dict[str, str]:
        """State of every job in the queue, by its number (``3_1`` for a task of an array)."""
        lines = self.said("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines if "COMPLETING" not in line)

    def wait_until_empty(self, seconds: float = 60) -> None:
        """Wait until no job is left."""
        until = time.monotonic() + seconds
        while self.jobs():
            assert time.monotonic() < until, self.said("squeue", "--long")
            time.sleep(0.2)

    def logs(self) -> str:
        """The last lines of the daemons' logs."""
        found = [*self.folder.glob("*.log"), *self.folder.glob("*.out")]
        return "\n".join(f"{path.name}:\n" + "\n".join(path.read_text().splitlines()[-20:]) for path in found)


@contextmanager
def started(folder: Path) -> Iterator[Slurm]:
    """Start munge and Slurm in a folder; ends them, and restores the environment."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    user = "root" if os.getuid() == 0 else os.environ.get("USER", str(os.getuid()))
    text = _CONFIGURATION.format(
        host=host,
        address="127.0.0.1",
        ports=_free_ports(2),
        user=user,
        folder=folder,
        cores=CORES,
        memory=MEMORY_MB,
        partition=PARTITION,
    )
    (folder / "slurm.conf").write_text(text)
    munge = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("key-file", "pid-file", "log-file")]
    munge += [f"--seed-file={folder}/munge.seed", f"--socket={folder}/munge.socket", "--foreground", "--force"]
    daemons = (["munged", *munge], ["slurmctld", "-D"], ["slurmd", "-D"])
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            path = shutil.which(command[0], path=_path())
            with (folder / f"{command[0]}.out").open("wb") as out:
                processes.append(subprocess.Popen([str(path), *command[1:]], stdout=out, stderr=out))
            _wait(folder / "munge.socket", processes)
        slurm = Slurm(folder)
        _wait_for_node(slurm, processes)
        yield slurm
        subprocess.run(["scancel", "--full", f"--user={user}"], capture_output=True, timeout=30, check=False)
        slurm.wait_until_empty(30)
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait(path: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > until or processes[-1].poll() is not None:
            raise RuntimeError(f"{path} did not appear")
        time.sleep(0.05)


def _wait_for_node(slurm: Slurm, processes: list[subprocess.Popen[bytes]]) -> None:
    until, state = time.monotonic() + 40, ""
    while "idle" not in state:
        if time.monotonic() > until or any(process.poll() is not None for process in processes):
            raise RuntimeError(f"the node is '{state}'\n{slurm.logs()}")
        asked = ["sinfo", "--noheader", "--format=%t"]
        state = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False).stdout
        time.sleep(0.1)


def missing() -> str:
    """Why Slurm cannot be started here; empty where it can."""
    if sys.platform != "linux":
        return "Slurm is started on Linux only"
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"{', '.join(absent)} not installed (Debian: slurm-wlm, munge)" if absent else ""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Slurm, really; skips where it cannot be started, and says why."""
    reason = missing()
    if reason:
        pytest.skip(f"NOT TESTED WITH SLURM: {reason}")
    # one for all: munge wants a folder that others cannot write to, and a short name for its socket
    folder = tmp_path_factory.mktemp("slurm")
    cluster = started(folder)
    try:
        found = cluster.__enter__()
    except (RuntimeError, OSError) as error:
        pytest.skip(f"NOT TESTED WITH SLURM: it does not start here: {error}")
    yield found
    cluster.__exit__(None, None, None)
