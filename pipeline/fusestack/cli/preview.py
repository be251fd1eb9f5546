"""``fusestack preview``: a still picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_set

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        metavar="PATH_OR_CONFIG",
        help="an OME-Zarr or TIFF image, or a configuration (.yaml), which is fused on the fly at low resolution",
    )
    parser.add_argument("-o", "--output", metavar="PNG", type=Path, required=True, help="picture to write")
    add_set(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    from fusestack.display.still import save
    from fusestack.display.volumes import volume_of_config, volume_of_image
    from fusestack.model.errors import ConfigError

    if arguments.source.lower().endswith((".yaml", ".yml")):
        from fusestack.config.load import load_config

        volume = volume_of_config(load_config(arguments.source, arguments.overrides))
    elif arguments.overrides:
        raise ConfigError("--set: only for a configuration (.yaml)")
    else:
        volume = volume_of_image(arguments.source.rstrip("/"))
    save(volume, arguments.output)
    if not arguments.quiet:
        print(arguments.output)
    return {"picture": str(arguments.output)}
