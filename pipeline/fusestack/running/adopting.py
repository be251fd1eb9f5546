"""Earlier images become planned ones: blocks that stay are taken over, what is copied is put aside until the end.

Each step is a rename or the writing of one file, in an order in which a kill loses nothing: the next run finds in the
record, or on the disk, what was begun.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.image import image_of
from fusestack.running.earlier import BEFORE, PIXELS, aside_of, blocks_at
from fusestack.running.finished import mark_of
from fusestack.running.records import write_record
from fusestack.storage import folder_of, is_address
from fusestack.taskgraph.ledger import Ledger, forget_ledger, ledger_path
from fusestack.writers.base import output_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.planning.plan import Product
    from fusestack.running.earlier import Earlier, Pixels

_ADAPTED = "adapted"
"""In the record of an image: the one whose blocks it has, until its metadata are its own."""


def put_aside(product: Product, found: Earlier, record: dict[str, Any]) -> None:
    """Have an image that is copied where it is read, with the ledger of its level 0; safe to repeat.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    path, work = product.target.image.path, product.target.work
    entry = record[path]
    if entry["fingerprint"] != found.fingerprint:
        return  # it was, before anything of the new image was made
    if BEFORE not in entry:
        entry[BEFORE] = dict(found.facts or {})
        write_record(work, record)
    aside = found.target.work
    moves = [(path, found.target.image.path), (ledger_path(work, found.stages[0]), ledger_path(aside, found.stages[0]))]
    with output_errors(path):
        for here, there in ((Path(a), Path(b)) for a, b in moves):
            if here.exists() and not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                here.rename(there)


def drop_aside(work: str, path: str, record: dict[str, Any]) -> None:
    """Delete an earlier image that nobody copies any more, after what the record says of it.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    facts = record.get(path, {}).pop(BEFORE, None)
    if facts is not None:
        write_record(work, record)
        _delete(aside_of(work, facts["fingerprint"]))


def sweep_aside(work: str, record: Mapping[str, Any]) -> None:
    """Delete earlier images that were put aside and that the record does not name: a run was killed meanwhile.

    Whoever calls holds the lock under which images are put aside.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    if is_address(work) or not Path(work, BEFORE).is_dir():
        return
    named = {Path(aside_of(work, entry[BEFORE]["fingerprint"])) for entry in record.values() if BEFORE in entry}
    for place in set(Path(work, BEFORE).iterdir()) - named:
        _delete(str(place))


def _delete(aside: str) -> None:
    """Delete the folder of an earlier image, and that of all of them with the last one."""
    folder, name = folder_of(aside)
    with output_errors(aside, "cannot be deleted"):
        folder.delete_tree(name)
    with suppress(OSError):
        Path(aside).parent.rmdir()


def take_over(product: Product, pixels: Pixels | None, found: Earlier, record: dict[str, Any]) -> None:
    """Begin the ledgers of an image with the blocks that stay where they are; what else is in its place is deleted.

    The mark of the earlier image goes first, and its own ledgers stay: after a kill it is mended, or this is repeated.

    Raises
    ------
    OutputError
        If the disk or the store refuses.
    """
    image, work = product.target.image, product.target.work
    folder, name = folder_of(mark_of(work, found.fingerprint))
    folder.delete(name)
    old, writer = found.target.image, found.target.open()
    for level, key in enumerate(product.stages):
        done, stored = found.done(image, level)
        stays = np.zeros(old.levels[level].grid.count, bool)
        stays[blocks_at(old, level, found.places.values())] = done[blocks_at(image, level, found.places)]
        for number in np.flatnonzero(~stays & (writer.stored(level) > 0)).tolist():
            writer.erase(level, old.levels[level].grid.box(number))
        path = ledger_path(work, key)
        forget_ledger(path)
        Ledger(path, len(done)).take_over(done, stored)
    record[image.path] = entry_of(product, pixels) | {_ADAPTED: {"image": asdict(old), "stages": found.stages}}
    write_record(work, record)


def adapt(product: Product, record: dict[str, Any]) -> None:
    """Make the metadata of an image that has the blocks of an earlier one, and forget that; repeatable.

    Raises
    ------
    OutputError
        If the disk or the store refuses.
    """
    work, entry = product.target.work, record[product.target.image.path]
    if _ADAPTED in entry:
        before = entry.pop(_ADAPTED)
        product.target.open().adapt(image_of(before["image"]))
        for key in set(before["stages"]) - set(product.stages):
            forget_ledger(ledger_path(work, key))
        write_record(work, record)


def entry_of(product: Product, pixels: Pixels | None) -> dict[str, Any]:
    """What the record says of an image; also for those that have no configuration."""
    return {
        "fingerprint": product.fingerprint,
        "stages": list(product.stages),
        "components": product.components,
        "writer": product.target.writer,
        "image": asdict(product.target.image),
        **({} if pixels is None else {PIXELS: asdict(pixels)}),
    }
