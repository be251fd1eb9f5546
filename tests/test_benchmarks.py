"""Every benchmark runs once at toy size, so that it does not rot."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_toy_size(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / name), "--toy"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"\d", done.stdout)) > 5, "it prints figures"
