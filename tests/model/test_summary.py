"""Summaries fit a screen, whatever they are made of, and notebooks are given nothing but text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fusestack.model.geometry import Affine
from fusestack.model.summary import COLUMNS, LINES, Shown, Summary

TAGS = {"div", "strong", "table", "tr", "th", "td"}
texts = st.text(max_size=400)


class Tags(HTMLParser):
    """Tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.found.add(tag)
        self.attributes |= set(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@given(
    texts,
    st.lists(st.tuples(texts, texts), max_size=60),
    st.lists(st.tuples(texts, texts, texts), max_size=60),
    st.integers(0, 5),
)
@example("t", [("fact", "")] * 23, [], 0)  # as many as a screen holds without a table
@example("t", [("fact", "")] * 40, [], 0)
@example("t", [], [("a", "b", "c")] * 22, 3)
@example("t", [("fact", "")] * 40, [], 3)
def test_any_summary_fits_and_is_escaped(
    title: str, facts: list[tuple[str, str]], rows: list[tuple[str, str, str]], more: int
) -> None:
    summary = Summary(title, tuple(facts), ("a", "b", "c"), tuple(rows), more)
    lines = summary.text().split("\n")
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS
    assert all(line.isprintable() for line in lines)
    page = Tags(summary.html())
    assert page.open == []
    assert page.found <= TAGS
    assert page.attributes <= {("style", "text-align:left"), ("style", "text-align:right")}, (
        "colours are the notebook's"
    )


def test_what_is_left_out_is_counted() -> None:
    rows = tuple((str(n), "x") for n in range(30))
    text = Summary("t", tuple(("fact", str(n)) for n in range(40)), ("n", "x"), rows, more=1000).text()
    lines = text.split("\n")
    assert len(lines) == LINES
    facts = [line for line in lines if line.startswith("  fact")]
    assert f"... {40 - len(facts)} more" in text
    shown = [line for line in lines if line.endswith("  x") and line.strip()[0].isdigit()]
    assert len(shown) >= 5
    assert f"... {1030 - len(shown):,} more" in text


def test_nothing_is_left_out_where_there_is_room() -> None:
    rows = tuple((str(n), "x") for n in range(LINES - 2))
    text = Summary("t", (), ("n", "x"), rows).text()
    assert "more" not in text
    assert len(text.split("\n")) == LINES


def test_long_texts_keep_both_ends() -> None:
    text = Summary("t", (("output", "/first/" + "a" * 300 + "/last.ome.zarr"),)).text()
    assert "/first/" in text
    assert text.endswith("/last.ome.zarr")
    assert " ... " in text


def test_names_are_no_html() -> None:
    bad = "<script>alert('1')</script>\"&"
    page = Summary(bad, ((bad, bad),), (bad,), ((bad,),)).html()
    assert "<script" not in page
    assert Tags(page).text == bad * 5


def test_something_shown_says_its_summary() -> None:
    with pytest.raises(NotImplementedError):
        Shown().summary()

    class Thing(Shown):
        def summary(self) -> Summary:
            return Summary("a thing")

    assert repr(Thing()) == "a thing"
    assert Thing()._repr_html_() == "<div><strong>a thing</strong></div>"


def test_affines_name_their_order_and_fit() -> None:
    moved = Affine.translation((5, 6, 7.25))
    assert repr(moved) == "Affine.from_xyz([1, 0, 0, 7.25, 0, 1, 0, 6, 0, 0, 1, 5])"
    assert eval(repr(moved)) == moved
    turned = Affine.from_xyz([-1.23456789e-5 * n for n in range(1, 13)])
    lines = repr(turned).split("\n")
    assert len(lines) == 4
    assert turned.summary().rows[2] == ("z", "-0.000111111", "-0.000123457", "-0.000135802", "-0.000148148")
    assert turned._repr_html_().count("<tr>") == 4
    assert max(map(len, lines)) <= COLUMNS
    assert eval(repr(turned)).to_xyz() == pytest.approx(turned.to_xyz(), rel=1e-5)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5))
def test_facts_and_rows_are_shown_or_counted(facts: int, rows: int, more: int) -> None:
    text = Summary("t", (("fact", "x"),) * facts, ("n",), (("row",),) * rows, more).text()
    said = [int(line.split()[-2]) for line in text.split("\n") if line.endswith(" more")]
    shown = text.count("fact"), text.count("row")
    assert sum(said) + sum(shown) == facts + rows + more
