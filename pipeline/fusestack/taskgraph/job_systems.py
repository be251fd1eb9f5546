"""What job systems are told and say: scripts, whether one would be accepted, jobs and why they wait, their end.

The lines that ask for cores, memory and time are those of dask-jobqueue, from the same profile for workers, drivers and
arrays; the commands are those of the systems themselves.
"""

from __future__ import annotations

import getpass
import re
import shlex
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError
from fusestack.taskgraph.job_states import of_htcondor, of_lsf, of_pbs, of_sge, of_slurm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fusestack.taskgraph.job_states import JobState

_ANSWER_SECONDS = 10
_OF_THE_CLUSTER = ("scheduler_options", "security", "shared_temp_directory", "silence_logs", "protocol")
DRIVER = "driver"
"""Section of a profile with what differs for jobs that start, or close, others."""
SYSTEM = "system"
"""Key of a profile that names its job system, where its own name does not."""


@dataclass(frozen=True)
class JobSystem:
    """Commands and words of a job system.

    Parameters
    ----------
    name : str
    cluster : str
        Class of dask-jobqueue.
    submit, cancel : tuple of str
        Commands; the script or the numbers of jobs follow.
    number : str
        Pattern of a job's number in what submitting prints.
    listing : tuple of str
        Command that lists jobs.
    read : callable
        Makes states of what it prints.
    array, index : str
        Line that makes a script an array of ``{count}`` jobs, and the variable that numbers them.
    first : int
        Number of the first job of an array.
    after : str
        Line that makes a job wait until ``{job}`` is over, however it ends; empty where there is none.
    test : tuple of str
        Command that says whether a script would be accepted; empty where there is none.
    interrupt : tuple of str
        Command that sends SIGTERM to the program of a job; empty where cancelling does that.
    stdin : bool
        Whether scripts are read from standard input.
    """

    name: str
    cluster: str
    submit: tuple[str, ...]
    cancel: tuple[str, ...]
    number: str
    listing: tuple[str, ...]
    read: Callable[[str], list[JobState]]
    array: str
    index: str
    first: int
    after: str
    test: tuple[str, ...] = ()
    interrupt: tuple[str, ...] = ()
    stdin: bool = False

    def _job(self, profile: Mapping[str, Any], name: str, logs: str) -> Any:
        """What dask-jobqueue makes of a profile.

        Raises
        ------
        ConfigError
            If dask-jobqueue is missing, or the profile does not fit.
        """
        job = getattr(dask_jobqueue(self.name), self.cluster).job_cls
        settings = {key: value for key, value in profile.items() if key not in (*_OF_THE_CLUSTER, DRIVER, SYSTEM)}
        try:
            return job("tcp://127.0.0.1:0", name=name, **settings | {"job_name": name, "log_directory": logs})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"execution.profile: {error}") from error

    def script(
        self,
        profile: Mapping[str, Any],
        command: Sequence[str],
        *,
        name: str,
        logs: str,
        environment: Mapping[str, str],
        array: int = 0,
        after: str = "",
    ) -> str:
        """Script of a job.

        Parameters
        ----------
        profile : mapping
            Settings of the dask-jobqueue cluster class.
        command : sequence of str
            What it runs; of an array, followed by the number of the job, from `first` on.
        name, logs : str
            Of the job, and the folder of what it prints.
        environment : mapping
            Variables that it sets.
        array : int
            Jobs of an array; 0 for one job.
        after : str
            Number of a job that is to be over before.
        """
        header = [line for line in str(self._job(profile, name, logs).job_header).splitlines() if line.strip()]
        if array:
            line = self.array.format(count=array, last=self.first + array - 1, name=name)
            header = [one for one in header if not (self.name == "lsf" and one.startswith("#BSUB -J "))] + [line]
        if after and self.after:
            header.append(self.after.format(job=after))
        exports = [f"export {key}={shlex.quote(value)}" for key, value in environment.items()]
        number = [f'"${self.index}"'] if array else []
        run = " ".join(["exec", shlex.join(command), *number])  # exec: signals reach the program, not its shell
        lines = [
            str(profile.get("shebang", "#!/usr/bin/env bash")),
            *header,
            *profile.get("job_script_prologue", ()),
            *exports,
            run,
        ]
        return "\n".join(lines) + "\n"

    def check(self, script: str) -> None:
        """Ask whether a script would be accepted, where the system can be asked.

        Raises
        ------
        ConfigError
            In the words of the system.
        """
        if self.test:
            self._tell(self.test, script, f"{self.name} would not accept the job")

    def hand_in(self, script: str) -> str:
        """Submit a script; gives the number of the job.

        Raises
        ------
        ConfigError
            In the words of the system, if it refuses.
        """
        said = self._tell(self.submit, script, f"{self.name} did not accept the job")
        found = re.search(self.number, said)
        if found is None:
            raise ConfigError(f"execution.scheduler: {self.submit[0]} names no job: {said.strip()}")
        return found[1]

    def _tell(self, command: Sequence[str], script: str, trouble: str) -> str:
        """Give a script to a command; what it prints."""
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".sh", prefix="fusestack-", encoding="utf-8") as file:
            file.write(script)
            file.flush()
            full = [*command] if self.stdin else [*command, file.name]
            done = call(full, script if self.stdin else None)
        if done is None:
            raise ConfigError(
                f"execution.scheduler: {command[0]} does not answer here; run this where jobs of {self.name} "
                "are submitted"
            )
        if done.returncode:
            words = "; ".join(line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip())
            raise ConfigError(f"execution.profile: {trouble}: {words}")
        return done.stdout + done.stderr

    def states(self, numbers: Sequence[str]) -> list[JobState] | None:
        """Jobs of these numbers that are in the queue, those of arrays one by one; None where nobody answers."""
        done = call([*self.listing], None) if numbers else None
        if done is None or done.returncode:
            return None if numbers else []
        wanted = {_base(number) for number in numbers}
        return [state for state in self.read(done.stdout) if _base(state.number) in wanted]

    def end(self, numbers: Sequence[str], *, gently: bool = False) -> None:
        """Cancel jobs; `gently`: only ask their programs to end, where the system can."""
        command = self.interrupt if gently else self.cancel
        if command and numbers:
            call([*command, *numbers], None)


