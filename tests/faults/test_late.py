"""Tasks of a run that nobody drives any more write nothing into what a later run makes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tifffile

import fusestack
from fusestack.model.errors import InputError, OutputError
from fusestack.taskgraph import turns
from fusestack.taskgraph.batches import towers
from fusestack.taskgraph.clusters import Threads
from fusestack.taskgraph.ledger import ledger_of
from fusestack.taskgraph.tasks import run_batch
from fusestack.taskgraph.turns import end_turn, has_turn, new_token, run_name, take_turn, token_of
from tests.faults.test_killed import start, written
from tests.small import config, tree
from tests.taskgraph.toys import ToyCompute, drive, toy_stage
from tests.taskgraph.toys import written as blocks_written

# A source that waits in the middle of a block, for as long as a file is there.
WAITING = """
import sys, time
from pathlib import Path
import fusestack.sources.tiff as tiff
folder = Path(sys.argv[1])
read, seen = tiff.TiffSource.read, []
def waiting(self, level, box):
    seen.append(box)
    if len(seen) > 5:
        (folder / "waiting").touch()
        while (folder / "hold").exists():
            time.sleep(0.02)
    return read(self, level, box)
tiff.TiffSource.read = waiting
"""
WORKER = f"""{WAITING}
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        (folder / "address").write_text(cluster.scheduler_address)
        sys.stdin.read()
