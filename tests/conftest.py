"""Data beside the project: suites marked ``beside`` compare with it, and say loudly where it is missing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

SHARED = Path(__file__).parents[2] / "shared"
ORIGINALS = {"golden/bigstitcher": "BIGSTITCHER", "golden/imfuse": "IMFUSE"}  # other folders: real acquisitions
UNTESTED = "NOT TESTED "
WAY_OUT = (
    "These suites compare every pixel with results of the original programs, or with published acquisitions. They are\n"
    "too large for the repository: put the folder 'shared' that holds them beside the folder of the project and run\n"
    "again. With FUSESTACK_GOLDEN=required in the environment, missing data is an error."
)

MEMORY = Path("/dev/shm")
ENOUGH = 6 * 2**30
"""Bytes that all tests need at once are a third of it."""

# What lands is judged by the same examples every time; new ones are sought by `make explore`.
settings.register_profile("landing", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("explore")


def pytest_configure(config: pytest.Config) -> None:
    """Tests write hundreds of thousands of files: on a disk they waited for it two thirds of their time."""
    if config.option.basetemp or "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return  # somebody has chosen, or the process that started this one
    for old in MEMORY.glob("fusestack-[0-9]*"):  # of sessions that failed, for a look until now, or were killed
        number = old.name.rpartition("-")[2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    runs_programs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if runs_programs and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ENOUGH:
        folder = MEMORY / f"fusestack-{os.getpid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["TMPDIR"], tempfile.tempdir = str(folder), None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    folder = MEMORY / f"fusestack-{os.getpid()}"
    if exitstatus == 0 and folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # before pytest says "empty parameter set", which tells nobody anything
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("beside"):
        folder = mark.args[0]
        if not (SHARED / folder).exists():
            original = ORIGINALS.get(folder)
            with_what = f"AGAINST {original}" if original else "WITH REAL DATA"
            reason = f"{UNTESTED}{with_what}: ../shared/{folder} is not beside the project"
            if os.environ.get("FUSESTACK_GOLDEN") == "required":
                pytest.fail(f"{reason}, and FUSESTACK_GOLDEN=required", pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped")]
    untested = Counter(reason for reason in reasons if reason.startswith(UNTESTED))
    if untested:
        terminalreporter.section("suites that did not run", sep="=", red=True, bold=True)
        for reason, tests in sorted(untested.items()):
            terminalreporter.line(f"{reason} ({tests} tests)", red=True, bold=True)
        if any("../shared" in reason for reason in untested):
            terminalreporter.line(WAY_OUT)
