"""What blocks free is kept by programs that compute, and by nobody who has said something else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fusestack.taskgraph.allocator import keeping
from fusestack.taskgraph.clusters import local_cluster, worker_environment

_FAULTS = """
import resource, sys
import numpy as np
from fusestack.taskgraph.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(20):
    block = [np.ones(4_000_000, np.float32) for _ in range(5)]
    del block  # more than what glibc keeps by itself
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(how: str, **environment: str) -> int:
    command = [sys.executable, "-c", _FAULTS, how]
    found = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_pages_are_not_asked_for_again_and_again() -> None:
    usual = {"NUMPY_MADVISE_HUGEPAGE": "0"}
    assert 4 * faults("keep", **usual) < faults("not", **usual)
    assert faults("keep", **usual, MALLOC_MMAP_THRESHOLD_="131072") > 100_000, "what somebody has said stays"


def test_what_somebody_has_said_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "MALLOC_ARENA_MAX" in worker_environment()
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    assert keeping() == {}


def test_workers_keep_and_the_environment_is_put_back() -> None:
    before = dict(os.environ)
    with local_cluster(1, 1, 2**30) as backend:
        (found,) = backend.client.run(lambda: dict(os.environ)).values()
    assert {key: found.get(key) for key in keeping()} == keeping()
    assert dict(os.environ) == before
