"""Blocks cut into tasks, and what each task waits for: complete, bounded, and as a plain search finds it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.image import Codec, ImageSpec
from fusestack.model.stage import Along, Compute, Stage, Target
from fusestack.planning.layout import cut_levels
from fusestack.planning.levels import with_pyramid
from fusestack.planning.resources import Resources
from fusestack.taskgraph.batches import BATCHES_A_WORKER, MOST_BATCHES, cut, nesting, tower_bytes, towers
from fusestack.taskgraph.edges import edges
from tests.taskgraph.toys import toy_stage

MUCH = 2**50


@dataclass(frozen=True)
class Nothing(Compute):
    """Every block is blank."""

    def __call__(self, box: Box) -> None:
        """Compute nothing."""

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        return 100


def image_stages(
    shape: tuple[int, int, int], factors: list[tuple[int, int, int]], chunks: tuple[int, int, int], folder: str = "w"
) -> list[Stage]:
    levels = cut_levels((1, 2, *shape), factors, chunks, None, sharded=False)
    image = ImageSpec(f"{folder}/o", "o", "uint16", levels, Codec(), (1, 1, 1), (0, 0, 0), None, (0,), (), 0.0)
    target = Target("fusestack.writers.ome_zarr:OmeZarrWriter", image, 0, folder)
    first = Stage("fuse", Grid(image.shape, levels[0].block), Nothing(), target, "a" * 64, 100)
    return list(with_pyramid(first, Resources("threads", 1, 1, MUCH, 0)))


def pyramids() -> st.SearchStrategy[list[Stage]]:
    """Images of odd sizes with two levels above; blocks that nest and blocks that do not."""
    step = st.tuples(*[st.sampled_from([1, 2, 3])] * 3)
    return st.builds(
        lambda shape, one, two, chunks, block: image_stages_of(shape, one, two, chunks, block),
        st.tuples(*[st.integers(1, 60)] * 3),
        step,
        step,
        st.tuples(*[st.sampled_from([2, 3, 4, 8])] * 3),
        st.sampled_from([1, 2]),
    )


def image_stages_of(
    shape: tuple[int, int, int], one: Any, two: Any, chunks: tuple[int, int, int], block: int
) -> list[Stage]:
    factors = [(1, 1, 1), one, tuple(a * b for a, b in zip(one, two, strict=True))]
    levels = cut_levels((1, 1, *shape), factors, chunks, tuple(c * block for c in chunks), sharded=False)
    (first, *_) = image_stages(shape, factors, chunks)
    image = replace(first.target.image, levels=levels)
    target = replace(first.target, image=image)
    first = Stage("fuse", Grid(image.shape, levels[0].block), Nothing(), target, "a" * 64, 100)
    return list(with_pyramid(first, Resources("threads", 1, 1, MUCH, 0)))


@settings(max_examples=150, deadline=None)
@given(pyramids())
def test_children_are_the_blocks_that_a_block_is_reduced_from(stages: list[Stage]) -> None:
    for stage in stages[1:]:
        found = nesting(stage)
        if found is None:
            continue
        every = [child for block in range(found.upper.count) for child in found.children(block)]
        assert sorted(every) == list(range(found.lower.count))
        covered = np.zeros(stage.grid.shape, int)
        for block in range(found.upper.count):
            box = stage.grid.box(block)
            for child in found.children(block):
                part = found.part(child)
                covered[part] += 1
                inside = Box(tuple(s.start for s in part), tuple(max(s.start, s.stop) for s in part))
                assert inside.is_empty or inside.intersect(box) == inside
                for s, f, a, b in zip(
                    part, found.factors, found.lower.box(child).start, found.lower.shape, strict=True
                ):
                    assert s.stop <= s.start or s.start * f == a or b < f
        assert (covered == 1).all()


@settings(max_examples=100, deadline=None)
@given(pyramids(), st.integers(1, 3), st.data())
def test_every_missing_block_is_in_one_task_with_those_below_it(
    stages: list[Stage], workers: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    share = data.draw(st.sampled_from([0.1, 0.5, 1.0]))
    made = towers(stages, workers=workers, memory=data.draw(st.sampled_from([None, 300, MUCH])))
    assert [stage.name for tower in made for stage in tower.stages] == [stage.name for stage in stages]
    for tower in made:
        missing = [rng.random(stage.grid.count) < share for stage in tower.stages]
        layer = cut(tower, missing, workers=workers)
        assert len(layer.batches) <= MOST_BATCHES
        tops = [block for batch in layer.batches for block in batch]
        assert len(tops) == len(set(tops))
        for level, stage in enumerate(tower.stages):
            batches = layer.batch_of(level)
            assert ((batches >= 0) == missing[level]).all()
            found = tower.nestings[level]
            if level and found is not None:
                homes, below = tower.homes(level), tower.homes(level - 1)
                for block in range(stage.grid.count):
                    assert {int(below[child]) for child in found.children(block)} == {int(homes[block])}


def test_as_many_levels_go_together_as_leave_work_for_all_and_fit_the_memory() -> None:
    factors = [(n, n, n) for n in (1, 2, 4, 8, 16)]
    stages = image_stages((640, 640, 640), factors, (16, 16, 16))
    stages = [replace(s, grid=Grid(s.grid.shape, (1, 1, 16, 16, 16))) for s in stages]
    levels = tuple(replace(level, block=(1, 1, 16, 16, 16)) for level in stages[0].target.image.levels)
    image = replace(stages[0].target.image, levels=levels)
    first = replace(stages[0], target=replace(stages[0].target, image=image))
    stages = list(with_pyramid(first, Resources("threads", 1, 1, MUCH, 0)))
    counts = [stage.grid.count for stage in stages]
    assert counts == [2 * n**3 for n in (40, 20, 10, 5, 3)]

    def names(**options: Any) -> list[int]:
        return [len(tower.stages) for tower in towers(stages, **options)]

    assert names(workers=1, memory=MUCH) == [5]
    assert names(workers=20, memory=MUCH) == [3, 1, 1]  # a level higher, there are 250 blocks, and 640 are wanted
    assert names(workers=400, memory=MUCH) == [2, 1, 1, 1]
    one = 2 * 16**3
    assert names(workers=1, memory=tower_bytes(stages[:3])) == [3, 1, 1]  # a level that is read back needs more
    assert tower_bytes(stages[:3]) == 5 * one
    assert names(workers=1, memory=None) == [1] * 5


@pytest.mark.parametrize(("blocks", "workers"), [(1, 2), (15, 2), (16, 2), (100, 2), (20_000, 2), (5000, 400)])
def test_small_blocks_are_grouped_but_every_worker_has_enough(blocks: int, workers: int, tmp_path: Path) -> None:
    (tower,) = towers([toy_stage(tmp_path, blocks)], workers=workers, memory=MUCH)
    layer = cut(tower, [np.ones(blocks, bool)], workers=workers)
    wanted = min(blocks, BATCHES_A_WORKER * workers)
    assert wanted / 2 < len(layer.batches) <= wanted
    sizes = {len(batch) for batch in layer.batches[:-1]}
    assert len(sizes) <= 1


def test_large_blocks_are_tasks_of_their_own_until_there_are_very_many() -> None:
    for count, batches in ((30, 30), (2048, 2048), (20_000, 2000)):
        (stage, *_) = image_stages((256, 256, 256), [(1, 1, 1)], (256, 256, 256))
        stage = replace(stage, grid=Grid((1, 1, 256 * count, 256, 256), (1, 1, 256, 256, 256)))
        (tower,) = towers([stage], workers=2, memory=MUCH)
        assert len(cut(tower, [np.ones(count, bool)], workers=2).batches) == batches


@pytest.mark.parametrize("along", [27, 100])
def test_tasks_of_a_million_blocks_take_a_minute_not_an_hour(along: int) -> None:
    stages = image_stages((256 * along,) * 3, [(n, n, n) for n in (1, 2, 4, 8, 16, 32)], (256, 256, 256))
    made = towers(stages, workers=2, memory=MUCH)
    assert len(made[0].stages) == 3
    layer = cut(made[0], [np.ones(stage.grid.count, bool) for stage in made[0].stages], workers=2)
    each = stages[0].grid.count / len(layer.batches)
    assert each < (70 if along == 27 else 1100)
    assert len(layer.batches) > 500


def test_blocks_that_failed_before_are_tasks_of_their_own(tmp_path: Path) -> None:
    (tower,) = towers([toy_stage(tmp_path, 1000)], workers=2, memory=MUCH)
    layer = cut(tower, [np.ones(1000, bool)], workers=2, failed={7, 400})
    assert layer.batches[:2] == ((7,), (400,))
    assert sorted(block for batch in layer.batches for block in batch) == list(range(1000))
    many = cut(tower, [np.ones(1000, bool)], workers=2, failed=range(1000))
    assert len(many.batches) == 1000


along = st.one_of(
    st.none(), st.builds(Along, st.sampled_from([0.5, 1, 1.7, 2, 3]), st.integers(0, 9), st.integers(0, 9))
)
grids = st.builds(Grid, st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[st.integers(2, 7)] * 3))


@settings(max_examples=60, deadline=None)
@given(grids, grids, st.tuples(along, along, along), st.integers(0, 1000))
def test_edges_are_those_that_a_search_over_all_pixels_finds(
    reader: Grid, written: Grid, reach: tuple[Along | None, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reads = rng.integers(-1, 4, reader.count)
    writes = rng.integers(-1, 4, written.count)
    wanted = set()
    others = [(int(b), written.box(int(b))) for b in np.flatnonzero(writes >= 0)]
    for block in np.flatnonzero(reads >= 0):
        box = reader.box(int(block))
        spans = [
            (0, n) if a is None else a.span(s, e, n)
            for a, s, e, n in zip(reach, box.start, box.stop, written.shape, strict=True)
        ]
        for other, there in others:
            if all(a < e and s < b for (a, b), s, e in zip(spans, there.start, there.stop, strict=True)):
                wanted.add((int(reads[block]), int(writes[other])))
    found = edges(reader, reads, written, writes, reach)
    assert found == sorted(wanted)


def test_a_stage_that_reads_everything_waits_for_the_stage() -> None:
    lower, upper = Grid((1000, 1000), (1, 1)), Grid((100, 100), (1, 1))
    numbers = np.arange(10_000) // 10
    assert edges(upper, numbers, lower, np.arange(10**6), (None, Along(10))) is None


def test_edges_of_a_million_blocks_are_found_at_once() -> None:
    grid, upper = Grid((1, 1, 100, 100, 100), (1,) * 5), Grid((1, 1, 50, 50, 50), (1,) * 5)
    reach = (Along(), Along(), Along(2), Along(2), Along(2))
    found = edges(upper, np.arange(125_000) // 64, grid, np.arange(10**6) // 489, reach)
    assert found is not None
    pairs = list(itertools.islice(found, 3))
    assert pairs[0] == (0, 0)
    assert len(found) < 100_000
