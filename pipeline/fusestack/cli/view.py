"""``fusestack view``: look at an image, or at what a configuration fuses, in the browser."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_set

if TYPE_CHECKING:
    import argparse

    from fusestack.display.drawing import Drawing

_EVERY = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        metavar="PATH_OR_CONFIG",
        help="an image (OME-Zarr, TIFF ...); or a project (.xml) or a configuration (.yaml), which is fused on the fly",
    )
    parser.add_argument(
        "--mode",
        choices=("virtual", "cached", "precomputed"),
        default="cached",
        help="virtual: compute what is seen; cached (default): and keep it in memory; precomputed: compute all first",
    )
    parser.add_argument(
        "--downsampling", metavar="N", help="as fusion.downsampling: world pixels in a pixel of the finest level"
    )
    parser.add_argument(
        "--box",
        metavar="BOX",
        help="as fusion.bounding_box: all_views, selected_views, a name in the project, or "
        "'{min: {x: 0, y: 0, z: 0}, max: {x: 99, y: 99, z: 49}}'",
    )
    parser.add_argument(
        "--views",
        metavar="SETUPS",
        help="setups whose views are layers that can be switched on, as input.select.setups: 7, 0-99, ...; "
        "default: the first 100. What is fused stays the same",
    )
    parser.add_argument(
        "--retouch",
        action="store_true",
        help="draw areas of the focus-stacked picture that one slice shall show: ctrl-click the corners of a polygon "
        "in the slice that is seen, the last one twice; they are written into the configuration, as focus.retouch",
    )
    parser.add_argument("--browser", action="store_true", help="open the page in the browser")
    add_set(parser)
    parser.epilog = (
        "Ctrl-C (or SIGTERM) while the page is served is how it ends: exit code 0; before, while it is prepared, 130."
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve the page until it is interrupted."""
    import threading

    from fusestack.cli.plan import warn
    from fusestack.display.served import Blocks
    from fusestack.display.server import ViewServer
    from fusestack.display.shown import show

    remember = arguments.mode != "virtual"
    overrides = _overrides(arguments)
    if arguments.retouch and overrides:
        from fusestack.model.errors import ConfigError

        raise ConfigError(
            f"--retouch: draws in what {arguments.source} says; write '{overrides[0]}' there, or leave it out"
        )
    shown = show(
        arguments.source,
        overrides,
        remember=remember,
        layers=_setups(arguments.views),
        draws=arguments.retouch,
    )
    warn(shown.warnings)
    blocks = Blocks(shown.scene.images, arguments.mode, shown.memory)
    drawing = shown.scene.drawing
    server = ViewServer(shown.scene, blocks, None if drawing is None else _Writing(arguments.source, drawing))
    with server:
        if arguments.mode == "precomputed":
            blocks.precompute(_quiet if arguments.quiet else _Lines())
        with suppress(KeyboardInterrupt):  # whoever has read the address may already end it
            if not arguments.quiet:
                print("serving this page on this machine until Ctrl-C:")
            print(server.address, flush=True)
            if arguments.browser:
                import webbrowser

                threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
            server.serve_forever()
    return {"page": server.address}


class _Writing:
    """Writes areas that are drawn into a configuration, where they are others than those that it has, and says so."""

    def __init__(self, path: str, drawing: Drawing) -> None:
        self._path, self._known = path, drawing.first

    def __call__(self, areas: list[Any]) -> None:
        if areas == self._known:
            return
        from fusestack.api.rewriting import write_retouch
        from fusestack.model.amounts import counted
        from fusestack.model.errors import FusestackError

        try:
            write_retouch(self._path, areas, self._known)
        except FusestackError as error:
            print("\n".join(error.problems), file=sys.stderr, flush=True)
            return
        self._known = areas
        said = f"{counted(len(areas), 'area')} to retouch; fusestack run makes the picture"
        print(
            f"{self._path}: {said} (focus.output.overwrite: true replaces an earlier one)", file=sys.stderr, flush=True
        )


def _quiet(done: int, total: int) -> None:
    """Say nothing."""


class _Lines:
    """A line every few seconds while blocks are computed."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() > self._said + _EVERY or done == total:
            self._said = time.monotonic()
            print(f"{done:,} of {total:,} blocks are computed", file=sys.stderr, flush=True)


def _setups(text: str | None) -> tuple[int, ...] | None:
    from fusestack.model.errors import ConfigError
    from fusestack.project.pattern import parse_integer_pattern

    if text is None or text.strip() == "all":
        return None
    try:
        return parse_integer_pattern(text)
    except ValueError as error:
        raise ConfigError(f"--views: '{text}' names no setups, such as 7 or 0-99 ({error})") from error


def _overrides(arguments: argparse.Namespace) -> list[str]:
    named = {"fusion.downsampling": arguments.downsampling, "fusion.bounding_box": arguments.box}
    return [*arguments.overrides, *(f"{key}={value}" for key, value in named.items() if value is not None)]
