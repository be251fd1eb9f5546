"""Scripts and answers of job systems, as text; Slurm's are tried on a real one in tests/real/test_slurm.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusestack.model.errors import ConfigError
from fusestack.planning.cluster_profiles import load_profile
from fusestack.taskgraph.job_states import JobState
from fusestack.taskgraph.job_systems import SYSTEMS

COMMAND = ["/my env/bin/python", "-m", "fusestack.cli.task", "/out/it's.fusestack", "part"]
SLURM = """\
#!/usr/bin/env bash
#SBATCH -J fusestack-part
#SBATCH -e /logs/fusestack-part-%J.err
#SBATCH -o /logs/fusestack-part-%J.out
#SBATCH -p general
#SBATCH -n 1
#SBATCH --cpus-per-task=1
#SBATCH --mem=6G
#SBATCH -t 02:00:00
#SBATCH --array=0-3
export OMP_NUM_THREADS=1
export PYTHONPATH=/here
exec '/my env/bin/python' -m fusestack.cli.task '/out/it'"'"'s.fusestack' part "$SLURM_ARRAY_TASK_ID"
"""


def script(system: str, tmp_path: Path, array: int = 0, after: str = "") -> str:
    profile = load_profile(system, tmp_path)
    profile.pop("worker_extra_args", None)
    return (
        SYSTEMS[system]
        .script(
            profile,
            COMMAND,
            name="fusestack-part",
            logs=str(tmp_path),
            environment={"PYTHONPATH": "/here"},
            array=array,
            after=after,
        )
        .replace(str(tmp_path), "/logs")
    )


def test_the_whole_script_of_slurm(tmp_path: Path) -> None:
    assert script("slurm", tmp_path, array=4) == SLURM


@pytest.mark.parametrize(
    ("system", "array", "index", "after"),
    [
        ("slurm", "#SBATCH --array=0-3", "$SLURM_ARRAY_TASK_ID", "#SBATCH --dependency=afterany:17"),
        ("pbs", "#PBS -J 0-3", "$PBS_ARRAY_INDEX", "#PBS -W depend=afterany:17"),
        ("sge", "#$ -t 1-4", "$SGE_TASK_ID", "#$ -hold_jid 17"),
        ("lsf", '#BSUB -J "fusestack-part[1-4]"', "$LSB_JOBINDEX", '#BSUB -w "ended(17)"'),
    ],
)
def test_an_array_and_what_comes_after_it(system: str, array: str, index: str, after: str, tmp_path: Path) -> None:
    lines = script(system, tmp_path, array=4).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert array in lines
    assert lines[-1].startswith("exec '/my env/bin/python' -m fusestack.cli.task ")
    assert lines[-1].endswith(f'part "{index}"')
    names = [line for line in lines if "fusestack-part" in line and " -J" in line]
    assert len(names) <= 1 or system != "lsf", "the name of an array of LSF has its numbers"
    single = script(system, tmp_path, after="17").splitlines()
    assert after in single
    assert array not in single
    assert single[-1].endswith(" part")


def test_a_submit_file_of_htcondor(tmp_path: Path) -> None:
    lines = script("htcondor", tmp_path, array=4, after="17").splitlines()
    assert lines[-1] == "Queue 4"
    assert "Executable = /bin/sh" in lines
    (arguments,) = [line for line in lines if line.startswith("Arguments")]
    assert arguments.startswith(
        "Arguments = \"-c 'export OMP_NUM_THREADS=1; export PYTHONPATH=/here; exec ''/my env/bin/python''"
    )
    assert arguments.endswith("part $(Process)'\"")
    assert not [line for line in lines if "17" in line], "the job that completes waits by itself"


@pytest.mark.parametrize(
    ("system", "said", "number"),
    [
        ("slurm", "Submitted batch job 12\n", "12"),
        ("slurm", "12;cluster\n", "12"),
        ("pbs", "12.server.example\n", "12.server.example"),
        ("pbs", "12[].server\n", "12[].server"),
        ("sge", 'Your job-array 12.1-4:1 ("fusestack-part") has been submitted\n', "12"),
        ("sge", 'Your job 12 ("fusestack-part") has been submitted\n', "12"),
        ("lsf", "Job <12> is submitted to queue <normal>.\n", "12"),
        ("htcondor", "Submitting job(s)....\n4 job(s) submitted to cluster 12.\n", "12"),
    ],
)
def test_the_number_of_a_job(
    system: str, said: str, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, monkeypatch, SYSTEMS[system].submit[0], f"cat > /dev/null <&0 || true\nprintf '%s' '{said}'")
    assert SYSTEMS[system].hand_in("#!/bin/sh\n") == number


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


PBS = """\
Job Id: 12[].server
    Job_Name = fusestack-part
    job_state = Q
    comment = Not Running: Insufficient amount of resource: ncpus (R: 4 A: 2
\t T: 2)
Job Id: 13.server
    job_state = H
