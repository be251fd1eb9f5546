"""The notebooks beside `arrays.ipynb`, executed: what their last cells hold is what they promise."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "configs" / "notebooks"
TOLD_ELSEWHERE = {"arrays"}  # test_notebook.py
CHECKS = {
    "lazy-fusion": (
        "assert image.dims == ('t', 'c', 'z', 'y', 'x')\n"
        "assert difference.max() > 0, 'blending changes something'\n"
        "import zarr\n"
        "stored = zarr.open_array(folder / 'fused.ome.zarr' / '0', mode='r')[:]\n"
        "np.testing.assert_array_equal(stored, image.values)\n"
    ),
    "own-tiles": (
        "np.testing.assert_array_equal(fused, specimen)\n"
        "np.testing.assert_array_equal(placed.isel(t=0, c=0), specimen)\n"
        "np.testing.assert_array_equal(image.isel(t=0, c=0), specimen)\n"
        "assert mine.shape == (1, 1, *specimen.shape)\n"
    ),
    "focus-dask": (
        "off = abs(found.depth.values - scene.depth)[12:-12, 12:-12]\n"
        "assert np.nanmedian(off) < 1, np.nanmedian(off)\n"
        "error = abs(found.image.values / 255 - scene.truth).mean()\n"
        "assert error < min(abs(one - scene.truth).mean() for one in scene.slices)\n"
        "assert (spelled.image == by_masks.image).all()\n"
        "assert 0 < float(sharp.height.mean()) < 6.4\n"
        "assert (folder / 'sharp.png').exists()\n"
    ),
    "cluster": (
        "assert 'done' in repr(report)\n"
        "first = da.from_zarr(str(folder / 'fused.ome.zarr'), component='0').compute(scheduler='synchronous')\n"
        "again = da.from_zarr(str(folder / 'other.ome.zarr'), component='0').compute(scheduler='synchronous')\n"
        "np.testing.assert_array_equal(first, again)\n"
        "assert first.any()\n"
        "assert (folder / 'fused.ome.zarr' / '2').exists()\n"
    ),
}
"""What each notebook has to have made, before its last cell cleans up."""


def test_every_notebook_is_executed() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(CHECKS) | TOLD_ELSEWHERE
    page = (ROOT / "docs" / "tutorials" / "notebooks.md").read_text()
    for name in (*CHECKS, *TOLD_ELSEWHERE):
        assert f"`{name}.ipynb`" in page


@pytest.mark.parametrize("name", [*CHECKS, *TOLD_ELSEWHERE])
def test_they_are_stored_without_outputs(name: str) -> None:
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 24
    assert book.cells[0].source.startswith("# ")


@pytest.mark.parametrize("name", CHECKS)
def test_they_do_what_they_promise(name: str) -> None:
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert "cleanup()" in book.cells[-1].source
    book.cells.insert(-1, nbformat.v4.new_code_cell(CHECKS[name]))
    client = NotebookClient(book, timeout=180, resources={"metadata": {"path": str(NOTEBOOKS)}})
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT / "pipeline")})
    for cell in book.cells[:-1]:
        for output in cell.get("outputs", []):
            assert output.output_type != "stream", (cell.id, output.text)
