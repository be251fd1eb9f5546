"""``fusestack verify`` reads everything back, says what is wrong and what mends it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.cli.main import run
from tests.small import config, tree

OUTPUTS: dict[str, dict[str, Any]] = {
    "sharded": {"path": "fused.ome.zarr"},
    "0.4": {"path": "fused.ome.zarr", "ome_zarr_version": "0.4"},
    "raw n5": {"path": "fused.n5", "compression": {"codec": "none"}},
    "h5": {"path": "fused.h5", "compression": {"codec": "none"}},
}


def made(folder: Path, name: str) -> tuple[Path, Path]:
    """Configuration and output of a run."""
    content = config(folder)
    if name != "sharded":
        del content["output"]["shards"]
    content["output"] |= OUTPUTS[name]
    path = folder / "fuse.yaml"
    path.write_text(json.dumps(content))
    assert run(["--quiet", "run", str(path)]) == 0
    return path, folder / content["output"]["path"]


def flip(path: Path, place: int | None = None) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_flipped_bit_is_found_and_mended(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    path, out = made(tmp_path, name)
    whole = tree(out) if out.is_dir() else out.read_bytes()
    assert run(["--json", "verify", str(out), "--sample", "3"]) == 0
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert said["blocks"] > 1
    assert said["recomputed"] >= 2
    assert not said["notes"]
    shards = sorted(p for p in out.rglob("*") if p.is_file() and "json" not in p.name and not p.name.startswith("."))
    flip(shards[0] if out.is_dir() else out)
    assert run(["verify", str(path)]) == 5
    error = capfd.readouterr().err
    assert "level 0, block" in error
    assert str(shards[0] if out.is_dir() else out) in error
    assert "fusestack verify --mend" in error
    assert run(["verify", "--mend", str(out), "--sample", "0"]) == 5
    assert "taken for missing" in capfd.readouterr().err
    assert run(["run", str(path)]) == 0
    assert (tree(out) if out.is_dir() else out.read_bytes()) == whole
    assert run(["verify", str(out)]) == 0


def test_what_listing_shows_is_said_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = made(tmp_path, "sharded")
    shutil.rmtree(out / "1")
    assert run(["verify", str(out)]) == 5
    error = capfd.readouterr().err
    assert "of level 1 changed since they were written" in error
    assert "to mend it: 'fusestack run CONFIG'" in error
    assert run(["run", str(path)]) == 0
    assert run(["verify", str(out)]) == 0


def test_whole_blocks_of_other_settings_are_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As a writer leaves them that comes late: sizes and checksums are right."""
    path, out = made(tmp_path, "sharded")
    one, other = sorted(p for p in (out / "0" / "c").rglob("*") if p.is_file() and p.stat().st_size > 3000)[:2]
    assert one != other
    ledgers = list((tmp_path / "fused.ome.zarr.fusestack" / "ledger").glob("fuse-*/stored"))
    one.write_bytes(other.read_bytes())
    for ledger in ledgers:  # nothing is known of it
        ledger.unlink()
    assert run(["verify", str(path), "--sample", "0"]) == 0
    assert run(["verify", str(path), "--sample", "1000"]) == 5
    error = capfd.readouterr().err
    assert "pixels are not those that are computed from the inputs" in error
    assert "fusestack run --force CONFIG" in error


def test_inputs_that_changed_are_no_damage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, out = made(tmp_path, "sharded")
    (tmp_path / "tile0.tif").unlink()
    assert run(["verify", str(out)]) == 0
    assert "nothing was computed again" in capfd.readouterr().err


def test_a_tiff_is_decoded_and_compared(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = config(tmp_path)
    content["output"] = {"path": str(tmp_path / "fused.tif"), "compression": {"codec": "gzip", "level": 1}}
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(content))
    assert run(["--quiet", "run", str(path)]) == 0
    out = tmp_path / "fused.tif"
    assert run(["verify", str(path), "--sample", "100%"]) == 0
    whole = out.read_bytes()
    flip(out)
    assert run(["verify", "--mend", str(path)]) == 5
    assert f"delete {out}, then" in capfd.readouterr().err
    out.unlink()
    assert run(["run", str(path)]) == 0
    assert out.read_bytes() == whole


def test_what_is_not_ours_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(tmp_path / "nothing.ome.zarr")]) == 3
    assert "nothing that was made here is known" in capfd.readouterr().err
    assert run(["verify", str(tmp_path / "nothing.ome.zarr"), "--sample", "0.5"]) == 3
    with pytest.raises(SystemExit):
        run(["verify", "x", "--sample", "some"])