Job Id: 14.server
    job_state = Q
    comment = Can Never Run: Insufficient amount of resource: mem
Job Id: 15.server
    job_state = F
"""
SGE = """\
job-ID  prior   name       user         state submit/start at     queue          slots ja-task-ID
-------------------------------------------------------------------------------------------------
     12 0.55500 fusestack- nobody       r     11/28/2026 14:00:00 all.q@host         1 1
     12 0.00000 fusestack- nobody       qw    11/28/2026 14:00:00                    1 2-4:1
     13 0.00000 fusestack- nobody       Eqw   11/28/2026 14:00:00                    1
"""


@pytest.mark.parametrize(
    ("system", "said", "states"),
    [
        (
            "slurm",
            "12_0|RUNNING|None\n12_[1-3]|PENDING|Resources\n13|PENDING|Dependency\n14|PENDING|PartitionConfig\n15|COMPLETING|None\n",
            [
                JobState("12_0", "running"),
                JobState("12_[1-3]", "pending", "Resources"),
                JobState("13", "pending", "Dependency"),
                JobState("14", "pending", "PartitionConfig", hopeless=True),
            ],
        ),
        (
            "pbs",
            PBS,
            [
                JobState(
                    "12[].server", "pending", "Not Running: Insufficient amount of resource: ncpus (R: 4 A: 2 T: 2)"
                ),
                JobState("13.server", "held"),
                JobState("14.server", "pending", "Can Never Run: Insufficient amount of resource: mem", hopeless=True),
            ],
        ),
        (
            "sge",
            SGE,
            [
                JobState("12", "running"),
                JobState("12", "pending", "see: qstat -j 12"),
                JobState("13", "in error (Eqw)", "see: qstat -j 13", hopeless=True),
            ],
        ),
        (
            "lsf",
            "12|RUN|-\n12|PEND|Not enough hosts to meet the job's spanning requirement\n13|DONE|-\n",
            [
                JobState("12", "running"),
                JobState("12", "pending", "Not enough hosts to meet the job's spanning requirement"),
            ],
        ),
        (
            "htcondor",
            "12.0|2|undefined\n12.1|1|undefined\n13.0|5|memory usage exceeded request_memory\n",
            [
                JobState("12.0", "running"),
                JobState("12.1", "pending"),
                JobState("13.0", "held", "memory usage exceeded request_memory", hopeless=True),
            ],
        ),
    ],
)
def test_jobs_and_why_they_wait(
    system: str, said: str, states: list[JobState], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "said").write_text(said)
    put(tmp_path, monkeypatch, SYSTEMS[system].listing[0], f"cat {tmp_path}/said")
    assert SYSTEMS[system].states(["12", "13.x", "14[]"]) == states
    assert SYSTEMS[system].states(["99"]) == []


def test_where_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SYSTEMS["pbs"].states(["12"]) is None
    with pytest.raises(ConfigError, match="qsub does not answer here; run this where jobs of pbs are submitted"):
        SYSTEMS["pbs"].hand_in("#!/bin/sh\n")


def test_what_a_system_refuses_is_said_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, "qsub", 'echo "qsub: Unknown queue" >&2; exit 1')
    with pytest.raises(ConfigError, match="sge would not accept the job: qsub: Unknown queue"):
        SYSTEMS["sge"].check("#!/bin/sh\n")


def test_ctrl_c_stays_what_it_is(tmp_path: Path) -> None:
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
    script += "from fusestack.taskgraph.job_systems import dask_jobqueue; dask_jobqueue('slurm')\n"
    script += "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", script], check=True)
