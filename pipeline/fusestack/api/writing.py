"""Lazy images, written by the writers of fusestack, on the graph of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fusestack.api.configured import client_of, run
from fusestack.api.labelled import labelled
from fusestack.model.errors import InputError, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray
    from distributed import Client
    from numpy.typing import ArrayLike

    from fusestack.api.labelled import LabelledImage
    from fusestack.config.load import LoadedConfig
    from fusestack.config.output import Output
    from fusestack.fusion.design import DesignedImage
    from fusestack.model.image import ImageSpec
    from fusestack.planning.lazy_pixels import LazyPixels
    from fusestack.planning.plan import Plan
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
    """Write a lazy image as OME-Zarr or BDV-HDF5, with its levels; a second call goes on where the first one ended.

    The graph of the image becomes part of the graph that writes it, under a lock, with rounds of retries, records and a
    report, as `run` has them. What is done is known by the name of the dask array: arrays of files, of NumPy and of
    functions have the same name every time. What `fuse` has made is computed block by block as `run` does it. Images
    must not be read from the place where they are written.

    Parameters
    ----------
    image : xarray.DataArray, xarray.DataTree, or array of dask, numpy or zarr
        uint8, uint16, int16, uint32 or float32. A DataArray has dims out of t, c, z, y, x in any order; its coordinates
        say pixel size and place, timepoints and names of channels, ``attrs["unit"]`` their unit; other attributes are
        not written. Arrays are [y, x], [z, y, x] or [t, c, z, y, x]. Of a DataTree the full resolution is written.
    path : str or Path
        ``.ome.zarr``, ``.zarr`` (also an address) or ``.h5`` (with a project ``.xml`` beside it).
    levels : "auto", "none" or list
        As ``output.pyramid``; levels are made anew from full resolution.
    voxel_size : float, mapping or (float, float, float), optional
        Physical size of a pixel, ``{"x": 0.2, "y": 0.2, "z": 1}`` or z, y, x; where no coordinates say it.
    unit : str, optional
        Of `voxel_size` and of coordinates, such as micrometer.
    overwrite : bool
        Replace what is there, if it is another image.
    client : distributed.Client, optional
        Whose workers write. Without one, an active client is used, unless `execution` names a scheduler.
    progress : bool, optional
        Whether progress is shown; by default in notebooks.
    listener : callable, optional
        Takes the events of the run (`fusestack.taskgraph.events`), for progress.
    execution : mapping, optional
        As in the configuration: ``{"scheduler": "processes", "workers": 4, "memory": "4GiB"}``.
    **output
        Other keys of ``output``: ``chunks``, ``shards``, ``compression``, ``ome_zarr_version``, ``format`` ...

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
    options = {**output, "path": os.fspath(path), "pyramid": levels, "overwrite": overwrite}
    loaded = _loaded(options, execution or {})
    found = labelled(image, voxel_size=voxel_size, unit=unit)
    client = client or client_of(loaded)
    tell(found.warnings)
    return run(plan_of_image(found, loaded, client), progress=progress, listener=listener, client=client)


def _loaded(output: Mapping[str, Any], execution: Mapping[str, Any]) -> LoadedConfig:
    from fusestack.config.load import from_mapping, unsupported
    from fusestack.model.errors import ConfigError

    # no project is read: the configuration asks for something that is fused
    mapping = {"version": 1, "input": {"project": "."}, "output": output, "execution": dict(execution)}
    loaded = from_mapping(mapping, Path.cwd())
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    return loaded


