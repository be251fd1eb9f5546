"""What people look at fits a screen, however large it is, and what it is named cannot harm a notebook."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.cli.main import run as command
from fusestack.model.image import Channel, Codec, ImageSpec, Level
from fusestack.model.summary import COLUMNS, LINES
from fusestack.planning.plan import Plan
from fusestack.project.model import Project
from fusestack.running.report import RunReport, StageReport
from tests.focus.stacks import config as stack_config
from tests.focus.stacks import scene
from tests.focus.stacks import write as write_slices
from tests.model.test_summary import TAGS, Tags
from tests.small import config

HOSTILE = "<img src=x onerror=alert(1)>"


def fits(shown: Any) -> str:
    """Text of something, after a look at its size and at its page."""
    text = repr(shown)
    lines = text.split("\n")
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    page = Tags(shown._repr_html_())
    assert page.open == []
    assert page.found <= TAGS
    assert len(page.text) < 6000
    return text


def many(folder: Path, count: int) -> dict[str, Any]:
    """Configuration of many tiles, which are one file at many places."""
    folder.mkdir()
    tifffile.imwrite(folder / "tile.tif", np.full((2, 16, 16), 7, np.uint16), photometric="minisblack")
    across = round(count**0.5)
    views = [
        {"path": str(folder / "tile.tif"), "translation": {"x": 14.3 * (n % across), "y": 14.1 * (n // across), "z": 0}}
        for n in range(count)
    ]
    return {
        "version": 1,
        "input": {"views": [{**view, "tile": n} for n, view in enumerate(views)]},
        "output": {"path": str(folder / "fused.ome.zarr"), "pyramid": "none"},
    }


def test_five_thousand_tiles(tmp_path: Path) -> None:
    plan = fusestack.plan(many(tmp_path / "tiles", 5_000))
    start = time.perf_counter()
    text = fits(plan)
    assert "5,000 views, uint16, full resolution" in text
    assert "1,017 x 1,003 x 2 pixels" in text
    assert "/tiles/fused.ome.zarr\n" in text
    assert plan.inputs is not None
    project = plan.inputs.project
    assert "1 timepoint x 1 channel x 1 angle x 1 illumination x 5,000 tiles" in fits(project)
    views = fits(project.views)
    assert views.startswith("5,000 views\n")
    assert "... 4,979 more" in views
    assert len(repr(project.views[7])) < COLUMNS + 20
    assert "\n" not in repr(project.views[7])
    facts = project.views[7].summary().text().split("\n")
    assert facts[-3:] == ["  x         1  0  0   100.1", "  y         0  1  0       0", "  z         0  0  1       0"]
    for short in (plan.images[0], plan.stages[0], plan.stages[0].array):
        assert len(repr(short)) < 300
        assert "\n" not in repr(short)
    fits(plan.images[0].summary())
    assert time.perf_counter() - start < 1


def test_a_plan_and_the_command_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = config(tmp_path)
    (tmp_path / "fuse.yaml").write_text(json.dumps(made))
    assert command(["plan", str(tmp_path / "fuse.yaml")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    summary = fusestack.plan(made).summary()
    said = [fact for label, fact in summary.facts if label != "input"]
    assert len(said) >= 5
    for fact in said:
        assert fact in printed
    assert [row[0] for row in summary.rows] == ["fuse", "pyramid/1"]
    for name, blocks, pixels, _ in summary.rows:
        assert f"{name} run {blocks} blocks {pixels} " in printed


def test_a_plan_of_many_stages_and_images(tmp_path: Path) -> None:
    paths = write_slices(tmp_path / "slices", scene((60, 80), 4)[0])
    plan = fusestack.plan(stack_config(paths, tmp_path, options="--fft --maskfft --blur=s2 --cutwave"))
    text = fits(plan)
    assert len(plan.stages) > 4
    assert all(f"  {name}" in text for name in [stage.name for stage in plan.stages][:3])
    import dataclasses

    wide = dataclasses.replace(plan, images=plan.images * 40, warnings=tuple(f"warning {n}" for n in range(30)))
    text = fits(wide)
    assert f"... {40 * len(plan.images) - 3} more images" in text
    assert "... 28 more warnings" in text


def test_a_run_and_its_rerun(tmp_path: Path) -> None:
    made = config(tmp_path)
    report = fusestack.run(made)
    text = fits(report)
    assert text.startswith("Run of 1 image: done\n")
    assert report.page == f"{tmp_path}/fused.ome.zarr.report.html"
    assert Path(report.page).exists()
    assert report.page in report._repr_html_()
    for stage in report.stages:
        assert f"  {stage.stage}" in text
        assert f"{stage.blocks} of {stage.blocks} blocks" in repr(stage)
    again = fits(fusestack.run(made))
    assert again.startswith("Run of 1 image: everything was already made\n")


def test_a_long_report() -> None:
    stages = tuple(
        StageReport(
            f"/out/{n}.ome.zarr", "fuse", "computed", 10, 10, 2.0, n % 2, 4_000_000, {3: "bad"}, {3: "x" * 9999}
        )
        for n in range(500)
    )
    report = RunReport(tuple(stage.image for stage in stages), stages, 1000.0, 2**30, 2**20, "/out/report.html")
    text = fits(report)
    for words in ("Run of 500 images", "... 494 more images", "2 MB/s", "1.0 GiB", "250", "16 min 40 s"):
        assert words in text
    assert len(repr(stages[0])) < COLUMNS
    assert "1 failed" in repr(stages[0])


def test_a_job(tmp_path: Path) -> None:
    job = fusestack.graph(config(tmp_path))
    page = Tags(job._repr_html_())
    assert page.found <= TAGS
    for name, count in job.stages.items():
        assert f"{name}{count}" in page.text
    assert "Job: " in page.text


def test_names_are_escaped(tmp_path: Path) -> None:
    made = config(tmp_path / HOSTILE.replace("/", ""))
    plan = fusestack.plan(made)
    job, report = fusestack.graph(plan), fusestack.run(plan)
    assert plan.inputs is not None
    view = plan.inputs.project.views[0]
    named = Project(HOSTILE, HOSTILE, (view,), (0,), {}, bounding_boxes={HOSTILE: plan.stages[0].grid.box(0)})
    for shown in (plan, plan.images[0], job, report, view, plan.inputs.project, named):
        page = Tags(shown._repr_html_())
        assert page.found <= TAGS, shown
        assert "<img" in page.text or shown in (job, plan.inputs.project)
    assert HOSTILE in repr(named)


def test_odd_names_stay_on_their_line() -> None:
    level = Level((1, 1, 1), (1, 1, 1, 8, 8), (1, 1, 1, 8, 8), None, (1, 1, 1, 8, 8))
    spec = ImageSpec(
        "a\nb\udcff", "n", "uint8", (level,), Codec(), (1, 1, 1), (0, 0, 0), None, (0,), (Channel(0, "0"),)
    )
    from fusestack.model.summary import Summary
    from fusestack.planning.overview import output_facts

    text = Summary("t", tuple(output_facts(spec))).text()
    assert "a?b?" in text
    text.encode()


def test_plans_without_anything_do_not_fail(tmp_path: Path) -> None:
    plan = fusestack.plan(config(tmp_path))
    empty = Plan("o", "w", "c", None, (), plan.resources, {}, "nothing")
    assert fits(empty).startswith("Plan of 0 images\n")
