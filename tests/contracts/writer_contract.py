"""What every image writer promises; a format is a subclass that names the writer and how its files are read."""

from __future__ import annotations

import errno
import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.image import Channel, Codec, ImageSpec, Level
from fusestack.model.stage import Target
from fusestack.writers import WRITERS

FACTORS = ((1, 1, 1), (1, 2, 2), (2, 6, 4))


def image_spec(path, *, shape=(2, 2, 13, 41, 50), chunk=(4, 16, 16), shard=(2, 1, 2), codec=None, **changes):
    """Make a spec of three levels with odd sizes; `shard` counts the chunks of a block along z, y, x."""
    levels = []
    for factors in changes.pop("factors", FACTORS):
        size = (*shape[:2], *(max(1, n // f) for n, f in zip(shape[2:], factors, strict=True)))
        block = (1, 1, *(c * n for c, n in zip(chunk, shard, strict=True)))
        levels.append(Level(factors, size, (1, 1, *chunk), None, block))
    spec = ImageSpec(
        path=str(path),
        name="fused",
        dtype="uint16",
        levels=tuple(levels),
        codec=codec or Codec("gzip", 1),
        pixel_size=(1.5, 0.5, 0.25),
        origin=(-3.0, 100.0, 7.25),
        unit="micrometer",
        timepoints=tuple(range(5, 5 + shape[0])),
        channels=tuple(Channel(i, f"channel {i}", "00FF00") for i in range(shape[1])),
    )
    return replace(spec, **changes)


def random_levels(spec, seed=0):
    """Pixels of all levels; in about a third of the blocks all pixels have the fill value."""
    rng = np.random.default_rng(seed)
    arrays = []
    for level in spec.levels:
        if np.dtype(spec.dtype).kind == "f":
            pixels = rng.normal(100, 1e6, level.shape).astype(spec.dtype)
        else:
            info = np.iinfo(spec.dtype)
            pixels = rng.integers(info.min, info.max, level.shape, dtype=spec.dtype, endpoint=True)
        grid = Grid(level.shape, level.block)
        for number in range(grid.count):
            if rng.random() < 0.3:
                pixels[grid.box(number).slices] = spec.fill
        arrays.append(pixels)
    return arrays


def all_blocks(spec):
    """List the level and the box of every block."""
    grids = [Grid(level.shape, level.block) for level in spec.levels]
    return [(n, grid.box(i)) for n, grid in enumerate(grids) for i in range(grid.count)]


def write_blocks(target, jobs):
    """Write some blocks with a writer of our own; runs in other processes, too."""
    writer = target.open()
    return sum(writer.write(level, box, pixels).bytes for level, box, pixels in jobs)


def tree(*folders):
    """Content of every file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for folder in map(Path, folders)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class WriterContract:
    """Subclasses say which format; `placement` reads back scale and origin of a level, z, y, x."""

    format: ClassVar[str]
    suffix: ClassVar[str]

    def spec(self, path, **changes):
        return image_spec(path, **changes)

    def placement(self, spec, level):
        raise NotImplementedError

    @pytest.fixture
    def target(self, tmp_path):
        return self.target_in(tmp_path)

    def target_in(self, folder, **changes):
        spec = self.spec(folder / "out" / f"image{self.suffix}", **changes)
        return Target(WRITERS[self.format], spec, 0, str(folder / "work"))

    def jobs(self, target, arrays):
        return [(level, box, arrays[level][box.slices]) for level, box in all_blocks(target.image)]

    def make(self, target, arrays, *, order_seed=1):
        writer = target.open()
        writer.create()
        jobs = self.jobs(target, arrays)
        random.Random(order_seed).shuffle(jobs)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda job: target.open().write(*job), jobs))
        return writer

    def check(self, target, arrays):
        reader = target.open()
        for level, pixels in enumerate(arrays):
            got = reader.read(level, Box.of_shape(pixels.shape))
            assert got.dtype == pixels.dtype
            assert got.tobytes() == pixels.tobytes()

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
    def test_reads_back_what_threads_wrote_in_any_order(self, tmp_path, dtype):
        target = self.target_in(tmp_path, dtype=dtype)
        arrays = random_levels(target.image)
        writer = self.make(target, arrays)
        self.check(target, arrays)
        writer.finish({})
        self.check(target, arrays)

    def test_not_a_number_is_a_fill_value(self, tmp_path):
        target = self.target_in(tmp_path, dtype="float32", fill=float("nan"))
        arrays = random_levels(target.image)
        self.make(target, arrays).finish({})
        self.check(target, arrays)

    def test_negative_zero_survives_among_empty_pixels(self, tmp_path):
        target = self.target_in(tmp_path, dtype="float32")
        arrays = [np.zeros(level.shape, "float32") for level in target.image.levels]
        arrays[0][0, 0, 0, 0, 0] = -0.0
        self.make(target, arrays).finish({})
        self.check(target, arrays)

    def test_reads_any_region_before_and_after_finishing(self, target):
        arrays = random_levels(target.image)
        writer = self.make(target, arrays)
        rng = np.random.default_rng(3)
        regions = []
        for level, pixels in enumerate(arrays):
            for _ in range(6):
                ends = np.sort([rng.integers(0, n + 1, 2) for n in pixels.shape], axis=1)
                ends[:, 1] = np.maximum(ends[:, 1], ends[:, 0] + 1)
                ends -= ends[:, 1:] > np.array(pixels.shape)[:, None]
                regions.append((level, Box(tuple(map(int, ends[:, 0])), tuple(map(int, ends[:, 1])))))
        for _ in range(2):
            for level, box in regions:
                assert np.array_equal(target.open().read(level, box), arrays[level][box.slices])
            writer.finish({})

    def test_spawned_processes_give_the_same_bytes_as_threads(self, tmp_path):
        one, other = self.target_in(tmp_path / "one"), self.target_in(tmp_path / "other")
        arrays = random_levels(one.image)
        self.make(one, arrays).finish({"method": "average"})
        other.open().create()
        jobs = self.jobs(other, arrays)
        random.Random(9).shuffle(jobs)
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            done = list(pool.map(write_blocks, [other] * 3, [jobs[i::3] for i in range(3)]))
        assert sum(done) > 0
        other.open().finish({"method": "average"})
        assert tree(tmp_path / "one") == tree(tmp_path / "other")

    def test_repeating_everything_changes_no_byte(self, target, tmp_path):
        arrays = random_levels(target.image)
        self.make(target, arrays)
        before = tree(tmp_path)
        self.make(target, arrays, order_seed=2)
        assert tree(tmp_path) == before
        target.open().finish({"method": "max"})
        finished = tree(tmp_path)
        target.open().create()
        target.open().finish({"method": "max"})
        assert tree(tmp_path) == finished
        self.make(target, arrays, order_seed=3).finish({"method": "max"})
        assert tree(tmp_path) == finished

    def test_a_block_written_after_finishing_counts(self, target):
        arrays = random_levels(target.image)
        self.make(target, arrays).finish({})
        level, box = all_blocks(target.image)[3]
        arrays[level][box.slices] = 77
        target.open().write(level, box, arrays[level][box.slices])
        self.check(target, arrays)
        target.open().finish({})
        self.check(target, arrays)

    def test_half_written_files_are_ignored_and_swept_away(self, target, tmp_path, monkeypatch):
        arrays = random_levels(target.image)
        target.open().create()
        job = next(job for job in self.jobs(target, arrays) if job[2].any())
        before = set(tree(tmp_path))

        def killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                target.open().write(*job)
        (left,) = set(tree(tmp_path)) - before
        assert not target.open().read(job[0], job[1]).any()
        self.make(target, arrays).finish({})
        self.check(target, arrays)
        assert left not in tree(tmp_path)

    def test_no_two_blocks_share_a_file(self, target, tmp_path):
        target.open().create()
        arrays = [np.full(level.shape, 9, target.image.dtype) for level in target.image.levels]
        seen = tree(tmp_path)
        for job in self.jobs(target, arrays):
            target.open().write(*job)
            now = tree(tmp_path)
            assert now.items() >= seen.items()
            assert len(now) > len(seen)
            seen = now

    def test_blocks_that_nobody_wrote_are_empty_and_cost_nothing(self, target, tmp_path):
        empty = [np.full(level.shape, target.image.fill, target.image.dtype) for level in target.image.levels]
        target.open().create()
        target.open().finish({})
        self.check(target, empty)
        unwritten = tree(tmp_path)
        other = self.target_in(tmp_path / "written")
        self.make(other, empty).finish({})
        self.check(other, empty)
        assert tree(tmp_path / "written") == unwritten

    def test_a_block_that_becomes_empty_is_empty(self, target):
        arrays = random_levels(target.image)
        self.make(target, arrays)
        for pixels in arrays:
            pixels[...] = target.image.fill
        self.make(target, arrays).finish({})
        self.check(target, arrays)

    def test_creating_again_leaves_an_image_of_the_same_settings_and_refuses_others(self, target, tmp_path):
        arrays = random_levels(target.image)
        writer = target.open()
        assert not writer.exists()
        self.make(target, arrays)
        assert writer.exists()
        writer.finish({})
        before = tree(tmp_path)
        target.open().create()
        assert tree(tmp_path) == before
        for changes in (
            {"dtype": "uint8"},
            {"shape": (2, 2, 13, 41, 51)},
            {"chunk": (4, 16, 8)},
            {"factors": FACTORS[:2]},
        ):
            with pytest.raises(OutputError, match=r"image.*exists with another .* choose another output\.path"):
                self.target_in(tmp_path, **changes).open().create()
        assert tree(tmp_path) == before

    def test_removing_deletes_everything(self, target, tmp_path):
        target.open().remove()
        arrays = random_levels(target.image)
        for finished in (False, True):
            writer = self.make(target, arrays)
            if finished:
                writer.finish({})
            before = tree(tmp_path)
            target.open().check_removable()
            assert tree(tmp_path) == before
            target.open().remove()
            assert not writer.exists()
            assert tree(tmp_path) == {}
            writer.remove()

    def test_a_finish_that_is_refused_changes_nothing(self, target, tmp_path):
        arrays = random_levels(target.image)
        writer = self.make(target, arrays)
        before = tree(tmp_path / "out")

        def over():
            raise OutputError("another run")

        with pytest.raises(OutputError, match="another run"):
            writer.finish({"method": "average"}, over)
        assert tree(tmp_path / "out") == before
        self.check(target, arrays)
        writer.finish({"method": "average"})
        self.check(target, arrays)

    def test_what_somebody_else_made_is_not_removed(self, target, tmp_path):
        place = Path(target.image.path, "notes.txt")
        place.parent.mkdir(parents=True)
        place.write_text("mine")
        for action in (target.open().check_removable, target.open().remove):
            with pytest.raises(OutputError, match=r"left alone: choose another output\.path"):
                action()
        assert tree(tmp_path) == {str(place.relative_to(tmp_path)): b"mine"}

    @pytest.mark.parametrize("start", [(0, 0, 2, 0, 0), (0, 0, 0, 0, 1)])
    def test_refuses_what_is_no_whole_block(self, target, start):
        target.open().create()
        stop = tuple(a + b for a, b in zip(start, target.image.levels[0].block, strict=True))
        with pytest.raises(ValueError, match="whole shards"):
            target.open().write(0, Box(start, stop), np.ones(target.image.levels[0].block, "uint16"))
        block = Box.of_shape(target.image.levels[0].block)
        with pytest.raises(ValueError, match="expected uint16"):
            target.open().write(0, block, np.ones(block.shape, "uint8"))

    def test_a_full_disk_names_the_file_and_the_way_out(self, target, tmp_path, monkeypatch):
        arrays = random_levels(target.image)
        self.make(target, arrays)
        before = tree(tmp_path)

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        job = next(job for job in self.jobs(target, arrays) if job[2].any())
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", full)
            with pytest.raises(OutputError, match=r"(?s)image.*No space left on device; free some space and run again"):
                target.open().write(*job)
        assert tree(tmp_path) == before
        target.open().write(*job)
        assert tree(tmp_path) == before

    def test_a_file_where_a_folder_is_needed(self, target, tmp_path):
        (tmp_path / "out").write_text("in the way")
        with pytest.raises(OutputError, match=r"out.*choose another output\.path"):
            target.open().create()
        assert (tmp_path / "out").read_text() == "in the way"

    def test_a_blob_is_at_the_same_place_in_every_level(self, tmp_path):
        shape, centre = (1, 1, 48, 96, 96), np.array([20.3, 51.7, 44.1])
        factors = ((1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 12, 8))
        target = self.target_in(tmp_path, shape=shape, factors=factors, dtype="float32", chunk=(8, 16, 16))
        zyx = np.stack(np.meshgrid(*map(np.arange, shape[2:]), indexing="ij"), axis=-1)
        blob = np.exp(-(((zyx - centre) / (4, 9, 9)) ** 2).sum(axis=-1)).astype("float32")
        arrays = []
        for fz, fy, fx in factors:
            z, y, x = 48 // fz, 96 // fy, 96 // fx
            arrays.append(blob.reshape(z, fz, y, fy, x, fx).mean(axis=(1, 3, 5))[None, None])
        self.make(target, arrays).finish({})
        expected = np.array(target.image.origin) + centre * target.image.pixel_size
        for level, pixels in enumerate(arrays):
            weights = target.open().read(level, Box.of_shape(pixels.shape))[0, 0].astype(float)
            index = np.stack(np.meshgrid(*map(np.arange, weights.shape), indexing="ij"), axis=-1)
            centroid = (index * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()
            scale, origin = self.placement(target.image, level)
            offset = (np.array(origin) + centroid * scale - expected) / target.image.pixel_size
            assert np.abs(offset).max() < 0.05
