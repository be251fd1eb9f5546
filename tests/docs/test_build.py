"""The site, built as `make docs` builds it but with small pictures of simulated data: warnings are errors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("_build", "made", "__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "pipeline"), "FUSESTACK_GALLERY_PIXELS": "64"}
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(folder / "docs"), str(folder / "html")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in pages():
        if page.is_relative_to(ROOT / "docs"):
            assert (site / "html" / page.relative_to(ROOT / "docs")).with_suffix(".html").exists(), page
    for name in ("configuration", "operators", "commands", "python", "performance", "gallery"):
        assert (site / "html" / "made" / f"{name}.html").stat().st_size > 10_000, name


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    """Also those that Sphinx does not check: places within pages, pictures, styles."""
    html = site / "html"
    texts = {path: path.read_text() for path in html.rglob("*.html")}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    seen = 0
    for path, text in texts.items():
        body = text.partition("<main")[2].partition("</main>")[0]
        for link in re.findall(r'(?:href|src)="([^"]+)"', body):
            if "://" in link or link.startswith(("mailto:", "data:")):
                continue
            target, _, place = link.partition("#")
            there = (path.parent / target.partition("?")[0]).resolve() if target else path
            assert there.exists(), f"{path.relative_to(html)}: {link}"
            assert not place or place in ids[there], f"{path.relative_to(html)}: {link}"
            seen += 1
    assert seen > 500


def test_links_to_sections_of_the_reference_lead_to_the_pages_that_are_made(site: Path) -> None:
    page = (site / "html" / "how-to" / "focus.html").read_text()
    assert 'href="../made/performance.html#how-close-focus-stacking-comes-to-the-truth"' in page
    assert 'href="../made/configuration.html"' in (site / "html" / "reference" / "index.html").read_text()


def test_links_that_lead_elsewhere_are_listed(site: Path) -> None:
    listed = (site / "html" / "external-links.txt").read_text().splitlines()
    assert all("://" in link for link in listed)
    assert listed == sorted(set(listed))
    assert "http://127.0.0.1:8787/status" in listed, "deploy/local.md has it"


def test_nothing_comes_from_the_network(site: Path) -> None:
    """Scripts, styles, fonts and pictures lie beside the pages."""
    for path in (site / "html").rglob("*.html"):
        for found in re.findall(r'<(?:script|img)[^>]*\bsrc="([^"]+)"|<link[^>]*\bhref="([^"]+)"', path.read_text()):
            assert "://" not in "".join(found), (path.name, found)


def test_pictures_of_the_gallery_are_kept(site: Path) -> None:
    """A second build makes none of them again: its pages are the same."""
    sys.path.insert(0, str(ROOT / "docs"))
    import gallery

    before = {path.name: path.stat().st_mtime_ns for path in (site / "docs" / "made" / "gallery").iterdir()}
    assert len(before) > 75
    page = gallery.make(site / "docs" / "made" / "gallery", 64) if not gallery.DATA.exists() else ""
    after = {path.name: path.stat().st_mtime_ns for path in (site / "docs" / "made" / "gallery").iterdir()}
    assert before == after
    assert not page or page == (site / "docs" / "made" / "gallery.md").read_text()
