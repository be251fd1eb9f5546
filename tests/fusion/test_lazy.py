"""Lazy images: the pixels that a run writes, a graph that is made where it is asked for, and what `fuse` accepts."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array
import numpy as np
import pytest
import tifffile
import xarray
import zarr
from dask._task_spec import GraphNode
from distributed import Client, LocalCluster

import fusestack
from fusestack.api.fusing import design
from fusestack.fusion import content, content_steps
from fusestack.fusion.lazy import LazyLayer, compute_of, lazy_image
from fusestack.fusion.placement import LevelPixels
from fusestack.model.errors import FusestackError, FusestackWarning
from fusestack.model.geometry import Affine, Box
from fusestack.model.graph_array import GraphArray
from fusestack.model.view import SourceRef, View, ViewId
from fusestack.planning import pyramid
from fusestack.simulate import simulate_acquisition
from fusestack.sources.base import SourceLevel
from fusestack.sources.graph import graph_source
from tests.small import config

FUSIONS: dict[str, dict[str, Any]] = {
    "average": {},
    "filled": {"downsampling": 1.7, "background": 7, "method": "max"},
    "content": {"content_based": {"sigma1": 10, "sigma2": 15}},
    "content at every pixel": {"content_based": {"sigma1": 2, "sigma2": 3}},
}
CHUNKS = [(7, 19, 23), (64, 256, 256)]
TILE_CHUNKS = (9, 17, 21)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


class Stored:
    """A stored fusion: its views, its options, its pixels."""

    def __init__(self, folder: Path, fusion: dict[str, Any]) -> None:
        self.fusion = fusion
        self.settings = config(folder) | {"fusion": fusion}
        planned = fusestack.plan(self.settings)
        fusestack.run(planned)
        assert planned.inputs is not None
        self.views = planned.inputs.views
        self.pixels = np.asarray(zarr.open_array(folder / "fused.ome.zarr" / "0", mode="r")[:])
        assert np.count_nonzero(self.pixels) > 0.5 * self.pixels.size

    @property
    def arrays(self) -> list[View]:
        """The same views as arrays of dask graphs."""
        return as_arrays(self.views)


def as_arrays(views: Sequence[View]) -> list[View]:
    found = []
    for view in views:
        pixels = dask.array.from_array(tifffile.imread(view.source.path), chunks=TILE_CHUNKS) + 0
        found.append(replace(view, source=graph_source(f"tile {view.tile}", [pixels], [(1.0, 1.0, 1.0)])))
    return found


@pytest.fixture(scope="module", params=FUSIONS)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return Stored(tmp_path_factory.mktemp("stored"), FUSIONS[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return Stored(tmp_path_factory.mktemp("plain"), {})


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_pixels_are_those_of_a_run(stored: Stored, kind: str, chunks: tuple[int, int, int]) -> None:
    views = stored.views if kind == "files" else stored.arrays
    image = fusestack.fuse(views, chunks=chunks, **stored.fusion)
    for scheduler in ("threads", "synchronous"):
        assert image.compute(scheduler=scheduler).values.tobytes() == stored.pixels.tobytes()


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_pixels_on_a_client_of_processes(stored: Stored, kind: str, cluster: LocalCluster) -> None:
    views = stored.views if kind == "files" else stored.arrays
    image = fusestack.fuse(views, chunks=(13, 33, 45), **stored.fusion)
    with Client(cluster) as client:
        assert image.data.compute().tobytes() == stored.pixels.tobytes()
        kept = image.persist()
        assert kept.values.tobytes() == stored.pixels.tobytes()
        piece = client.compute(image[0, 0, 5:9, 3:40, 30]).result()
    assert piece.values.tobytes() == stored.pixels[0, 0, 5:9, 3:40, 30].tobytes()


def test_other_schedulers_and_graphs(plain: Stored) -> None:
    image = fusestack.fuse(plain.arrays, chunks=CHUNKS[0])
    pixels = image.data
    (optimised,) = dask.optimize(pixels[0, 0, 4])
    assert optimised.compute().tobytes() == plain.pixels[0, 0, 4].tobytes()
    graph = dict(pixels.dask)  # as it is drawn
    assert sum(isinstance(key, tuple) and key[0] == pixels.name for key in graph) == math.prod(pixels.numblocks) + 1
    assert {d for task in graph.values() if isinstance(task, GraphNode) for d in task.dependencies} <= graph.keys()
    assert dask.get(graph, (pixels.name, 0, 0, 0, 0, 0)).tobytes() == plain.pixels[0, 0, :7, :19, :23].tobytes()
    assert "LazyLayer" in pixels.dask._repr_html_()
    twice = dask.array.stack([pixels, pixels + 1])
    assert (twice.max(axis=0).compute() == plain.pixels + 1).all()
    low, high = dask.compute(pixels.min(), pixels.max())
    assert (low, high) == (plain.pixels.min(), plain.pixels.max())
    with dask.config.set({"optimization.fuse.active": False}):
        assert pixels.compute().tobytes() == plain.pixels.tobytes()


def test_it_travels_without_what_computed_it(plain: Stored) -> None:
    for views in (plain.views, plain.arrays):
        image = fusestack.fuse(views, chunks=CHUNKS[0])
        packed = cloudpickle.dumps(image)
        again = cloudpickle.loads(packed)
        assert again.identical(image.copy(data=again.data))
        assert again.data.name == image.data.name
        assert again.compute().values.tobytes() == plain.pixels.tobytes()
        assert cloudpickle.loads(cloudpickle.dumps(again)).isel(z=3).compute().values.any()


@pytest.fixture
def small_blocks_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_BLOCK_PIXELS", 8)
    monkeypatch.setattr(content, "_SMALLEST_BLOCK", 8)
    monkeypatch.setattr(content_steps, "_REMEMBERED", 10**6)


@pytest.mark.usefixtures("small_blocks_of_nodes")
@pytest.mark.parametrize("sigmas", [(1, 2), (10, 12)])
def test_a_task_is_given_all_that_content_based_weights_read(plain: Stored, sigmas: tuple[int, int]) -> None:
    options = {"content_based": {"sigma1": sigmas[0], "sigma2": sigmas[1]}}
    whole = fusestack.fuse(plain.views, **options).values
    # where it comes from another place, arrays are known by name: whatever a task was not given, it cannot read
    pixels = cloudpickle.loads(cloudpickle.dumps(fusestack.fuse(plain.arrays, chunks=10, **options).data))
    layer = pixels.dask.layers[pixels.name]
    found = [len(layer[key].dependencies) for key in layer if key[1] != "compute"]
    assert min(found) < max(found)
    assert pixels.compute(scheduler="synchronous").tobytes() == whole.tobytes()
    for part in (pixels[0, 0, 3, 20:30, 20:30], pixels[0, 0, :, 33]):  # each by tasks that remember nothing
        fresh = cloudpickle.loads(cloudpickle.dumps(part))
        assert fresh.compute(scheduler="synchronous").any()


def fresh_of(step: Any) -> Any:
    """The same step without the nodes that it remembers."""
    before = {"LocalContrast": "means", "Weights": "contrast"}.get(type(step).__name__)
    if before is None:
        return step
    nodes = getattr(step, before)
    return replace(step, **{before: type(nodes)(fresh_of(nodes.compute), nodes.block)})


@pytest.mark.usefixtures("small_blocks_of_nodes")
def test_stored_steps_of_weights_say_what_they_read(plain: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    image = design(plain.arrays, content_based={"sigma1": 2, "sigma2": 3})
    weights = image.compute.content
    assert weights is not None
    means = weights.weights.compute.contrast.compute.means  # type: ignore[attr-defined]
    reads: list[tuple[str, Box]] = []
    read = GraphArray.read

    def recorded(self: GraphArray, box: Box) -> Any:
        reads.append((self.name, box))
        return read(self, box)

    monkeypatch.setattr(GraphArray, "read", recorded)
    sizes = set()
    for z, y, x in [(0, 0, 0), (3, 6, 9), (18, 33, 42)]:
        box = Box((1, 0, z, y, x), (2, 1, z + 3, y + 3, x + 3))
        for step in (means.compute, weights.weights.compute):  # type: ignore[attr-defined]
            declared = {array.name: part for array, part in step.inputs(box).items()}
            reads.clear()
            fresh_of(step)(box)
            assert reads
            assert all(part.union(declared[name]) == declared[name] for name, part in reads)
            sizes.add(next(iter(declared.values())).size)
    assert len(sizes) > 3, "not simply everything"


def test_a_slice_reads_what_it_shows(plain: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = LevelPixels.read

    def counted(self: LevelPixels, box: Box) -> Any:
        reads.append(box.size)
        return read(self, box)

    monkeypatch.setattr(LevelPixels, "read", counted)
    image = fusestack.fuse(plain.views, chunks=8)
    assert not reads
    corner = image[0, 0, 2:5, 1:7, 2:8]
    assert corner.compute().values.tobytes() == plain.pixels[0, 0, 2:5, 1:7, 2:8].tobytes()
    assert len(reads) == 1
    assert sum(reads) <= 9**3
    reads.clear()
    image.compute()
    assert len(reads) > 100


def test_a_slice_depends_on_the_tiles_it_shows(plain: Stored) -> None:
    tiles = [dask.array.ones((8, 9, 10), chunks=(8, 5, 5), dtype=np.uint16, name=f"tile-{n}") for n in range(40)]
    views = [
        View(ViewId(0, n), None, Affine.translation((0, 0, 8 * n)), graph_source(f"tile {n}", [tile], [(1, 1, 1)]))
        for n, tile in enumerate(tiles)
    ]
    pixels = fusestack.fuse(views, chunks=8).data
    for part, shown in ((pixels[0, 0, 3, :4, :4], {0}), (pixels[..., 64:72], {7, 8}), (pixels, set(range(40)))):
        (graph,) = dask.optimize(part)
        assert {name for name, *_ in graph.dask if "tile" in name} <= {f"tile-{n}" for n in shown}
        assert part.compute(scheduler="synchronous").min() == 1


class Unread:
    """Pixels that must not be read."""

    dtype = np.dtype(np.uint16)
    levels = (SourceLevel((24, 512, 512), (1.0, 1.0, 1.0), (24, 64, 64)),)

    def __init__(self, path: str, number: int) -> None:
        pass

    def read(self, level: int, box: Box) -> Any:
        raise AssertionError("a pixel is read")


def test_a_graph_of_any_size_is_not_made() -> None:
    views = []
    for number in range(20_000):
        y, x = divmod(number, 142)
        source = SourceRef(f"{__name__}:Unread", "", (("number", number),))
        place = Affine.translation((number % 5, 470.3 * y, 470.7 * x))
        views.append(View(ViewId(0, number), None, place, source, tile=number))
    image = fusestack.fuse(views)
    assert image.size > 10**11
    layer = image.data.dask.layers[image.data.name]
    assert isinstance(layer, LazyLayer)
    assert len(layer) == math.prod(image.data.numblocks) + 1 > 60_000
    region = image[0, 0, 3, 30_000:30_600, 40_000:40_600]
    assert not region.data.dask.layers[image.data.name].is_materialized()
    (culled,) = dask.optimize(region.data)
    assert len(culled.dask) <= 2 * 9 + 1
    assert len(cloudpickle.dumps(region)) < 2 * 2**20, "20,000 tiles in little"
    tree = fusestack.fuse(views[:200], levels=True)
    assert len(tree.children) > 5
    layers = tree["scale3/image"].data.dask.layers.values()
    assert [type(one) for one in layers] == [LazyLayer] * 4
    assert not any(one.is_materialized() for one in layers)


def test_the_name_says_what_the_pixels_are(tmp_path: Path) -> None:
    settings = config(tmp_path / "one")
    views = fusestack.plan(settings).inputs.views

    def name(of: Sequence[View] = views, **options: Any) -> str:
        return str(fusestack.fuse(of, **options).data.name)

    first = name()
    assert name() == name(chunks=(64, 256, 256)) == first
    arrays = as_arrays(views)
    others = [name(chunks=8), name(blending=False), name(dtype="float32"), name(views[:2]), name(arrays)]
    moved = [replace(views[0], pixel_to_world=Affine.translation((0, 0, 0.5))), *views[1:]]
    assert len({first, *others, name(moved)}) == 7
    os.utime(views[1].source.path, ns=(0, 0))
    exchanged = name()
    assert exchanged != first
    (tmp_path / "two").mkdir()
    elsewhere = []
    for view in views:  # the same name, size and time, but not the same file
        path = tmp_path / "two" / Path(view.source.path).name
        path.write_bytes(Path(view.source.path).read_bytes())
        os.utime(path, ns=(0, Path(view.source.path).stat().st_mtime_ns))
        elsewhere.append(replace(view, source=replace(view.source, path=str(path))))
    assert name(elsewhere) != exchanged


def test_what_an_array_shows_is_known_while_it_is_the_image(plain: Stored) -> None:
    for views in (plain.views, plain.arrays):
        image = fusestack.fuse(views, chunks=16).data
        shown = compute_of(image)
        assert shown is not None
        assert shown.shape == image.shape
        assert compute_of(image[:]) is shown
        assert compute_of(lazy_image(shown, (8, 8, 8))) is shown
        for other in (image[..., 1:], image + 1, image.persist(), image.rechunk(9), image.T, np.zeros(3)):
            assert compute_of(other) is None
    assert compute_of(cloudpickle.loads(cloudpickle.dumps(image))) is None, "its arrays are there by name only"
    assert compute_of(cloudpickle.loads(cloudpickle.dumps(fusestack.fuse(plain.views).data))) is not None


def test_arrays_whose_graph_stayed_behind_are_refused(plain: Stored) -> None:
    views = cloudpickle.loads(cloudpickle.dumps(plain.arrays))
    with pytest.raises(FusestackError, match=r"stayed behind .*; make the tiles"):
        fusestack.fuse(views)


@pytest.mark.parametrize("chunks", [(7, 19, 23), 64])
@pytest.mark.parametrize("fusion", [{}, {"preserve_anisotropy": 3, "dtype": "float32", "background": 0.1}])
def test_levels_are_those_of_a_run(
    fusion: dict[str, Any], chunks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "_SMALL_ENOUGH", 16)
    settings = config(tmp_path, pyramid="auto") | {"fusion": fusion}
    for view in settings["input"]["views"]:
        view |= {"voxel_size": {"x": 0.3, "y": 0.3, "z": 1.1}, "unit": "um"}
    fusestack.run(settings)
    group = zarr.open_group(tmp_path / "fused.ome.zarr", mode="r")
    datasets = dict(group.attrs)["ome"]["multiscales"][0]["datasets"]  # type: ignore[index, call-overload]
    tree = fusestack.fuse(fusestack.plan(settings).inputs.views, chunks=chunks, levels=True, **fusion)
    assert list(tree.children) == [f"scale{number}" for number in range(len(datasets))]
    assert len(datasets) > 2
    for dataset, child in zip(datasets, tree.children.values(), strict=True):
        image = child["image"]
        assert image.dims == ("t", "c", "z", "y", "x")
        pixels = np.asarray(group[dataset["path"]][:])  # type: ignore[index]
        assert image.shape == pixels.shape
        assert image.values.tobytes() == pixels.tobytes()
        scale, first = (t.get("scale") or t["translation"] for t in dataset["coordinateTransformations"])
        for axis, size, start in zip("zyx", scale[2:], first[2:], strict=True):
            np.testing.assert_allclose(image[axis].values, start + size * np.arange(image.sizes[axis]), rtol=1e-12)
            assert image[axis].attrs == {"units": "micrometer"}
            assert image.attrs["pixel_size"][axis] == pytest.approx(size)


def test_labels(plain: Stored) -> None:
    image = fusestack.fuse(plain.views, downsampling=2)
    assert image.attrs == {"unit": "world pixel", "pixel_size": {"z": 2.0, "y": 2.0, "x": 2.0}, "colors": ["FFFFFF"]}
    assert image.coords["t"].values.tolist() == [0]
    assert image.coords["c"].values.tolist() == ["0"]
    np.testing.assert_array_equal(np.diff(image.coords["x"]), 2.0)
    assert isinstance(fusestack.fuse(plain.views, levels=True), xarray.DataTree)


def test_what_may_surprise_is_told_once(plain: Stored) -> None:
    with pytest.warns(FusestackWarning) as told:
        fusestack.fuse(plain.views, dtype="float32", intensity_range=[0, 1])
    assert [str(one.message).partition(":")[0] for one in told] == ["fusion.intensity_range"]
    assert Path(told[0].filename) == Path(__file__)
    times = [replace(view, id=ViewId(t, view.id.setup)) for t in range(30) for view in plain.views]
    far = Affine.translation((0, 0, 10_000))
    moved = [replace(view, pixel_to_world=far) if view.id.timepoint > 3 else view for view in times]
    with pytest.warns(FusestackWarning) as told:
        fusestack.fuse(moved, bounding_box={"min": {"x": 0, "y": 0, "z": 0}, "max": {"x": 9, "y": 9, "z": 9}})
    assert len(told) == 1
    assert "and 21 more: no view reaches" in str(told[0].message)


def test_a_configuration_is_fused(plain: Stored, tmp_path: Path) -> None:
    settings = {key: plain.settings[key] for key in ("version", "input", "output")}
    settings["fusion"] = {"downsampling": 2, "method": "max"}
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML, too
    wanted = fusestack.fuse(plain.views, downsampling=2, method="max")
    for given in (path, str(path), settings):
        assert fusestack.fuse(given).identical(wanted)
        assert fusestack.fuse(given, method="average").identical(fusestack.fuse(plain.views, downsampling=2))
    fewer = fusestack.fuse(path, select={"tiles": [0, 2]}, downsampling=1)
    assert fewer.identical(fusestack.fuse(plain.views, select={"tiles": [0, 2]}, method="max"))
    one = fusestack.fuse(path, select={"tiles": [0]}, downsampling=1, bounding_box="selected_views")
    assert one.shape[2:] == (24, 40, 50)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_acquisition(tmp_path_factory.mktemp("project"), seed=1, tile_shape=(16, 32, 40)).project


def test_a_project_and_its_views_are_the_same(project: Path) -> None:
    opened = fusestack.open_project(project)
    image = fusestack.fuse(project)
    assert image.sizes["c"] == 2
    for given in (str(project), opened, opened.views, list(reversed(opened.views))):
        assert fusestack.fuse(given).identical(image)
    backup = project.with_name("dataset.xml~1")
    backup.write_bytes(project.read_bytes())
    assert fusestack.fuse(backup).identical(image)
    one = {"channels": [1]}
    assert fusestack.fuse(project, select=one).identical(fusestack.fuse(opened.views, select=one))


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "nothing": (None, {}, "None .* is nothing to fuse; give a project"),
    "a number": (3, {}, "3 .* is nothing to fuse; give a project"),
    "a NumPy number": (np.float32(2), {}, "is nothing to fuse; give a project"),
    "bytes": (b"dataset.xml", {}, "is nothing to fuse; give a project"),
    "an empty list": ([], {}, "an empty list is nothing to fuse; give a project"),
    "a missing project": ("{folder}/no.xml", {}, "no.xml: no such file or folder; check the path"),
    "a missing tile": ("{folder}/no.ome.zarr", {}, "no.ome.zarr: no such file or folder; check the path"),
    "a missing configuration": ("{folder}/no.yaml", {}, "cannot be read: .*; give the path"),
    "a folder": ("{folder}", {}, "is a folder, and no OME-Zarr image; give a project"),
    "not a project": ("{folder}/wrong.xml", {}, "wrong.xml"),
    "not a configuration": ("{folder}/wrong.yaml", {}, "wrong.yaml:1"),
    "a focus stack": ("{folder}/focus.yaml", {}, "focus.yaml: fuses nothing.*use fusestack.run .*focus_stack"),
    "no images": ({"version": 1}, {}, "input: is missing"),
    "views among others": ("{views+1}", {}, "of 9 entries are views, others are int; give one kind"),
    "two views alike": ("{views+views}", {}, "two views are .*; give each a setup of its own"),
    "positions of a project": ("{project}", {"positions": [(0, 0, 0)]}, "a project says .*; leave positions out"),
    "a unit of views": ("{views}", {"unit": "um", "voxel_size": (1, 1, 1)}, "leave voxel_size, unit out"),
    "affines of a configuration": ("{folder}/fuse.yaml", {"affines": []}, "a configuration says .*; leave affines out"),
    "an unknown option": ("{project}", {"blendin": False}, r"fusion.blendin: .*did you mean 'blending'"),
    "an unknown option for a file": ("{folder}/fuse.yaml", {"blendin": False}, r"blendin: .*did you mean 'blending'"),
    "a bad option": ("{project}", {"method": "mean"}, "fusion.method"),
    "a value that is none": ("{project}", {"no_data": "black"}, "input.no_data: .*use a number"),
    "several images": ("{project}", {"group_by": "view"}, "group_by: makes 8 images .*; select"),
    "an unknown view": ("{views}", {"select": {"tiles": [77]}}, "input.select.tiles: 77 does not exist; there are"),
    "an unknown selection": ("{views}", {"select": {"tile": [0]}}, "input.select.tile"),
    "no selection": ("{views}", {"select": 3}, "input.select"),
    "chunks of nothing": ("{project}", {"chunks": 0}, "chunks: 0 is no size of chunks; give whole numbers"),
    "chunks by name": ("{project}", {"chunks": "auto"}, "chunks: 'auto' is no size of chunks; give whole numbers"),
    "chunks of two axes": ("{project}", {"chunks": (8, 8)}, "chunks: .* is no size of chunks; give whole numbers"),
    "broken chunks": ("{project}", {"chunks": 2.5}, "chunks: 2.5 is no size of chunks; give whole numbers"),
    "chunks of dask": ("{project}", {"chunks": ((8, 8), 8, 8)}, "is no size of chunks; give whole numbers"),
    "chunks along t": ("{project}", {"chunks": {"t": 1}}, "chunks: 't' is none of the axes .*; give whole numbers"),
    "a switch as chunks": ("{project}", {"chunks": True}, "chunks: True is no size of chunks; give whole numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_the_way_out(name: str, project: Path, tmp_path: Path) -> None:
    source, options, message = BAD[name]
    (tmp_path / "wrong.xml").write_text("<a/>")
    (tmp_path / "wrong.yaml").write_text("- 1\n")
    (tmp_path / "focus.yaml").write_text("version: 1\ninput: {images: '*.png'}\nfocus: {output: {path: sharp.png}}\n")
    (tmp_path / "fuse.yaml").write_text(f"version: 1\ninput: {{project: '{project}'}}\noutput: {{path: o.ome.zarr}}\n")
    views = list(fusestack.open_project(project).views)
    given = {"{project}": project, "{views}": views, "{views+1}": [*views, 1], "{views+views}": views * 2}
    if isinstance(source, str):
        source = given.get(source, source.format(folder=tmp_path) if source not in given else "")
    with pytest.raises(FusestackError, match=message), warnings.catch_warnings():
        fusestack.fuse(source, **options)


def test_chunks(project: Path) -> None:
    def sizes(chunks: Any) -> tuple[int, ...]:
        return tuple(fusestack.fuse(project, chunks=chunks).data.chunksize)

    assert sizes(8) == sizes((8, 8, 8)) == sizes([np.int64(8)] * 3) == (1, 1, 8, 8, 8)
    assert sizes({"x": 16}) == (1, 1, *fusestack.fuse(project).shape[2:4], 16)
    assert sizes(np.array([4, 5, 6])) == (1, 1, 4, 5, 6)