def plan_of_image(image: LabelledImage, loaded: LoadedConfig, client: Any = None) -> Plan:
    """Plan of a run that writes an image.

    Raises
    ------
    ConfigError
        If a block does not fit the memory of a worker.
    InputError
        If the format does not hold its pixels.
    """
    from fusestack.fusion.plan import fitted, project_path
    from fusestack.model.fingerprint import digest, facts_of
    from fusestack.model.stage import Target
    from fusestack.planner import CACHE
    from fusestack.planning.image_spec import image_spec
    from fusestack.planning.lazy_pixels import LazyPixels
    from fusestack.planning.levels import cut_facts, layout_facts, with_pyramid
    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.planning.resources import resolve_resources
    from fusestack.planning.stages import make_stage
    from fusestack.writers import WRITERS

    output = loaded.config.output
    if output is None:
        raise ValueError("a configuration that writes has an output")
    path = loaded.resolve_path(output.path)
    resources = resolve_resources(loaded.config.execution, loaded.folder, client)
    fused = _design_of(image.pixels)
    spec = _fused_spec(image, fused, output, path) if fused else image_spec(image, output, path, _anisotropy(image))
    _check_format(spec, output.format)
    target = Target(WRITERS[output.format], spec, 0, f"{path}.fusestack")
    compute = fitted(fused.compute, target, resources) if fused else _lazy_pixels(image, spec)
    layout = layout_facts(spec, output.format)
    stages = with_pyramid(make_stage("fuse" if fused else "write", compute, target, resources, layout), resources)
    name = compute.array.name if isinstance(compute, LazyPixels) else f"fused-{digest(facts_of(compute))}"
    planned = PlannedImage(
        title=spec.name,
        target=target,
        preparation=(),
        stages=stages,
        components={"inputs": {"image": name}, "output": {**layout, **cut_facts(spec)}},
        fingerprint=digest([stage.fingerprint for stage in stages]),
        project=project_path(output, path, single=True),
        overwrite=output.overwrite,
        notes={"setup_names": [channel.name for channel in spec.channels]},
        way_out=_WAY_OUT,
    )
    said = f"array {spec.dtype} {list(spec.shape)} ({name})"
    config = loaded.config.model_dump(mode="json")
    return Plan(
        output=path,
        work=f"{path}.fusestack",
        cache=f"{path.rpartition('/')[0]}/{CACHE}",
        cache_limit=None,
        images=(planned,),
        resources=resources,
        config={"image": said, "output": config["output"], "execution": config["execution"]},
        source=said,
        warnings=image.warnings,
    )


def _design_of(pixels: Any) -> DesignedImage | None:
    """Design of the very image that `fuse` has made; None of all other arrays."""
    try:
        from fusestack.fusion.lazy import compute_of  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    found: DesignedImage | None = compute_of(pixels)
    return found


def _lazy_pixels(image: LabelledImage, spec: ImageSpec) -> LazyPixels:
    """Pixels of a dask array; of others, cut into the blocks that are written."""
    import dask.array

    from fusestack.model.graph_array import GraphArray
    from fusestack.planning.lazy_pixels import LazyPixels

    pixels = image.pixels
    if not isinstance(pixels, dask.array.Array):
        pixels = dask.array.from_array(pixels, chunks=spec.levels[0].block)
    return LazyPixels(GraphArray.of(pixels))


def _anisotropy(image: LabelledImage) -> float:
    z, y, x = image.pixel_size
    return 2 * z / (y + x)


def _fused_spec(image: LabelledImage, fused: DesignedImage, output: Output, path: str) -> ImageSpec:
    """Spec of what `fuse` has made: as it is designed, unless its labels say something else meanwhile."""
    from fusestack.planning.image_spec import image_spec

    spacing = fused.frame.spacing
    anisotropy, fill = 2 * spacing[0] / (spacing[1] + spacing[2]), fused.compute.rule.fill
    designed = image_spec(fused, output, path, anisotropy, fill)
    now = image_spec(image, output, path, anisotropy, fill)
    places = ((now.pixel_size, designed.pixel_size), (now.origin, designed.origin))
    same = all(np.allclose(one, other, rtol=1e-6, atol=1e-9) for one, other in places)
    names = [[channel.name for channel in spec.channels] for spec in (now, designed)]
    alike = same and now.unit == designed.unit and now.timepoints == designed.timepoints and names[0] == names[1]
    return designed if alike else now


def _check_format(spec: ImageSpec, file_format: str) -> None:
    from fusestack.writers.bdv_hdf5 import DTYPES

    if file_format == "bdv-hdf5" and spec.dtype not in DTYPES:
        raise InputError(
            f"image: BigDataViewer HDF5 has no {spec.dtype}, only {', '.join(DTYPES)}; "
            "write .ome.zarr, or convert it with astype"
        )
