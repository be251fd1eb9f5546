"""Blocks that take more memory than there is: workers are really ended, and the system really refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fusestack.model.errors import BlockError
from fusestack.taskgraph.clusters import local_cluster
from fusestack.taskgraph.events import Noticed
from tests.taskgraph.toys import drive, toy_stage, tries_of, written

_MEMORY = 500 * 2**20
"""Of a worker: enough for the program and its libraries, and not for a greedy block, or not for two."""
_ALWAYS = ("greedy",) * 20
_ENDED = ("hoard",) * 3
_NAMED = re.compile(
    r"out of memory: worker tcp://\S+ took \S+ MiB of the 500\S* MiB that it may, and was ended; "
    r"it was at this block alone, for which \S+ \S+ were planned; raise execution.memory"
)


def test_the_block_that_ends_its_worker_is_named_and_a_rerun_with_more_memory_goes_on(tmp_path: Path) -> None:
    """`processes`: a thread a worker."""
    stage = toy_stage(tmp_path, 40, faults={7: (*_ENDED, *_ALWAYS)})
    with local_cluster(2, 1, _MEMORY) as backend:
        outcomes, _, ended = drive([stage], backend, retries=3)
    assert list(outcomes["toy"].failed) == [7]
    assert _NAMED.match(outcomes["toy"].failed[7].error)
    assert not ended[0].complete
    assert tries_of(str(tmp_path), 7) <= 3  # with others, as a task of its own, alone
    assert written(tmp_path) == {block: block for block in range(40) if block != 7}
    with local_cluster(1, 1, 2 * _MEMORY) as backend:
        outcomes, _, ended = drive([stage], backend, retries=0)
    assert ended[0].complete
    assert outcomes["toy"].computed == 1
    assert written(tmp_path) == {block: block for block in range(40)}


def test_a_run_whose_blocks_all_run_out_of_memory_ends(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 5, faults=dict.fromkeys(range(5), ("hoard",) * 20))
    with local_cluster(1, 1, _MEMORY) as backend, pytest.raises(BlockError, match="no more are tried") as caught:
        drive([stage], backend, retries=3)
    assert str(caught.value).startswith("3 blocks ran out of memory, each of them alone on a worker")
    assert sum(_NAMED.search(line) is not None for line in caught.value.problems) == 3
    assert written(tmp_path) == {}


def test_threads_that_have_memory_for_one_greedy_block_make_one_at_a_time(tmp_path: Path) -> None:
    """`distributed`: two threads share the memory of a worker."""
    stage = toy_stage(tmp_path, 24, faults=dict.fromkeys((3, 4, 15, 16), _ALWAYS))
    memory = 2 * _MEMORY  # for the program and one of them
    with local_cluster(1, 2, memory) as backend:
        outcomes, events, ended = drive([stage], backend, retries=1)
    assert ended[0].complete
    assert not outcomes["toy"].failed
    assert written(tmp_path) == {block: block for block in range(24)}
    said = [event.text for event in events if isinstance(event, Noticed)]
    assert said == ["out of memory: from now on 1 block at a time, not 2"]


_REFUSED = """
import json, resource, sys
from pathlib import Path
from fusestack.taskgraph.clusters import Threads
from fusestack.taskgraph.events import Noticed
from tests.taskgraph.toys import GREEDY_BYTES, drive, toy_stage
folder, alone = Path(sys.argv[1]), sys.argv[2] == "alone"
stage = toy_stage(folder, 12, faults=dict.fromkeys((3, 9), ("greedy",) * 20))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
room = GREEDY_BYTES // 2 if alone else GREEDY_BYTES * 3 // 2
resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
with Threads(2) as backend:
    outcomes, events, _ = drive([stage], backend, retries=2)
failed = {block: failure.error for block, failure in outcomes["toy"].failed.items()}
print(json.dumps([failed, [event.text for event in events if isinstance(event, Noticed)]]))
"""


@pytest.mark.parametrize("which", ["two", "alone"])
def test_memory_that_the_system_refuses_is_named(which: str, tmp_path: Path) -> None:
    """Threads under a limit of the address space: with room for one greedy block they make one at a time."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", _REFUSED, str(tmp_path), which], capture_output=True, text=True, timeout=120, cwd=root
    )
    assert done.returncode == 0, done.stderr
    failed, said = json.loads(done.stdout.splitlines()[-1])
    assert said == ["out of memory: from now on 1 block at a time, not 2"]
    if which == "two":
        assert failed == {}
        assert written(tmp_path) == {block: block for block in range(12)}
    else:
        assert set(failed) == {"3", "9"}
        for text in failed.values():
            assert text.startswith("out of memory: Unable to allocate 600. MiB"), text
            assert "raise execution.memory" in text
