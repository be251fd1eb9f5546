"""What the configuration may say already but this version cannot do yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Config
    from fusestack.config.output import Output

_ON_DISKS = {"bdv-hdf5": "HDF5", "tiff": "TIFF", "bdv-tiff": "TIFF", "dzi": "Deep Zoom"}


def unsupported(loaded: LoadedConfig) -> list[str]:
    """Name everything that a valid configuration asks for and that comes in a later version; empty if all is well."""
    return [f"{loaded.cite(key)}: {sentence}" for key, sentence in _missing(loaded.config)]


def _missing(config: Config) -> Iterator[tuple[str, str]]:
    """Key and sentence."""
    fuses = config.input is not None and config.input.images is None
    if config.output is not None and fuses:
        yield from _missing_output(config.output)


def _missing_output(output: Output) -> Iterator[tuple[str, str]]:
    if is_address(output.path) and output.format in _ON_DISKS:
        name = _ON_DISKS[output.format]
        yield "output.path", f"{name} is written on a disk, not to an address; use a local path, or format ome-zarr"
    if is_address(output.path) and output.format == "bdv-n5" and output.project is None:
        yield "output.path", "a project XML is a local file; name one with output.project, or use format ome-zarr"
    if output.project is not None and is_address(output.project):
        yield "output.project", "a project XML is a local file, also where it names an address; use a local path"
