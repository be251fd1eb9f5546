"""``fusestack``: finds the command, runs it, and is the only place that exits."""

from __future__ import annotations

import argparse
import difflib
import gc
import importlib
import io
import json
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from fusestack.cli.ending import end_as_after_ctrl_c
from fusestack.model.errors import FusestackError
from fusestack.taskgraph.allocator import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

# name: one line for --help; the module fusestack.cli.<name> has add_arguments(parser) and run(arguments)
COMMANDS = {
    "run": "make everything a configuration asks for; a rerun skips what is already done",
    "plan": "show what a run would make, and how; computes and writes nothing",
    "validate": "check a configuration, that its inputs are whole, and that outputs can be written",
    "init": "write a commented configuration for a project, a folder of tiles or a focus stack",
    "submit": "have a job system run a configuration, without anybody waiting",
    "cancel": "call a submitted job back; what is done is kept",
    "view": "look at an image, or at what a configuration fuses, in the browser",
    "preview": "draw a still picture: middle planes and maximum projections",
    "tune": "try many sets of focus options on a part of a stack, and show them side by side",
    "cache": "show or free what is kept of the stages",
    "status": "show how far a run is, also while it runs and from another machine",
    "verify": "read everything back, compare it with what was written, and compute a sample again",
    "schema": "print the JSON Schema of the configuration",
    "demo": "simulate an acquisition with known truth, fuse it, and report how close it came",
}
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line in one sentence, and where help is."""
        given = re.match(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if given:
            near = difflib.get_close_matches(given[1], COMMANDS, 1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            message = f"there is no command '{given[1]}'{hint}; there are {', '.join(COMMANDS)}"
        print(f"fusestack: {message}; see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(2)


def _global_options() -> _Parser:
    """Options that every command takes, before or after its name."""
    options = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--quiet", action="store_true", help="print results and errors only")
    options.add_argument("--verbose", action="store_true", help="say more, and show where an unexpected error arose")
    options.add_argument("--json", action="store_true", help="end standard output with one line for machines")
    return options


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser for a command line; loads the commands that it names, and no library that computes."""
    shared = _global_options()
    parser = _Parser(
        prog="fusestack",
        description="Fuse and focus-stack microscope images of any size: a YAML configuration in, "
        "OME-Zarr, HDF5 or pictures out.",
        epilog="exit codes: 0 done; 2 wrong command line or configuration; 3 input missing, unreadable or "
        "contradictory; 4 blocks failed after all retries; 5 output cannot be written; 130 interrupted (resumable)",
        parents=[shared],
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".", parents=[shared])
        if name in argv:
            importlib.import_module(f"fusestack.cli.{name}").add_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with the code of its outcome."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them takes longer than the validation
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads start with NumPy and spin; our matrices are 3x3
    gc.set_threshold(200_000)  # the modules that a run loads are no garbage: looking for it takes a seventh of its time
    keep_freed_memory()
    end_as_after_ctrl_c()
    for stream in (sys.stdout, sys.stderr):  # a console or a pipe with an old code page has no µ, × or bars
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    argv = sys.argv[1:] if argv is None else argv
    if "--verbose" not in argv:  # what a library logs of a broken file, we say in words of ours
        logging.lastResort = logging.NullHandler()
    else:
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
    code = run(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # or Python would look through all modules for garbage once more: a fifth of a second after a run
    raise SystemExit(code)


def run(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    parser = build_parser(argv)
    arguments = parser.parse_args(argv)
    for name in ("quiet", "verbose", "json"):
        setattr(arguments, name, getattr(arguments, name, False))
    if arguments.version:
        from fusestack import __version__

        print(f"fusestack {__version__}")
        return 0
    if arguments.command is None:
        parser.print_help()
        return 2
    try:
        summary = importlib.import_module(f"fusestack.cli.{arguments.command}").run(arguments)
    except FusestackError as error:
        if arguments.verbose:
            import traceback

            traceback.print_exc()
            for text in getattr(error, "tracebacks", ())[1:]:  # the first is a note of the error
                print(f"on a worker:\n{text}", file=sys.stderr)
        return _failed(arguments, error.problems, error.exit_code)
    except KeyboardInterrupt:
        return _failed(arguments, ("interrupted; run again to continue",), INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if arguments.json:
        print(json.dumps({"ok": True, "command": arguments.command, **(summary or {})}, default=str))
    return 0


def _failed(arguments: argparse.Namespace, problems: Sequence[str], code: int) -> int:
    for problem in problems:
        print(f"fusestack: {problem}", file=sys.stderr)
    if arguments.json:
        outcome: dict[str, Any] = {"ok": False, "command": arguments.command, "exit_code": code}
        print(json.dumps({**outcome, "errors": list(problems)}))
    return code
