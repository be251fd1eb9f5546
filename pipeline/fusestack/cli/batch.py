"""Several stacks of one configuration, made one after another: ``input.images: "*/"`` in ``fusestack run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.cli.run import make_once
from fusestack.model.errors import ConfigError, FusestackError

if TYPE_CHECKING:
    import argparse

    from fusestack.config.load import LoadedConfig


def run_batch(arguments: argparse.Namespace, loaded: LoadedConfig, settled: float) -> dict[str, Any]:
    """Make a result of each folder, and one page of all; what goes wrong with one does not keep others waiting.

    Raises
    ------
    FusestackError
        In the end, of the kind of the first stack that failed; names all of them.
    """
    from fusestack.cli.plan import warn
    from fusestack.display.batch import BatchEntry, write_batch
    from fusestack.focus.batches import batch_of
    from fusestack.model.amounts import counted

    if arguments.idle is not None:
        raise ConfigError("--idle: belongs to --follow, which is not given")
    batch = batch_of(loaded, settled)
    warn(batch.left)
    entries: list[BatchEntry] = []
    errors: list[FusestackError] = []
    said: set[str] = set()
    for number, (name, one) in enumerate(batch.stacks, 1):
        if not arguments.quiet:
            print(f"{name} ({number} of {counted(len(batch.stacks), 'stack')}):", file=sys.stderr)
        try:
            entries.append(BatchEntry(name, summary=make_once(arguments, one, said)))
        except FusestackError as error:
            errors.append(error)
            entries.append(BatchEntry(name, problems=tuple(error.problems)))
            warn(f"{name}: {problem}" for problem in error.problems)
    page = None
    if batch.stacks and not arguments.dry_run:
        page = write_batch(f"{loaded.folder}/{Path(loaded.name).stem}.batch.html", entries, batch.left)
        if not arguments.quiet:
            print(f"all stacks on one page: {page}")
    if errors:
        raise type(errors[0])(*(f"{one.name}: {problem}" for one in entries for problem in one.problems))
    return {
        "stacks": [{"name": one.name, **one.summary} for one in entries],
        "left": list(batch.left),
        "page": page,
    }
