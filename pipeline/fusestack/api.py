"""The Python interface: thin functions over the rooms that do the work."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.geometry import Box
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray
    from distributed import Client
    from numpy.typing import NDArray

    from fusestack.config.load import LoadedConfig
    from fusestack.fusion.blocks import FuseBlocks
    from fusestack.fusion.design import DesignedImage
    from fusestack.model.view import View
    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.project.model import Project
    from fusestack.running.runner import RunReport
    from fusestack.taskgraph.collection import Job
    from fusestack.taskgraph.events import Listener

_CHUNKS = (64, 256, 256)


def open_project(path: str | Path) -> Project:
    """Read a BigDataViewer or BigStitcher project; metadata only.

    Parameters
    ----------
    path : str or Path
        Project XML.

    Raises
    ------
    InputError
        If it is missing, not a project, or contradicts itself; all problems are named.
    """
    from fusestack.project.xml import read_project

    return read_project(path)


def plan(config: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Plan:
    """Plan a configuration; reads metadata only and writes nothing.

    Parameters
    ----------
    config : str, Path or mapping
        Configuration file, or what it would hold; paths in a mapping begin at the current folder.
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.

    Raises
    ------
    ConfigError, InputError
    """
    from fusestack.planner import make_plan

    return make_plan(_loaded(config, overrides))


def run(
    config: str | Path | Mapping[str, Any] | Plan,
    overrides: Sequence[str] = (),
    *,
    force: bool = False,
    listener: Listener | None = None,
    client: Client | None = None,
) -> RunReport:
    """Make everything a configuration asks for; a rerun skips what is already done.

    Runs the graph of `graph` under a lock, with rounds of retries, records and a report.

    Parameters
    ----------
    config : str, Path, mapping or Plan
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.
    force : bool
        Start over.
    listener : callable, optional
        Takes the events of the run (`fusestack.taskgraph.events`), for progress.
    client : distributed.Client, optional
        Whose workers run it. Without one, an active client is used, as everywhere in dask, unless the configuration
        names a scheduler.

    Raises
    ------
    ConfigError, InputError, BlockError, OutputError

    Examples
    --------
    >>> report = fusestack.run("fuse.yaml", ["fusion.downsampling=2"])  # doctest: +SKIP
    >>> report.outputs  # doctest: +SKIP
    ('/data/fused.ome.zarr',)
    """
    from fusestack.planner import make_plan
    from fusestack.planning.plan import Plan
    from fusestack.running.runner import run_plan
    from fusestack.storage import identity_of

    if isinstance(config, Plan):
        planned = config
    else:
        loaded = _loaded(config, overrides)
        client = client or _client_of(loaded)
        planned = make_plan(loaded, client)
    report = run_plan(planned, force=force, listener=listener, client=client)
    if not report.reused_all or identity_of(planned.report) is None:
        from fusestack.display.report import write_report

        write_report(planned, report)
    return report


def graph(config: str | Path | Mapping[str, Any] | Plan, overrides: Sequence[str] = ()) -> Job:
    """What a configuration asks for as one dask collection: a layer a stage, a task a batch of blocks.

    Reads metadata only and writes nothing until it is computed, by any dask scheduler. Tasks are cut for the
    workers and the memory of the active client, or else as the configuration says. The graph is what is missing
    now; see `fusestack.taskgraph.collection.Job` for what it does not do and `run` does.

    Parameters
    ----------
    config : str, Path, mapping or Plan
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.

    Returns
    -------
    Job
        Computes to the paths of the images.

    Raises
    ------
    ConfigError, InputError
    OutputError
        If an output exists that this configuration did not make.

    Examples
    --------
    >>> job = fusestack.graph("fuse.yaml")  # doctest: +SKIP
    >>> dask.compute(job, my_own_delayed, scheduler="threads")  # doctest: +SKIP
    """
    from fusestack.planner import make_plan
    from fusestack.planning.plan import Plan
    from fusestack.running.jobs import job_of_plan

    if isinstance(config, Plan):
        return job_of_plan(config)
    loaded = _loaded(config, overrides)
    return job_of_plan(make_plan(loaded, _client_of(loaded)))


def fuse(project: Project | str | Path | Sequence[View], **options: Any) -> xarray.DataArray:
    """Fuse lazily: a dask-backed image whose pixels are computed when they are asked for.

    Parameters
    ----------
    project : Project, path of a project XML, or sequence of View
    **options
        Keys of the configuration's ``fusion`` section (``downsampling=2``, ``blending=False`` ...), and ``select``, a
        mapping as in ``input.select``.

    Returns
    -------
    xarray.DataArray
        ``[t, c, z, y, x]``; coordinates t and c are timepoint ids and channel names, z, y, x are in world units:
        ``attrs["unit"]``, or world pixels where the project has no voxel size.

    Raises
    ------
    ConfigError, InputError
    """
    import dask.array
    import xarray

    image = design(project, **options)
    chunks = ((1,) * image.shape[0], (1,) * image.shape[1], *_CHUNKS)
    pixels = dask.array.map_blocks(
        _compute_chunk,
        compute=image.compute,
        chunks=dask.array.core.normalize_chunks(chunks, image.shape, dtype=image.dtype),
        dtype=image.dtype,
        meta=np.empty((0,) * 5, dtype=image.dtype),
    )
    axes = {
        axis: origin + size * np.arange(n)
        for axis, origin, size, n in zip("zyx", image.origin, image.pixel_size, image.shape[2:], strict=True)
    }
    return xarray.DataArray(
        pixels,
        dims=("t", "c", "z", "y", "x"),
        coords={"t": list(image.timepoints), "c": [channel.name for channel in image.channels], **axes},
        name=image.title,
        attrs={"unit": image.unit or "world pixel", "pixel_size": dict(zip("zyx", image.pixel_size, strict=True))},
    )


def focus_stack(stack: str | Path | Sequence[Any] | NDArray[Any], **options: Any) -> xarray.Dataset:
    """Focus-stack slices into one sharp image, its mask and its depth; computed at once, in a temporary folder.

    Parameters
    ----------
    stack : path, sequence of paths, array or sequence of arrays
        A pattern such as ``stack/*.jpg``, a folder of pictures, a TIFF stack, an OME-Zarr, pictures one by one; or
        slices uint8, uint16 or float32 [k, y, x], or [k, y, x, colour] with 3 colours and possibly alpha, front first.
    **options
        Keys of the configuration's ``focus`` section: ``options="--fft --maskfft"``, ``masks=[...]``, ``axis="y"`` ...

    Returns
    -------
    xarray.Dataset
        ``image`` [y, x] or [y, x, colour] in the type of the slices, ``mask`` 0..1 and ``depth`` (index of the slice, 0
        in front, NaN where nothing is sharp) [y, x]; of volumes all with t and c first.

    Raises
    ------
    ConfigError, InputError
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fusestack-") as folder:
        named = _paths_of(stack)
        if named is None:
            named = _slices_file(stack, Path(folder))
        output = {
            "path": f"{folder}/image.ome.zarr",
            "mask": f"{folder}/mask.ome.zarr",
            "depth": f"{folder}/depth.ome.zarr",
        }
        output |= {"pyramid": "none", **options.pop("output", {})}
        config: dict[str, Any] = {"version": 1, "focus": {**options, "output": output}}
        if isinstance(named, list) or glob.has_magic(named):
            config["input"] = {"images": named}
        else:
            config["focus"]["input"] = named
        made = plan(config)
        run(made)
        return _dataset({image.title.partition(" ")[0]: image for image in made.images})


def _absolute(path: str) -> str:
    return path if is_address(path) else str(Path(path).absolute())


def _paths_of(stack: Any) -> str | list[str] | None:
    """Absolute paths, where a stack is named by paths."""
    if isinstance(stack, str | Path):
        return _absolute(str(stack))
    if isinstance(stack, list | tuple) and stack and all(isinstance(one, str | Path) for one in stack):
        return [_absolute(str(one)) for one in stack]
    return None


def _slices_file(stack: Any, folder: Path) -> str:
    """Slices as the pages of a TIFF file."""
    import tifffile

    from fusestack.model.errors import InputError

    wanted = "give slices [k, y, x], or [k, y, x, 3 or 4] with their colours, paths, or a pattern such as stack/*.jpg"
    try:
        pixels = np.asarray(stack)
    except ValueError as error:
        raise InputError(f"stack: its slices differ in size ({error}); {wanted}") from error
    if pixels.dtype.kind not in "uif":
        raise InputError(f"stack: is no array of numbers; {wanted}")
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[-1] not in (3, 4)) or 0 in pixels.shape:
        raise InputError(f"stack: has the shape {pixels.shape}; {wanted}")
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        raise InputError(f"stack: has the shape {pixels.shape}, which looks like one picture in colour; {wanted}")
    if pixels.dtype.name not in ("uint8", "uint16", "float32"):
        raise InputError(f"stack: has pixels of type {pixels.dtype.name}; convert them to uint8, uint16 or float32")
    path = folder / "stack.tif"
    kind = "rgb" if pixels.ndim == 4 else "minisblack"
    alpha = ("unassalpha",) if pixels.shape[-1] == 4 and pixels.ndim == 4 else None
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for page in pixels:
            writer.write(page, photometric=kind, extrasamples=alpha, contiguous=False, metadata=None)
    return str(path)


def _white(dtype: str) -> float:
    kind = np.dtype(dtype)
    return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


def _dataset(images: Mapping[str, PlannedImage]) -> xarray.Dataset:
    import xarray

    arrays = {}
    for name, image in images.items():
        spec = image.target.image
        pixels = image.target.open().read(0, Box.of_shape(spec.shape))[:, :, 0]
        names = [channel.name for channel in spec.channels]
        if name == "mask":
            pixels = pixels.astype(np.float32) / np.float32(_white(spec.dtype))
        photograph = set(names) <= {"L", "R", "G", "B", "A", "mask", "depth"}
        if names[-1] == "A" and (pixels[:, -1] == _white(spec.dtype)).all():
            names, pixels = names[:-1], pixels[:, :-1]
        dims: tuple[str, ...] = ("t", "c", "y", "x")
        values = pixels
        if photograph and pixels.shape[1] == 1:
            dims, values = ("y", "x"), pixels[0, 0]
        elif photograph:
            dims, values = ("y", "x", "colour"), np.moveaxis(pixels[0], 0, -1)
        coords = {"colour": names} if "colour" in dims else {"c": names} if "c" in dims else {}
        arrays[name] = xarray.DataArray(values, dims=dims, coords=coords, name=name)
    return xarray.Dataset(arrays)


def design(project: Project | str | Path | Sequence[View], **options: Any) -> DesignedImage:
    """Design the one fused image of `fuse`; metadata only.

    Raises
    ------
    ConfigError
        If an option is wrong, not available yet, or makes more than one image.
    """
    from fusestack.config.load import from_mapping, unsupported
    from fusestack.config.models import Select
    from fusestack.fusion.design import design_images
    from fusestack.fusion.inputs import selection_of
    from fusestack.model.errors import ConfigError
    from fusestack.project.model import Project
    from fusestack.project.select import select_views

    select = options.pop("select", None)
    section = {"project": "."} if select is None else {"project": ".", "select": select}
    loaded = from_mapping({"version": 1, "input": section, "fusion": options})
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    fusion = loaded.config.fusion
    select = loaded.config.input.select if loaded.config.input is not None else Select()
    if isinstance(project, (str, Path)):
        project = open_project(project)
    if isinstance(project, Project):
        views, everything = select_views(project, selection_of(select)), project.views
        found = design_images(views, everything, project.bounding_boxes, fusion, project.intensity)
    else:
        views = tuple(sorted(project, key=lambda view: view.id))
        found = design_images(views, views, {}, fusion)
    if len(found.images) > 1:
        titles = ", ".join(image.title for image in found.images[:3])
        raise ConfigError(
            f"group_by: {fusion.group_by} makes {len(found.images)} images ({titles} ...); "
            "select the views of one of them, or use timepoint_channel"
        )
    return found.images[0]


def _client_of(loaded: LoadedConfig) -> Client | None:
    """Client that dask would use by default, unless the configuration names a scheduler."""
    import sys

    if "distributed" not in sys.modules or "scheduler" in loaded.config.execution.model_fields_set:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def _compute_chunk(compute: FuseBlocks, block_info: Any = None) -> NDArray[Any]:
    location = block_info[None]["array-location"]
    box = Box(tuple(a for a, _ in location), tuple(b for _, b in location))
    pixels = compute(box)
    return np.full(box.shape, compute.rule.fill, dtype=compute.rule.dtype) if pixels is None else pixels


def _loaded(config: str | Path | Mapping[str, Any], overrides: Sequence[str]) -> LoadedConfig:
    from fusestack.config.load import from_mapping, load_config

    if isinstance(config, (str, Path)):
        return load_config(config, overrides)
    return from_mapping(dict(config), Path.cwd(), overrides)
