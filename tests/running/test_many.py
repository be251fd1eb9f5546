"""Time lapses of hundreds of timepoints, and hundreds of images: what is said and looked at does not grow with them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.cli.main import run
from fusestack.fusion import placement, view_table
from fusestack.running import records

FEW, MANY, MANY_IMAGES = 4, 120, 40


@pytest.fixture(scope="module")
def lapse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with tiny timepoints."""
    folder = tmp_path_factory.mktemp("lapse")
    pixels = np.random.default_rng(0).integers(1, 1000, (3, 12, 14), np.uint16)
    for number in range(MANY):
        tifffile.imwrite(folder / f"t{number}.tif", pixels + number, photometric="minisblack")
    return folder


def made(lapse: Path, to: Path, count: int, output: str) -> dict[str, Any]:
    """Configuration of some timepoints, run."""
    size = {"voxel_size": {"x": 1, "y": 1, "z": 1}, "unit": "micrometer"}
    views = [{"path": str(lapse / f"t{number}.tif"), "timepoint": number, **size} for number in range(count)]
    config = {"version": 1, "input": {"views": views}, "output": {"path": str(to / output)}}
    (to / "fuse.yaml").write_text(json.dumps(config))
    fusestack.run(to / "fuse.yaml", progress=False)
    return config


def _many(output: str) -> int:
    """Images take longer to be made than timepoints."""
    return MANY_IMAGES if output.endswith(".tif") else MANY


@pytest.fixture(scope="module", params=["fused.ome.zarr", "fused.tif"])
def both(request: pytest.FixtureRequest, lapse: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders with outputs of few timepoints and of many."""
    folders = [tmp_path_factory.mktemp("few"), tmp_path_factory.mktemp("many")]
    for folder, count in zip(folders, (FEW, _many(request.param)), strict=True):
        made(lapse, folder, count, request.param)
    return folders


def said(folder: Path, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert run([command[0], str(folder / "fuse.yaml"), *command[1:]]) == 0
    return "".join(capsys.readouterr())


@pytest.mark.parametrize("command", ["plan", "validate", "run"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_said_does_not_grow(
    both: list[Path], command: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    few, many = (said(folder, capsys, command, *(["--json"] if form == "json" else [])) for folder in both)
    assert many.count("\n") <= few.count("\n") + 20
    assert len(many) < len(few) + 20 * 900  # the 20 images that are listed


def test_status_does_not_grow(both: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for folder in both:
        (work,) = folder.glob("*.fusestack")
        assert run(["status", str(work).removesuffix(".fusestack")]) == 0
        lines.append(capsys.readouterr().out.count("\n"))
    assert lines[1] == lines[0]


def test_the_report_does_not_grow(both: list[Path]) -> None:
    """Pictures of some images, one row for the others, the first views of the configuration."""
    few, many = (next(folder.glob("*.report.html")).read_text() for folder in both)
    shown = 12 / FEW if "fused.tif" in many else 1
    assert len(many) < shown * len(few) + 20_000
    assert many.count("<tr>") < few.count("<tr>") + 5
    assert f"... and {_many('.tif' if shown > 1 else '') - 12} more" in many


def test_the_record_grows_with_what_the_configuration_says_alone(both: list[Path]) -> None:
    few, many = (json.loads(next(folder.glob("*.run.json")).read_text()) for folder in both)
    count = len(many["config"]["input"]["views"])
    assert many["view_count"] == count
    for key in few.keys() - {"config"}:
        assert len(json.dumps(many[key])) < len(json.dumps(few[key])) + 20 * 6_000, key
    assert many["image_count"] == (count if many["images"][0]["path"].endswith(".tif") else 1)
    assert sum(stage["blocks"] for stage in many["stages"]) == count  # one block each


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often some things are done."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        original = getattr(module, name)

        def counting(*arguments: Any) -> Any:
            counts[name] += 1
            return original(*arguments)

        monkeypatch.setattr(module, name, counting)

    count(placement.PlacedView, "level_to_output")
    count(view_table, "diagonal_scale")
    return counts


def test_equal_views_are_laid_out_once_and_the_record_is_parsed_once(
    both: list[Path], calls: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    records._parsed.cache_clear()
    assert "nothing to do" in said(both[1], capsys, "run")
    assert calls["diagonal_scale"] == 1
    assert calls["level_to_output"] == 1
    assert records._parsed.cache_info().misses == 1


OPENED: Counter[str] = Counter()


def test_a_rerun_opens_no_file_of_a_timepoint(both: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """What views say of themselves is known, what was made is compared by names and sizes."""
    counting = [True]
    sys.addaudithook(lambda event, args: OPENED.update([str(args[0])]) if event == "open" and counting else None)
    try:
        assert "nothing to do" in said(both[1], capsys, "run")
    finally:
        counting.clear()
    assert not [path for path in OPENED if path.endswith(".tif") and "lapse" in path]
    assert max((count for path, count in OPENED.items() if path.endswith("made.json")), default=0) < 20


def test_what_is_wrong_with_many_images_is_said_of_some(
    lapse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(lapse, tmp_path, 24, "fused.tif")
    for path in tmp_path.glob("fused*.tif"):
        path.write_bytes(b"II")
    text = said(tmp_path, capsys, "plan")
    assert text.count("has 2 bytes") == 20 + 20  # what a run would refuse, and what is damaged
    assert text.count("... and 4 more") == 2
