"""Chunks across the border of two blocks are decoded once, and never stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fusestack.storage import kept
from fusestack.storage.kept import keeping
from fusestack.storage.zarr_chunks import ChunkReader, chunk_reader


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the chunks that are decoded; nothing is kept before and after."""
    sizes: list[int] = []
    found = ChunkReader._pixels

    def counted(self: ChunkReader, data: bytes) -> Any:
        sizes.append(len(data))
        return found(self, data)

    monkeypatch.setattr(ChunkReader, "_pixels", counted)
    monkeypatch.setattr(kept, "_KEPT", kept._Kept())
    return sizes


def array_of(folder: Path, *, shards: bool) -> tuple[Any, ChunkReader]:
    more: dict[str, Any] = {"shards": (40, 40)} if shards else {}
    array = zarr.create_array(folder / "a.zarr", shape=(40, 80), chunks=(20, 20), dtype="u2", **more)
    array[:] = np.arange(3200).reshape(40, 80)
    reader = chunk_reader(str(folder / "a.zarr"))
    assert reader is not None
    return array, reader


@pytest.mark.parametrize("shards", [False, True])
def test_neighbours_decode_a_chunk_once(shards: bool, tmp_path: Path, decoded: list[int]) -> None:
    array, reader = array_of(tmp_path, shards=shards)
    for limit, count in ((0, 10), (10**6, 8), (100, 10)):
        decoded.clear()
        with keeping(limit):
            for x in range(0, 80, 30):
                found = reader.read((0, x), (40, min(80, x + 30)))
                np.testing.assert_array_equal(found, array[:, x : x + 30])
                assert kept._KEPT.bytes <= limit
        kept._KEPT.entries.clear()
        kept._KEPT.bytes = 0
        assert len(decoded) == count


def test_a_chunk_that_was_written_anew_is_read_anew(tmp_path: Path, decoded: list[int]) -> None:
    array, reader = array_of(tmp_path, shards=True)
    with keeping(10**6):
        reader.read((0, 0), (40, 30))
        assert kept._KEPT.entries
        array[:] = np.arange(3200)[::-1].reshape(40, 80)
        np.testing.assert_array_equal(reader.read((0, 30), (40, 80)), array[:, 30:])
    assert len(decoded) > 4
