"""``fusestack verify``: read everything back, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_set, load

if TYPE_CHECKING:
    import argparse

    from fusestack.planning.plan import Plan
    from fusestack.running.recorded import RecordedImage
    from fusestack.running.verifying import Verified

_MOST_NAMED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("output", metavar="OUTPUT_OR_CONFIG", help="output path or address of a run, or configuration")
    parser.add_argument(
        "--sample",
        metavar="N",
        type=_share,
        default=0.01,
        help="compute so many blocks of each stage again, or a share of them such as 5%% (default 1%%; 0 for none)",
    )
    parser.add_argument(
        "--mend",
        action="store_true",
        help="take what is not as it was written for missing, so that the next run makes it again",
    )
    add_set(parser)


def _share(text: str) -> float:
    """A share below 1 or a number, of what people write: 1%, 0.01, 20."""
    number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if number < 0 or (number > 1 and not number.is_integer()):
        raise ValueError(text)
    return number - 1e-12 if number == 1 and text.endswith("%") else number


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Verify, and say what is wrong and which command mends it."""
    import os

    from fusestack.cli.plan import warn
    from fusestack.display.progress import progress_listener
    from fusestack.model.amounts import counted, size
    from fusestack.model.errors import InputError, OutputError
    from fusestack.running.verifying import mend_found, verify

    images, plan, notes = _what(arguments)
    if not images:
        raise InputError(
            f"{arguments.output}: nothing that was made here is known, or an earlier version made it; "
            "give the output.path of a configuration, or run it again"
        )
    listener = None if arguments.quiet else progress_listener(True)
    workers = min(os.cpu_count() or 1, 4) if plan is None else plan.resources.workers
    found = verify(images, plan=plan, sample=arguments.sample, workers=workers, listener=listener)
    notes += found.notes
    warn(notes)
    if not found.whole:
        files = mend_found(found.problems) if arguments.mend else []
        raise OutputError(*_lines(found), *_ways_out(found, arguments.output, files, mended=arguments.mend))
    if not arguments.quiet:
        again = f", {counted(found.recomputed, 'block')} computed again and found the same" if found.recomputed else ""
        for image in images:
            print(f"{image.target.image.path}: as it was written")
        print(f"{counted(found.blocks, 'block')} read, {size(found.bytes)}{again}")
    return {"blocks": found.blocks, "bytes": found.bytes, "recomputed": found.recomputed, "notes": notes}


def _what(arguments: argparse.Namespace) -> tuple[list[RecordedImage], Plan | None, list[str]]:
    """Images to verify, the plan that made them, where it is known, and why not."""
    from fusestack.running.aligning import plan_aligned
    from fusestack.running.provenance import recorded_configuration
    from fusestack.running.recorded import recorded_images
    from fusestack.running.status import read_status
    from fusestack.running.verifying import is_configuration
    from fusestack.storage import absolute

    output = absolute(arguments.output)
    if is_configuration(output):
        arguments.config = Path(output)
        plan = plan_aligned(load(arguments))
        works = dict.fromkeys(image.target.work for image in plan.images)
        paths = {image.target.image.path for image in plan.images}
        images = [one for work in works for one in recorded_images(work.removesuffix(".fusestack"))]
        return [one for one in images if one.target.image.path in paths], plan, []
    state = read_status(f"{output}.fusestack")
    images = recorded_images(output, None if state is None else state.get("output"))
    loaded, why = recorded_configuration(output)
    if loaded is not None:
        try:
            return images, plan_aligned(loaded), []
        except Exception as error:  # inputs that are gone are no damage of the output
            why = str(error)
    missed = images and arguments.sample
    return images, None, [f"{output}: nothing was computed again: {why}"] if missed else []


def _lines(found: Verified) -> list[str]:
    lines = [*found.damage, *map(str, found.problems)]
    more = [f"... and {len(lines) - _MOST_NAMED:,} more"] if len(lines) > _MOST_NAMED else []
    return [*lines[:_MOST_NAMED], *more]


def _ways_out(found: Verified, output: str, files: list[str], *, mended: bool) -> list[str]:
    """What mends it."""
    if any(problem.computed for problem in found.problems):
        return ["to make it anew: 'fusestack run --force CONFIG'"]
    if mended and files:
        return [f"its blocks cannot be written alone: delete {', '.join(files)}, then 'fusestack run CONFIG'"]
    if mended:
        return ["taken for missing: 'fusestack run CONFIG' makes it again, and nothing else"]
    if found.problems:
        return [f"to mend it: 'fusestack verify --mend {output}', then 'fusestack run CONFIG'"]
    return ["to mend it: 'fusestack run CONFIG'"]
