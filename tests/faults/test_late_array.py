"""A task of a job array that still writes when another run has begun, on a machine whose lock nobody here sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fusestack
from fusestack.running.submission import read_submission
from fusestack.taskgraph.job_systems import JobSystem
from tests.faults.test_late import WAITING, results, until
from tests.small import config

PART = f"""{WAITING}
from contextlib import nullcontext
import fusestack.running.submission as submission
submission.shared_lock = lambda *_: nullcontext()
print(submission.run_part(sys.argv[2], sys.argv[3], 1, 0))
"""


@pytest.mark.parametrize("same", [False, True])
def test_a_task_of_an_array_writes_nothing_into_a_later_run(
    same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, answer in {"hand_in": "1", "check": None, "states": []}.items():
        monkeypatch.setattr(JobSystem, name, lambda *_, answer=answer: answer)
    settings = config(tmp_path)
    work = f"{settings['output']['path']}.fusestack"
    fusestack.submit(settings, ["execution.workers=1"], profile="slurm", mode="array", probe=False)
    submitted = read_submission(work)
    assert submitted is not None
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    (cluster / "hold").touch()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PART, str(cluster), work, submitted.run]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            until((cluster / "waiting").exists)
            changed = settings if same else settings | {"fusion": {"method": "max"}}
            changed["output"]["overwrite"] = True
            fusestack.run(changed, ["execution.workers=1"], force=same, progress=False)
            before = {name: data for name, data in results(tmp_path).items() if "/graphs/" not in name}
            (cluster / "hold").unlink()
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "blocks=0" in said
    assert {name: data for name, data in results(tmp_path).items() if "/graphs/" not in name} == before
    assert fusestack.run(changed, progress=False).reused_all
