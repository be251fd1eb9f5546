"""What submitted jobs run: ``python -m fusestack.cli.task WORK drive | part RUN PARTS NUMBER | close RUN``."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from fusestack.cli.ending import end_as_after_ctrl_c
from fusestack.model.errors import FusestackError, FusestackWarning

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Do the work of a job; returns the exit code."""
    end_as_after_ctrl_c()  # where it is called back, or its time is over
    warnings.simplefilter("ignore", FusestackWarning)  # they were told when the job was submitted
    work, what, *more = arguments
    try:
        if what == "part":
            from fusestack.running.submission import run_part

            run, parts, number = more
            part = run_part(work, run, int(parts), int(number))
            print(f"{part.batches:,} batches, {part.blocks:,} blocks")
            return 0
        _complete(work, what, more)
    except FusestackError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; submit or run again to continue", file=sys.stderr)
        return 130
    return 0


def _complete(work: str, what: str, more: Sequence[str]) -> None:
    from fusestack.display.progress import progress_listener
    from fusestack.display.report import write_report
    from fusestack.running.submission import close_array, drive, kept_plan

    listener = progress_listener(True)
    report = drive(work, listener) if what == "drive" else close_array(work, more[0], listener)
    write_report(kept_plan(work), report)
    print(*report.found, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
