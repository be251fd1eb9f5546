"""Every command: what it prints, what it returns, what it leaves alone."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from fusestack.cli.main import COMMANDS, run
from fusestack.sources.tiff import TiffSource
from tests.small import config, tiles, tree


@pytest.fixture
def fuse(tmp_path: Path) -> Path:
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(config(tmp_path)))
    return path


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line = capsys.readouterr().out.splitlines()[-1]
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run([command, "--help"])
    assert caught.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert COMMANDS[command].split(",")[0].split(":")[0].lower() in words.lower()
    assert "--json" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu", "x.yaml"], ["no command 'rnu'", "'run'"]),
        (["run"], ["CONFIG"]),
        (["run", "x.yaml", "--forse"], ["--forse"]),
        (["tune", "x.yaml", "--apply", "first"], ["--apply"]),
    ],
)
def test_wrong_command_lines(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1
    assert all(word in errors for word in words)


def test_a_project_is_not_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", str(tmp_path / "dataset.xml")]) == 2
    assert "fusestack init" in capsys.readouterr().err


def test_plan_says_what_it_would_make_and_makes_nothing(fuse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(fuse.parent)
    assert run(["plan", str(fuse)]) == 0
    printed = capsys.readouterr().out
    for word in (
        "pixels (xyz)",
        "uint16",
        "level 1",
        "chunks 8 x 8 x 8",
        "views per block",
        "a block needs at most",
        "KiB of levels above it, uncompressed",
        "not made yet",
    ):
        assert word in printed, word
    assert run(["plan", str(fuse), "--json", "--set", "fusion.downsampling=2"]) == 0
    facts = last_line(capsys)
    assert facts["ok"]
    (image,) = facts["images"]
    assert [stage["action"] for stage in image["stages"]] == ["run", "run"]
    assert image["levels"][0]["block"] == [1, 1, 8, 16, 16]
    pixels = [math.prod(level["shape"]) for level in image["levels"]]
    assert image["bytes_of_levels"] == {"full": 2 * pixels[0], "above": 2 * sum(pixels[1:])}
    assert facts["memory_needed"] > max(stage["peak_bytes"] for stage in image["stages"])
    assert facts["input_bytes"] > 0
    assert tree(fuse.parent) == before


def test_dry_run_makes_nothing(fuse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(fuse.parent)
    assert run(["run", str(fuse), "--dry-run"]) == 0
    assert "level 0" in capsys.readouterr().out
    assert tree(fuse.parent) == before


def test_run_reports_and_leaves_a_record(fuse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "run", str(fuse), "--set", "execution.workers=2"]) == 0
    printed = capsys.readouterr()
    facts = json.loads(printed.out.splitlines()[-1])
    assert facts["outputs"] == [str(fuse.parent / "fused.ome.zarr")]
    assert "fuse: fused" in printed.err
    record = json.loads((fuse.parent / "fused.ome.zarr.run.json").read_text())
    assert record["config"]["execution"]["workers"] == 2
    assert record["versions"]["fusestack"] == importlib.metadata.version("fusestack")
    assert record["versions"]["numpy"] == np.__version__
    assert [stage["stage"] for stage in record["stages"]] == ["fuse", "pyramid/1"]
    assert all(stage["seconds"] > 0 and stage["bytes_written"] > 0 for stage in record["stages"])
    assert set(record["images"][0]["fingerprints"]) == {"fuse", "pyramid/1"}
    page = (fuse.parent / "fused.ome.zarr.report.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("http-equiv", ""), "the page needs nothing from elsewhere"
    assert run(["status", str(fuse.parent / "fused.ome.zarr"), "--json"]) == 0
    assert last_line(capsys)["status"]["state"] == "done"
    assert run(["run", str(fuse)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert facts["projects"] == []
    project = str(fuse.parent / "fused.xml")
    assert run(["--json", "run", str(fuse), "--set", f"output.project={project}"]) == 0
    printed = capsys.readouterr().out
    assert f"project for BigDataViewer and BigStitcher: {project}\n" in printed
    assert json.loads(printed.splitlines()[-1])["projects"] == [project]
    assert Path(project).exists()


def test_quiet_prints_nothing(fuse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", str(fuse), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_verbose_shows_where_blocks_failed(
    fuse: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise RuntimeError("a scratch")

    monkeypatch.setattr(TiffSource, "read", damaged)
    settings = ["--set", "execution.retries=0", "--quiet"]
    assert run(["run", str(fuse), *settings]) == 4
    assert "Traceback" not in capsys.readouterr().err
    assert run(["run", str(fuse), *settings, "--verbose"]) == 4
    errors = capsys.readouterr().err
    assert errors.count("in damaged") == errors.count("on a worker") == 5
    assert "RuntimeError: a scratch" in errors


def test_errors_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(tmp_path / "none.yaml"), "--json"]) == 2
    facts = last_line(capsys)
    assert (facts["ok"], facts["exit_code"]) == (False, 2)
    assert "none.yaml" in facts["errors"][0]


def test_status_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(tmp_path / "none.ome.zarr")]) == 3
    assert "no run of fusestack" in capsys.readouterr().err


def test_previews(fuse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = fuse.parent / "config.png", fuse.parent / "image.png"
    assert run(["preview", str(fuse), "-o", str(first), "--set", "fusion.downsampling=2"]) == 0
    assert run(["run", str(fuse), "--quiet"]) == 0
    assert run(["preview", str(fuse.parent / "fused.ome.zarr"), "-o", str(second)]) == 0
    for path in (first, second):
        with Image.open(path) as picture:
            assert picture.size[0] > 500
            assert len(picture.getcolors(2**24) or []) > 50
    assert run(["preview", str(fuse.parent / "fused.h5"), "-o", str(second)]) == 3
    assert run(["preview", str(fuse), "-o", str(fuse.parent / "picture.xyz")]) == 5


def test_init_knows_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    from tests.focus.stacks import scene, write

    paths = write(tmp_path / "in", scene((40, 50), 3)[0])
    config, folder = str(tmp_path / "fuse.yaml"), str(tmp_path / "in")
    assert run(["init", folder, "-o", config]) == 0
    assert "focus:" in Path(config).read_text()
    assert run(["run", config, "--quiet"]) == 0
    (tmp_path / "in.tif").rename(tmp_path / "in" / "a_result.tif")
    assert run(["init", folder, "-o", config, "--force"]) == 0
    assert "a_result" not in Path(config).read_text()
    assert run(["init", paths[0], "-o", config, "--force"]) == 0
    capsys.readouterr()
    grey = write(tmp_path / "grey", scene((40, 50), 3, 1)[0])
    assert run(["init", str(tmp_path / "grey"), "-o", config, "--force"]) == 0
    assert "--as stack --force" in capsys.readouterr().out
    assert "views:" in Path(config).read_text()
    assert run(["init", str(tmp_path / "grey"), "-o", config, "--as", "stack", "--force"]) == 0
    assert all(Path(path).name in Path(config).read_text() for path in grey)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "grey" / "thumb.jpg")
    assert run(["init", str(tmp_path / "grey"), "-o", config, "--as", "stack", "--force"]) == 0
    assert "grey/thumb" not in Path(config).read_text()
    assert "thumb.jpg: left out" in Path(config).read_text()
    (tmp_path / "empty").mkdir()
    assert run(["init", str(tmp_path / "empty"), "-o", config, "--as", "stack", "--force"]) == 3
    capsys.readouterr()
    assert run(["run", folder]) == 2
    assert "fusestack init makes one" in capsys.readouterr().err


def test_init_writes_a_configuration_that_works(fuse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = fuse.parent / "made.yaml"
    assert run(["init", str(fuse.parent), "-o", str(made)]) == 0
    assert run(["validate", str(made)]) == 0
    assert run(["run", str(made), "--quiet"]) == 0
    capsys.readouterr()
    assert run(["init", str(fuse.parent), "-o", str(made)]) == 5
    assert "--force" in capsys.readouterr().err
    assert run(["init", str(fuse.parent / "nowhere"), "-o", str(made), "--force"]) == 3


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"input", "fusion", "output", "execution"} <= set(schema["properties"])


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", str(tmp_path / "demo"), "--json", "--quiet"]) == 0
    facts = last_line(capsys)
    assert facts["psnr_db"] > facts["raw_psnr_db"] + 2
    assert facts["correlation"] > 0.99
    assert Path(facts["picture"]).exists()
    assert run(["demo", str(tmp_path / "demo"), "--quiet"]) == 0  # again, on top


def test_demo_of_focus_stacking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", str(tmp_path / "demo"), "--focus", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["psnr_db"] > found["best_choice_psnr_db"] > found["best_slice_psnr_db"] + 5
    assert found["depth_error"] < 0.1
    assert (tmp_path / "demo" / "depth.png").exists()


LIGHT = """
import sys
from fusestack.cli.main import run
code = run(sys.argv[1:])
heavy = sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[0].split(",")))
assert not heavy, heavy
raise SystemExit(code)
"""


@pytest.mark.parametrize("command", [["validate"], ["plan"]])
def test_metadata_commands_load_nothing_that_computes(command: list[str], tmp_path: Path) -> None:
    from fusestack.simulate import simulate_acquisition

    simulate_acquisition(tmp_path, tile_shape=(16, 24, 24), channels=1)
    path = tmp_path / "fuse.yaml"
    path.write_text("version: 1\ninput: {project: dataset.xml}\noutput: {path: fused.ome.zarr}\n")
    heavy = "numba,dask,distributed,xarray,tifffile,scipy,PIL,rich,zarr"
    code = LIGHT.replace("sys.argv[0]", repr(heavy))
    done = subprocess.run(
        [sys.executable, "-c", code, *command, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


HEAVY = (
    *("zarr", "scipy.linalg", "dask.array", "distributed", "xarray", "pandas", "h5py", "rich"),
    *("numba.np.linalg", "numba.np.random.legacy"),  # only to compile: kernels are in the cache
    *("fusestack.operators", "fusestack.focus", "fusestack.config.focus", "fusestack.config.messages"),
    *("fusestack.fusion.content", "fusestack.project.xml", "fusestack.project.write"),
)
COMPUTING = ("dask", "numba", "numcodecs", "PIL", "fusestack.display")


@pytest.mark.parametrize("source", ["tif", "zarr"])
def test_a_small_run_loads_only_what_it_needs(source: str, tmp_path: Path) -> None:
    pixels = np.arange(20 * 64 * 64, dtype=np.uint16).reshape(20, 64, 64)
    if source == "tif":
        tifffile.imwrite(tmp_path / "a.tif", pixels)
    else:
        zarr.create_array(tmp_path / "a.zarr", data=pixels)
    path = tmp_path / "fuse.yaml"
    path.write_text(f"version: 1\ninput: {{views: [{{path: a.{source}}}]}}\noutput: {{path: fused.ome.zarr}}\n")
    assert run(["run", str(path), "--quiet"]) == 0  # compiles, where that was not done before
    code = (
        "import sys; from fusestack.cli.main import run; code = run(sys.argv[1:]); "
        "print(*sys.modules); raise SystemExit(code)"
    )
    for options, unwanted in ((["--force"], HEAVY), ([], (*HEAVY, *COMPUTING))):
        command = [sys.executable, "-c", code, "run", str(path), "--quiet", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not set(unwanted) & set(done.stdout.split())


BRIGHTEST = """
import numpy as np

