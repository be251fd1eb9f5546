"""The client of many workers, at a small size; `benchmarks/scale.py` measures the large one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "scale.py"


def test_what_many_workers_cost_the_client() -> None:
    command = [sys.executable, str(BENCHMARK), "--job", "chain", "--blocks", "12000", "--workers", "250"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert found["batches"] > 4_000
    assert found["client_ms_per_block"] < 2, "a batch of one block; with tasks that look at all tasks it is 10"
    assert found["client_bytes"] < 200e6
    assert found["ledger"]["get"] <= found["batches"] + 8, "one read for each batch"
    assert found["ledger"]["put"] == found["rerun"]["get"] == 8, "two files for each of four stages"
