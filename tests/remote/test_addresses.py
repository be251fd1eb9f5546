"""Inputs and outputs behind addresses, against servers on this machine."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import FusestackWarning, InputError, OutputError
from fusestack.running import lock
from fusestack.running.lock import is_locked, output_lock
from fusestack.storage import open_store, store
from fusestack.taskgraph.ledger import Ticks, ledger_of
from tests import small
from tests.faults.test_killed import start, written
from tests.small import tree
from tests.taskgraph.toys import toy_stage

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of moto and boto
Objects = Callable[[str], dict[str, bytes]]


def config(folder: Path, **output: Any) -> dict[str, Any]:
    """The small configuration in fewer chunks: each costs the server of the tests as much as a hundred on a disk."""
    return small.config(folder, **({"chunks": 16, "shards": {"x": 32, "y": 32, "z": 16}} | output))


def local_tree(folder: Path, **changes: Any) -> dict[str, bytes]:
    """What a run on a disk makes of the same views."""
    settings = config(folder, path=str(folder / "local.ome.zarr")) | changes
    fusestack.run(settings)
    return tree(folder / "local.ome.zarr")


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_an_output_in_a_bucket_has_the_bytes_of_one_on_a_disk(
    scheduler: str, bucket: str, objects: Objects, tmp_path: Path
) -> None:
    settings = config(tmp_path, path=f"s3://{bucket}/run/fused.ome.zarr")
    settings["execution"] = {"scheduler": scheduler, "workers": 2}
    report = fusestack.run(settings)
    assert objects("run/fused.ome.zarr/") == local_tree(tmp_path)
    assert {stage.action for stage in report.stages} == {"computed"}
    beside = objects("run/fused.ome.zarr.")
    record = json.loads(beside["run.json"])
    assert record["stages"][0]["blocks"] == report.stages[0].blocks
    assert b"data:image/jpeg" in beside["report.html"]
    assert json.loads(beside["fusestack/status.json"])["state"] == "done"
    assert json.loads(beside["fusestack/lock"]) == {"free": True}
    assert not any("/runs/" in name for name in beside)
    assert not any(path.name.startswith("s3:") for path in Path.cwd().iterdir())


def test_a_rerun_does_nothing_and_a_change_only_what_changed(bucket: str, objects: Objects, tmp_path: Path) -> None:
    settings = config(tmp_path, path=f"s3://{bucket}/fused.ome.zarr")
    fusestack.run(settings)
    before = objects("fused.ome.zarr/")
    assert fusestack.run(settings).reused_all
    settings["output"]["pyramid"] = [1, 2, 4]
    with pytest.raises(OutputError, match=r"exists, made with other settings \(output.pyramid"):
        fusestack.run(settings)
    settings["output"]["overwrite"] = True
    report = fusestack.run(settings)
    assert [stage.action for stage in report.stages] == ["reused", "reused", "computed"]
    after = objects("fused.ome.zarr/")
    assert {name: after[name] for name in before if name[0] in "01"} == {n: before[n] for n in before if n[0] in "01"}
    assert any(name.startswith("2/c/") for name in after)


def test_what_another_program_made_is_not_touched(client: Any, bucket: str, objects: Objects, tmp_path: Path) -> None:
    client.put_object(Bucket=bucket, Key="fused.ome.zarr/precious", Body=b"data")
    with pytest.raises(OutputError, match="exists, and this configuration did not make it"):
        fusestack.run(config(tmp_path, path=f"s3://{bucket}/fused.ome.zarr"))
    assert objects("fused.ome.zarr") == {"/precious": b"data"}


def test_a_run_that_stopped_is_continued(client: Any, bucket: str, objects: Objects, tmp_path: Path) -> None:
    """Half of the ledger and the chunks of the other half are lost: only these are computed again."""
    settings = config(tmp_path, path=f"s3://{bucket}/fused.ome.zarr")
    report = fusestack.run(settings)
    whole = objects("fused.ome.zarr/")
    ledgers = [name for name in objects("fused.ome.zarr.fusestack/ledger/") if name.startswith("fuse-")]
    blocks = report.stages[0].blocks
    for name in ledgers:
        key = f"fused.ome.zarr.fusestack/ledger/{name}"
        client.delete_object(Bucket=bucket, Key=key)
        client.put_object(Bucket=bucket, Key=key, Body=f"0 {blocks // 2}\n3 ".encode())  # the last line is torn
    gone = [name for name in whole if name.startswith("0/c/")][-2:]
    for name in gone:
        client.delete_object(Bucket=bucket, Key=f"fused.ome.zarr/{name}")
    again = fusestack.run(settings)
    assert again.stages[0].action == "continued"
    assert again.stages[0].computed == blocks - blocks // 2
    assert objects("fused.ome.zarr/") == whole


def test_a_ledger_of_many_tasks_becomes_two_objects(bucket: str, objects: Objects, client: Any, tmp_path: Path) -> None:
    stage = toy_stage(tmp_path, 100)
    stage = replace(stage, target=replace(stage.target, work=f"s3://{bucket}/work"))
    for block in range(0, 100, 7):
        ticks = Ticks(stage, str(block))
        ticks.add(block)
        ticks.flush()
    assert len(objects("work/ledger/")) == 15
    ledger_of(stage).merge()
    assert len(objects("work/ledger/")) == 2
    assert np.flatnonzero(ledger_of(stage).done).tolist() == list(range(0, 100, 7))
    assert 7 in Ticks(stage, "7")
    assert 8 not in Ticks(stage, "7")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that live fast."""
    monkeypatch.setattr(lock, "_LOOK", 0.02)
    monkeypatch.setattr(lock, "HEARTBEAT", 0.1)
    monkeypatch.setattr(lock, "STALE", 0.6)


