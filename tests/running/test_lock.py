"""Two runs on one output: the second refuses; a dead one leaves nothing in the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusestack.model.errors import OutputError
from fusestack.running.lock import is_locked, output_lock

HOLD = """
import sys, time
from pathlib import Path
from fusestack.running.lock import output_lock
with output_lock(Path(sys.argv[1]), "x"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_run_refuses_and_names_the_first(tmp_path: Path) -> None:
    path = tmp_path / "w" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        assert is_locked(path)
        with pytest.raises(OutputError, match=f"process {holder.pid}"), output_lock(path, "fused.zarr"):
            pass
        holder.kill()
    assert not is_locked(path)
    with output_lock(path, "fused.zarr"):
        assert is_locked(path)


def test_unwritable_place_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write beside it"), output_lock(tmp_path / "file" / "lock", "x"):
        pass
