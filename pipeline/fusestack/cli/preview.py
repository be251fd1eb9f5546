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
        help="an image (OME-Zarr, TIFF ...); or a project (.xml) or configuration (.yaml), fused or stacked on "
        "the fly at low resolution",
    )
    parser.add_argument("-o", "--output", metavar="PNG", type=Path, required=True, help="picture to write")
    add_set(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    from fusestack.display.shown import configured
    from fusestack.display.still import save
    from fusestack.display.volumes import volume_of_config, volume_of_image

    loaded = configured(arguments.source, arguments.overrides)
    volume = volume_of_image(arguments.source.rstrip("/")) if loaded is None else volume_of_config(loaded)
    save(volume, arguments.output)
    if not arguments.quiet:
        print(arguments.output)
    return {"picture": str(arguments.output)}
