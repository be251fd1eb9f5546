"""Everything that was written, read back and compared; a sample of it computed again."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.amounts import span_xyz
from fusestack.model.errors import FusestackError
from fusestack.model.image import MESH_SUFFIXES
from fusestack.running.damage import discard_changed
from fusestack.running.finished import digest_of, mark_of
from fusestack.running.inspection import finished, missing_beside
from fusestack.running.lock import output_lock
from fusestack.running.lost import lost_blocks
from fusestack.running.records import read_record
from fusestack.storage import folder_of
from fusestack.taskgraph.events import BlocksEnded, RunEnded, RunStarted, StageEnded, StageStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.grid import Grid
    from fusestack.model.stage import Stage, Target
    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.running.recorded import RecordedImage
    from fusestack.taskgraph.events import Listener
    from fusestack.taskgraph.ledger import Ledger

    _Recorded: TypeAlias = tuple[RecordedImage, Target, Ledger]

_INEXACT = (".jpg", ".jpeg", *MESH_SUFFIXES)
_AT_ONCE = 1024


@dataclass(frozen=True)
class Problem:
    """A block or a file that is not as it was written, or (`computed`) not as it would be computed.

    Parameters
    ----------
    image : RecordedImage
    level, block : int
    what : str
        In words, with the files.
    own : bool
        Whether the block can be written anew without the others.
    computed : bool
    file : str
        Where it is a file that holds more than a block.
    """

    image: RecordedImage
    level: int
    block: int
    what: str
    own: bool
    computed: bool = False
    file: str = ""

    def __str__(self) -> str:
        if self.file:
            return f"{self.file}: {self.what}"
        spec = self.image.target.image
        box = spec.levels[self.level].grid.box(self.block)
        return f"{spec.path}: level {self.level}, block {self.block} ({span_xyz(box)}): {self.what}"


@dataclass
class Verified:
    """What was found.

    Parameters
    ----------
    images, blocks, recomputed : int
        That were looked at, read, and computed again.
    bytes : int
        Of the blocks, uncompressed.
    damage : list of str
        What listing alone shows: it is made again by the next run.
    problems : list of Problem
    notes : list of str
        What could not be looked at, and why.
    """

    images: int = 0
    blocks: int = 0
    recomputed: int = 0
    bytes: int = 0
    damage: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether all is as it was written."""
        return not self.damage and not self.problems


def verify(
    images: Sequence[RecordedImage],
    *,
    plan: Plan | None = None,
    sample: float = 0.01,
    workers: int = 1,
    listener: Listener | None = None,
) -> Verified:
    """Read every finished block, compare it with the ledger, and compute a sample again.

    Parameters
    ----------
    images : sequence of RecordedImage
    plan : Plan, optional
        Of what made them; without it nothing is computed again.
    sample : float
        Share of the blocks of each stage, below 1, or how many; 0 for none. Where anything is damaged, none is.
    workers : int
        Blocks at a time; memory holds so many.
    listener : callable, optional
        Takes events as of a run.
    """
    result = Verified(images=len(images))
    tell = listener or (lambda _: None)
    result.damage = [line for image in images for line in (*image.damage(), *image.left())]
    result.damage += [] if plan is None else _unnamed(images, plan)
    levels = [(image, target, ledger) for image in images for target, ledger in image.levels()]
    total = sum(ledger.finished for _, _, ledger in levels)
    with ThreadPoolExecutor(workers) as pool:
        tell(RunStarted("verify", ("read",), total, 0, workers, ""))
        tell(StageStarted("read", f"{total:,} blocks", total, 0, sum(_bytes(target) for _, target, _ in levels)))
        for image, target, ledger in levels:
            _read_back(image, target, ledger, pool, result, tell)
        result.problems += [problem for image in images if not _damaged(image, result) for problem in _changed(image)]
        tell(StageEnded("read", 0.0, 0, 0))
        if plan is not None and sample and result.whole:  # from damaged levels other pixels would come
            _compute_again(images, plan, sample, pool, result)
        tell(RunEnded("done", 0.0, ""))
    return result


def _unnamed(images: Sequence[RecordedImage], plan: Plan) -> list[str]:
    """Projects and files of links that are gone, or do not name the images any more."""
    complete = {image.target.image.path for image in images if image.is_finished}
    gone = [missing_beside(one) for one in plan.images if one.target.image.path in complete]
    return [f"{path}: is missing, or does not name the image any more" for path in dict.fromkeys(gone) if path]


