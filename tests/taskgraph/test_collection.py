"""The graph of a configuration as a dask collection: looked at, composed, computed by any scheduler, continued."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from dask.base import is_dask_collection

import fusestack
from fusestack.model.errors import BlockError, OutputError
from fusestack.sources.tiff import TiffSource
from fusestack.writers.ome_zarr import OmeZarrWriter
from tests.focus.stacks import config as stack_config
from tests.focus.stacks import scene
from tests.focus.stacks import write as write_slices
from tests.small import config, tree


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of the output, as a run makes them."""
    folder = tmp_path_factory.mktemp("whole")
    fusestack.run(config(folder))
    return tree(folder / "fused.ome.zarr")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as found,
    ):
        yield found


def output(folder: Path) -> dict[str, bytes]:
    return tree(folder / "fused.ome.zarr")


def test_making_a_graph_computes_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a pixel is read")

    monkeypatch.setattr(TiffSource, "read", never)
    before = sorted(tmp_path.rglob("*"))
    run = config(tmp_path)
    inputs = sorted(tmp_path.rglob("*"))
    job = fusestack.graph(run)
    assert sorted(tmp_path.rglob("*")) == inputs != before
    assert is_dask_collection(job)
    assert "fuse" in repr(job)
    assert len(repr(job)) < 200
    names = [name.rpartition("-")[0] for name in job.dask.layers]
    assert names == ["begin", "fuse", "pyramid/1", "end", "job"]
    assert job.dask.dependencies.keys() == job.dask.layers.keys()


