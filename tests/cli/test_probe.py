"""What is seen before anything is computed: inputs that cannot be decoded, places that cannot be written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import FusestackWarning, InputError, OutputError
from fusestack.model.view import SourceRef
from fusestack.running import places
from fusestack.sources.probe import Sample, probe
from fusestack.sources.tiff import TiffSource

PIXELS = np.random.default_rng(0).integers(1, 999, (8, 40, 60)).astype(np.uint16)
COMMANDS = ("validate", "plan", "run")


def write_config(folder: Path, **sections: Any) -> str:
    path = folder / "fuse.yaml"
    output = {} if "focus" in sections else {"output": {"path": "out.ome.zarr"}}
    path.write_text(json.dumps({"version": 1, **output, **sections}))
    return str(path)


def views(*names: str) -> dict[str, Any]:
    return {
        "views": [
            {"path": name, "tile": i, "translation": {"x": 50 * i, "y": 0, "z": 0}} for i, name in enumerate(names)
        ]
    }


def said(capsys: pytest.CaptureFixture[str], command: str, config: str, *more: str) -> tuple[int, str]:
    code = run([command, config, *more])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, printed.out + printed.err


def zarr_levels(path: Path, *, version: int = 3, levels: int = 2) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=version)
    datasets = []
    for level in range(levels):
        group.create_array(f"{level}", data=PIXELS[:, :: 2**level, :: 2**level], chunks=(8, 16, 16))
        scale = [1.0, 2.0**level, 2.0**level]
        datasets.append({"path": f"{level}", "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    multiscales = [{"axes": axes, "datasets": datasets, "version": "0.4"}]
    group.attrs.update(
        {"multiscales": multiscales} if version == 2 else {"ome": {"version": "0.5", "multiscales": multiscales}}
    )


def chunks_of(array: Path) -> list[Path]:
    return [
        path for path in array.rglob("*") if path.is_file() and path.name not in ("zarr.json", ".zarray", ".zattrs")
    ]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def damage_zarr(folder: Path) -> str:
    zarr_levels(folder / "t1.zarr")
    for path in chunks_of(folder / "t1.zarr/0"):
        cut(path)
    return "t1.zarr"


def damage_tiff(folder: Path) -> str:
    tifffile.imwrite(folder / "t1.tif", PIXELS, compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(folder / "t1.tif") as tiff:
        place, count = tiff.pages[-1].dataoffsets[-1], tiff.pages[-1].databytecounts[-1]
    with (folder / "t1.tif").open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * count)
    return "t1.tif"


def cut_tiff(folder: Path) -> str:
    tifffile.imwrite(folder / "t1.tif", PIXELS, metadata={"axes": "ZYX"})
    cut(folder / "t1.tif")
    return "t1.tif"


DAMAGES = {"zarr": damage_zarr, "tiff": damage_tiff, "cut tiff": cut_tiff}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_broken_view_is_named_before_anything_is_made(
    kind: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "t0.tif", PIXELS, metadata={"axes": "ZYX"})
    name = DAMAGES[kind](tmp_path)
    config = write_config(tmp_path, input=views("t0.tif", name))
    before = sorted(tmp_path.iterdir())
    code, text = said(capsys, command, config)
    assert code == 3
    text = "\n".join(line for line in text.splitlines() if not line.startswith("warning"))
    line = next(line for line in text.splitlines() if name in line)
    # what its metadata show is told before views have their numbers
    assert ("(timepoint 0, setup 1)" in line) is (kind != "cut tiff")
    assert ("input.views.1: " in line and "or remove the view" in line) or "input.select.views" in line
    assert not any("t0.tif" in line for line in text.splitlines() if not line.startswith("warning"))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".h5", ".n5", ".ome.zarr"])
def test_a_container_that_is_gone_is_named_once(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A project has one data file for all of its views: what is wrong with that is no matter of each of them."""
    tifffile.imwrite(tmp_path / "t.tif", PIXELS, metadata={"axes": "ZYX"})
    channels = {"views": [{"path": "t.tif", "channel": channel} for channel in range(3)]}
    made = write_config(tmp_path, input=channels, output={"path": f"data{suffix}", "project": "data.xml"})
    assert said(capsys, "run", made)[0] == 0
    (tmp_path / f"data{suffix}").rename(tmp_path / "elsewhere")
    config = write_config(tmp_path, input={"project": "data.xml"})
    for command in COMMANDS:
        code, text = said(capsys, command, config)
        assert code == 3
        assert text.count(str(tmp_path / f"data{suffix}")) == 1
        assert "3 views, (timepoint 0, setup 0) to (timepoint 0, setup 2): " in text
        assert "leave" not in text  # there are no others


