"""Images as the record beside an output knows them, for whoever has no configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fusestack.model.image import image_of
from fusestack.model.stage import Target
from fusestack.running.finished import change, digests_of, mark_of, sizes_of
from fusestack.running.lost import describe, lost_blocks
from fusestack.running.records import read_record
from fusestack.storage import absolute, identity_of
from fusestack.taskgraph.ledger import Ledger, ledger_path

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class RecordedImage:
    """An image that was made: where, and the ledgers of its levels.

    Parameters
    ----------
    target : Target
        Level 0.
    keys : tuple of str
        Of the stages of its levels.
    fingerprint : str
    moved : (str, str)
        Folder where it was made, and where that is now; empty where nobody moved it.
    """

    target: Target
    keys: tuple[str, ...]
    fingerprint: str
    moved: tuple[str, str] = ("", "")

    def levels(self) -> Iterator[tuple[Target, Ledger]]:
        """Each level, and what is known of its blocks."""
        for number, key in enumerate(self.keys):
            target = replace(self.target, level=number)
            count = target.image.levels[number].grid.count
            yield target, Ledger(ledger_path(target.work, key), count)

    @property
    def is_finished(self) -> bool:
        """Whether it was complete, whatever became of it since."""
        return identity_of(mark_of(self.target.work, self.fingerprint)) is not None

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of finished files that hold more than a block."""
        return self._here(sizes_of(mark_of(self.target.work, self.fingerprint)))

    @property
    def digests(self) -> dict[str, int]:
        """Checksums of those files, as `fusestack.running.finished.digest_of` gives them."""
        return self._here(digests_of(mark_of(self.target.work, self.fingerprint)))

    def _here(self, files: dict[str, int]) -> dict[str, int]:
        """Files that an earlier version has named by the place where they were."""
        there, here = self.moved
        return {f"{here}{file.removeprefix(there)}" if file.startswith(there) else file: n for file, n in files.items()}

    def left(self) -> Iterator[str]:
        """What is not made yet, in words."""
        path = self.target.image.path
        levels = list(self.levels())
        for target, ledger in levels:
            if not ledger.complete:
                level = f"level {target.level}: " if len(levels) > 1 else ""
                count = len(ledger.done)
                yield f"{path}: {level}{count - ledger.finished:,} of {count:,} blocks not made yet; run again"
        if all(ledger.complete for _, ledger in levels) and not self.is_finished:
            yield f"{path}: all blocks are made, but it is not finished yet; run again"

    def damage(self) -> Iterator[str]:
        """What is not as it was written, by listing, in words."""
        path, writer = self.target.image.path, self.target.open()
        levels = list(self.levels())
        if not writer.exists():
            if any(ledger.finished for _, ledger in levels):
                yield f"{path}: is gone"
            return
        if self.is_finished:
            found = writer.whole()
            for file, size in self.sizes.items():
                if found.get(file, 0) != size:
                    yield f"{file}: {change(size, found.get(file, 0))}"
            yield from (f"{file}: is missing or damaged" for file in writer.missing())
        for target, ledger in levels:
            lost = lost_blocks(ledger, target)
            if lost.any():
                yield describe(ledger, target, lost)


def recorded_images(output: str, before: str | None = None) -> list[RecordedImage]:
    """Images that were made beside an output.

    Parameters
    ----------
    output : str
        Path or address, as it is reached from here.
    before : str, optional
        The same as the run knew it: what lay in that folder is looked for in this one.

    Raises
    ------
    OutputError
        If the record cannot be read.
    """
    output = absolute(output)
    work = f"{output}.fusestack"
    here, there = (f"{path.rpartition('/')[0]}/" for path in (output, before or output))
    found = []
    for path, entry in read_record(work).items():
        if "image" not in entry:  # made by an earlier version
            continue
        image = image_of(entry["image"])
        if path.startswith(there):
            image = replace(image, path=f"{here}{path.removeprefix(there)}")
        target, stages = Target(entry["writer"], image, 0, work), tuple(entry["stages"])
        found.append(RecordedImage(target, stages, entry["fingerprint"], (there, here)))
    return found


def recorded_damage(output: str, before: str | None = None) -> list[str]:
    """What of the images beside an output is not as it was written, by listing; see `recorded_images`."""
    return [line for image in recorded_images(output, before) for line in image.damage()]
