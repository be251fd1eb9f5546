"""What becomes of finished outputs is noticed by listing, and made again as it was; nothing else is."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import FusestackWarning, OutputError
from tests.small import config, tree

FORMATS = {
    "sharded": {},
    "chunks": {"shards": "none"},
    "0.4": {"ome_zarr_version": "0.4"},
    "n5": {"path": "fused.n5"},
}


def settings(folder: Path, name: str) -> dict[str, Any]:
    made = config(folder, **FORMATS[name])
    made["output"]["path"] = str(folder / FORMATS[name].get("path", "fused.ome.zarr"))
    if name in ("0.4", "n5"):
        del made["output"]["shards"]
    return made


def blocks_of(out: Path) -> list[Path]:
    """Files of blocks, those of level 0 first."""
    names = {"zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json"}
    return sorted(path for path in out.rglob("*") if path.is_file() and path.name not in names)


def rerun(made: dict[str, Any], match: str) -> Any:
    """Run again; all that is said of damage goes into one text, which has to match."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        report = fusestack.run(made)
    text = "\n".join(str(one.message) for one in said if one.category is FusestackWarning)
    assert re.search(match, text), text
    assert fusestack.run(made).reused_all
    return report


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def computed(report: Any) -> int:
    return sum(stage.computed for stage in report.stages)


