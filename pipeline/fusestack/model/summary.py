"""What a terminal and a notebook show of an object: one screen, however much there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LINES, COLUMNS = 24, 100
_FEWEST_ROWS = 5
_CELL = 40
_MOST_CHARACTERS = 300  # of a text in a notebook, whose lines are broken


@dataclass(frozen=True, repr=False)
class Summary:
    """A title, facts and perhaps a table.

    Parameters
    ----------
    title : str
    facts : tuple of (str, str)
        Label and text; an empty label goes on with the fact before it.
    head : tuple of str
        Of the columns of the table.
    rows : tuple of tuple of str
    more : int
        Number of further rows, where a screen has room for none of them.

    Examples
    --------
    >>> Summary("Stack", (("pixels", "40 x 30"), ("", "grey")), ("slice", "file"), (("1", "a.tif"),))
    Stack
      pixels  40 x 30
              grey
      slice  file
          1  a.tif
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    more: int = 0

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()

    def text(self) -> str:
        """Plain text of at most `LINES` lines of at most `COLUMNS` characters."""
        facts, rows, left = self._kept()
        rows = [tuple(_short(cell, _CELL) for cell in row) for row in rows]
        label = max((len(name) for name, _ in facts), default=0)
        lines = [self.title, *(f"  {name:<{label}}  {said}".rstrip() for name, said in facts)]
        table = [self.head, *rows] if rows else []
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        right = _numeric(rows)
        for row in table:
            cells = zip(row, widths, right, strict=True)
            lines.append("  " + "  ".join(f"{cell:>{n}}" if r else f"{cell:<{n}}" for cell, n, r in cells).rstrip())
        lines += [f"  {left}"] if left else []
        return "\n".join(_short(_printable(line), COLUMNS) for line in lines)

    def html(self) -> str:
        """The same for a notebook, in its own colours; everything is escaped."""
        facts, rows, left = self._kept()
        parts = [f"<strong>{_cell(self.title)}</strong>"]
        if facts:
            parts.append(f"<table>{''.join(_fact(name, said) for name, said in facts)}</table>")
        if rows:
            right = _numeric(rows)
            parts += ["<table>", _row("th", self.head, right), *(_row("td", row, right) for row in rows), "</table>"]
        return f"<div>{''.join(parts)}{left}</div>"

    def _kept(self) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, ...]], str]:
        """Facts and rows that a screen has room for, and how many more rows there are."""
        count = len(self.rows) + self.more
        table = min(count, _FEWEST_ROWS) + 2 if count else 0
        most = LINES - 1 - table
        facts = list(self.facts)
        if len(facts) > most:
            facts[most - 1 :] = [("", f"... {len(facts) - most + 1:,} more")]
        most = LINES - 2 - len(facts)
        if not self.more and (not count or count <= most):
            return facts, self.rows, ""
        rows = self.rows[: most - 1]
        return facts, rows, f"... {count - len(rows):,} more"


class Shown:
    """Something with a summary, which a terminal shows as text and a notebook as a small table."""

    __slots__ = ()

    def summary(self) -> Summary:
        """What there is to say about it on one screen."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def _numeric(rows: Sequence[tuple[str, ...]]) -> list[bool]:
    """Whether each column is numbers, which stand on the right."""
    return [all(not cell or cell.lstrip("-")[:1].isdigit() for cell in column) for column in zip(*rows, strict=True)]


def _printable(text: str) -> str:
    """Names may hold line breaks, and bytes that are no text."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _short(text: str, most: int) -> str:
    """Leave out the middle of what is too long: of paths, both ends tell."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 5]} ... {text[-end:]}"


def _cell(text: str) -> str:
    from html import escape  # no part of a run, which imports this module

    return escape(_printable(_short(text, _MOST_CHARACTERS)))


def _fact(name: str, said: str) -> str:
    return f'<tr><th style="text-align:left">{_cell(name)}</th><td style="text-align:left">{_cell(said)}</td></tr>'


def _row(tag: str, cells: Sequence[str], right: Sequence[bool]) -> str:
    sides = ["right" if one else "left" for one in right]
    shown = (f'<{tag} style="text-align:{side}">{_cell(cell)}</{tag}>' for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(shown)}</tr>"