def _bytes(target: Target) -> int:
    return int(np.prod(target.image.levels[target.level].shape)) * target.image.itemsize


def _read_back(
    image: RecordedImage,
    target: Target,
    ledger: Ledger,
    pool: ThreadPoolExecutor,
    result: Verified,
    tell: Callable[[Any], None],
) -> None:
    """Read the blocks of a level; those that listing has found already are left out."""
    grid = target.image.levels[target.level].grid
    todo = np.flatnonzero(ledger.done & ~lost_blocks(ledger, target)).tolist()
    if todo and not target.open().exists():
        return
    readable = not target.open().missing()

    def look(block: int) -> tuple[int, str]:
        known = ledger.stored[block]
        return block, _wrong(target, grid.box(block), int(known["bytes"]), int(known["digest"]), readable)

    for block, what in _in_turn(pool, look, todo):
        count = grid.box(block).size * target.image.itemsize
        result.blocks += 1
        result.bytes += count
        tell(BlocksEnded("read", (range(block, block + 1),), count))
        if what:
            result.problems.append(Problem(image, target.level, block, what, _own(target, grid.box(block))))


def _damaged(image: RecordedImage, result: Verified) -> bool:
    """Whether something of an image is known to be wrong already."""
    return any(problem.image == image for problem in result.problems)


def _changed(image: RecordedImage) -> Iterator[Problem]:
    """Finished files with as many bytes as were written, but others."""
    sizes, found = image.sizes, image.target.open().whole()
    for file, digest in image.digests.items():
        if found.get(file, 0) != sizes[file]:
            continue  # listing has found it
        try:
            what = "" if digest_of(file) == digest else "other bytes than were written"
        except OSError as error:
            what = f"cannot be read: {error.strerror or error}"
        if what:
            yield Problem(image, 0, 0, what, own=False, file=file)


def _own(target: Target, box: Box) -> bool:
    """Whether a block has bytes of its own, also in an HDF5 file."""
    try:
        return target.open().digest(target.level, box) is not None
    except (FusestackError, OSError):
        return False


def _in_turn(pool: ThreadPoolExecutor, function: Callable[[int], Any], items: Iterable[int]) -> Iterator[Any]:
    """Results of many calls, some of them under way at a time."""
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield from pool.map(function, some)


def _wrong(target: Target, box: Box, size: int, digest: int, readable: bool) -> str:
    """What is wrong with a block; empty if nothing is. With damaged metadata its bytes are compared, not decoded."""
    writer = target.open()
    try:
        found = writer.digest(target.level, box) if size >= 0 else None
        if readable:
            writer.read(target.level, box)
    except (FusestackError, OSError) as error:
        return str(error).partition("; delete the output and run again")[0]
    if found is not None and (found.bytes, found.digest) != (size, digest):
        return f"other bytes than were written: {_named(writer.files(target.level, box))}"
    return ""


def _named(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} ... {files[-1]}"


def _compute_again(
    images: Sequence[RecordedImage], plan: Plan, sample: float, pool: ThreadPoolExecutor, result: Verified
) -> None:
    """Compute some blocks of every stage and compare them with what is stored."""
    planned = {one.target.image.path: one for one in plan.images}
    for image in images:
        path = image.target.image.path
        one = planned.get(path)
        if one is None or one.fingerprint != image.fingerprint:
            why = "is not made by this configuration" if one is None else _differs(one)
            result.notes.append(f"{path}: {why}; nothing of it was computed again")
        elif path.lower().endswith(_INEXACT):
            result.notes.append(f"{path}: a {Path(path).suffix} changes pixels; nothing of it was computed again")
        else:
            for level, (stage, (_, ledger)) in enumerate(zip(one.stages, image.levels(), strict=True)):
                _sample(image, level, stage, ledger, plan, sample, pool, result)


def _differs(image: PlannedImage) -> str:
    from fusestack.model.fingerprint import differing

    known = read_record(image.target.work).get(image.target.image.path, {})
    differences = differing(known.get("components", {}), image.components) or "other versions of the algorithms"
    return f"was made with other settings or inputs ({differences})"