@dataclass(frozen=True)
class Condor(JobSystem):
    """HTCondor, whose jobs are described by a file of settings."""

    def script(
        self,
        profile: Mapping[str, Any],
        command: Sequence[str],
        *,
        name: str,
        logs: str,
        environment: Mapping[str, str],
        array: int = 0,
        after: str = "",
    ) -> str:
        """See `JobSystem.script`; nothing waits for another job."""
        made = self._job(profile, name, logs)
        exports = [f"export {key}={shlex.quote(value)}" for key, value in environment.items()]
        run = " ".join(["exec", shlex.join(command), *([f"$({self.index})"] if array else [])])
        line = "; ".join([*profile.get("job_script_prologue", ()), *exports, run])
        quoted = line.replace('"', '""').replace("'", "''")
        header = {key: f"{value}" for key, value in made.job_header_dict.items()}
        lines = [f"{key} = {value}" for key, value in header.items()]
        return "\n".join([*lines, "Executable = /bin/sh", f"Arguments = \"-c '{quoted}'\"", f"Queue {array or 1}", ""])


def _base(number: str) -> str:
    """``17`` of ``17_3``, ``17[3].server``, ``17.0``."""
    return re.split(r"\D", number, maxsplit=1)[0]


def call(command: Sequence[str], given: str | None) -> subprocess.CompletedProcess[str] | None:
    """Run a command of a job system; None where it is not there or does not answer in ten seconds."""
    command = [part.replace("{user}", getpass.getuser()) if part == "{user}" else part for part in command]
    try:
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def dask_jobqueue(system: str) -> Any:
    """Module that knows how each system is asked for cores, memory and time.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        import dask_jobqueue as module
    except ImportError as error:
        raise ConfigError(
            f"execution.scheduler: {system} needs dask-jobqueue; install it with: pip install 'fusestack[cluster]'"
        ) from error
    for number, handler in before.items():  # its import makes Ctrl-C leave without a word (dask_jobqueue.runner)
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    return module


_CONDOR_LISTING = ("condor_q", "-af", 'strcat(ClusterId,".",ProcId,"|",JobStatus,"|",HoldReason)')

SYSTEMS: dict[str, JobSystem] = {
    one.name: one
    for one in (
        JobSystem(
            "slurm",
            "SLURMCluster",
            submit=("sbatch", "--parsable"),
            cancel=("scancel",),
            number=r"(?m)^(?:Submitted batch job )?(\d+)",
            listing=("squeue", "--noheader", "--format=%i|%T|%r", "--user", "{user}"),
            read=of_slurm,
            array="#SBATCH --array=0-{last}",
            index="SLURM_ARRAY_TASK_ID",
            first=0,
            after="#SBATCH --dependency=afterany:{job}",
            test=("sbatch", "--test-only"),
            interrupt=("scancel", "--batch", "--signal=TERM"),
        ),
        JobSystem(
            "pbs",
            "PBSCluster",
            submit=("qsub",),
            cancel=("qdel",),
            number=r"(?m)^(\d+(?:\[\])?[\w.-]*)",
            listing=("qstat", "-f"),
            read=of_pbs,
            array="#PBS -J 0-{last}",
            index="PBS_ARRAY_INDEX",
            first=0,
            after="#PBS -W depend=afterany:{job}",
            interrupt=("qsig", "-s", "SIGTERM"),
        ),
        JobSystem(
            "sge",
            "SGECluster",
            submit=("qsub",),
            cancel=("qdel",),
            number=r"[Yy]our job(?:-array)? (\d+)",
            listing=("qstat", "-u", "{user}"),
            read=of_sge,
            array="#$ -t 1-{last}",
            index="SGE_TASK_ID",
            first=1,
            after="#$ -hold_jid {job}",
            test=("qsub", "-w", "v"),
        ),
        JobSystem(
            "lsf",
            "LSFCluster",
            submit=("bsub",),
            cancel=("bkill",),
            number=r"Job <(\d+)>",
            listing=("bjobs", "-noheader", "-o", "jobid stat pend_reason delimiter='|'"),
            read=of_lsf,
            array='#BSUB -J "{name}[1-{last}]"',
            index="LSB_JOBINDEX",
            first=1,
            after='#BSUB -w "ended({job})"',
            interrupt=("bkill", "-s", "TERM"),
            stdin=True,
        ),
        Condor(
            "htcondor",
            "HTCondorCluster",
            submit=("condor_submit",),
            cancel=("condor_rm",),
            number=r"cluster (\d+)",
            listing=_CONDOR_LISTING,
            read=of_htcondor,
            array="",
            index="Process",
            first=0,
            after="",
            test=("condor_submit", "-dry-run", "/dev/null"),
        ),
    )
}
"""By the names that `execution.scheduler` takes."""
