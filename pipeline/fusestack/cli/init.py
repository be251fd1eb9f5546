"""``fusestack init``: write a commented configuration for what is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import InputError, OutputError
from fusestack.storage import is_address

if TYPE_CHECKING:
    import argparse

    from fusestack.model.geometry import Float3

_PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
_TIFF = (".tif", ".tiff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", metavar="PROJECT_OR_IMAGES", help="a project XML (path or address), a folder, or a TIFF stack"
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
    parser.add_argument("--force", action="store_true", help="replace an existing configuration")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Look at the source, write the configuration, say what comes next."""
    config = arguments.output or Path("fuse.yaml")
    if config.exists() and not arguments.force:
        raise OutputError(f"{config}: exists; name another one with -o, or replace it with --force")
    text = describe(arguments.source, config.absolute().parent, arguments.kind)
    try:
        config.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{config}: cannot be written: {error.strerror or error}; choose another place") from error
    if not arguments.quiet:
        print(f"{config}: written; look at it, then: fusestack plan {config}")
        if "\n  views:" in text and arguments.kind is None:
            print(f"slices of a focus stack instead of tiles? fusestack init {arguments.source} --as stack --force")
    return {"config": str(config)}


def describe(place: str | Path, folder: Path, kind: str | None = None) -> str:
    """Text of a configuration in `folder` for a project (path or address) or a folder of images.

    Raises
    ------
    InputError
        If the source is missing or holds nothing that can be fused.
    """
    if is_address(str(place)):
        if not str(place).lower().endswith(".xml"):
            raise InputError(f"{place}: is not a project XML; at an address only projects can be looked at")
        return _for_project(str(place), str(place))
    source = Path(place)
    if not source.exists():
        raise InputError(f"{source}: does not exist; give a project XML or a folder of images")
    if source.suffix.lower() == ".xml":
        return _for_project(source, _relative(source, folder))
    from fusestack.model.image import PICTURE_SUFFIXES

    if source.is_file() and source.suffix.lower() in PICTURE_SUFFIXES:
        return _for_stack([source], folder)
    if not source.is_dir() or source.suffix.lower() == ".zarr":
        raise InputError(f"{source}: is neither a project XML nor a folder of images nor a TIFF stack")
    from fusestack.focus.slice_files import is_companion, natural_order
    from fusestack.project.readers import READERS
    from fusestack.sources.pictures import made_by_us

    files = [Path(path) for path in sorted(map(str, source.iterdir()), key=natural_order)]
    files = [path for path in files if not is_companion(path)]
    files = [path for path in files if path.suffix.lower() not in PICTURE_SUFFIXES or not made_by_us(str(path))]
    photographs = [path for path in files if path.suffix.lower() in _PHOTOGRAPHS]
    images = [path for path in files if path.suffix.lower() in READERS]
    is_stack = (photographs and not images) or _in_colour(images) if kind is None else kind == "stack"
    if is_stack and (images or photographs):
        return _for_stack(max(images, photographs, key=len), folder)
    if not images:
        raise InputError(f"{source}: holds no image; known are {', '.join([*READERS, *_PHOTOGRAPHS])}")
    return _for_tiles(images, folder)


def _in_colour(images: list[Path]) -> bool:
    """Whether the first of some images is a photograph in colour, which no microscope's tile is."""
    from fusestack.sources.pictures import describe_picture

    if not images or images[0].suffix.lower() not in _TIFF:
        return False
    try:
        return describe_picture(str(images[0]))[0].colours.startswith("RGB")
    except InputError:
        return False


def _for_project(source: str | Path, written: str) -> str:
    from fusestack.config.template import project_template
    from fusestack.fusion.frame import average_anisotropy
    from fusestack.project.xml import read_project

    project = read_project(source)
    return project_template(
        written,
        channels={view.channel: view.channel_name or str(view.channel) for view in project.views},
        timepoints=project.timepoints,
        bounding_boxes=list(project.bounding_boxes),
        anisotropy=average_anisotropy(project.views),
    )


def _for_tiles(images: list[Path], folder: Path) -> str:
    """Tiles in a row, one beside the other: a guess that the user corrects."""
    from fusestack.config.template import views_template
    from fusestack.model.view import SourceRef
    from fusestack.project.readers import READERS
    from fusestack.sources.base import open_source

    views: list[tuple[str, Float3]] = []
    x = 0.0
    for path in images:
        level = open_source(SourceRef(READERS[path.suffix.lower()], str(path.absolute()))).levels[0]
        views.append((_relative(path, folder), (0.0, 0.0, x)))
        x += level.shape[2]
    return views_template(views)


def _for_stack(images: list[Path], folder: Path) -> str:
    from fusestack.config.template import stack_template

    return stack_template([_relative(path, folder) for path in images])


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.absolute(), folder)).as_posix()