def test_what_is_not_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, input=views(damage_zarr(tmp_path)))
    for command in ("validate", "plan"):
        assert said(capsys, command, config, "--no-probe")[0] == 0
    assert said(capsys, "run", config, "--no-probe", "--set", "execution.retries=0")[0] == 4
    assert "probe" not in said(capsys, "validate", config, "--no-probe", "--json")[1].lower().replace(
        '"probed": null', ""
    )


def test_how_many_were_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in (0, 1):
        tifffile.imwrite(tmp_path / f"t{i}.tif", PIXELS, metadata={"axes": "ZYX"})
    config = write_config(tmp_path, input=views("t0.tif", "t1.tif"))
    for command in ("validate", "plan"):
        code, text = said(capsys, command, config, "--json")
        assert code == 0
        assert "a chunk of each of 2 inputs was checked" in text
        assert json.loads(text.splitlines()[-1])["probed"] == 2
    assert said(capsys, "run", config)[0] == 0
    for i in (0, 1):  # nothing is left to be made of them
        with (tmp_path / f"t{i}.tif").open("rb"):
            assert said(capsys, "run", config)[0] == 0


@pytest.mark.parametrize("version", [2, 3])
def test_no_chunk_of_one_view(version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A view that is empty is said; it may have been so. Where all are, something is lost."""
    for i in (0, 1):
        zarr_levels(tmp_path / f"t{i}.zarr", version=version)
    for path in chunks_of(tmp_path / "t1.zarr/0"):
        path.unlink()
    config = write_config(tmp_path, input=views("t0.zarr", "t1.zarr"))
    for command in COMMANDS:
        code, text = said(capsys, command, config)
        assert code == 0
        assert "view (timepoint 0, setup 1)" in text
        assert "no chunk of level 0 is stored" in text
    for path in chunks_of(tmp_path / "t0.zarr/0"):
        path.unlink()
    for command in COMMANDS:
        output = ["--set", "output.path=other.ome.zarr"]  # the first one is there already
        code, text = said(capsys, command, config, *output)
        assert code == 3
        assert text.count("no chunk of level 0 is stored") == 2
    with pytest.raises(InputError, match="no chunk of level 0"):
        fusestack.run(config, force=True)


def test_warnings_in_python(tmp_path: Path) -> None:
    for i in (0, 1):
        zarr_levels(tmp_path / f"t{i}.zarr")
    for path in chunks_of(tmp_path / "t1.zarr/0"):
        path.unlink()
    with pytest.warns(FusestackWarning, match="no chunk of level 0 is stored"):
        fusestack.run(write_config(tmp_path, input=views("t0.zarr", "t1.zarr")))


def test_no_chunk_of_the_level_that_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in (0, 1):
        zarr_levels(tmp_path / f"t{i}.zarr")
    shutil.rmtree(tmp_path / "t1.zarr/1/c")
    config = write_config(tmp_path, input=views("t0.zarr", "t1.zarr"))
    assert said(capsys, "validate", config)[0] == 0  # level 1 is not read
    for command in COMMANDS:
        code, text = said(capsys, command, config, "--set", "fusion.downsampling=2")
        assert code == 3
        assert "t1.zarr: no chunk of level 1 is stored" in text
        assert "there are chunks of level 0" in text


def test_a_level_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zarr_levels(tmp_path / "t0.zarr")
    group = zarr.open_group(tmp_path / "t0.zarr")
    group.create_array("1", data=PIXELS[:, :10, :20], chunks=(8, 16, 16), overwrite=True)
    config = write_config(tmp_path, input=views("t0.zarr"))
    code, text = said(capsys, "plan", config, "--set", "fusion.downsampling=2")
    assert code == 3
    assert "level 1 has 20 x 10 x 8 pixels (xyz)" in text
    assert "30 x 20 x 8" in text


def test_an_hdf5_dataset_without_chunks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fusestack.run(
        {"version": 1, **_two_tiles(tmp_path), "output": {"path": str(tmp_path / "made.h5"), "pyramid": "none"}}
    )
    with h5py.File(tmp_path / "made.h5", "r+") as file:
        old = file["t00000/s00/0/cells"]
        shape, dtype = old.shape, old.dtype
        del file["t00000/s00/0/cells"]
        file.create_dataset("t00000/s00/0/cells", shape, dtype, chunks=(8, 16, 16))
    config = write_config(tmp_path, input={"project": "made.xml"})
    for command in COMMANDS:
        code, text = said(capsys, command, config)
        assert code == 3
        assert "view (timepoint 0, setup 0)" in text
        assert "no chunk of level 0 is stored" in text


def _two_tiles(folder: Path) -> dict[str, Any]:
    for i in (0, 1):
        tifffile.imwrite(folder / f"t{i}.tif", PIXELS, metadata={"axes": "ZYX"})
    return {"input": views(*(str(folder / f"t{i}.tif") for i in (0, 1)))}


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_broken_slice(suffix: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(4):
        Image.fromarray((PIXELS[k] // 4).astype(np.uint8)).save(tmp_path / f"s{k}.{suffix}")
    if suffix == "tif":
        tifffile.imwrite(tmp_path / "s2.tif", (PIXELS[2] // 4).astype(np.uint8), compression="zlib")
    data = (tmp_path / f"s2.{suffix}").read_bytes()
    broken = data[: len(data) * 2 // 3]
    if suffix == "tif":  # what says where the pixels are has to be whole
        with tifffile.TiffFile(tmp_path / "s2.tif") as tiff:
            place, count = tiff.pages[0].dataoffsets[-1], tiff.pages[0].databytecounts[-1]
        broken = data[:place] + b"\xff" * count + data[place + count :]
    (tmp_path / f"s2.{suffix}").write_bytes(broken)
    config = write_config(tmp_path, input={"images": f"s*.{suffix}"}, focus={"output": {"path": "sharp.tif"}})
    code, text = said(capsys, command, config)
    assert code == 3
    assert f"s2.{suffix}" in text
    assert f"s1.{suffix}" not in text


def test_a_volume_without_chunks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zarr_levels(tmp_path / "v.ome.zarr")
    config = write_config(tmp_path, focus={"input": "v.ome.zarr", "output": {"path": "sharp.tif"}})
    assert said(capsys, "validate", config)[0] == 0
    shutil.rmtree(tmp_path / "v.ome.zarr/0/c")
    for command in COMMANDS:
        code, text = said(capsys, command, config)
        assert code == 3
        assert "no chunk of level 0 is stored" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_places_that_cannot_be_written(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "t0.tif", PIXELS, metadata={"axes": "ZYX"})
    (tmp_path / "notes").write_text("a file")
    config = write_config(tmp_path, input=views("t0.tif"), output={"path": "notes/deep/out.ome.zarr"})
    code, text = said(capsys, command, config)
    assert code == 5
    assert f"{tmp_path / 'notes'} is a file, not a folder" in text
    assert "output.path" in text
    assert text.count("is a file, not a folder") == 1
    config = write_config(tmp_path, input=views("t0.tif"), output={"path": "out.ome.zarr"})
    assert said(capsys, command, config)[0] == 0


def test_what_is_said_of_several_outputs_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(3):
        Image.fromarray(PIXELS[k].astype(np.uint8)).save(tmp_path / f"s{k}.png")
    output = {"path": "sharp.tif", "depth": "depth.tif", "mask": "mask.tif"}
    config = write_config(tmp_path, input={"images": "s?.png"}, focus={"output": output})
    assert said(capsys, "run", config)[0] == 0
    keys = "another focus.output.path and focus.output.mask and focus.output.depth, or replace it with"

    def once(codes: tuple[int, int, int], *words: str, **output: Any) -> None:
        focus = {"output": {**output}, "method": "masks"}
        other = write_config(tmp_path, input={"images": "s?.png"}, focus=focus)
        for command, code in zip(COMMANDS, codes, strict=True):
            found, text = said(capsys, command, other)
            assert found == code
            for word in words:
                assert text.count(word) == 1

    once((0, 0, 5), "exists, made with other settings", "sharp.tif and 2 more (mask.tif, depth.tif): ", keys, **output)
    for name in ("sharp", "depth", "mask"):
        shutil.rmtree(tmp_path / f"{name}.tif.fusestack", ignore_errors=True)
        (tmp_path / f"{name}.tif").write_bytes(b"of somebody else")
    once(
        (0, 0, 5), "this configuration did not make it", "sharp.tif and 2 more (mask.tif, depth.tif): ", keys, **output
    )
    (tmp_path / "notes").write_text("a file")
    inside = {key: f"notes/{name}" for key, name in output.items()}
    once(
        (5, 5, 5), "is a file, not a folder", "sharp.tif and 2 more (mask.tif, depth.tif): cannot be written", **inside
    )


def test_folders_that_a_run_makes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a mistake in it makes a folder that nobody looks into."""
    output = {"path": "reslts/deep/out.ome.zarr", "project": "xml/out.xml"}
    config = write_config(tmp_path, input=_two_tiles(tmp_path)["input"], output=output)
    told = [f"note: {tmp_path / name}: this folder does not exist; a run makes it" for name in ("reslts/deep", "xml")]
    for command in COMMANDS:
        code, text = said(capsys, command, config)
        assert code == 0
        assert [line for line in text.splitlines() if line.startswith("note: ")] == told
        assert command == "run" or not (tmp_path / "reslts").exists()
    for command in COMMANDS:
        assert "note: " not in said(capsys, command, config)[1]


def test_a_folder_of_slices_is_an_output_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(3):
        Image.fromarray(PIXELS[k].astype(np.uint8)).save(tmp_path / f"s{k}.png")
    output = {"path": "sharp.tif", "slices": "prepared/"}
    config = write_config(tmp_path, input={"images": "s?.png"}, focus={"output": output})
    assert "note: " not in said(capsys, "plan", config)[1]
    config = write_config(
        tmp_path, input={"images": "s?.png"}, focus={"output": {**output, "slices": "reslts/prepared"}}
    )
    assert f"note: {tmp_path / 'reslts'}: " in said(capsys, "plan", config)[1]


def test_a_disk_that_is_too_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, **_two_tiles(tmp_path), fusion={"content_based": True})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: usage._replace(free=5 * 2**10))
    for command in COMMANDS:
        code, text = said(capsys, command, config)
        assert code == 0
        line = next(line for line in text.splitlines() if "are free" in line)
        assert "5 KiB are free" in line
        assert "of outputs and" in line
        assert "of cache are to be written" in line


