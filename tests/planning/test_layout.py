"""Chunks, shards and blocks of levels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fusestack.planning.layout import block_of_chunks, cut_levels
from fusestack.planning.pyramid import propose_factors

sizes = st.tuples(*[st.integers(1, 3000)] * 3)


@given(sizes, st.sampled_from([(64, 128, 128), (32, 64, 64), (7, 33, 50)]), st.booleans())
def test_blocks_are_whole_shards_of_whole_chunks(
    size: tuple[int, int, int], chunk: tuple[int, int, int], sharded: bool
) -> None:
    levels = cut_levels((2, 3, *size), propose_factors(size), chunk, None, sharded=sharded)
    for level in levels:
        assert (level.shards is not None) == sharded
        assert level.block[:2] == level.chunks[:2] == (1, 1)
        for n, c, b in zip(level.shape[2:], level.chunks[2:], level.block[2:], strict=True):
            assert 1 <= c <= n
            assert b % c == 0
            assert b < n + c
            assert b == (level.shards or level.block)[level.block.index(b)]


def test_large_blocks_are_nearly_cubic_and_bounded() -> None:
    assert block_of_chunks((64, 128, 128), (5000, 5000, 5000)) == (256, 256, 256)
    assert block_of_chunks((64, 128, 128), (32, 172, 111)) == (64, 256, 128)
    assert block_of_chunks((1, 128, 128), (1, 9000, 9000)) == (1, 4096, 4096)


def test_wanted_shards_are_kept_and_clipped_to_the_image() -> None:
    (level,) = cut_levels((1, 1, 100, 500, 90), [(1, 1, 1)], (64, 128, 64), (128, 256, 256), sharded=True)
    assert level.shards == (1, 1, 128, 256, 128)
    assert level.chunks == (1, 1, 64, 128, 64)


def test_hdf5_blocks_are_four_chunks_wide() -> None:
    (level,) = cut_levels((1, 1, 100, 500, 900), [(1, 1, 1)], (32, 64, 64), None, sharded=False, chunks_per_block=4)
    assert level.block == (1, 1, 128, 256, 256)
    assert level.shards is None
