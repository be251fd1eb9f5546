"""Long configurations are taken apart by libyaml, with the same outcome."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fusestack.config import libyaml
from fusestack.config.document import read_document
from fusestack.model.errors import ConfigError


def both(text: str) -> list[Any]:
    """What is read of a text in the slow way and in the quick one, or what is refused."""
    found: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        for shortest in (10**9, 0):
            patch.setattr(libyaml, "LONG", shortest)
            try:
                found.append(read_document(text, "fuse.yaml"))
            except ConfigError as error:
                found.append(error.problems)
    return found


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS, st.sampled_from(["no", "1e-3", "0o17"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(WORDS, VALUES, min_size=1, max_size=4), st.booleans())
def test_what_is_written_is_read_alike(data: dict[str, Any], flow: bool) -> None:
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style = flow
    yaml.dump(data, text)
    slow, quick = both(text.getvalue())
    assert quick == slow


@pytest.mark.parametrize(
    "text",
    [
        "a: no\nb: yes\nc: ~\nd:\ne: 0o17\nf: 017\ng: 12:30:00\nh: 1e-3\ni: .inf\nj: 2001-12-14\nk: 1_000\nl: <<\n",
        "a: &x [1, 2]\nb: *x\n",
        "a: &x {b: *x}\n",
        "a: &id001\n  x: 1\nb: *id001\nc: *id001\n",
        "a: *x\nb: &x 1\n",
        "a: &x\nb: *x\n",
        "a: &x-y 1\nb: *x-y\n",
        "a: &x\n- *x\n",
        "&x a: 1\nb: *x\n",
        "a: b & c\nd: x&y z\ne: 'f &g h'\nf: &\n",
        "a: &x [1]\n? *x\n: 1\n",
        "a: &tümör 1\nb: *tümör\n",
        "{a: 1, 'b': [x, y], \"c\":1, d:1}",
        "a: |\n  two\n  lines\nb: >\n  folded\n  text\n",
        'a: "C:\\temp"\n',
        "a: 1\na: 2\n",
        "a: !!str 1\nb: !!int '2'\n",
        "a: !other 1\n",
        "[!!str, x]\n",
        "{x: !!float, y: 1}\n",
        "&a: 1\n",
        "? [a]\n: 1\n",
        "%YAML 1.1\n---\na: no\n",
        "a: 1\n---\nb: 2\n",
        "a:\tb\n",
        "a: b\u2028c\n",
        "\ufeffa: 1\n",
        "a: [1, 2\n",
        "a: 'x\n",
        "# é 試料 🧪\npfad: tümör 🧪.tif  # there\n",
        "- 1\n",
        "",
        "x",
        "<<: {a: 1}\nb: 2\n",
        "a: 0x1F\nb: 1.5e+3\nc: -.INF\nd: .NaN1\ne: True\nf: 'true'\n",
    ],
)
def test_odd_texts_are_read_or_refused_alike(text: str) -> None:
    slow, quick = both(text)
    assert quick == slow


def test_thousands_of_views_take_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    views = "\n".join(
        f"  - {{path: t{n:04}.tif, timepoint: {n}, voxel_size: {{x: 1, y: 1, z: 2.5}}}}" for n in range(999)
    )
    monkeypatch.setattr(YAML, "compose", lambda *_: pytest.fail("the slow way"))
    data, places = read_document(f"version: 1\ninput:\n  views:\n{views}\n", "fuse.yaml")
    assert data["input"]["views"][998] == {
        "path": "t0998.tif",
        "timepoint": 998,
        "voxel_size": {"x": 1, "y": 1, "z": 2.5},
    }
    assert places.where(("input", "views", 998, "timepoint")) == "fuse.yaml:1002:34"


def test_values_that_programs_write_once_and_name_are_no_slow_text() -> None:
    """What `yaml.safe_dump` makes of 3,000 views with the same voxel size."""
    shared = "".join(f"- path: t{number}.tif\n  voxel_size: *id001\n" for number in range(9))
    text = f"a: &id001\n  x: 1\nviews:\n{shared}"
    assert libyaml.compose(text, YAML(typ="safe", pure=True)) is not None
