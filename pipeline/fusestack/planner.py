"""From a configuration to stages: metadata only, printable, picklable; nothing here reads a pixel or writes a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusestack.config.load import unsupported
from fusestack.model.errors import ConfigError
from fusestack.planning.plan import Plan, refuse_inputs_as_outputs
from fusestack.planning.resources import resolve_resources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig
    from fusestack.config.output import Output
    from fusestack.focus.option_sets import OptionSet
    from fusestack.focus.plan import FocusPlan
    from fusestack.focus.region import Region
    from fusestack.focus.stack import StackInput
    from fusestack.focus.tuning import PlannedTuning
    from fusestack.fusion.plan import FusionPlan
    from fusestack.planning.plan import PlannedImage
    from fusestack.planning.resources import Resources

CACHE = "cache.fusestack"
"""Folder beside the output where stages are kept that outputs are made of."""


def make_plan(loaded: LoadedConfig, client: Any = None) -> Plan:
    """Plan a configuration.

    Parameters
    ----------
    loaded : LoadedConfig
    client : distributed.Client, optional
        Whose workers will run it.

    Raises
    ------
    ConfigError
        If it asks for what this version cannot do, or for what does not fit the memory.
    InputError
        If an input is missing, unreadable or contradictory.
    """
    config = loaded.config
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    fuses = config.input is not None and config.input.images is None
    if config.input is not None and not fuses:
        from fusestack.focus.batches import refuse_batch

        refuse_batch(loaded)
    focus = config.focus
    if focus is None and not fuses:
        from fusestack.config.focus import Focus

        focus = Focus()
    unused: tuple[str, ...] = ()
    if focus is not None and not fuses and config.output is not None:
        focus, unused = _with_output(focus, config.output)
    if fuses and config.output is None:
        raise ConfigError(f"{loaded.name}: output.path is missing; say where the fused image goes")
    resources = resolve_resources(config.execution, loaded.folder, client)
    cache = cache_folder(loaded)
    fusion: FusionPlan | None = None
    focused: FocusPlan | None = None
    if fuses and config.output is not None:
        from fusestack.fusion.plan import plan_fusion

        fusion = plan_fusion(loaded, config.output, resources, cache)
    if focus is not None:
        from fusestack.focus.plan import plan_focus

        focused = plan_focus(loaded, focus, fusion.images if fusion else (), resources, cache)
        refuse_inputs_as_outputs(focused.images, focused.read, "focus.output")
    images = (*(fusion.images if fusion else ()), *(focused.images if focused else ()))
    path = fusion.path if fusion else focused.path if focused else ""
    read = (*(fusion.read if fusion else ()), *(focused.read if focused else ()))
    _refuse_twice([image.target.image.path for image in images])
    _refuse_memory([path, *read], resources.scheduler)
    return Plan(
        output=path,
        work=f"{path}.fusestack",
        cache=cache,
        cache_limit=config.cache.limit,
        images=images,
        resources=resources,
        config=config.model_dump(mode="json"),
        folder=str(loaded.folder),
        source=fusion.inputs.source if fusion else focused.source if focused else "",
        found=focused.found if focused else (),
        facts=focused.facts if focused else (),
        inputs=fusion.inputs if fusion else None,
        design=fusion.design if fusion else None,
        statistics=focused.statistics if focused else None,
        samples=(*(fusion.samples if fusion else ()), *(focused.samples if focused else ())),
        findings=focused.findings if focused else (),
        pending=focused.pending if focused else (),
        warnings=(*unused, *(fusion.design.warnings if fusion else ()), *(focused.warnings if focused else ())),
    )


@dataclass(frozen=True)
class Tuning:
    """Sets of focus options that a configuration asks for, to be planned on a part of its stack.

    Parameters
    ----------
    loaded : LoadedConfig
    sets : tuple of OptionSet
    stack : StackInput
        That they are tried on.
    path : str
        Beginning of the names of all that is made.
    resources : Resources
    cache : str
        Shared with runs, which find there what was made for the sets.
    """

    loaded: LoadedConfig
    sets: tuple[OptionSet, ...]
    stack: StackInput
    path: str
    resources: Resources
    cache: str

    @staticmethod
    def of(loaded: LoadedConfig, client: Any = None) -> Tuning:
        """Understand what a configuration asks for; reads headers only.

        Raises
        ------
        ConfigError
            If it asks for nothing, or for what cannot be.
        InputError
            If the stack is missing or unreadable.
        """
        from fusestack.focus.batches import refuse_batch
        from fusestack.focus.option_sets import option_sets
        from fusestack.focus.tuning import stack_of

        if problems := unsupported(loaded):
            raise ConfigError(*problems)
        config = loaded.config
        fuses = config.input is not None and config.input.images is None
        if fuses and (config.focus is None or config.focus.input == "fused"):
            where = loaded.cite("focus.input") if config.focus is not None else loaded.name
            raise ConfigError(
                f"{where}: sets are tried on a stack that is there; make the fused image with fusestack run, and name "
                "it: --set focus.input=PATH"
            )
        refuse_batch(loaded)
        if config.focus is None:
            option_sets(loaded, photographs=True, opacity=False)  # says what is missing
        assert config.focus is not None
        resources = resolve_resources(config.execution, loaded.folder, client)
        cache = cache_folder(loaded)
        stack = stack_of(loaded, cache, resources)
        sets = option_sets(loaded, photographs=stack.photographs, opacity=stack.colours.endswith("A"))
        output = config.focus.output
        named = output.path or (config.output.path if config.output is not None and not fuses else None)
        path = loaded.resolve_path(named or f"{output.folder}/{output.basename}stack")
        return Tuning(loaded, tuple(sets), stack, f"{path}.tune", resources, cache)

    def rough_depth(self) -> Plan:
        """By which a part is chosen."""
        from fusestack.focus.tuning import plan_rough_depth

        return self._plan("depth", plan_rough_depth(self.sets[0], self.cache, self.resources, self.path))

    def on_part(self, part: Region) -> tuple[PlannedTuning, Plan]:
        """All sets on a part.

        Raises
        ------
        ConfigError
            If an option asks for what cannot be.
        """
        from fusestack.focus.tuning import plan_sets

        planned = plan_sets(self.sets, part, self.cache, self.resources, self.path)
        return planned, self._plan("results", planned.image, planned.warnings)

    def _plan(self, name: str, image: PlannedImage, warnings: tuple[str, ...] = ()) -> Plan:
        from fusestack.focus.samples import samples_of

        refuse_inputs_as_outputs([image], tuple(self.stack.read), "focus.output")
        _refuse_memory([image.target.image.path, *self.stack.read], self.resources.scheduler)
        config = self.loaded.config
        return Plan(
            output=f"{self.path}/{name}",
            work=image.target.work,
            cache=self.cache,
            cache_limit=config.cache.limit,
            images=(image,),
            resources=self.resources,
            config=config.model_dump(mode="json"),
            folder=str(self.loaded.folder),
            source=self.stack.source,
            found=self.stack.found,
            samples=tuple(samples_of(self.stack)),
            warnings=warnings,
        )


def _with_output(focus: Focus, output: Output) -> tuple[Focus, tuple[str, ...]]:
    """Where nothing is fused, ``output`` can only mean the sharp picture; also a warning, if it is said twice."""
    overwrite = focus.output.overwrite or output.overwrite
    path = focus.output.path or output.path
    made = focus.model_copy(update={"output": focus.output.model_copy(update={"path": path, "overwrite": overwrite})})
    if path == output.path:
        return made, ()
    return made, (f"output.path: nothing is fused here; the sharp picture goes to focus.output.path, {path}",)


def cache_folder(loaded: LoadedConfig) -> str:
    """Folder of the cache: as configured, else beside the output."""
    config = loaded.config
    if config.cache.path is not None:
        return loaded.resolve_path(config.cache.path)
    place = CACHE
    if config.output is not None:
        place = config.output.path
    elif config.focus is not None:
        place = config.focus.output.path or f"{config.focus.output.folder}/{CACHE}"
    parent = loaded.resolve_path(place).rpartition("/")[0]
    return f"{parent}/{CACHE}"


def _refuse_twice(paths: Sequence[str]) -> None:
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise ConfigError(f"{twice[0]}: is the name of two outputs; choose another name for one of them")


def _refuse_memory(paths: Sequence[str], scheduler: str) -> None:
    """The memory of this process is no place that other processes see."""
    inside = next((path for path in paths if path.startswith("memory://")), None)
    if inside is not None and scheduler != "threads":
        raise ConfigError(
            f"{inside}: workers of scheduler {scheduler} do not see memory:// of this process; "
            "use execution.scheduler: threads, or another place"
        )
