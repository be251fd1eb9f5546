"""The record of finished blocks survives a kill at any byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusestack.model.errors import OutputError
from fusestack.taskgraph.ledger import Ledger


def test_new_ledger_misses_everything_and_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.txt", 5)
    assert ledger.missing() == [range(5)]
    assert not ledger.complete
    assert not list(tmp_path.iterdir())


def test_blocks_are_remembered_across_processes(tmp_path: Path) -> None:
    with Ledger(tmp_path / "deep" / "a.txt", 10) as ledger:
        ledger.record([3, 2, 4])
        ledger.record([9])
    again = Ledger(tmp_path / "deep" / "a.txt", 10)
    assert again.missing() == [range(2), range(5, 9)]
    assert again.finished == 4
    with again:
        again.record(range(10))
    assert again.complete
    assert Ledger(tmp_path / "deep" / "a.txt", 10).complete


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=6), st.integers(0, 200), st.lists(st.integers(0, 99))
)
def test_a_torn_file_never_claims_a_block_that_was_not_done(
    tmp_path: Path, records: list[list[int]], cut: int, later: list[int]
) -> None:
    path = tmp_path / "torn.txt"
    path.unlink(missing_ok=True)
    with Ledger(path, 100) as ledger:
        for blocks in records:
            ledger.record(blocks)
    if path.exists():
        path.write_bytes(path.read_bytes()[:cut])
    torn = Ledger(path, 100)
    recorded = {b for blocks in records for b in blocks}
    assert set(np.flatnonzero(torn.done)) <= recorded
    with torn:
        torn.record(later)
    again = Ledger(path, 100)
    assert set(np.flatnonzero(again.done)) == set(np.flatnonzero(torn.done))
    assert set(later) <= set(np.flatnonzero(again.done))


def test_records_are_runs_not_blocks(tmp_path: Path) -> None:
    with Ledger(tmp_path / "a.txt", 10**6) as ledger:
        ledger.record(range(10**6))
    assert (tmp_path / "a.txt").read_text() == "0 1000000\n"


def test_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        Ledger(tmp_path / "file" / "a.txt", 3).record([0])
