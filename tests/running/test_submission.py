"""Jobs that are submitted from Python, to every job system in both modes; the commands are stand-ins that keep them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fusestack
from fusestack.model.errors import ConfigError, OutputError
from fusestack.taskgraph.job_systems import SYSTEMS
from tests.running.test_earlier import everything, fresh, settings

ANSWERS = {
    "slurm": "{n}",
    "pbs": "{n}.server",
    "sge": 'Your job {n} ("fusestack") has been submitted',
    "lsf": "Job <{n}> is submitted to queue <normal>.",
    "htcondor": "1 job(s) submitted to cluster {n}.",
}
LISTED = {
    "slurm": "{n}|PENDING|Resources",
    "pbs": "Job Id: {n}.server\n    job_state = Q\n",
    "sge": "{n} 0.5 fusestack me qw 11/28/2026 10:00:00 1",
    "lsf": "{n}|PEND|",
    "htcondor": "{n}.0|1|",
}
QUEUE = """#!{python} -IS
import pathlib, sys
folder, answer, listed = pathlib.Path({folder!r}), {answer!r}, {listed!r}
jobs = sorted(folder.glob("*.job"))
name = pathlib.Path(sys.argv[0]).name
if name in {submit!r}:
    if not {asks!r} & set(sys.argv):
        text = sys.stdin.read() if {stdin} else pathlib.Path(sys.argv[-1]).read_text()
        (folder / f"{{len(jobs) + 11}}.job").write_text(text)
        print(answer.replace("{{n}}", str(len(jobs) + 11)))
elif name in {listing!r}:
    for job in jobs:
        print(listed.replace("{{n}}", job.stem))
else:
    (folder / "ended").open("a").write(" ".join(sys.argv[1:]) + chr(10))
    for job in jobs:
        if job.stem in " ".join(sys.argv):
            job.rename(job.with_suffix(".gone"))
"""


@pytest.fixture
def queue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of a job system that keep scripts as files, and list them until they are cancelled."""
    system = SYSTEMS[request.param]
    folder = tmp_path / "queue"
    (folder / "bin").mkdir(parents=True)
    text = QUEUE.format(
        python=sys.executable,
        folder=str(folder),
        answer=ANSWERS[system.name],
        listed=LISTED[system.name],
        submit=[system.submit[0]],
        asks=set(system.test[1:]) - set(system.submit),
        stdin=system.stdin,
        listing=[system.listing[0]],
    )
    for command in {system.submit[0], system.listing[0], system.cancel[0], *system.interrupt[:1]}:
        (folder / "bin" / command).write_text(text)
        (folder / "bin" / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    return folder


def jobs(queue: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(queue.glob("*.job"))}


@pytest.mark.parametrize("mode", ["dask", "array"])
@pytest.mark.parametrize(("queue", "system"), [(name, name) for name in SYSTEMS], indirect=["queue"])
def test_every_system_in_both_modes(queue: Path, system: str, mode: Any, tmp_path: Path) -> None:
    config = settings(tmp_path)
    found = fusestack.submit(config, profile=system, mode=mode)
    assert found is not None
    assert (found.system, found.mode) == (system, mode)
    kept = jobs(queue)
    assert [number.partition(".")[0] for number in found.jobs.values()] == list(kept)
    assert list(found.jobs) == (["driver"] if mode == "dask" else ["array", "close"])
    for what, text in zip(["drive"] if mode == "dask" else ["part", "close"], kept.values(), strict=True):
        assert re.search(rf"-m fusestack\.cli\.task \S+\.fusestack {what}\b", text)
    with pytest.raises(OutputError, match="was submitted"):
        fusestack.submit(config, profile=system)
    with pytest.raises(OutputError, match="was submitted"):
        fusestack.run(config)
    assert fusestack.cancel(config["output"]["path"]).cancelled
    assert not jobs(queue)
    assert not fusestack.cancel(config["output"]["path"]).cancelled


@pytest.mark.parametrize(("queue", "system"), [("htcondor", "htcondor")], indirect=["queue"])
def test_what_an_array_makes(queue: Path, system: str, tmp_path: Path) -> None:
    """The scripts, run as they are by a shell: the bytes of a local run."""
    config = settings(tmp_path)
    fusestack.submit(config, ["execution.workers=1"], profile=system, mode="array", probe=False)
    for number, text in jobs(queue).items():
        run_script(text, system, 0)
        (queue / f"{number}.job").rename(queue / f"{number}.gone")
    assert everything(config) == fresh(config, [], tmp_path)
    assert fusestack.submit(config, profile=system) is None


def run_script(text: str, system: str, index: int) -> None:
    """Run a job as its system does."""
    command = ["bash", "-c", text]
    if system == "htcondor":
        arguments = re.search(r'(?m)^Arguments = "(.*)"$', text)
        assert arguments is not None
        inner = arguments[1].replace('""', '"').replace("$(Process)", str(index))
        command = ["/bin/sh", *shlex.split(inner.replace("''", "'\"'\"'"))]
    environment = {**os.environ, SYSTEMS[system].index: str(index + SYSTEMS[system].first)}
    subprocess.run(command, env=environment, check=True, capture_output=True)


def test_what_cannot_be_submitted(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with pytest.raises(ConfigError, match="needs a cluster profile"):
        fusestack.submit(config)
    with pytest.raises(ConfigError, match="is no job system"):
        fusestack.submit(fusestack.plan(config))
    with pytest.raises(ConfigError, match="belong to a configuration"):
        fusestack.submit(fusestack.plan(config), profile="slurm")
    with pytest.raises(OutputError, match="nothing was submitted"):
        fusestack.cancel(config["output"]["path"])
