"""A suite whose data is missing is not passed over in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = "NOT TESTED AGAINST BIGSTITCHER: ../shared/golden/bigstitcher is not beside the project"


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A project of one golden suite, with nothing beside it."""
    project = tmp_path / "project"
    (project / "tests" / "golden").mkdir(parents=True)
    for name in ("../pyproject.toml", "__init__.py", "conftest.py", "golden/__init__.py", "golden/test_bigstitcher.py"):
        shutil.copy(HERE / name, project / "tests" / name)
    return project


def outcome(project: Path, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "FUSESTACK"))}
    done = subprocess.run(
        command, cwd=project, env=surroundings | environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_summary_says_what_was_not_tested_and_how_to_get_it(alone: Path) -> None:
    code, said = outcome(alone)
    assert code == 0, said
    _, _, summary = said.partition("suites that did not run")
    assert f"{MISSING} (3 tests)" in summary
    assert "put the folder 'shared'" in summary
    assert "FUSESTACK_GOLDEN=required" in summary


def test_missing_data_is_an_error_where_it_is_required(alone: Path) -> None:
    code, said = outcome(alone, FUSESTACK_GOLDEN="required")
    assert code == 1
    assert said.count(f"{MISSING}, and FUSESTACK_GOLDEN=required") >= 3
    assert "skipped" not in said
