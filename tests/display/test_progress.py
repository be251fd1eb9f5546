"""Progress in notebooks and scripts: one display, drawn again, in words that the terminal has too."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fusestack
from fusestack.display import notebook, progress
from fusestack.display.notebook import NotebookProgress
from fusestack.display.progress import progress_listener
from fusestack.model.errors import BlockError, FusestackWarning
from fusestack.model.stage import BlockFailure
from fusestack.sources.tiff import TiffSource
from fusestack.taskgraph.events import BlocksEnded, RunEnded, RunStarted, StageEnded, StageStarted
from tests.model.test_summary import Tags
from tests.small import config

Shown = list[dict[str, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What a kernel would show; the last one replaces those before."""
    found: Shown = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            assert raw
            found.append(data)

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert raw
        assert display_id
        assert not found, "there is one display, which is drawn again"
        found.append(data)
        return Handle()

    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return found


def test_a_run_in_a_notebook_shows_itself(shown: Shown, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, heard = config(tmp_path), []
    fusestack.run(made, listener=heard.append)
    assert len(shown) >= 2
    last = shown[-1]
    assert "fuse: 120 of 120 blocks" in last["text/plain"]
    assert last["text/plain"].split("\n")[-1].startswith("done: 2 stages in ")
    assert '<progress max="120" value="120"></progress>' in last["text/html"]
    page = Tags(last["text/html"])
    assert page.open == []
    assert {"progress", "table"} <= page.found
    assert "color" not in last["text/html"]
    assert [type(event) for event in heard][:2] == [RunStarted, StageStarted]
    assert isinstance(heard[-1], RunEnded)
    assert capsys.readouterr() == ("", "")
    count = len(shown)
    fusestack.run(made)
    assert len(shown) == count, "nothing is to be done, so there is nothing to show"
    fusestack.run(made, force=True, progress=False)
    assert len(shown) == count


def test_failures_are_shown(shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise RuntimeError("a <b>scratch</b>")

    monkeypatch.setattr(TiffSource, "read", damaged)
    with pytest.raises(BlockError), pytest.warns(FusestackWarning, match="could not be decoded"):
        fusestack.run(config(tmp_path), ["execution.retries=1"])
    found = re.search(r"(\d+) retries, \1 blocks failed", shown[-1]["text/plain"])
    assert found
    last = shown[-1]["text/plain"].split("\n")[-1]
    assert last.startswith("failed: 2 stages in ")
    assert last.endswith(f"; {found[1]} blocks failed after all retries; the others are kept, running again continues")
    assert "<b>" not in shown[-1]["text/html"]


def test_a_script_is_quiet_unless_it_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = config(tmp_path)
    fusestack.run(made)
    assert capsys.readouterr() == ("", "")
    fusestack.run(made, force=True, progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "fuse: fused, " in said.err


@pytest.mark.parametrize("module", [None, SimpleNamespace(), SimpleNamespace(get_ipython=lambda: None)])
def test_ipython_alone_is_no_notebook(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert progress_listener(None) is None
    assert progress_listener(False) is None
    assert type(progress_listener(True)).__name__ == "_Lines"
    terminal = SimpleNamespace(isatty=lambda: True, write=lambda text: len(text), flush=lambda: None)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert type(progress_listener(True)).__name__ == "_Bar"


def test_many_events_are_few_updates(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    listener = NotebookProgress()
    listener(RunStarted("out", ("a", "b"), 20_000, 100, 2, "http://127.0.0.1:8787/status?a=<b>"))
    listener(StageStarted("a", "image <i>, 1 x 1 x 1 (xyz)", 10_000, 100, 10**9))
    listener(StageStarted("b", "image", 10_000, 0, 10**9))
    for number in range(5_000):
        clock[0] += 0.001
        failed = (BlockFailure(number, "here", "bad"),) if number == 7 else ()
        listener(BlocksEnded("a", (range(number, number + 1),), 100_000, failed))
    assert 2 <= len(shown) <= 25
    text = shown[-1]["text/plain"]
    assert text.startswith("continuing: 100 of 20,000 blocks are already done\n")
    assert "100 MB/s, " in text
    assert "s left, 1 try failed" in text
    assert "b: " not in text, "a stage is shown when it has begun"
    assert 'href="http://127.0.0.1:8787/status?a=&lt;b&gt;"' in shown[-1]["text/html"]
    assert "<i>" not in shown[-1]["text/html"]
    listener(StageEnded("a", 5.0, 0, 1))
    clock[0] += 100
    listener(RunEnded("done", 105.0))
    assert "a: 5,100 of 10,000 blocks, 100 MB/s, 5.0 s, 1 retry" in shown[-1]["text/plain"]
    assert shown[-1]["text/plain"].endswith("done: 2 stages in 1 min 45 s")


def test_very_many_stages_stay_small(shown: Shown) -> None:
    listener = NotebookProgress()
    for number in range(60):
        listener(StageStarted(f"stage{number}", "image", 1, 0, 1))
        listener(BlocksEnded(f"stage{number}", (range(1),), 1))
        listener(StageEnded(f"stage{number}", 0.1, 0, 0))
    listener(RunEnded("done", 6.0))
    lines = shown[-1]["text/plain"].split("\n")
    assert len(lines) == notebook._MOST_STAGES + 2
    assert lines[0] == "... 44 more stages"
    assert lines[-2].startswith("stage59: 1 of 1 blocks")


def test_an_address_that_is_none_is_no_link(shown: Shown) -> None:
    NotebookProgress()(RunStarted("out", (), 1, 0, 1, "javascript:alert(1)"))
    assert "href" not in shown[-1]["text/html"]


def test_the_first_blocks_do_not_count_for_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for kernels to be compiled: 20 seconds for the first one are no 20 seconds for each."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    rate = progress.Rate(StageStarted("fuse", "", 10, 0, 10))
    for seconds, number, left in ((20, 0, None), (21, 1, None), (23, 2, 3 / 2 * 7), (24, 3, 4 / 3 * 6)):
        now[0] = float(seconds)
        rate.add(BlocksEnded("fuse", (range(number, number + 1),), 1))
        assert rate.seconds_left == (None if left is None else pytest.approx(left))
