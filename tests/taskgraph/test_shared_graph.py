"""A graph in a folder: parts that come, go, fail and die, and never do what another is at."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fusestack.taskgraph import shared_graph
from fusestack.taskgraph.job import TaskGraph, Todo, build_graph
from fusestack.taskgraph.ledger import ledger_of
from fusestack.taskgraph.shared_graph import Part, SharedGraph
from fusestack.taskgraph.stop import stop
from tests.taskgraph.toys import toy_stage, toy_unit, tries_of, written


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_graph, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(shared_graph, "_BEAT_SECONDS", 0.1)
    monkeypatch.setattr(shared_graph, "_SILENT_SECONDS", 1.0)


def shared(
    tmp_path: Path, blocks: int, faults: dict[int, tuple[str, ...]] | None = None, seconds: float = 0
) -> tuple[str, TaskGraph]:
    stage = toy_stage(tmp_path, blocks, faults, seconds)
    every = {stage.key: np.ones(blocks, bool)}
    graph = build_graph([toy_unit(stage)], Todo(every, every), workers=4, memory=2**40)
    path = str(tmp_path / "shared")
    SharedGraph.keep(path, graph)
    return path, graph


def take(path: str, name: str, share: float = 0, threads: int = 1) -> Part:
    part = Part(name, "here")
    SharedGraph(path).work(part, share=share, threads=threads, retries=2)
    return part


def test_parts_share_the_work_and_nothing_is_done_twice(tmp_path: Path) -> None:
    path, _ = shared(tmp_path, 64, seconds=0.01)
    parts: list[Part] = []
    threads = [
        threading.Thread(target=lambda n=n: parts.append(take(path, f"part{n}", n / 3, threads=1 + n % 2)))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written(tmp_path) == {b: b for b in range(64)}
    assert ledger_of(toy_stage(tmp_path, 64)).complete
    assert all(tries_of(str(tmp_path / "tries"), b) == 1 for b in range(64))
    assert sum(part.blocks for part in parts) == 64
    assert all(part.blocks for part in parts)
    assert SharedGraph(path).parts() == [], "who has left is not there any more"
    assert take(path, "late").blocks == 0


def test_blocks_that_fail_are_tried_again_and_what_cannot_be_made_is_left_to_be_told(tmp_path: Path) -> None:
    path, _ = shared(tmp_path, 8, {3: ("fail", "ok"), 5: ("fail",) * 9})
    part = take(path, "one")
    assert written(tmp_path) == {b: b for b in range(8) if b != 5}
    assert tries_of(str(tmp_path / "tries"), 3) == 2
    assert tries_of(str(tmp_path / "tries"), 5) == 3
    assert "fault in block 5" in part.errors[-1]


CHILD = """
import sys
from fusestack.taskgraph import shared_graph
from tests.taskgraph.test_shared_graph import take
shared_graph._LOOK_SECONDS, shared_graph._BEAT_SECONDS, shared_graph._SILENT_SECONDS = 0.05, 0.1, 1.0
take(sys.argv[1], sys.argv[2])
"""


def child(path: str, name: str) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
    return subprocess.Popen([sys.executable, "-c", CHILD, path, name], env=environment)


def test_what_a_killed_part_was_at_is_taken_by_another(tmp_path: Path) -> None:
    path, _ = shared(tmp_path, 40, seconds=0.1)
    with child(path, "doomed") as process:
        while len(written(tmp_path)) < 3:
            time.sleep(0.05)
        process.kill()
    before = set(written(tmp_path))
    part = take(path, "heir")
    assert written(tmp_path) == {b: b for b in range(40)}
    tries = {b: tries_of(str(tmp_path / "tries"), b) for b in range(40)}
    assert sum(tries.values()) <= 40 + 2, "at most what was under way is done twice"
    assert part.blocks >= 40 - len(before) - 1


def test_a_task_that_kills_every_part_is_given_up(tmp_path: Path) -> None:
    path, _ = shared(tmp_path, 4, {2: ("die",) * 9})
    for number in range(3):
        with child(path, f"part{number}") as process:
            assert process.wait(60) == 9
    part = take(path, "last")
    assert set(written(tmp_path)) == {0, 1, 3}
    assert "3 jobs that computed it have ended, the last one part2; often for want of memory" in part.errors[-1]


def test_parts_of_a_stopped_run_leave(tmp_path: Path) -> None:
    path, graph = shared(tmp_path, 400, seconds=0.05)
    threading.Timer(0.5, stop, [str(tmp_path / "work"), graph.run]).start()
    take(path, "one")
    assert 0 < len(written(tmp_path)) < 400
