"""The notebook of the examples, executed: its cells show what they promise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from fusestack.model.summary import COLUMNS, LINES

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "configs" / "notebooks" / "arrays.ipynb"


class Executed:
    """A notebook that was executed, whose kernel still runs."""

    def __init__(self, client: NotebookClient, cells: dict[str, Any]) -> None:
        self._client, self._cells = client, cells

    def check(self, source: str) -> None:
        """Run statements in the kernel, such as asserts."""
        cells = self._client.nb.cells
        cells.append(nbformat.v4.new_code_cell(source))
        self._client.execute_cell(cells[-1], len(cells) - 1)

    def shown(self, cell: str, kind: str = "text/plain") -> list[str]:
        """What a cell shows, in one form."""
        outputs = self._cells[cell].outputs
        return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


@pytest.fixture(scope="module")
def executed() -> Iterator[Executed]:
    book = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in book.cells}
    last = book.cells.pop()  # it deletes what tests look at
    client = NotebookClient(book, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    with client.setup_kernel(env={**os.environ, "PYTHONPATH": str(ROOT / "pipeline")}):
        for number, cell in enumerate(book.cells):
            client.execute_cell(cell, number)
        found = Executed(client, cells)
        yield found
        found.check(last.source)
        found.check("assert not folder.exists()")


def test_nothing_is_said_that_nobody_asked_for(executed: Executed) -> None:
    for name, cell in executed._cells.items():
        for output in cell.get("outputs", []):
            assert output.output_type != "stream", (name, output.text)


@pytest.mark.parametrize("cell", ["project", "views", "plan", "graph", "run", "rerun"])
def test_values_are_small_tables(executed: Executed, cell: str) -> None:
    text, page = executed.shown(cell)[-1], executed.shown(cell, "text/html")[-1]
    assert len(text.splitlines()) <= LINES
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert "<table>" in page


@pytest.mark.parametrize("cell", ["specimen", "looked", "stack", "sharp", "depth", "look"])
def test_pictures_are_shown(executed: Executed, cell: str) -> None:
    (picture,) = executed.shown(cell, "image/png")
    assert len(picture) > 2000


def test_tiles_become_one_image(executed: Executed) -> None:
    assert "dask.array" in executed.shown("tiles")[0], "it is lazy"
    executed.check(
        "assert image.dims == ('t', 'c', 'z', 'y', 'x')\n"
        "assert np.allclose(image.y[[0, 1]], [0, 0.5])\n"
        "np.testing.assert_allclose(image[0, 0], specimen[:, :172, :172], rtol=1e-5)\n"
    )


def test_the_stack_is_lazy(executed: Executed) -> None:
    assert "dask.array" in executed.shown("focused")[0]


def test_the_stack_becomes_sharp(executed: Executed) -> None:
    executed.check(
        "depth = np.asarray(found.depth)\n"
        "assert np.nanmedian(abs(depth - slope)) < 0.3, np.nanmedian(abs(depth - slope))\n"
        "error = abs(np.asarray(found.image, float) - surface).mean()\n"
        "best = min(abs(one.astype(float) - surface).mean() for one in slices)\n"
        "assert error < best / 3, (error, best)\n"
    )


def test_the_job_is_looked_at_and_run_on_a_client(executed: Executed) -> None:
    assert "4 views, uint16" in executed.shown("plan")[0]
    assert "fuse: 9" in executed.shown("graph")[0]
    progress, report = executed.shown("run")
    assert "done: 2 stages in " in progress
    assert '<progress max="9" value="9">' in executed.shown("run", "text/html")[0]
    assert "Run of 1 image: done" in report
    assert executed.shown("rerun")[0].startswith("Run of 1 image: everything was already made")
    executed.check(
        "assert len(client.scheduler_info()['workers']) == 2\n"
        "truth = simulation.truth\n"
        "part = plan.design.frame.box.shift([-n for n in truth.box.start]).slices\n"
        "assert fused.shape[2:] == truth.views[part].shape\n"
        "covered = truth.views[part] > 0\n"
        "error = np.sqrt(np.mean((np.asarray(fused[0, 0])[covered] - truth.image[0][part][covered]) ** 2))\n"
        "assert error < truth.raw_error[0] * 1.1, (error, truth.raw_error)\n"
    )


def test_an_error_shows_where_it_arose_on_the_worker(executed: Executed) -> None:
    with pytest.raises(CellExecutionError) as caught:
        executed.check("raise fusestack.BlockError('1 block failed', tracebacks=['Traceback' + ' of a worker'])")
    assert "1 block failed" in str(caught.value)
    assert "Traceback of a worker" in str(caught.value)