def brightest(views, masks, factor=1):
    return np.fmax.reduce(views) * np.float32(factor)
"""


def test_a_function_of_ones_own_on_the_path(tmp_path: Path) -> None:
    tiles(tmp_path)
    path, code = tmp_path / "fuse.yaml", tmp_path / "code"
    code.mkdir()
    (code / "own_fusion.py").write_text(BRIGHTEST)
    path.write_text(
        "version: 1\n"
        "input: {views: [{path: tile0.tif}, {path: tile1.tif, translation: {x: 30, y: 0, z: 0}, tile: 1}]}\n"
        "fusion:\n  dtype: float32\n  method: {function: own_fusion:brightest, options: {factor: 0.5}}\n"
        "output: {path: fused.ome.zarr}\n"
    )
    command = [sys.executable, "-m", "fusestack"]

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **variables}
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )

    for word in ("validate", "plan", "run"):
        done = call(word, str(path))
        assert done.returncode == 2
        assert f"{path}:5:22: fusion.method.function: there is no function own_fusion:brightest" in done.stderr
        assert "put its folder on PYTHONPATH" in done.stderr
    assert not (tmp_path / "fused.ome.zarr").exists()
    there = {"PYTHONPATH": os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")])}
    for word in ("validate", "plan", "run"):
        done = call(word, str(path), **there)
        assert done.returncode == 0, done.stderr
    done = call("run", str(path), "--set", "execution.scheduler=processes", "--force", "--json", **there)
    assert done.returncode == 0, done.stderr
    found = zarr.open_array(tmp_path / "fused.ome.zarr" / "0", mode="r")[0, 0]
    one, two = (tifffile.imread(tmp_path / f"tile{number}.tif").astype(np.float32) / 2 for number in (0, 1))
    assert (found[:, :, :30] == one[:, :, :30]).all()
    assert (found[:, :, 30:50] == np.maximum(one[:, :, 30:], two[:, :, :20])).all()


def test_the_picture_of_a_mask_is_white_where_a_view_is(tmp_path: Path) -> None:
    from fusestack.display.still import _limits

    mask = np.zeros((4, 5, 6), np.uint16)
    mask[1:3] = 65535
    low, high = _limits(mask)
    assert low < 65535 <= high
    assert _limits(np.full((2, 2, 2), -3, np.int16)) == (-4, -3)


def test_validating_photographs_compiles_nothing(tmp_path: Path) -> None:
    for k in range(2):
        tifffile.imwrite(tmp_path / f"s{k}.tif", np.full((20, 30, 3), k, np.uint8), photometric="rgb")
    path = tmp_path / "stack.yaml"
    path.write_text("version: 1\ninput: {images: 's*.tif'}\nfocus: {output: {path: sharp.tif}}\n")
    code = (
        "import sys; from fusestack.cli.main import run; code = run(sys.argv[1:]); "
        "print(*sys.modules); raise SystemExit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", str(path)], capture_output=True, text=True, check=True
    )
    assert "fusestack.focus.plan" in done.stdout.split()
    assert not {"numba", "distributed", "PIL"} & set(done.stdout.split())


MASKS = {
    "operators": ("generators", "masks", "cuts", "commands", "comparisons", "edges", "preparations"),
    "focus": (
        *("images", "lowpass", "masks", "merge", "stretching", "picture", "finals", "retouching"),
        *("prepared", "preparing", "mean_image"),
    ),
    "kernels": ("fourier",),
    "api": ("fusing", "stacking"),
}


def test_photographs_that_are_mixed_load_nothing_of_masks(tmp_path: Path) -> None:
    for k in range(2):
        tifffile.imwrite(tmp_path / f"s{k}.tif", np.full((20, 30, 3), k, np.uint8), photometric="rgb")
    path = tmp_path / "stack.yaml"
    path.write_text("version: 1\ninput: {images: 's*.tif'}\nfocus: {output: {path: sharp.tif, depth: depth.tif}}\n")
    code = (
        "import sys; from fusestack.cli.main import run; code = run(sys.argv[1:]); "
        "print(*sys.modules); raise SystemExit(code)"
    )
    command = [sys.executable, "-c", code, "run", str(path), "--quiet"]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "fusestack.focus.mixing" in loaded
    assert not loaded & {"numcodecs", *(f"fusestack.{room}.{name}" for room, names in MASKS.items() for name in names)}


def test_nothing_looks_for_garbage_in_all_modules_when_a_command_ends() -> None:
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count())); "
        "from fusestack.cli.main import main; main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) > 5000
