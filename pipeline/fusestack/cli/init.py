"""``fusestack init``: write a commented configuration for what is there."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError, OutputError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        metavar="PROJECT_OR_IMAGES",
        nargs="*",
        help="a project XML (path or address), a folder, images, or a pattern of names",
    )
    parser.add_argument(
        "-o", "--output", metavar="CONFIG", type=Path, help="configuration to write (default: fuse.yaml)"
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("tiles", "stack"),
        help="what a folder of TIFFs is: tiles side by side (default), or a focus stack",
    )
    parser.add_argument(
        "--profile",
        metavar="SYSTEM",
        help="have jobs of slurm, pbs, sge, lsf or htcondor compute; alone: write a profile of the cluster to adapt",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing configuration, or profile")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Look at the source, write the configuration, say what comes next."""
    if not arguments.source:
        return _write_profile(arguments)
    config = arguments.output or Path("fuse.yaml")
    if config.exists() and not arguments.force:
        raise OutputError(f"{config}: exists; name another one with -o, or replace it with --force")
    from fusestack.cli.proposal import describe
    from fusestack.config.schema import schema_line

    made = describe(arguments.source, config.absolute().parent, arguments.kind)
    text = made.text if arguments.profile is None else _with_profile(made.text, arguments.profile)
    _write(config, schema_line() + text)
    for sentence in made.said:
        print(f"look at this: {sentence}", file=sys.stderr)
    if not arguments.quiet:
        print(f"{config}: written; look at it, then: fusestack plan {shlex.quote(str(config))}")
        if made.perhaps_stack and arguments.kind is None:
            again = shlex.join(["fusestack", "init", *arguments.source, "-o", str(config), "--as", "stack", "--force"])
            print(f"slices of a focus stack instead of tiles? {again}")
    return {"config": str(config), "warnings": list(made.said)}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; choose another place") from error


def _with_profile(text: str, system: str) -> str:
    """A configuration whose blocks are computed by jobs."""
    from fusestack.planning.cluster_profiles import packaged_profile

    packaged_profile(system)
    head, _, _ = text.partition("# execution:\n")
    return (
        f"{head}execution:\n"
        f"  scheduler: {system}\n"
        f"  profile: {system:<24} # adapt it: fusestack init --profile {system}\n"
        "  workers: 4                        # jobs\n"
        "  # memory: auto                    # per worker, such as 4GiB; less than the profile's memory\n"
        "  # retries: 3\n"
    )


def _write_profile(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write a profile where it is found by its name, for the user to adapt."""
    from fusestack.planning.cluster_profiles import packaged_profile, user_profiles

    if arguments.profile is None:
        raise ConfigError("init: name a project, a folder or images; or a job system with --profile, such as slurm")
    text = packaged_profile(arguments.profile)
    path = arguments.output or user_profiles() / f"{arguments.profile}.yaml"
    if path.exists() and not arguments.force:
        raise OutputError(f"{path}: exists; name another one with -o, or replace it with --force")
    with suppress(OSError):  # writing says what is wrong
        path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, text)
    if not arguments.quiet:
        name = arguments.profile if arguments.output is None else path
        print(f"{path}: written; adapt it, then: fusestack submit CONFIG --profile {name}")
    return {"profile": str(path)}
