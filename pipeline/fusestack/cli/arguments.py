"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from fusestack.config.load import LoadedConfig


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Declare ``CONFIG`` and ``--set``."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="configuration file (YAML)")
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    """Declare ``--set``."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY.PATH=VALUE",
        action="append",
        default=[],
        help="change one value of the configuration, for example --set fusion.downsampling=2; may be repeated",
    )


def load(arguments: argparse.Namespace) -> LoadedConfig:
    """Load the configuration that the arguments name."""
    from fusestack.config.load import load_config

    return load_config(arguments.config, arguments.overrides)