def _sample(
    image: RecordedImage,
    level: int,
    stage: Stage,
    ledger: Ledger,
    plan: Plan,
    sample: float,
    pool: ThreadPoolExecutor,
    result: Verified,
) -> None:
    path = image.target.image.path
    own = {one.key for one in plan.stages if one.target.image.path == path}
    gone = [one for one in plan.stages if one.key in stage.needs and one.key not in own]
    if any(finished(one) < one.grid.count for one in gone):
        result.notes.append(
            f"{path}: {stage.name} was not computed again: what it reads of the cache is not there any more"
        )
        return
    there = np.flatnonzero(ledger.done)
    count = round(sample) if sample >= 1 else max(1, round(sample * len(there)))
    chosen: Any = np.random.default_rng().choice(there, min(count, len(there)), replace=False)
    stage.compute.warm_up()

    def same(block: int) -> tuple[int, str]:
        try:
            return block, _other(stage, stage.grid.box(block))
        except (FusestackError, OSError, ValueError) as error:
            return block, f"cannot be computed again: {error}"

    for block, what in _in_turn(pool, same, sorted(map(int, chosen))):
        result.recomputed += 1
        if what:
            result.problems.append(Problem(image, level, block, what, own=True, computed=True))


def _other(stage: Stage, box: Box) -> str:
    """How a block differs from what is computed now; empty where it does not."""
    spec = stage.target.image
    stored = stage.target.open().read(stage.target.level, box)
    computed = stage.compute(box)
    pixels: NDArray[Any] = np.full(box.shape, spec.fill, spec.dtype) if computed is None else computed
    equal = (stored == pixels) | ((stored != stored) & (pixels != pixels))
    count = int(np.count_nonzero(~equal))
    if not count:
        return ""
    return f"{count:,} of {equal.size:,} pixels are not those that are computed from the inputs"


def mend_found(problems: Sequence[Problem]) -> list[str]:
    """Take blocks for missing that are not as they were written, so that the next run makes them.

    Levels above may have been made from them, and are made again, too.

    Returns
    -------
    list of str
        Files that have to be deleted instead: their blocks cannot be written alone.

    Raises
    ------
    OutputError
        If a run writes the output.
    """
    files: dict[str, None] = {}
    problems = [problem for problem in problems if not problem.computed]
    for image in dict.fromkeys(problem.image for problem in problems):
        mine = [problem for problem in problems if problem.image == image]
        if not all(problem.own for problem in mine):
            levels = image.target.image.levels
            whole = next(problem for problem in mine if not problem.own)
            box = levels[whole.level].grid.box(whole.block)
            files |= dict.fromkeys([whole.file] if whole.file else image.target.open().files(whole.level, box))
            continue
        work = image.target.work
        with output_lock(f"{work}/lock", work.removesuffix(".fusestack")):
            for target, ledger in reversed(list(image.levels())):
                _untick(target, ledger, mine)
            folder, name = folder_of(mark_of(work, image.fingerprint))
            folder.delete(name)
            discard_changed(image.target)
    return list(files)


def _untick(target: Target, ledger: Ledger, problems: Sequence[Problem]) -> None:
    """Take blocks of a level for missing: those with problems, and those above them."""
    levels = target.image.levels
    own = levels[target.level]
    grid = own.grid
    blocks = np.zeros_like(ledger.done)
    for problem in problems:
        if problem.level <= target.level:
            below = levels[problem.level]
            box = below.grid.box(problem.block)
            blocks |= _touched(grid, box, (1, 1, *(a / b for a, b in zip(own.factors, below.factors, strict=True))))
    blocks &= ledger.done
    for number in np.flatnonzero(blocks).tolist():
        target.open().erase(target.level, grid.box(number))
    if blocks.any():
        ledger.untick(blocks)


def _touched(grid: Grid, box: Box, ratio: Sequence[float]) -> NDArray[np.bool_]:
    """Blocks of a level that a box of a finer one reaches, of which `ratio` pixels make one."""
    found = np.zeros(grid.counts, bool)
    first = [int(a / r) // n for a, r, n in zip(box.start, ratio, grid.block, strict=True)]
    last = [math.ceil(math.ceil(b / r) / n) for b, r, n in zip(box.stop, ratio, grid.block, strict=True)]
    found[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = True
    return found.ravel()


def is_configuration(path: str) -> bool:
    """Whether a path is that of a configuration and not of an output."""
    return Path(path).suffix.lower() in (".yaml", ".yml", ".json") and Path(path).is_file()