def test_levels_above_a_bad_block_are_made_again_with_it(tmp_path: Path) -> None:
    content = config(tmp_path)
    fusestack.run(content)
    out = Path(content["output"]["path"])
    whole = tree(out)
    shard = max((p for p in (out / "0" / "c").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    flip(shard)
    assert run(["--quiet", "verify", "--mend", str(out), "--sample", "0"]) == 5
    report = fusestack.run(content)
    assert [stage.computed for stage in report.stages] == [1, 1]
    assert tree(out) == whole
    assert np.all([stage.blocks > stage.computed for stage in report.stages])


@pytest.mark.parametrize("given", ["fused.ome.zarr", "./fused.ome.zarr/", "../{}/fused.ome.zarr"])
def test_outputs_are_named_from_where_one_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    made(tmp_path, "sharded")
    monkeypatch.chdir(tmp_path)
    given = given.format(tmp_path.name)
    assert run(["verify", given]) == 0
    assert f"{tmp_path}/fused.ome.zarr: as it was written" in capfd.readouterr().out
    assert run(["status", given]) == 0
    assert ": done" in capfd.readouterr().out
    assert run(["preview", given.rstrip("/"), "-o", "still.png"]) == 0
    assert Path("still.png").is_file()
    assert run(["cancel", given]) == 5
    assert f"{tmp_path}/fused.ome.zarr" in capfd.readouterr().err


@pytest.mark.parametrize("codec", ["gzip", "blosc", "none"])
def test_bytes_that_no_codec_reads_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], codec: str) -> None:
    h5py = pytest.importorskip("h5py")
    content = config(tmp_path)
    del content["output"]["shards"]
    out = tmp_path / "fused.h5"
    content["output"] |= {"path": str(out), "compression": {"codec": codec}}
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(content))
    assert run(["--quiet", "run", str(path)]) == 0
    with h5py.File(out) as file:
        chunk = file["t00000/s00/0/cells"].id.get_chunk_info(3)
    for place in (0, chunk.size // 2):
        whole = out.read_bytes()
        flip(out, chunk.byte_offset + place)
        assert run(["--quiet", "verify", str(out), "--sample", "0"]) == 5
        error = capfd.readouterr().err
        assert str(out) in error
        assert codec != "gzip" or "t00000/s00/0/cells cannot be read back" in error
        out.write_bytes(whole)


def test_what_is_taken_for_missing_is_not_as_it_was_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = made(tmp_path, "sharded")
    flip(max((p for p in (out / "0" / "c").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size))
    assert run(["--quiet", "verify", "--mend", str(out), "--sample", "0"]) == 5
    capfd.readouterr()
    assert run(["verify", str(out)]) == 5
    error = capfd.readouterr().err
    assert "level 0: 1 of 120 blocks not made yet; run again" in error
    assert "level 1: 1 of" in error
    assert run(["--quiet", "run", str(path)]) == 0
    assert run(["verify", str(out)]) == 0
    next((tmp_path / "fused.ome.zarr.fusestack" / "finished").iterdir()).unlink()
    assert run(["verify", str(out)]) == 5
    assert "not finished yet; run again" in capfd.readouterr().err


SINGLE: dict[str, dict[str, Any]] = {
    "tif": {"path": "fused.tif"},
    "ome.tif": {"path": "fused.ome.tif"},
    "h5": {"path": "fused.h5"},
    "partitions": {"path": "fused.h5", "partitions": {"timepoints": 1, "setups": 1}},
    "sharded": {"path": "fused.ome.zarr"},
}


def single(folder: Path, name: str) -> tuple[Path, Path]:
    """Configuration and output of a run in a folder of its own."""
    content = config(folder)
    out = folder / "made" / SINGLE[name]["path"]
    for view in content["input"]["views"]:
        view |= {"voxel_size": 0.5, "unit": "micrometer"}
    content["output"] = {**SINGLE[name], "path": str(out)}
    path = folder / "fuse.yaml"
    path.write_text(json.dumps(content))
    assert run(["--quiet", "run", str(path)]) == 0
    return path, out


@pytest.mark.parametrize("name", SINGLE)
def test_moved_outputs_are_still_those_that_were_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    _, out = single(tmp_path, name)
    for file in (out.with_name(f"{out.name}.fusestack") / "finished").iterdir():
        assert str(tmp_path) not in file.read_text()
    out.parent.rename(tmp_path / "elsewhere")
    there = tmp_path / "elsewhere" / out.name
    assert run(["verify", str(there), "--sample", "0"]) == 0
    assert f"{there}: as it was written" in capfd.readouterr().out
    assert run(["--json", "status", str(there)]) == 0
    assert '"state": "done"' in capfd.readouterr().out
    if name != "sharded":
        marks = [*(there.with_name(f"{out.name}.fusestack") / "finished").iterdir()]
        for file in marks:  # as earlier versions have written it
            known = json.loads(file.read_text())
            file.write_text(json.dumps({str(out.parent / one): size for one, (size, _) in known.items()}))
        assert run(["--quiet", "verify", str(there), "--sample", "0"]) == 0
        there.write_bytes(there.read_bytes()[:-1])
        assert run(["--quiet", "verify", str(there), "--sample", "0"]) == 5


@pytest.mark.parametrize("name", ["tif", "ome.tif", "h5", "partitions"])
def test_a_byte_anywhere_in_a_finished_file_is_found(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    path, out = single(tmp_path, name)
    files = sorted(out.parent.glob("fused*.*[f5]"))
    whole = {file: file.read_bytes() for file in files}
    for file in files:
        flip(file, len(whole[file]) - 9)
        assert run(["verify", str(out), "--sample", "0"]) == 5
        assert str(file) in capfd.readouterr().err
        file.write_bytes(whole[file])
    assert run(["verify", str(out), "--sample", "0"]) == 0
    flip(files[-1], len(whole[files[-1]]) - 9)
    capfd.readouterr()
    assert run(["verify", "--mend", str(out), "--sample", "0"]) == 5
    error = capfd.readouterr().err
    if "delete " in error:
        assert f"delete {files[-1]}, then" in error
        files[-1].unlink()
    assert run(["--quiet", "run", str(path)]) == 0
    assert {file: file.read_bytes() for file in files} == whole
    assert run(["verify", str(out), "--sample", "0"]) == 0


def test_a_mark_is_not_made_of_what_changed_since(tmp_path: Path) -> None:
    """Where only a project is to be written again, its image is taken as it is."""
    content = config(tmp_path)
    del content["output"]["shards"]
    content["output"] |= {"path": str(tmp_path / "fused.h5"), "project": str(tmp_path / "fused.xml")}
    fusestack.run(content)
    out = tmp_path / "fused.h5"
    flip(out, out.read_bytes().index(b"uint16"))
    (tmp_path / "fused.xml").unlink()
    fusestack.run(content)
    assert (tmp_path / "fused.xml").is_file()
    assert run(["--quiet", "verify", str(out), "--sample", "0"]) == 5


def planes(folder: Path) -> dict[str, Any]:
    """Configuration of a sharp picture and its surface."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    for number in range(3):
        tifffile.imwrite(folder / f"s{number}.tif", np.roll(pixels, number), photometric="minisblack")
    output = {"path": str(folder / "sharp.png"), "mesh": str(folder / "surface.ply")}
    stack = {"images": str(folder / "s*.tif")}
    return {"version": 1, "input": stack, "focus": {"options": "--blur=s1", "output": output}}


def test_pictures_and_surfaces_are_compared_wherever_they_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "made").mkdir()
    with pytest.warns(fusestack.FusestackWarning, match="size of a pixel"):
        fusestack.run(planes(tmp_path / "made"))
    there = (tmp_path / "made").rename(tmp_path / "moved")
    monkeypatch.chdir(there)
    assert run(["verify", "sharp.png", "--sample", "0"]) == 0
    assert f"{there}/surface.ply: as it was written" in capfd.readouterr().out
    for file in (there / "surface.ply", there / "sharp.png"):
        whole = file.read_bytes()
        flip(file, whole.index(b"element") if file.suffix == ".ply" else len(whole) - 3)
        assert run(["verify", "sharp.png", "--sample", "0"]) == 5
        assert str(file) in capfd.readouterr().err
        file.write_bytes(whole)


def test_tiles_of_every_level_are_compared(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "plane.tif", pixels[None], photometric="minisblack")
    views = [{"path": str(tmp_path / "plane.tif"), "translation": {"x": 0, "y": 0, "z": 0}}]
    path = tmp_path / "plane.yaml"
    path.write_text(
        json.dumps({"version": 1, "input": {"views": views}, "output": {"path": str(tmp_path / "plane.dzi")}})
    )
    assert run(["--quiet", "run", str(path)]) == 0
    tiles = tmp_path / "plane_files"
    whole = tree(tiles)
    flip(tiles / "5" / "0_0.png")
    assert run(["verify", "--mend", str(path)]) == 5
    assert f"delete {tiles}, then" in capfd.readouterr().err
    shutil.rmtree(tiles)
    assert run(["run", str(path)]) == 0
    assert tree(tiles) == whole
    assert run(["verify", str(path)]) == 0


@pytest.mark.parametrize(
    ("output", "fusion", "gone"),
    [
        ({"path": "fused.h5"}, {"group_by": "view"}, "fused.h5"),  # links to three files
        ({"path": "fused.h5"}, {"group_by": "view"}, "fused.xml"),
        ({"path": "fused.n5"}, {}, "fused.xml"),
        ({"path": "fused.ome.zarr", "project": "named.xml"}, {}, "named.xml"),
    ],
)
def test_a_project_or_a_file_of_links_that_is_gone_is_found(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], output: dict[str, Any], fusion: dict[str, Any], gone: str
) -> None:
    content = config(tmp_path)
    del content["output"]["shards"]
    content["output"] |= output
    content["fusion"] = fusion
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(content))
    assert run(["--quiet", "run", str(path)]) == 0
    assert run(["verify", str(path), "--sample", "0"]) == 0
    before = (tmp_path / gone).read_bytes()
    (tmp_path / gone).unlink()
    capfd.readouterr()
    for named in (path, tmp_path / output["path"]):
        assert run(["verify", str(named), "--sample", "0"]) == 5
        error = capfd.readouterr().err
        assert f"{tmp_path / gone}: is missing, or does not name the image any more" in error
        assert "fusestack run CONFIG" in error
    assert run(["--quiet", "run", str(path)]) == 0
    assert run(["verify", str(path), "--sample", "0"]) == 0
    assert gone.endswith("h5") or (tmp_path / gone).read_bytes() == before
