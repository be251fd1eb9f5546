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


def add_no_probe(parser: argparse.ArgumentParser) -> None:
    """Declare ``--no-probe``."""
    parser.add_argument("--no-probe", action="store_true", help="do not decode a chunk of every input beforehand")


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
    """Load the configuration that the arguments name.

    Raises
    ------
    ConfigError
        If it is wrong, or a project instead of a configuration.
    """
    from fusestack.config.load import load_config
    from fusestack.model.errors import ConfigError

    if arguments.config.suffix.lower() == ".xml":
        raise ConfigError(
            f"{arguments.config}: is a project, not a configuration; "
            f"write one for it with: fusestack init {arguments.config} -o fuse.yaml"
        )

    return load_config(arguments.config, arguments.overrides)
