"""Texts of ``fusestack init``: they load again, and so does every line that is commented out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.config.document import read_document
from fusestack.config.load import from_mapping, load_config, unsupported
from fusestack.config.template import ViewLine, project_template, stack_template, views_template

if TYPE_CHECKING:
    from pathlib import Path

    from fusestack.config.models import Config

PROJECT = project_template(
    "data/my dataset.xml",
    channels={0: "GFP", 2: "mCherry: red"},
    timepoints=range(3),
    bounding_boxes=["My Box", "second"],
    anisotropy=3.0,
)
VIEWS = views_template(
    [
        ViewLine("tile 0.tif", (0.0, 0.0, 0.0)),
        ViewLine("tile,1.tif", (0.5, 100.0, -20.25), {"series": 2, "tile": 1}),
        ViewLine("tile2.tif", commented=True),
        ViewLine("tile3.tif"),
    ],
    notes=["position (OME-XML)"],
)
TEXTS = {
    "project": PROJECT,
    "views": VIEWS,
    "pattern": stack_template("stack/*.jpg"),
    "files": stack_template(["b 1.jpg", "a.png"], output="a.tif"),
}
COMMENTED = re.compile(r"(\s*)# ( *)([a-z_]+:(?: .*)?)")


def loaded(text: str) -> Config:
    return from_mapping(read_document(text, "text")[0]).config


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_a_text_loads_from_a_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "fuse.yaml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    assert config.config.version == 1
    if config.config.input.images is None:
        assert unsupported(config) == []
    assert max(map(len, text.splitlines())) <= 130


def test_a_project() -> None:
    config = loaded(PROJECT)
    assert config.input.project == "data/my dataset.xml"
    assert config.fusion.bounding_box == "My Box"
    assert config.output.format == "ome-zarr"
    assert "3 times as long along z" in PROJECT
    assert '2 = "mCherry: red"' in PROJECT
    assert loaded(project_template("a.xml", channels={0: "0"})).fusion.bounding_box == "all_views"


def test_views() -> None:
    views = loaded(VIEWS).input.views
    assert [view.path for view in views] == ["tile 0.tif", "tile,1.tif", "tile3.tif"]
    assert views[1].translation.zyx == (0.5, 100, -20.25)
    assert (views[1].series, views[1].tile) == (2, 1)
    assert views[2].translation is None
    assert "\n  # position (OME-XML)\n" in VIEWS


def test_stacks() -> None:
    assert loaded(TEXTS["pattern"]).input.images == "stack/*.jpg"
    assert loaded(TEXTS["files"]).input.images == ("b 1.jpg", "a.png")
    assert loaded(TEXTS["files"]).focus.output.path == "a.tif"


@pytest.mark.parametrize("name", ["project", "views", "pattern"])
def test_lines_that_are_commented_out_say_the_defaults(name: str) -> None:
    text = TEXTS[name]
    switched_on = [m.expand(r"\1\2\3") if (m := COMMENTED.fullmatch(line)) else line for line in text.splitlines()]
    assert len([1 for a, b in zip(switched_on, text.splitlines(), strict=True) if a != b]) > 5
    config = loaded("\n".join(switched_on))
    # the channels of the project, and files beside the image, are examples
    same = config.model_copy(
        update={
            "input": config.input.model_copy(update={"select": loaded(text).input.select}),
            "output": config.output and config.output.model_copy(update={"pyramid": "auto"}),
            "focus": config.focus
            and config.focus.model_copy(update={"output": loaded(text).focus and loaded(text).focus.output}),
        }
    )
    assert same == loaded(text)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(name=NAMES, box=NAMES, channel=NAMES)
def test_any_name_survives(name: str, box: str, channel: str) -> None:
    config = loaded(project_template(name, channels={0: channel}, bounding_boxes=[box, name]))
    assert (config.input.project, config.fusion.bounding_box) == (name, box)
    assert loaded(views_template([ViewLine(name, (1.0, 2.0, 3.0))])).input.views[0].path == name
    assert loaded(stack_template([name, box])).input.images == (name, box)


@given(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3))
def test_any_translation_survives(zyx: tuple[float, float, float]) -> None:
    assert loaded(views_template([ViewLine("a.tif", zyx)])).input.views[0].translation.zyx == zyx