@pytest.mark.parametrize("harm", [delete, cut, empty])
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_block_is_made_again_and_no_other(tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    made = settings(tmp_path, name)
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    files = blocks_of(out)
    for path in (files[1], files[-1]):
        harm(path)
    named = files[1].relative_to(out) if name == "sharded" or harm is empty else " bytes of the .* are there"
    report = rerun(made, rf"blocks? of \d+ of level .* changed since.*{named}")
    assert 0 < computed(report) <= 2
    assert tree(out) == whole


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("name", FORMATS)
def test_a_level_that_was_deleted_is_made_again(tmp_path: Path, name: str, level: int) -> None:
    made = settings(tmp_path, name)
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    for folder in [out / str(level), *out.glob(f"setup*/timepoint*/s{level}")]:
        shutil.rmtree(folder, ignore_errors=True)
    assert tree(out) != whole
    report = rerun(made, rf"of level {level} changed since")
    assert [bool(stage.computed) for stage in report.stages] == [level == 0, level == 1]
    assert tree(out) == whole


@pytest.mark.parametrize("harm", [delete, cut, empty])
@pytest.mark.parametrize("name", FORMATS)
def test_metadata_are_written_again_and_nothing_is_computed(
    tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    made = settings(tmp_path, name)
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    blocks = set(blocks_of(out))
    for path in [path for path in sorted(out.rglob("*")) if path.is_file() and path not in blocks]:
        harm(path)
        assert computed(rerun(made, "missing or damaged; made again")) == 0
        assert tree(out) == whole


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], ...]] = {
    "sharded": (
        lambda facts: facts["shape"].__setitem__(-1, facts["shape"][-1] - 9),
        lambda facts: facts.__setitem__("fill_value", 77),
        lambda facts: facts["codecs"][0]["configuration"]["codecs"].pop(),
    ),
    "0.4": (
        lambda facts: facts["shape"].__setitem__(-1, facts["shape"][-1] - 9),
        lambda facts: facts.__setitem__("fill_value", 77),
        lambda facts: facts.__setitem__("order", "F"),
    ),
    "n5": (
        lambda facts: facts["dimensions"].__setitem__(0, facts["dimensions"][0] - 9),
        lambda facts: facts.__setitem__("dataType", "int16"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_metadata_that_change_pixels_are_noticed_and_written_again(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made = settings(tmp_path, name)
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    file = next(
        p for p in (out / "0/zarr.json", out / "0/.zarray", out / "setup0/timepoint0/s0/attributes.json") if p.exists()
    )
    facts = json.loads(file.read_text())
    for change in CHANGES[name]:
        other = json.loads(json.dumps(facts))
        change(other)
        assert other != facts
        file.write_text(json.dumps(other))
        capfd.readouterr()
        assert run(["--quiet", "verify", str(out), "--sample", "0"]) == 5
        said = capfd.readouterr().err
        assert f"{file}: is missing or damaged" in said
        assert "block" not in said
        assert computed(rerun(made, "missing or damaged; made again")) == 0
        assert tree(out) == whole
    flipped = max(blocks_of(out), key=lambda path: path.stat().st_size)
    flipped.write_bytes(flipped.read_bytes()[:-9] + bytes(9))
    file.write_text(json.dumps(other))
    assert run(["--quiet", "verify", "--mend", str(out), "--sample", "0"]) == 5
    assert computed(fusestack.run(made)) > 0
    assert tree(out) == whole
    file.write_text(json.dumps(facts | {"attributes": {"mine": 1}, "mine": 1}))  # says nothing of pixels
    assert run(["--quiet", "verify", str(out), "--sample", "0"]) == 0
    assert fusestack.run(made).reused_all


@pytest.mark.parametrize("name", ["sharded", "0.4", "n5"])
@pytest.mark.parametrize("finished", [True, False])
def test_corrected_metadata_stay_where_a_run_goes_on(tmp_path: Path, name: str, *, finished: bool) -> None:
    made = settings(tmp_path, name)
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    places = (out / ".zattrs", out / "zarr.json", out / "setup0/timepoint0/attributes.json")
    file = next(path for path in places if path.exists())
    facts = json.loads(file.read_text())
    if name == "n5":
        facts["resolution"] = [7.5, 7.5, 7.5]
    else:
        group = facts if name == "0.4" else facts["attributes"]
        (group if name == "0.4" else group["ome"])["multiscales"][0]["datasets"][0]["coordinateTransformations"][0][
            "scale"
        ] = [1, 1, 7.5, 7.5, 7.5]
        if not finished:
            del group["fusestack"]
    file.write_text(json.dumps(facts))
    lost = blocks_of(out)[0]
    lost.unlink()
    assert run(["--quiet", "verify", "--mend", str(out), "--sample", "0"]) == 5
    rerun(made, "")
    assert "7.5" in file.read_text()
    assert {**tree(out), str(file.relative_to(out)): b""} == {**whole, str(file.relative_to(out)): b""}


def test_a_block_lost_before_a_run_goes_on_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was made from it meanwhile."""
    made = settings(tmp_path, "sharded")
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    # an unfinished image whose level 1 was made while a part of level 0 was not there
    mark = next((tmp_path / "fused.ome.zarr.fusestack" / "finished").iterdir())
    mark.unlink()
    lost = blocks_of(out / "0")[0]
    lost.unlink()
    wrong = blocks_of(out / "1")[0]
    other = blocks_of(out / "1")[1]
    wrong.write_bytes(other.read_bytes())
    ledger = next((tmp_path / "fused.ome.zarr.fusestack" / "ledger").glob("pyramid-1-*"))
    (ledger / "stored").unlink()
    report = rerun(made, "of level 0 changed since")
    assert [stage.computed for stage in report.stages] == [1, 1]
    assert tree(out) == whole


def test_a_level_deleted_during_a_run_ends_it_and_the_next_one_makes_it_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(tmp_path, "sharded")
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    fusestack.run(made, force=True)
    import fusestack.writers.ome_zarr as writers

    write = writers.OmeZarrWriter.write
    calls = []

    def harmed(self: Any, level: int, box: Any, pixels: Any) -> Any:
        found = write(self, level, box, pixels)
        calls.append(level)
        if calls.count(0) == 9 and level == 0:
            for path in blocks_of(out / "0"):
                path.unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(writers.OmeZarrWriter, "write", harmed)
        with pytest.raises(OutputError, match="of level 0 changed since they were written"):
            fusestack.run(made, ["execution.workers=1"], force=True)
    with pytest.warns(FusestackWarning, match="of level 0 changed since"):
        fusestack.run(made)
    assert tree(out) == whole


def test_records_of_earlier_versions_know_no_sizes_and_are_no_damage(tmp_path: Path) -> None:
    made = settings(tmp_path, "sharded")
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = tree(out)
    for path in (tmp_path / "fused.ome.zarr.fusestack" / "ledger").glob("*/stored"):
        path.unlink()
    for path in (tmp_path / "fused.ome.zarr.fusestack" / "finished").iterdir():
        path.write_bytes(b"")
    assert fusestack.run(made).reused_all
    shutil.rmtree(out / "0")
    rerun(made, "of level 0 changed since")
    assert tree(out) == whole


SINGLE = {
    "h5": {"path": "fused.h5"},
    "partitions": {"path": "fused.h5", "partitions": {"timepoints": 1, "setups": 0}},
    "tif": {"path": "fused.tif"},
    "ome.tif": {"path": "fused.ome.tif", "pyramid": [1, {"x": 2, "y": 2, "z": 1}]},
}


def single(folder: Path, name: str) -> dict[str, Any]:
    made = config(folder)
    for view in made["input"]["views"]:
        view |= {"voxel_size": 0.5, "unit": "micrometer"}
    return made | {"output": {**SINGLE[name], "path": str(folder / SINGLE[name]["path"])}}


@pytest.mark.parametrize("name", SINGLE)
def test_a_finished_file_that_is_gone_is_made_again_and_a_changed_one_is_refused(tmp_path: Path, name: str) -> None:
    made = single(tmp_path, name)
    out = Path(made["output"]["path"])
    fusestack.run(made)
    files = {path: path.read_bytes() for path in tmp_path.glob("fused*") if path.suffix in (".h5", ".tif")}
    assert len(files) == 1 + (name == "partitions")
    for path in files:
        cut(path)
        with pytest.raises(
            OutputError, match=rf"{path.name}: has .* bytes, not the .*; delete it to have it made again"
        ):
            fusestack.run(made)
        path.unlink()
        if path != out:
            rerun(made, "is missing or empty; the image is made again")
        else:
            fusestack.run(made)
        assert {path: path.read_bytes() for path in files} == files
        assert fusestack.run(made).reused_all


def test_a_block_file_of_an_unfinished_hdf5_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = single(tmp_path, "h5")
    out = Path(made["output"]["path"])
    fusestack.run(made)
    whole = out.read_bytes()
    import fusestack.writers.bdv_hdf5 as writers

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writers.BdvHdf5Writer, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            fusestack.run(made, force=True)
    blocks = sorted(path for path in (tmp_path / "fused.h5.fusestack" / "fused.h5.blocks").rglob("*") if path.is_file())
    blocks[0].unlink()
    with pytest.warns(FusestackWarning, match="1 block of .* changed since"):
        fusestack.run(made)
    assert out.read_bytes() == whole


def test_status_says_what_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = settings(tmp_path, "sharded")
    out = Path(made["output"]["path"])
    fusestack.run(made)
    assert run(["--json", "status", str(out)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["status"]["state"] == "done"
    lost = blocks_of(out)[2]
    lost.unlink()
    (out / "1" / "zarr.json").unlink()
    assert run(["--json", "status", str(out)]) == 0
    said = capsys.readouterr().out
    assert "damaged" in said
    assert str(lost.relative_to(out)) in said
    status = json.loads(said.splitlines()[-1])["status"]
    assert status["state"] == "damaged"
    assert len(status["damage"]) == 2


def test_a_graph_of_what_is_damaged_is_refused(tmp_path: Path) -> None:
    made = settings(tmp_path, "sharded")
    fusestack.run(made)
    blocks_of(Path(made["output"]["path"]))[0].unlink()
    with pytest.raises(OutputError, match="made again by 'fusestack run'"):
        fusestack.graph(made)


def test_blank_blocks_are_no_damage(tmp_path: Path) -> None:
    views = []
    for number in range(2):
        tifffile.imwrite(tmp_path / f"{number}.tif", np.full((8, 16, 16), 7, np.uint16), photometric="minisblack")
        where = {"x": 64 * number, "y": 64 * number, "z": 0}
        views.append({"path": str(tmp_path / f"{number}.tif"), "translation": where, "tile": number})
    made = config(tmp_path)
    made["input"]["views"] = views
    fusestack.run(made)
    assert fusestack.run(made).reused_all
    out = Path(made["output"]["path"])
    stray = out / "0" / "c" / "0" / "0" / "0" / "0" / "4"
    assert not stray.exists()
    whole = tree(out)
    shutil.copy(blocks_of(out)[0], stray)
    with pytest.warns(FusestackWarning, match="of level 0 changed since"):
        fusestack.run(made)
    assert tree(out) == whole


def test_tiles_of_a_deep_zoom_image_are_made_again(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "plane.tif", pixels[None], photometric="minisblack")
    made = {
        "version": 1,
        "input": {"views": [{"path": str(tmp_path / "plane.tif"), "translation": {"x": 0, "y": 0, "z": 0}}]},
        "output": {"path": str(tmp_path / "plane.dzi")},
    }
    fusestack.run(made)
    tiles = tmp_path / "plane_files"
    whole = tree(tiles)
    for lost in (tiles / "9" / "0_0.png", tiles):
        delete(lost) if lost.is_file() else shutil.rmtree(lost)
        rerun(made, "plane_files: .*; the image is made again")
        assert tree(tiles) == whole


def test_a_png_that_is_cut_is_refused(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    for number in range(3):
        tifffile.imwrite(tmp_path / f"s{number}.tif", np.roll(pixels, number), photometric="minisblack")
    made = {
        "version": 1,
        "input": {"images": str(tmp_path / "s*.tif")},
        "focus": {"options": "--blur=s1", "output": {"path": str(tmp_path / "sharp.png")}},
    }
    fusestack.run(made)
    out = tmp_path / "sharp.png"
    whole = out.read_bytes()
    cut(out)
    with pytest.raises(OutputError, match=r"sharp.png: has .* delete it to have it made again"):
        fusestack.run(made)
    out.unlink()
    fusestack.run(made)
    assert out.read_bytes() == whole


def test_what_is_lost_of_the_cache_is_made_again_where_it_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (600, 700), dtype=np.uint8)
    for number in range(3):
        tifffile.imwrite(tmp_path / f"s{number}.tif", np.roll(pixels, number), photometric="minisblack")
    made = {
        "version": 1,
        "input": {"images": str(tmp_path / "s*.tif")},
        "focus": {"options": "--blur=s1", "output": {"path": str(tmp_path / "sharp.ome.zarr")}},
        "execution": {"workers": 1},
    }
    fusestack.run(made)
    out = tmp_path / "sharp.ome.zarr"
    whole, cache = tree(out), {p: p.read_bytes() for p in blocks_of(tmp_path / "cache.fusestack") if p.suffix == ""}
    stored = [path for path in cache if "data.ome.zarr" in str(path)]
    for path in stored:
        delete(path)
    assert fusestack.run(made).reused_all  # nobody reads it any more
    shutil.rmtree(tmp_path / "sharp.ome.zarr.fusestack" / "ledger")
    rerun(made, "data.ome.zarr: .* changed since they were written")
    assert tree(out) == whole


def test_objects_that_are_gone_are_made_again() -> None:
    import tempfile

    from fusestack.storage import open_store

    with tempfile.TemporaryDirectory() as folder:
        made = settings(Path(folder), "sharded")
        made["output"]["path"] = "memory://damage/fused.ome.zarr"
        fusestack.run(made)
        store = open_store("memory://damage/fused.ome.zarr")
        before = {key: store.get(key) for key, _ in store.files()}
        for key in (next(key for key in before if key.startswith("0/c/")), "1/zarr.json"):
            store.delete(key)
        assert computed(rerun(made, "of level 0 changed since")) == 1
        assert {key: store.get(key) for key, _ in store.files()} == before


def test_what_other_machines_wrote_may_be_shown_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network file system a run looks again before it says that something is lost."""
    from fusestack.running import lost
    from fusestack.storage.folder import is_on_network
    from fusestack.writers.ome_zarr import OmeZarrWriter

    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    assert is_on_network(f"{tmp_path}/a.ome.zarr", str(mounts))
    assert not is_on_network("/a.ome.zarr", str(mounts))
    made = settings(tmp_path, "sharded")
    stored = OmeZarrWriter.stored
    late = [np.zeros(1)]

    def stale(self: Any, level: int) -> Any:
        found = stored(self, level)
        return found * 0 if late and late.pop() is not None else found

    monkeypatch.setattr(OmeZarrWriter, "stored", stale)
    monkeypatch.setattr(lost, "is_on_network", lambda _: True)
    monkeypatch.setattr(lost, "_PAUSES", (0, 0))
    fusestack.run(made)
    assert not late
