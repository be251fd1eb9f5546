"""Lazy images, written by the writers of fusestack, on the graph of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusestack.api.configured import checked_client, client_of, run
from fusestack.api.labelled import is_volume, labelled
from fusestack.api.wanted import as_container, as_picture, check_picture_options
from fusestack.model.errors import ConfigError, tell
from fusestack.planning.pictures import is_picture, picture_suffix
from fusestack.planning.plan import refuse_inputs_as_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray
    from distributed import Client
    from numpy.typing import ArrayLike

    from fusestack.api.wanted import Wanted
    from fusestack.config.load import LoadedConfig
    from fusestack.fusion.design import DesignedImage
    from fusestack.model.image import ImageSpec
    from fusestack.model.stage import Compute, Stage
    from fusestack.planning.lazy_pixels import LazyPixels
    from fusestack.planning.plan import Plan
    from fusestack.project.write import FusedImage
    from fusestack.running.report import RunReport
    from fusestack.taskgraph.events import Listener

_WAY_OUT = (
    "choose another path, or replace it with overwrite=True (an array whose name is random, as that of random numbers "
    "without a seed, is another one every time)"
)


def write(
    image: xarray.DataArray | xarray.DataTree | ArrayLike,
    path: str | Path,
    *,
    levels: Literal["auto", "none"] | Sequence[Mapping[str, int]] = "auto",
    voxel_size: float | Sequence[float] | Mapping[str, float] | None = None,
    unit: str | None = None,
    overwrite: bool = False,
    client: Client | None = None,
    progress: bool | None = None,
    listener: Listener | None = None,
    execution: Mapping[str, Any] | None = None,
    **output: Any,
) -> RunReport:
    """Write a lazy image as OME-Zarr, BDV-HDF5, BDV-N5, TIFF stack or picture; a second call goes on.

    The graph of the image becomes part of the graph that writes it, under a lock, with rounds of retries, records and a
    report, as `run` has them. What is done is known by the name of the dask array: arrays of NumPy, Zarr and HDF5 are
    named by what they hold, those of dask as their functions say, which do not look into files. What `fuse` has made is
    computed by the stages of `run`. Images must not be read from the place where they are written.

    Parameters
    ----------
    image : xarray.DataArray, xarray.DataTree, or array of dask, numpy, zarr or h5py
        uint8, uint16, int16, uint32 or float32. A DataArray has dims out of t, c, z, y, x in any order; its coordinates
        say pixel size and place, timepoints and names of channels, ``attrs["unit"]`` their unit; other attributes are
        not written. A dim colour (color, rgb, rgba) becomes channels R, G, B and A, or the colours of a picture.
        Arrays are [y, x], [z, y, x] or [t, c, z, y, x]; of a picture [y, x] or [y, x, colour]. Of a DataTree the full
        resolution is written.
    path : str or Path
        ``.ome.zarr``, ``.zarr`` (also an address), ``.h5`` or ``.n5`` (with a project ``.xml`` beside it); a volume of
        one channel and timepoint also as a stack, ``.tif`` (with ImageJ's calibration and origin) or ``.ome.tif`` (with
        levels); or a picture of one timepoint: ``.png`` (uint8, uint16), ``.jpg`` (uint8, quality 95, no opacity) or
        ``.tif`` or ``.ome.tif`` (also float32), which has a page for each channel that is no colour.
    levels : "auto", "none" or list
        As ``output.pyramid``; levels are made anew from full resolution. Pictures have one, and ``.tif``.
    voxel_size : float, mapping or (float, float, float), optional
        Physical size of a pixel, ``{"x": 0.2, "y": 0.2, "z": 1}`` or z, y, x; where no coordinates say it.
    unit : str, optional
        Of `voxel_size` and of coordinates, such as micrometer.
    overwrite : bool
        Replace what is there, if it is another image. The old one is deleted when the first block is computed.
    client : distributed.Client, optional
        Whose workers write. Without one, an active client is used, unless `execution` names a scheduler.
    progress : bool, optional
        Whether progress is shown; by default in notebooks.
    listener : callable, optional
        Takes the events of the run (`fusestack.taskgraph.events`), for progress.
    execution : mapping, optional
        As in the configuration: ``{"scheduler": "processes", "workers": 4, "memory": "4GiB"}``.
    **output
        Other keys of ``output``: ``project`` (a BigDataViewer project XML), ``chunks``, ``shards``, ``compression``,
        ``ome_zarr_version``, ``format`` ...; pictures have none of them.

    Returns
    -------
    RunReport

    Raises
    ------
    ConfigError
        If an option is wrong, or a block does not fit the memory.
    InputError
        If the image cannot be written as it is.
    BlockError
        If chunks of the image could not be made; what is written is kept.
    OutputError
        If something else is there already, or the place cannot be written.

    Examples
    --------
    >>> import dask.array
    >>> import fusestack
    >>> from pathlib import Path
    >>> volume = dask.array.ones((64, 512, 512), chunks=(64, 128, 128), dtype="uint16")
    >>> report = fusestack.write(volume, "volume.ome.zarr", voxel_size=0.5, unit="micrometer")
    >>> [Path(path).name for path in report.outputs]
    ['volume.ome.zarr']
    >>> fusestack.write(volume, "volume.ome.zarr", voxel_size=0.5, unit="micrometer").reused_all
    True
    """
    from fusestack.fusion.lazy import compute_of

    place = _place(path)
    if "pyramid" in output:
        raise ConfigError("pyramid: write calls this levels=; use that")
    if execution is not None and not isinstance(execution, Mapping):
        raise ConfigError(f"execution: {execution!r} is no mapping; give {{'scheduler': 'threads', 'workers': 4}}")
    picture = is_picture(place) and not (picture_suffix(place) in (".tif", ".tiff") and is_volume(image))
    if picture:
        check_picture_options(place, {**output, "levels": levels, "overwrite": overwrite})
    options = {**output, "path": place, "pyramid": levels, "overwrite": overwrite}
    loaded = _loaded(None if picture else options, execution or {})
    found = labelled(image, voxel_size=voxel_size, unit=unit, picture=picture)
    fused = compute_of(found.pixels)
    if picture:
        wanted = as_picture(found, loaded.resolve_path(place), overwrite=overwrite)
    else:
        wanted = as_container(found, fused, loaded)
    client = checked_client(client) or client_of(loaded)
    made = plan_of_image(wanted, fused if wanted.pixels is found.pixels else None, loaded, client)
    refuse_inputs_as_outputs(made.images, read_from(found.pixels), "path")
    tell(wanted.warnings)
    return run(made, progress=progress, listener=listener, client=client)


def _place(path: Any) -> str:
    try:
        place = os.fspath(path)
    except TypeError:
        raise ConfigError(f"path: {path!r} is no path; give one such as 'image.ome.zarr'") from None
    return str(place)


def read_from(pixels: Any) -> list[str]:
    """Files and folders that an image is known to be read from: of what `fuse` has made, and of Zarr arrays."""
    from fusestack.fusion.lazy import LazyLayer

    found, arrays = set(), [pixels]
    for layer in getattr(getattr(pixels, "dask", None), "layers", {}).values():
        if isinstance(layer, LazyLayer):
            found |= set(layer.image.compute.paths if layer.image is not None else ())
        elif layer.is_materialized() and len(layer) == 1:  # dask keeps what it reads in a layer of its own
            arrays += list(layer.values())
    for store in (getattr(array, "store", None) for array in arrays):
        places = (getattr(store, name, None) for name in ("root", "path"))
        found |= {str(place) for place in places if isinstance(place, str | Path) and str(place)}
    return sorted(found)


def _loaded(output: Mapping[str, Any] | None, execution: Mapping[str, Any]) -> LoadedConfig:
    from fusestack.config.load import from_mapping, unsupported

    # no project is read: the configuration asks for something that is fused
    mapping = {"version": 1, "input": {"project": "."}, "output": output, "execution": dict(execution)}
    loaded = from_mapping(mapping, Path.cwd())
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    return loaded


def plan_of_image(wanted: Wanted, fused: DesignedImage | None, loaded: LoadedConfig, client: Any = None) -> Plan:
    """Plan of a run that writes an image.

    Parameters
    ----------
    wanted : Wanted
    fused : DesignedImage or None
        What computes its pixels, where `fuse` has made it: then the stages are those of a run.
    loaded : LoadedConfig
        How it is executed.
    client : distributed.Client, optional

    Raises
    ------
    ConfigError
        If a block does not fit the memory of a worker.
    OutputError
        If the format does not hold the image.
    """
    from fusestack.fusion.plan import fitted, prepared
    from fusestack.model.fingerprint import digest, facts_of
    from fusestack.model.geometry import Affine
    from fusestack.model.stage import Target
    from fusestack.planner import CACHE
    from fusestack.planning.levels import cut_facts, layout_facts, with_pyramid
    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.planning.projects import setups_by_channel
    from fusestack.planning.resources import resolve_resources
    from fusestack.planning.stages import make_stage
    from fusestack.writers import WRITERS

    spec, path = wanted.spec, wanted.spec.path
    resources = resolve_resources(loaded.config.execution, loaded.folder, client)
    cache = f"{path.rpartition('/')[0]}/{CACHE}"
    target = Target(WRITERS[wanted.file_format], spec, 0, f"{path}.fusestack")
    target.open()  # refuses what the format does not hold
    layout = layout_facts(spec, wanted.file_format)
    compute: Compute
    preparation: tuple[Stage, ...] = ()
    if fused is None:
        compute = _lazy_pixels(wanted.pixels, spec)
        name = compute.array.name
    else:
        name = f"fused-{digest(facts_of(fused.compute))}"
        read_from_cache, preparation = prepared(fused.compute, cache, resources)
        compute = fitted(read_from_cache, target, resources)
    facts = [layout, wanted.notes] if wanted.file_format == "picture" else layout
    first = make_stage("write" if fused is None else "fuse", compute, target, resources, facts)
    stages = with_pyramid(first, resources)
    setups: tuple[FusedImage, ...] = ()
    if wanted.project is not None:
        pixel_to_world = Affine.translation([o / s for o, s in zip(spec.origin, spec.pixel_size, strict=True)])
        if fused is not None and (spec.origin, spec.pixel_size) == (fused.origin, fused.pixel_size):
            pixel_to_world = fused.frame.output_to_world
        setups = setups_by_channel(spec, pixel_to_world)
    planned = PlannedImage(
        title=spec.name,
        target=target,
        preparation=preparation,
        stages=stages,
        components={"inputs": {"image": name}, "output": {**layout, **cut_facts(spec)}},
        fingerprint=digest([stage.fingerprint for stage in stages]),
        project=wanted.project,
        setups=setups,
        file_format=wanted.file_format,
        overwrite=wanted.overwrite,
        notes=wanted.notes,
        way_out=_WAY_OUT,
        key="path",
    )
    said = f"array {spec.dtype} {list(spec.shape)} ({name})"
    config = loaded.config.model_dump(mode="json")
    return Plan(
        output=path,
        work=f"{path}.fusestack",
        cache=cache,
        cache_limit=None,
        images=(planned,),
        resources=resources,
        config={"image": said, "output": dict(wanted.output), "execution": config["execution"]},
        source=said,
        warnings=wanted.warnings,
    )


def _lazy_pixels(pixels: Any, spec: ImageSpec) -> LazyPixels:
    """Pixels of a dask array; of others, cut into the blocks that are written."""
    from fusestack.model.graph_array import GraphArray
    from fusestack.planning.lazy_pixels import LazyPixels
    from fusestack.sources.arrays import named_array

    return LazyPixels(GraphArray.of(named_array("image", pixels, spec.levels[0].block)))
