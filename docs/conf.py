"""Sphinx configuration of the documentation: `make docs` builds it, offline, and takes warnings for errors."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "pipeline")]

import fusestack  # noqa: E402
import gallery  # noqa: E402
import made_pages  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
MADE = HERE / "made"  # pages and pictures that the build writes; not in git, and no link of another page leads there

project = "fusestack"
author = "the authors of fusestack"
release = version = fusestack.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",  # its role autolink
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
default_role = "autolink"  # `name` of docstrings: a link where there is such a name, else as it stands
nitpicky = True
nitpick_ignore_regex = [("py:obj", r"(?!fusestack\.\w+$).*")]  # names that are no part of what is public
smartquotes = False  # -- begins options
autodoc_typehints = "none"  # numpydoc's sections say them in words
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "fusestack"
html_static_path = ["_static"]
html_css_files = ["fusestack.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
project_copyright = "the authors of fusestack, BSD-3-Clause"
html_sidebars = {page: [] for page in ("made/gallery", "install", "troubleshooting", "compare", "migrate")}
linkcheck_timeout = 20
linkcheck_ignore = [r"http://127\.0\.0\.1"]  # a dashboard of the reader


def _make(app: Sphinx) -> None:
    """Write what is made from the program before Sphinx looks for sources."""
    for name, text in made_pages.pages().items():
        made_pages.write(MADE / name, text)
    pixels = int(os.environ.get("FUSESTACK_GALLERY_PIXELS", gallery.PIXELS))
    made_pages.write(MADE / "gallery.md", gallery.make(MADE / "gallery", pixels))


def _lead_to_made(app: Sphinx, name: str, source: list[str]) -> None:
    """In the site, links to a section of the reference lead to the page that it names, and to a place in that.

    In the sources they are ``reference/index.md#page/place``: where nothing is built, that page says what to do.
    """
    source[0] = re.sub(r"(\]\([./]*)reference/index\.md#(\w+)(?:/([\w-]+))?\)", _to_made, source[0])


def _to_made(link: re.Match[str]) -> str:
    return f"{link[1]}made/{link[2]}.md{'#' + link[3] if link[3] else ''})"


def _list_external(app: Sphinx, exception: Exception | None) -> None:
    """`external-links.txt` beside the pages; `make docs-links` asks for each of them."""
    if exception is None and app.builder.name == "html":
        found: set[str] = set()
        for page in Path(app.outdir).rglob("*.html"):
            main = page.read_text(encoding="utf-8").partition("<main")[2]
            found |= set(re.findall(r'href="(https?://[^"]+)"', main))
        text = "".join(f"{link}\n" for link in sorted(found))
        (Path(app.outdir) / "external-links.txt").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect what the build makes."""
    app.connect("builder-inited", _make)
    app.connect("source-read", _lead_to_made)
    app.connect("build-finished", _list_external)