"""


def until(there: Callable[[], object]) -> None:
    for _ in range(1500):
        if there():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a scheduler in another process."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "hold").touch()
    command = [sys.executable, "-c", WORKER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        until((folder / "address").exists)
        until(lambda: (folder / "address").read_text())
        yield (folder / "address").read_text()
        (folder / "hold").unlink(missing_ok=True)
        process.kill()


def results(folder: Path) -> dict[str, bytes]:
    """Output and all records; a task that stops leaves a mark for others of its run."""
    return {name: data for name, data in tree(folder).items() if "/stop/" not in name and "cluster/" not in name}


@pytest.mark.parametrize(("output", "same"), [("fused.ome.zarr", False), ("fused.h5", True)])
def test_the_batch_of_a_driver_that_was_killed(address: str, tmp_path: Path, output: str, same: bool) -> None:
    """With other settings, and with the same from the beginning: what is ticked off late would be holes later."""
    options = {} if output.endswith("zarr") else {"shards": "auto"}
    settings = config(tmp_path, path=str(tmp_path / output), **options)
    with start(written(tmp_path, settings), "--set", f"execution.scheduler={address}") as process:
        until((tmp_path / "cluster" / "waiting").exists)
        process.kill()
    changed = settings if same else settings | {"fusion": {"method": "max"}}
    changed["output"]["overwrite"] = True
    fusestack.run(changed, ["execution.workers=1"], force=same, progress=False)
    work, product = tmp_path / f"{output}.fusestack", tmp_path / output
    before = results(tmp_path)
    (tmp_path / "cluster" / "hold").unlink()
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        until(lambda: not any(client.run(lambda dask_worker: len(dask_worker.state.executing)).values()))
        time.sleep(0.2)
    assert results(tmp_path) == before
    assert work.is_dir()
    assert product.exists()


def test_a_new_run_takes_old_tasks_from_its_scheduler(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as old,
        Client(cluster, set_as_default=False) as new,
    ):
        token = new_token()
        running = old.submit(time.sleep, 0.5, key=("fuse-0" + run_name(token), "0"))
        queued = [old.submit(time.sleep, 9, key=("fuse-0" + run_name(token), str(n))) for n in range(1, 4)]
        others = old.submit(int, 3, key=("fuse-0" + run_name(new_token()), "9"))

        class Backend:
            client = new

        until(lambda: new.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 5)
        turns.release_old_tasks(Backend(), [token])
        until(lambda: all(future.status == "cancelled" for future in (running, *queued)))
        assert others.result(timeout=10) == 3


def toy_tower(folder: Path, seconds: float = 0) -> Any:
    stage = toy_stage(folder, 4, seconds=seconds)
    (tower,) = towers([stage], workers=1, memory=None)
    return stage, tower


def place_of(stage: Any) -> tuple[str, str]:
    return stage.target.work, stage.target.image.path


def test_a_task_whose_turn_is_over_writes_nothing(tmp_path: Path) -> None:
    stage, tower = toy_tower(tmp_path)
    mine = new_token()
    take_turn(*place_of(stage), mine, alone=True)
    assert run_batch(tower, [0], run_name(mine), "a", 0).complete
    take_turn(*place_of(stage), new_token(), alone=True)
    result = run_batch(tower, [1], run_name(mine), "b", 0)
    assert not result.complete
    ((_, failure),) = result.failed
    assert failure.hopeless
    assert "another run has taken it over" in failure.error
    assert blocks_written(tmp_path).keys() == {0}
    assert ledger_of(stage).finished == 1


@pytest.mark.parametrize("when", ["computing", "writing"])
def test_a_turn_that_ends_in_the_middle_of_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """What is computed is not written; what is written is not ticked off."""
    stage, tower = toy_tower(tmp_path)
    mine = new_token()
    take_turn(*place_of(stage), mine, alone=True)
    of, name = (ToyCompute, "__call__") if when == "computing" else (type(stage.target.open()), "write")
    original = getattr(of, name)

    def overtaken(self: Any, *arguments: Any) -> Any:
        take_turn(*place_of(stage), new_token(), alone=True)
        return original(self, *arguments)

    monkeypatch.setattr(of, name, overtaken)
    assert run_batch(tower, [0], run_name(mine), "a", 0).failed
    assert len(blocks_written(tmp_path)) == (when == "writing")
    assert ledger_of(stage).finished == 0


def test_what_was_written_before_a_turn_ended_is_not_ticked_off_after_it(tmp_path: Path) -> None:
    """A task that had several blocks, whose ticks are in its memory only."""
    from fusestack.taskgraph.tasks import _Batch

    stage, tower = toy_tower(tmp_path)
    mine = new_token()
    take_turn(*place_of(stage), mine, alone=True)
    batch = _Batch(tower, run_name(mine), "a")
    batch.make_tops([0])
    assert batch.whole == (stage.key,)
    take_turn(*place_of(stage), new_token(), alone=True)
    batch.flush()
    assert batch.results()[0].failed
    assert batch.whole == ()
    assert ledger_of(stage).finished == 0


def test_graphs_of_the_same_image_go_on_together(tmp_path: Path) -> None:
    settings = config(tmp_path)
    first, second = fusestack.graph(settings), fusestack.graph(settings)
    import dask

    assert len(dask.compute(first, second, scheduler="threads")) == 2
    assert fusestack.run(settings).reused_all


def test_a_graph_whose_image_was_replaced_says_so(tmp_path: Path) -> None:
    settings = config(tmp_path)
    job = fusestack.graph(settings)
    graph = job.__dask_graph__()
    begin = next(key for key in graph if str(key[0]).startswith("begin"))
    batch = next(key for key in graph if key[1].isdecimal() and str(key[0]).startswith("fuse"))
    import dask.threaded

    dask.threaded.get(graph.cull({begin}).to_dict(), begin)
    other = settings | {"fusion": {"method": "max"}, "output": settings["output"] | {"overwrite": True}}
    fusestack.run(other)
    before = tree(tmp_path / "fused.ome.zarr")
    tasks = dict(graph)
    tasks[begin] = fusestack.taskgraph.units.Ended(complete=True)  # long ago
    result = dask.threaded.get(tasks, batch)
    assert "another run has taken it over" in result.failed[0][1].error
    assert tree(tmp_path / "fused.ome.zarr") == before


def test_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = new_token(), new_token()
    assert token_of(run_name(one)) == one
    assert token_of(run_name("")) == ""
    for work in (str(tmp_path / "work"), f"memory://{tmp_path.name}/work"):
        monkeypatch.setattr(turns, "_SETTLE_AT_STORES", 0)
        place = (work, "image")
        assert not has_turn(*place, one)  # the work folder is gone
        assert has_turn(*place, "")
        take_turn(*place, one, alone=True)
        assert has_turn(*place, one)
        take_turn(*place, two, alone=False)
        turns._looked.clear()
        assert has_turn(*place, one)
        assert has_turn(*place, two)
        assert not has_turn(work, "another image", one)
        end_turn(*place, one)
        assert has_turn(*place, two)
        take_turn(*place, two, alone=True)
        assert has_turn(*place, one) == work.startswith("memory")  # a store was asked just now
        monkeypatch.setattr(turns, "_now", lambda: time.monotonic() + 1e6)
        assert not has_turn(*place, one)
        end_turn(*place, two)
        assert turns.turns(*place) == []
        monkeypatch.undo()


def test_a_run_that_is_over_leaves_the_records_of_the_other_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path)
    plan = fusestack.plan(settings)
    work = plan.work

    def overtaken(event: Any) -> None:
        take_turn(work, plan.images[0].target.image.path, "another", alone=True)
        Path(work, "status.json").write_text("theirs")
        Path(f"{plan.output}.run.json").write_text("theirs")

    with pytest.raises(OutputError, match="another run has taken it over"):
        fusestack.run(settings, listener=overtaken)
    assert Path(work, "status.json").read_text() == "theirs"
    assert Path(f"{plan.output}.run.json").read_text() == "theirs"


def test_rounds_without_turns_still_run(tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 5)
    _, _, ended = drive([stage], Threads(2))
    assert all(one.complete for one in ended)
    assert not Path(stage.target.work, "runs").exists()


@pytest.mark.parametrize("scheduler", ["threads", "graph"])
def test_inputs_that_are_written_while_a_run_reads_them(tmp_path: Path, scheduler: str) -> None:
    """What is made is of the old and of the new one: the run fails, and nothing of it counts."""
    settings = config(tmp_path)
    tile = tmp_path / "tile1.tif"

    def rewritten(event: Any = None) -> None:
        tifffile.imwrite(tile, tifffile.imread(tile) + 1, photometric="minisblack")

    def make() -> None:
        if scheduler == "graph":
            job = fusestack.graph(settings)
            rewritten()
            job.compute(scheduler="threads")
            return
        told: list[Any] = []
        fusestack.run(settings, listener=lambda event: told or (told.append(event), rewritten()))

    with pytest.raises(InputError) as caught:
        make()
    assert f"{tile}: has changed since the run began" in str(caught.value)
    assert "tile0" not in str(caught.value)
    assert caught.value.exit_code == 3
    settings["output"]["overwrite"] = True
    assert [stage.action for stage in fusestack.run(settings).stages] == ["computed", "computed"]
