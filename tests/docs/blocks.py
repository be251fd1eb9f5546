"""Blocks of README and documentation: commands, YAML and Python, in the order of the page.

What stands in a comment before a block says how it is tried::

    <!-- not run: why -->       its commands are only parsed, its Python only compiled
    <!-- given: name -->        Python to which tests give a name
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"(?:^<!-- (?P<how>not run|given): (?P<what>[^\n]*?) -->\n)?"
    r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
TRIED = {"sh", "yaml", "python"}
SHOWN = {"text"}
"""Kinds of blocks that show something and ask for nothing."""


@dataclass(frozen=True)
class Block:
    """A block of a page, and how it is tried."""

    page: str
    line: int
    kind: str
    text: str
    not_run: str = ""
    given: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README, every page that somebody wrote, and those of `deploy`, which are part of the site."""
    docs = ROOT / "docs"
    written = [path for path in docs.rglob("*.md") if not {"made", "_build"} & set(path.relative_to(docs).parts)]
    return [ROOT / "README.md", *sorted(written), *sorted((ROOT / "deploy").rglob("*.md"))]


def blocks(path: Path) -> list[Block]:
    """All blocks of a page."""
    text = path.read_text()
    found = []
    for match in FENCE.finditer(text):
        how = {match["how"].replace(" ", "_"): match["what"]} if match["how"] else {}
        indent = len(match["indent"])
        lines = "".join(line[indent:] for line in match["text"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start("kind")) + 1
        found.append(Block(str(path.relative_to(ROOT)), line, match["kind"], lines, **how))
    return found


def commands(text: str) -> list[str]:
    """Command lines of a block, without comments; a backslash joins lines."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines) if line]
