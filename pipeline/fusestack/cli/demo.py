"""``fusestack demo``: simulate, fuse, and say how close to the truth it came."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=Path("demo"), help="default: ./demo")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the demo and print its score."""
    from fusestack.cli.progress import progress_listener
    from fusestack.demo import run_demo

    say = (lambda text: None) if arguments.quiet else print
    result = run_demo(arguments.folder, seed=arguments.seed, listener=progress_listener(quiet=arguments.quiet), say=say)
    return result