@pytest.mark.parametrize("scheduler", ["threads", "synchronous", "processes"])
def test_schedulers_of_dask(scheduler: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    run = config(tmp_path)
    paths = fusestack.graph(run).compute(scheduler=scheduler, num_workers=2)
    assert paths == (str(tmp_path / "fused.ome.zarr"),)
    assert output(tmp_path) == whole
    again = fusestack.graph(run)
    assert again.stages == {}
    assert again.compute() == paths


def test_a_client_persist_and_futures(client: Any, whole: dict[str, bytes], tmp_path: Path) -> None:
    kept = client.persist(fusestack.graph(config(tmp_path / "a")))
    assert client.compute(kept).result() == (str(tmp_path / "a" / "fused.ome.zarr"),)
    assert client.compute(fusestack.graph(config(tmp_path / "b"))).result() == (str(tmp_path / "b" / "fused.ome.zarr"),)
    assert output(tmp_path / "a") == output(tmp_path / "b") == whole


def test_jobs_and_own_tasks_in_one_computation(whole: dict[str, bytes], tmp_path: Path) -> None:
    one, two = (fusestack.graph(config(tmp_path / name)) for name in "ab")

    @dask.delayed
    def brightest(paths: tuple[str, ...]) -> int:
        import zarr

        return int(np.asarray(zarr.open_array(f"{paths[0]}/0", mode="r")[:]).max())

    first, second, maximum = dask.compute(one, two, brightest(one), scheduler="threads", num_workers=2)
    assert (first, second) == ((str(tmp_path / "a" / "fused.ome.zarr"),), (str(tmp_path / "b" / "fused.ome.zarr"),))
    assert maximum > 0
    assert output(tmp_path / "a") == output(tmp_path / "b") == whole


def test_run_on_a_client_of_the_user(client: Any, whole: dict[str, bytes], tmp_path: Path) -> None:
    report = fusestack.run(config(tmp_path), client=client)
    assert [stage.action for stage in report.stages] == ["computed"] * 2
    assert output(tmp_path) == whole
    assert client.status == "running"


def test_an_active_client_is_used_unless_a_scheduler_is_named(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    get = type(client).get

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        used.append(self)
        return get(self, *args, **options)

    monkeypatch.setattr(type(client), "get", counted)
    with client.as_current():
        fusestack.run(config(tmp_path / "a"))
        assert used == [client]
        fusestack.run(config(tmp_path / "b"), ["execution.scheduler=threads"])
    assert used == [client]


def test_a_failure_is_raised_where_the_graph_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = TiffSource.read

    def damaged(self: Any, level: int, box: Any) -> np.ndarray[Any, Any]:
        if box.start[0] >= 12:
            raise OSError("the disk of tile1 has a scratch")
        return read(self, level, box)

    monkeypatch.setattr(TiffSource, "read", damaged)
    run = config(tmp_path)
    with pytest.raises(BlockError, match="has a scratch") as caught:
        fusestack.graph(run).compute()
    assert "in damaged" in caught.value.tracebacks[0]
    monkeypatch.undo()
    job = fusestack.graph(run)
    assert job.compute() == (str(tmp_path / "fused.ome.zarr"),)


def test_an_output_of_somebody_else_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    run = config(tmp_path)
    fusestack.run(run)
    run["fusion"] = {"blending": False}
    with pytest.raises(OutputError, match=r"fusion\.blending"):
        fusestack.graph(run)


def test_a_cancelled_job_is_continued(client: Any, whole: dict[str, bytes], tmp_path: Path) -> None:
    import time

    from fusestack.taskgraph.ledger import ledger_of

    run = config(tmp_path)
    stage = fusestack.plan(run).images[0].stages[0]
    future = client.compute(fusestack.graph(run))
    for _ in range(500):
        if ledger_of(stage).finished:
            break
        time.sleep(0.01)
    future.cancel()
    time.sleep(0.5)
    assert ledger_of(stage).finished > 0
    fusestack.run(run)
    assert output(tmp_path) == whole


def test_a_graph_whose_output_is_gone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was made of what was missing then; it must not complete an image without the rest."""
    run = config(tmp_path)
    write = OmeZarrWriter.write

    def half(self: OmeZarrWriter, level: int, box: Any, pixels: Any) -> int:
        if box.start[-1] < 32:
            raise RuntimeError("half of it fails")
        return write(self, level, box, pixels)

    monkeypatch.setattr(OmeZarrWriter, "write", half)
    with pytest.raises(BlockError, match="half of it fails"):
        fusestack.graph(run).compute()
    monkeypatch.undo()
    job = fusestack.graph(run)
    shutil.rmtree(tmp_path / "fused.ome.zarr")
    with pytest.raises(OutputError, match="are gone"):
        job.compute(num_workers=2)
    assert fusestack.graph(run).stages
    fusestack.run(run)
    whole = output(tmp_path)
    shutil.rmtree(tmp_path / "fused.ome.zarr")
    fusestack.graph(run).compute()
    assert output(tmp_path) == whole


def test_a_graph_whose_cache_is_gone_says_so(tmp_path: Path) -> None:
    paths = write_slices(tmp_path / "slices", scene((60, 80), 4)[0])
    run = stack_config(paths, tmp_path, options="--blur=s1", output={"overwrite": True})
    fusestack.run(run)
    whole = (tmp_path / "sharp.tif").read_bytes()
    changed = stack_config(paths, tmp_path, options="--blur=s1 --cutwave", output={"overwrite": True})
    job = fusestack.graph(changed)
    shutil.rmtree(tmp_path / "cache.fusestack")
    with pytest.raises((OutputError, BlockError), match=r"are gone|metadata|cannot be read"):
        job.compute()
    fusestack.run(run)
    assert (tmp_path / "sharp.tif").read_bytes() == whole


def test_an_older_graph_replaces_nothing(tmp_path: Path) -> None:
    run = config(tmp_path)
    other = run | {"fusion": {"blending": False}}
    old = fusestack.graph(other)
    fusestack.run(run)
    before = output(tmp_path)
    with pytest.raises(OutputError, match="is not what this graph makes"):
        old.compute()
    assert output(tmp_path) == before
    assert fusestack.run(run).reused_all


def test_two_graphs_of_one_output_do_not_both_succeed(tmp_path: Path) -> None:
    run = config(tmp_path)
    one, two = fusestack.graph(run), fusestack.graph(run | {"fusion": {"blending": False}})
    with pytest.raises(OutputError):
        dask.compute(one, two, scheduler="threads", num_workers=1)


def test_an_image_ends_after_those_that_read_it(tmp_path: Path) -> None:
    """Its end may put pixels elsewhere (HDF5), where a reader would find nothing meanwhile."""
    run = config(tmp_path, path=str(tmp_path / "fused.h5"), shards="auto", chunks=4, pyramid="none")
    run["focus"] = {"output": {"path": str(tmp_path / "sharp.ome.zarr")}}
    graph = fusestack.graph(run).dask
    tasks = {key: task for layer in graph.layers.values() for key, task in layer.items()}
    fused = [key for key in tasks if key[0].startswith("fuse-")]
    ends = [
        task for key, task in tasks.items() if key[0].startswith("end-") and set(fused[:1]) & set(task.dependencies)
    ]
    readers = [
        key for key, task in tasks.items() if set(fused) & set(task.dependencies) and key[0].startswith("slices-")
    ]
    assert readers
    assert all(set(readers) <= set(end.dependencies) for end in ends)
    paths = fusestack.run(run, ["execution.workers=2"]).outputs
    assert len(paths) == 2


def test_a_graph_of_what_is_complete_does_not_promise_what_was_deleted(tmp_path: Path) -> None:
    run = config(tmp_path)
    fusestack.run(run)
    job = fusestack.graph(run)
    assert job.stages == {}
    assert job.compute() == (str(tmp_path / "fused.ome.zarr"),)
    job = fusestack.graph(run)
    shutil.rmtree(tmp_path / "fused.ome.zarr")
    with pytest.raises(OutputError, match="are gone since the graph was made"):
        job.compute()
