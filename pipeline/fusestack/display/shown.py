"""What ``view`` and ``preview`` are given, as a scene: an image, a project, a configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.config.load import from_mapping, load_config, unsupported
from fusestack.display.neuroglancer import Scene
from fusestack.model.errors import ConfigError, InputError
from fusestack.planning.resources import resolve_resources
from fusestack.storage import absolute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.load import LoadedConfig
    from fusestack.display.drawing import Drawing
    from fusestack.display.served import ServedImage
    from fusestack.display.stored import Outline
    from fusestack.focus.stack import StackInput

_MOST_INPUTS = 100
_MOST_SHOWN = 8
_MAPPING = "configuration"
_SHARE_KEPT = 1 / 3


@dataclass(frozen=True)
class Shown:
    """A scene, what should be said about it, and how many bytes of its blocks may be kept."""

    scene: Scene
    warnings: tuple[str, ...]
    memory: int


def show(
    source: str,
    overrides: Sequence[str] = (),
    *,
    remember: bool = False,
    layers: Sequence[int] | None = None,
    draws: bool = False,
) -> Shown:
    """Make a scene of the path of an image, a project or a configuration; reads metadata only.

    Parameters
    ----------
    source : str
        Path or address.
    overrides : sequence of str
        ``key.path=value``, for what is fused.
    remember : bool
        Whether decoded chunks of the views of a fusion are kept in memory, in as much of it as blocks may take.
    layers : sequence of int, optional
        Setups of a fusion whose views become layers; without it the first ones.
    draws : bool
        Whether areas of the focus-stacked picture can be drawn.

    Raises
    ------
    ConfigError, InputError
    """
    loaded = configured(source, overrides)
    if loaded is not None:
        if draws and (loaded.config.focus is None or loaded.name == _MAPPING):
            raise ConfigError(f"{source}: --retouch is for a configuration (.yaml) with a section focus")
        return _of_config(loaded, layers, remember=remember, draws=draws)
    if draws:
        raise ConfigError(f"{source}: is an image; --retouch draws in the slices of a configuration (.yaml)")
    if layers is not None:
        raise ConfigError(
            f"{source}: is an image; --views chooses views of a configuration (.yaml) or a project (.xml)"
        )
    from fusestack.display.focused import picture_image
    from fusestack.display.stored import stored_image

    path = absolute(source)
    try:
        image = picture_image(path) or stored_image(path)
    except InputError as error:
        raise InputError(*map(_of_image, error.problems)) from error
    nothing: dict[str, Any] = {"version": 1, "input": {"project": "."}}
    report = f"{source.rstrip('/')}.report.html"
    return Shown(Scene(image.name, (image,), report=report), (), _memory(from_mapping(nothing)))


def _of_image(problem: str) -> str:
    """What is wrong with an image, and where keys that it names belong."""
    problem = problem.removeprefix("tile 0: ")
    if "axes: " not in problem and "series: " not in problem:
        return problem
    return f"{problem}; these are keys of input.views: view a configuration (.yaml) that names the image there"


def configured(source: str, overrides: Sequence[str] = ()) -> LoadedConfig | None:
    """Configuration that a path names: its own, or that of a project, which is fused as it is; None for an image.

    Parameters
    ----------
    source : str
        Path or address.
    overrides : sequence of str
        ``key.path=value``.

    Raises
    ------
    ConfigError
        If it is wrong, or there is nothing to be overridden.
    """
    name = source.lower().rpartition("/")[2]
    if name.endswith((".yaml", ".yml", ".json")):
        return load_config(source, overrides)
    if ".xml" in name and not name.endswith(".zarr"):  # also dataset.xml~1, as BigStitcher keeps earlier ones
        mapping: dict[str, Any] = {"version": 1, "input": {"project": absolute(source)}}
        return from_mapping(mapping, Path.cwd(), overrides)
    if overrides:
        raise ConfigError(
            f"{source}: is an image, and nothing is fused; --set and what else changes a fusion is for a configuration "
            "(.yaml) or a project (.xml)"
        )
    return None


def _of_config(loaded: LoadedConfig, layers: Sequence[int] | None, *, remember: bool, draws: bool) -> Shown:
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    config, memory = loaded.config, _memory(loaded)
    fuses = config.input is not None and config.input.images is None
    if layers is not None and not fuses:
        raise ConfigError(f"{loaded.name}: fuses nothing; --views chooses views of a fusion")
    shown, outlines, warnings = _fused(loaded, memory if remember else 0, layers) if fuses else ([], [], [])
    drawing = None
    if config.focus is not None or not fuses:
        from fusestack.display.focused import focus_images

        focused = focus_images(loaded, fuses=fuses)
        shown, warnings = [*shown, *focused.images], [*warnings, *focused.said]
        drawing = _drawing(loaded, focused.stacks) if draws else None
    scene = Scene(_title(loaded), tuple(shown), tuple(outlines), _report(loaded), drawing)
    return Shown(scene, tuple(warnings), memory)


def _drawing(loaded: LoadedConfig, stacks: Sequence[StackInput]) -> Drawing:
    """The areas of a configuration, to be changed."""
    from fusestack.display.drawing import Drawing
    from fusestack.display.focused import world_of

    if len(stacks) > 1:
        raise ConfigError(f"{loaded.name}: has {len(stacks)} stacks; name the one that is retouched in focus.input")
    (stack,), focus = stacks, loaded.config.focus
    if stack.shape[0] > 1:
        raise ConfigError(
            f"{loaded.name}: --retouch draws in one timepoint, the stack has {stack.shape[0]}; write focus.retouch "
            "yourself"
        )
    return Drawing(() if focus is None else focus.retouch, world_of(stack), stack.shape[2])


def _fused(
    loaded: LoadedConfig, memory: int, wanted: Sequence[int] | None
) -> tuple[list[ServedImage], list[Outline], list[str]]:
    """What is fused, then its inputs, where they lie, and what should be said."""
    from fusestack.display.fused import fused_images
    from fusestack.display.outlines import MOST_OUTLINES
    from fusestack.display.stored import inputs_of
    from fusestack.fusion.inputs import read_inputs
    from fusestack.sources.remembered import remembered

    inputs = read_inputs(loaded)
    if memory:
        views = (replace(view, source=remembered(view.source, memory)) for view in inputs.views)
        inputs = replace(inputs, views=tuple(views))
    design, images = fused_images(loaded, inputs)
    images = [replace(image, shown=number < _MOST_SHOWN) for number, image in enumerate(images)]
    setups = {view.id.setup for view in inputs.views}
    if unknown := sorted(set(wanted or ()) - setups):
        raise ConfigError(f"--views: {unknown[0]} is no setup that is fused; there are {min(setups)} to {max(setups)}")
    layers, outlines = inputs_of(inputs.views, _MOST_INPUTS, wanted)
    warnings = list(design.warnings)
    if (more := len(setups if wanted is None else set(wanted)) - len(layers)) > 0:
        listed = "inputs" if wanted is None else "inputs of --views"
        warnings.append(
            f"{more:,} of {more + len(layers):,} {listed} are no layers, at most {_MOST_INPUTS} are; "
            "choose others with --views, such as --views 100-199"
        )
    if len(outlines) > MOST_OUTLINES:
        warnings.append(f"the first {MOST_OUTLINES:,} of {len(outlines):,} inputs have outlines")
    return [*images, *layers], outlines, warnings


def _title(loaded: LoadedConfig) -> str:
    source = loaded.config.input
    if source is not None and source.project is not None and loaded.name == _MAPPING:
        return source.project.rpartition("/")[2]
    return loaded.name.rpartition("/")[2]


def _report(loaded: LoadedConfig) -> str | None:
    """Page that a run of the configuration has left, or would leave."""
    config = loaded.config
    if config.output is not None:
        return f"{loaded.resolve_path(config.output.path)}.report.html"
    if config.focus is not None and config.focus.output.path is not None:
        return f"{loaded.resolve_path(config.focus.output.path)}.report.html"
    return None


def _memory(loaded: LoadedConfig) -> int:
    """For blocks, and again for chunks of the views: together two thirds of what a run would take for itself."""
    resources = resolve_resources(loaded.config.execution.model_copy(update={"scheduler": "threads"}), loaded.folder)
    return int(resources.memory * resources.workers * _SHARE_KEPT)
