"""Configuration files whose settings are exchanged: comments, order and all other lines stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fusestack.config.document import read_document
from fusestack.config.rewriting import rewritten
from fusestack.focus.option_sets import SETTINGS
from fusestack.model.errors import ConfigError

CASES = [
    (  # what editors know the schema by
        "# yaml-language-server: $schema=file:///a/schema.json\n# A\nversion: 1\nfocus:\n  options: --fft\n",
        {"options": "--sob"},
        "# yaml-language-server: $schema=file:///a/schema.json\n# A\nversion: 1\nfocus:\n  options: --sob\n",
    ),
    (
        'focus:\n  # a\n  options: "--fft"   # b\n  # c\n  output: {path: x.tif}\nother:\n      deep: 1\n',
        {"options": "--sob"},
        'focus:\n  # a\n  options: "--sob"   # b\n  # c\n  output: {path: x.tif}\nother:\n      deep: 1\n',
    ),
    (
        'focus:\n  # a\n  options: "--fft"   # b\n  # c\n  output: {path: x.tif}\n',
        {"multiscale": {"levels": 4}, "method": "multiscale"},
        "focus:\n  # a\n  multiscale: {levels: 4}  # b\n  method: multiscale\n  # c\n  output: {path: x.tif}\n",
    ),
    (
        "focus:\n  masks:\n  - blur: {sigma: 1}   # fine\n  # cuts\n  cut:\n  - wave:\n      percent: 20  # x\n",
        {"masks": [{"blur": {"sigma": 1}}], "cut": [{"wave": {"percent": 70}}]},
        "focus:\n  masks:\n  - blur: {sigma: 1}   # fine\n  # cuts\n  cut:\n  - wave:\n      percent: 70  # x\n",
    ),
    (
        "focus:\n  masks:\n    # one\n    - fft\n    # two\n    - blur\n\n  # out\n  output: {path: x}\n\n# z\nz: 1\n",
        {"options": "--fft, #x: y"},
        'focus:\n  options: "--fft, #x: y"\n\n  # out\n  output: {path: x}\n\n# z\nz: 1\n',
    ),
    ("version: 1\n# end\n", {"options": "--fft"}, 'version: 1\n# end\nfocus:\n  options: "--fft"\n'),
    ("focus:\nversion: 1\n", {"method": "masks"}, "focus:\n  method: masks\nversion: 1\n"),
    ("focus:\n  output: {path: x}\n", {"method": "masks"}, "focus:\n  method: masks\n  output: {path: x}\n"),
    (
        "focus: {options: --fft, output: {path: x}}\nz:\n     y: 1\n",
        {"options": "--blur"},
        "focus: {options: --blur, output: {path: x}}\nz:\n     y: 1\n",
    ),
]


@pytest.mark.parametrize(("before", "settings", "after"), CASES)
def test_other_lines_stay(before: str, settings: dict[str, Any], after: str) -> None:
    found = rewritten(before, "a.yaml", "focus", SETTINGS, settings)
    assert found == after
    assert rewritten(found, "a.yaml", "focus", SETTINGS, settings) == found
    focus = read_document(found, "a.yaml")[0]["focus"]
    assert {key: one for key, one in focus.items() if key in SETTINGS} == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: &a {options: x}\nfocus: *a\n", "shared by an anchor"),
        ("base: &a {options: x}\nfocus:\n  <<: *a\n  method: masks\n", "shared by an anchor or a merge key"),
        ("focus: 3\n", "focus is no mapping"),
    ],
)
def test_what_cannot_be_kept_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rewritten(text, "a.yaml", "focus", SETTINGS, {"method": "masks"})


def test_line_ends_of_windows_stay() -> None:
    before = "version: 1  # of mine\r\nfocus:\r\n  method: masks\r\n"
    after = rewritten(before, "a.yaml", "focus", ["method"], {"method": "multiscale"})
    assert after == "version: 1  # of mine\r\nfocus:\r\n  method: multiscale\r\n"


@pytest.mark.parametrize("indent", [None, 2])
def test_json_stays_json(indent: int | None) -> None:
    before = {"version": 1, "focus": {"method": "masks", "axis": "z"}}
    text = json.dumps(before, indent=indent)
    after = rewritten(text, "a.json", "focus", ["method", "multiscale"], {"multiscale": {"levels": 3}})
    assert json.loads(after) == {"version": 1, "focus": {"axis": "z", "multiscale": {"levels": 3}}}
    assert ("\n" in after) == (indent is not None)
