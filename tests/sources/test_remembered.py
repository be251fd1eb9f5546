"""Remembered chunks: the same pixels, decoded once, within a limit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources import remembered as remembered_source
from fusestack.sources.base import open_source
from fusestack.sources.ome_zarr import OmeZarrSource
from fusestack.sources.remembered import MEMORY, remembered

SHAPE = (9, 21, 30)


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(remembered_source, "_LEAST_PIXELS", 1)
    yield
    MEMORY.set_limit(0)
    assert MEMORY.bytes == 0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SourceRef:
    folder = tmp_path_factory.mktemp("remembered") / "image.zarr"
    pixels = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
    zarr.create_array(folder, data=pixels, chunks=(4, 8, 8), dimension_names=["z", "y", "x"])
    return SourceRef("fusestack.sources.ome_zarr:OmeZarrSource", str(folder))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(ends=st.tuples(*(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted) for n in SHAPE)))
def test_the_same_pixels(source: SourceRef, ends: tuple[list[int], ...]) -> None:
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    found = open_source(remembered(source, 700)).read(0, box)
    assert found.tobytes() == open_source(source).read(0, box).tobytes()
    assert found.shape == box.shape
    assert MEMORY.bytes <= 700


def test_a_chunk_is_decoded_once(source: SourceRef, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Box] = []
    real = OmeZarrSource.read

    def counted(self: OmeZarrSource, level: int, box: Box) -> np.ndarray:
        read.append(box)
        return real(self, level, box)

    monkeypatch.setattr(OmeZarrSource, "read", counted)
    opened = open_source(remembered(source, 2**20))
    for box in (Box((0, 0, 0), (2, 9, 9)), Box((1, 0, 0), (4, 16, 16)), Box((3, 7, 7), (4, 8, 9))):
        opened.read(0, box)
    assert len(read) == len(set(read)) == 4
    assert opened.stored_chunk(0) == open_source(source).stored_chunk(0)


def test_small_chunks_are_remembered_together(source: SourceRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered_source, "_LEAST_PIXELS", 1000)
    opened = open_source(remembered(source, 2**20))
    expected = open_source(source)
    for box in (Box((0, 0, 0), (1, 1, 1)), Box((3, 2, 5), (9, 20, 30)), Box.of_shape(SHAPE)):
        assert opened.read(0, box).tobytes() == expected.read(0, box).tobytes()
    assert MEMORY.bytes == 2 * np.prod(SHAPE)