def test_a_second_run_refuses_and_a_dead_one_is_replaced(client: Any, bucket: str, quick: None) -> None:
    address = f"s3://{bucket}/fused.ome.zarr.fusestack/lock"
    with output_lock(address, "fused"):
        assert is_locked(address)
        first = open_store(address.rpartition("/")[0]).get("lock")
        with (
            pytest.raises(OutputError, match=r"another run is writing it \(process \d+ on "),
            output_lock(address, "x"),
        ):
            pass
        time.sleep(0.3)
        assert open_store(address.rpartition("/")[0]).get("lock") != first  # it gives signs of life
    assert not is_locked(address)
    # of a machine whose clock is a day ahead, and of an earlier version
    for said in (
        {"holder": "process 1 on mars", "token": "t", "here": "mars"},
        {"token": "t", "time": time.time() + 86400},
    ):
        client.put_object(Bucket=bucket, Key="fused.ome.zarr.fusestack/lock", Body=json.dumps(said))
        assert not is_locked(address)
        start = time.monotonic()
        with output_lock(address, "fused"):
            assert time.monotonic() - start > 0.6
            assert is_locked(address)


def test_the_lock_of_a_process_that_ended_on_this_machine_is_taken_at_once(client: Any, bucket: str) -> None:
    address = f"s3://{bucket}/lock"
    program = (
        "import sys, os; from fusestack.running.lock import output_lock\n"
        "with output_lock(sys.argv[1], 'fused'): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, address], check=False)
    assert client.head_object(Bucket=bucket, Key="lock")
    assert not is_locked(address)
    start = time.monotonic()
    with output_lock(address, "fused"):
        assert time.monotonic() - start < 5


def test_a_lock_that_was_lost_is_not_taken_back(client: Any, bucket: str, quick: None) -> None:
    """Its holder was stopped for so long that another run took it; then it goes on."""
    address = f"s3://{bucket}/lock"
    with output_lock(address, "fused"):
        client.put_object(Bucket=bucket, Key="lock", Body=b'{"token": "other", "holder": "other"}')
        time.sleep(0.5)
    assert client.get_object(Bucket=bucket, Key="lock")["Body"].read() == b'{"token": "other", "holder": "other"}'


def test_an_answer_that_was_lost_loses_no_lock(client: Any, bucket: str, quick: None) -> None:
    """A store that is asked again, since its answer did not come, says that what we wrote is there already."""
    address = f"s3://{bucket}/lock"
    with output_lock(address, "fused"):
        said = client.get_object(Bucket=bucket, Key="lock")["Body"].read()
        client.put_object(Bucket=bucket, Key="lock", Body=said.replace(b"}", b', "again": 1}'))
        time.sleep(0.4)
        assert is_locked(address)
    assert not is_locked(address)


def test_one_of_many_that_want_a_lock_has_it(client: Any, bucket: str, quick: None) -> None:
    address, inside = f"s3://{bucket}/lock", []

    def work(number: int) -> None:
        with output_lock(address, "fused", wait=True):
            inside.append(number)
            assert len(inside) == 1
            time.sleep(0.05)
            inside.remove(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_a_run_that_was_stopped_for_long_writes_nothing_into_the_next_one(
    bucket: str, objects: Objects, tmp_path: Path, quick: None
) -> None:
    settings = config(tmp_path, path=f"s3://{bucket}/fused.ome.zarr", pyramid="none")
    settings["input"]["views"] = settings["input"]["views"][:1]
    with start(written(tmp_path, settings)) as paused:
        for _ in range(1500):
            if any("0/c/" in name for name in objects("fused.ome.zarr/")):
                break
            time.sleep(0.02)
        paused.send_signal(signal.SIGSTOP)
        settings |= {"fusion": {"method": "max"}}
        settings["output"]["overwrite"] = True
        fusestack.run(settings, progress=False)
        before = objects("fused.ome.zarr")
        paused.send_signal(signal.SIGCONT)
        _, said = paused.communicate(timeout=60)
    assert paused.returncode == 5
    assert "another run has taken it over" in said
    after = objects("fused.ome.zarr")
    assert {name: data for name, data in after.items() if "/stop/" not in name} == before
    assert fusestack.run(settings, progress=False).reused_all


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_zarr_behind_an_address_is_read_as_on_a_disk(
    version: str, client: Any, bucket: str, web: str, tmp_path: Path
) -> None:
    source = config(tmp_path, path=str(tmp_path / "source.ome.zarr"), ome_zarr_version=version)
    if version == "0.4":
        source["output"]["shards"] = "auto"
    fusestack.run(source)
    for name, data in tree(tmp_path / "source.ome.zarr").items():
        client.put_object(Bucket=bucket, Key=f"source.ome.zarr/{name}", Body=data)
    found = []
    for place in (str(tmp_path), f"s3://{bucket}", web):
        settings = config(tmp_path, path=str(tmp_path / f"fused{len(found)}.ome.zarr"))
        settings["input"] = {
            "views": [{"path": f"{place}/source.ome.zarr", "translation": {"x": 0.5, "y": 0.25, "z": 0}}]
        }
        with pytest.warns(FusestackWarning, match=r"its translation is .* the configuration is used"):
            fusestack.run(settings)
        found.append(tree(tmp_path / f"fused{len(found)}.ome.zarr"))
    assert found[0] == found[1] == found[2]


def as_project(folder: Path) -> None:
    """A BDV-HDF5 project of the three tiles of the small configuration."""
    settings = config(folder)
    setups, registrations = "", ""
    with h5py.File(folder / "dataset.h5", "w") as file:
        for n, view in enumerate(settings["input"]["views"]):
            pixels = tifffile.imread(view["path"])
            file[f"s{n:02d}/resolutions"], file[f"s{n:02d}/subdivisions"] = np.ones((1, 3)), np.full((1, 3), 16)
            file.create_dataset(
                f"t00000/s{n:02d}/0/cells", data=pixels.view("i2"), compression="gzip", chunks=(8, 16, 16)
            )
            z, y, x = pixels.shape
            setups += f"<ViewSetup><id>{n}</id><size>{x} {y} {z}</size></ViewSetup>"
            registrations += (
                f'<ViewRegistration timepoint="0" setup="{n}"><ViewTransform type="affine">'
                f"<affine>{' '.join(map(str, view['affine']))}</affine></ViewTransform></ViewRegistration>"
            )
    (folder / "dataset.xml").write_text(
        '<SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>'
        '<ImageLoader format="bdv.hdf5"><hdf5 type="relative">dataset.h5</hdf5></ImageLoader>'
        f'<ViewSetups>{setups}</ViewSetups><Timepoints type="pattern"><integerpattern>0</integerpattern></Timepoints>'
        f"</SequenceDescription><ViewRegistrations>{registrations}</ViewRegistrations></SpimData>"
    )


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_project_hdf5_and_tiff_behind_an_address(
    scheme: str, client: Any, bucket: str, web: str, tmp_path: Path
) -> None:
    as_project(tmp_path)
    wanted = local_tree(tmp_path, input={"project": str(tmp_path / "dataset.xml")})
    place = web if scheme == "http" else f"s3://{bucket}"
    for path in [*tmp_path.glob("dataset.*"), *tmp_path.glob("*.tif")]:
        client.put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes())
    settings = config(tmp_path, path=str(tmp_path / "project.ome.zarr"))
    views = [view | {"path": f"{place}/{Path(view['path']).name}"} for view in settings["input"]["views"]]
    settings["input"] = {"project": f"{place}/dataset.xml"}
    fusestack.run(settings)
    assert tree(tmp_path / "project.ome.zarr") == wanted
    settings = config(tmp_path, path=str(tmp_path / "views.ome.zarr"))
    settings["input"] = {"views": views}
    fusestack.run(settings)
    found = tree(tmp_path / "views.ome.zarr")
    assert {name: data for name, data in found.items() if "/c/" in name} == {
        name: data for name, data in wanted.items() if "/c/" in name
    }


def test_init_looks_at_a_project_behind_an_address(client: Any, bucket: str, tmp_path: Path) -> None:
    as_project(tmp_path)
    for path in tmp_path.glob("dataset.*"):
        client.put_object(Bucket=bucket, Key=f"lab/{path.name}", Body=path.read_bytes())
    assert run(["init", f"s3://{bucket}/lab/dataset.xml", "-o", str(tmp_path / "fuse.yaml")]) == 0
    assert f"s3://{bucket}/lab/dataset.xml" in (tmp_path / "fuse.yaml").read_text()
    assert run(["validate", str(tmp_path / "fuse.yaml")]) == 0
    assert run(["init", f"s3://{bucket}/lab/", "-o", str(tmp_path / "other.yaml")]) == 3


def test_a_changed_object_is_noticed(client: Any, bucket: str, tmp_path: Path) -> None:
    settings = config(tmp_path)
    for view in settings["input"]["views"]:
        name = Path(view["path"]).name
        client.put_object(Bucket=bucket, Key=name, Body=Path(view["path"]).read_bytes())
        view["path"] = f"s3://{bucket}/{name}"
    fusestack.run(settings)
    assert fusestack.run(settings).reused_all
    pixels = tifffile.imread(tmp_path / "tile1.tif")
    tifffile.imwrite(tmp_path / "tile1.tif", pixels + 1, photometric="minisblack")
    client.put_object(Bucket=bucket, Key="tile1.tif", Body=(tmp_path / "tile1.tif").read_bytes())
    store_identities_forgotten()
    with pytest.raises(OutputError, match=rf"the input s3://{bucket}/tile1.tif has changed"):
        fusestack.run(settings)


def store_identities_forgotten() -> None:
    from fusestack import storage

    storage._remote_identity.cache_clear()


def test_uncompressed_tiffs_are_read_in_rows(client: Any, bucket: str, tmp_path: Path) -> None:
    pixels = np.arange(6 * 40 * 50, dtype="u2").reshape(6, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    client.put_object(Bucket=bucket, Key="a.tif", Body=(tmp_path / "a.tif").read_bytes())
    from fusestack.model.geometry import Box
    from fusestack.sources.tiff import TiffSource

    source = TiffSource(f"s3://{bucket}/a.tif")
    box = Box((1, 3, 7), (5, 33, 48))
    np.testing.assert_array_equal(source.read(0, box), pixels[box.slices])


def test_status_and_preview_of_an_address(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fusestack.run(config(tmp_path, path=f"s3://{bucket}/fused.ome.zarr"))
    assert run(["status", f"s3://{bucket}/fused.ome.zarr"]) == 0
    assert f"s3://{bucket}/fused.ome.zarr: done" in capsys.readouterr().out
    assert run(["preview", f"s3://{bucket}/fused.ome.zarr", "-o", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_memory_is_a_place_too(tmp_path: Path) -> None:
    settings = config(tmp_path, path=f"memory://{tmp_path.name}/fused.ome.zarr")
    fusestack.run(settings)
    wanted = local_tree(tmp_path)
    folder = open_store(f"memory://{tmp_path.name}/fused.ome.zarr")
    assert {name: folder.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("scheduler", ["processes", "distributed"])
def test_memory_is_refused_where_workers_do_not_share_it(scheduler: str, tmp_path: Path) -> None:
    settings = config(tmp_path, path="memory://fused.ome.zarr")
    settings["execution"] = {"scheduler": scheduler}
    with pytest.raises(fusestack.model.errors.ConfigError, match=r"memory://.*scheduler: threads"):
        fusestack.plan(settings)


class TestWhatGoesWrong:
    def check(self, settings: dict[str, Any], error: type[Exception], *words: str) -> None:
        start = time.perf_counter()
        with pytest.raises(error) as caught:
            fusestack.run(settings)
        assert time.perf_counter() - start < 30
        for word in words:
            assert re.search(word, str(caught.value)), str(caught.value)

    def test_missing_bucket(self, client: Any, tmp_path: Path) -> None:
        settings = config(tmp_path, path="s3://no-such-bucket/fused.ome.zarr")
        self.check(settings, OutputError, "s3://no-such-bucket", "bucket")
        settings = config(tmp_path)
        settings["input"] = {"views": [{"path": "s3://no-such-bucket/a.tif"}]}
        self.check(settings, InputError, "s3://no-such-bucket/a.tif", "bucket")

    def test_missing_object(self, bucket: str, tmp_path: Path) -> None:
        settings = config(tmp_path)
        for name in ("a.tif", "a.ome.zarr"):
            settings["input"] = {"views": [{"path": f"s3://{bucket}/{name}"}]}
            self.check(settings, InputError, f"s3://{bucket}/{name}", "address")

    def test_nobody_answers(self, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        store._open_store.cache_clear()
        self.check(config(tmp_path, path="s3://lab/fused.ome.zarr"), OutputError, "s3://lab", "check the address")
        settings = config(tmp_path)
        settings["input"] = {"views": [{"path": "s3://lab/a.tif"}]}
        self.check(settings, InputError, "s3://lab/a.tif", "check the address")
