"""What the configuration may say already but this version cannot do yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.config.models import Cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Config, Output

_READY_FORMATS = ("ome-zarr", "bdv-hdf5")


def unsupported(loaded: LoadedConfig) -> list[str]:
    """Name everything that a valid configuration asks for and that comes in a later version; empty if all is well."""
    return [f"{loaded.cite(key)}: {sentence}" for key, sentence in _missing(loaded.config)]


def _missing(config: Config) -> Iterator[tuple[str, str]]:
    """Key and sentence."""
    if config.input.images is not None:
        yield "input.images", _later("a focus stack", "focus stacking", "input.project or input.views")
    if config.focus is not None:
        yield "focus", "is not available yet in this version (it comes with focus stacking); remove the section"
    if config.output is not None:
        yield from _missing_output(config.output)
    default = Cache()
    for key in Cache.model_fields:
        if getattr(config.cache, key) != getattr(default, key):
            yield f"cache.{key}", _later("a cache", "focus stacking", "nothing, and remove the key")


def _missing_output(output: Output) -> Iterator[tuple[str, str]]:
    if "://" in output.path:
        yield "output.path", _later("writing to an address", "remote storage", "a local path")
    if output.format not in _READY_FORMATS:
        yield "output.format", _later(f"'{output.format}'", "more formats", "'ome-zarr' or 'bdv-hdf5'")
    if output.project is not None and output.format != "bdv-hdf5":
        yield "output.project", _later(f"a project beside {output.format}", "more formats", "format bdv-hdf5")
    if output.append:
        yield "output.append", _later("appending to a project", "more formats", "false")


def _later(what: str, issue: str, instead: str) -> str:
    return f"{what} is not available yet in this version (it comes with {issue}); use {instead}"