def test_a_disk_that_will_never_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundredth of what is to be written is more than what is free: refused before anything is made."""
    config = write_config(tmp_path, **_two_tiles(tmp_path), fusion={"content_based": True})
    before = sorted(tmp_path.iterdir())
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: usage._replace(free=500))
    for command in COMMANDS:
        code, text = said(capsys, command, config)
        assert code == 5
        assert "far more than compression saves; free some space" in text
        assert "of cache are to be written" in text
    with pytest.raises(OutputError, match="far more than compression saves"):
        fusestack.run(config)
    assert sorted(tmp_path.iterdir()) == before


def test_what_breaks_the_look_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is none of the input's is no failure of it, and no chunk that was checked."""
    config = write_config(tmp_path, **_two_tiles(tmp_path))

    def breaks(self: TiffSource, level: int, box: Any) -> Any:
        raise RuntimeError("no memory\n for threads")

    monkeypatch.setattr(TiffSource, "read", breaks)
    for command in ("validate", "plan"):
        code, text = said(capsys, command, config)
        assert code == 0
        assert "t1.tif: a chunk could not be decoded (RuntimeError: no memory for threads); a run tries again" in text
        assert "a chunk of 0 of 2 inputs was checked" in text


@pytest.mark.parametrize("key", ["path", "mask", "depth"])
def test_the_key_of_a_place_that_cannot_be_written(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(2):
        Image.fromarray((PIXELS[k] // 4).astype(np.uint8)).save(tmp_path / f"s{k}.png")
    (tmp_path / "notes").write_text("a file")
    output = {"path": "sharp.tif", key: "notes/deep/out.tif"}
    config = write_config(tmp_path, input={"images": "s*.png"}, focus={"output": output})
    code, text = said(capsys, "plan", config)
    assert code == 5
    assert f"choose another focus.output.{key}\n" in text


def test_time_and_memory_bound_the_look(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", PIXELS, metadata={"axes": "ZYX"})
    ref = SourceRef("fusestack.sources.tiff:TiffSource", str(tmp_path / "t.tif"))
    samples = [Sample(str(i), ref, nbytes=1000 * (1 + 9 * (i % 2))) for i in range(40)]
    assert probe(samples).count == 40
    assert probe(samples, seconds=-1).count == 0
    assert probe(samples, memory=10_000).count == 20
    assert str(probe(samples, memory=10_000)) == "a chunk of 20 of 40 inputs was checked"


def test_problems_are_bounded(tmp_path: Path) -> None:
    refs = [SourceRef("fusestack.sources.tiff:TiffSource", str(tmp_path / f"{i}.tif")) for i in range(50)]
    with pytest.raises(InputError) as caught:
        probe([Sample(str(i), ref) for i, ref in enumerate(refs)])
    assert len(caught.value.problems) == 21
    assert caught.value.problems[0].startswith("view 0: ")
    assert caught.value.problems[-1] == "... and 30 more"


def test_a_project_goes_beside_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = write_config(tmp_path, **_two_tiles(tmp_path), output={"path": "out.h5", "project": "named.xml"})
    assert said(capsys, "run", config)[0] == 0
    assert (tmp_path / "named.xml").is_file()
    assert list(Path.cwd().iterdir()) == []


def test_outputs_and_cache_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, **_two_tiles(tmp_path), fusion={"content_based": True})
    _, text = said(capsys, "plan", config, "--json")
    left = json.loads(text.splitlines()[-1])["bytes_left"]
    assert left["output"] == 110 * 40 * 8 * 2
    assert left["cache"] > 0
    assert "of outputs, " in text
    assert "of cache left to write" in text
    _, text = said(capsys, "run", config)
    assert " written, and " in text
    assert " to the cache:" in text
    _, text = said(capsys, "plan", config, "--json")
    assert json.loads(text.splitlines()[-1])["bytes_left"] == {"output": 0, "cache": 0}
