"""The house: which floor a module stands on, and that imports go downwards only (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pipeline" / "fusestack"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("kernels", "model", "storage"),
    ("project", "sources", "writers", "operators", "taskgraph", "simulate"),
    ("config",),
    ("planning",),
    ("fusion", "focus"),
    ("planner",),
    ("running",),
    ("", "__main__", "api", "cli", "display", "demo"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Value types of one floor that its other rooms mention; each with its reason.
SAME_FLOOR = {
    ("api", "display"),  # the report of a run
    ("__main__", "cli"),
    ("cli", "api"),
    ("cli", "demo"),
    ("cli", "display"),
    ("cli", ""),  # the version
    ("demo", "api"),
    ("", "api"),  # the public names, on first use
}
MOST_LINES = 400


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(dotted: str) -> str:
    """``fusestack.fusion.frame`` -> ``fusion``."""
    return [*dotted.split("."), ""][1]


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, also inside functions, not those for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [alias.name for alias in node.names]
            yield from ([f"fusestack.{n}" for n in names] if node.module == "fusestack" else [node.module or ""])
        else:
            yield from imports(node)


def strings(tree: ast.AST) -> Iterator[str]:
    """Modules that are named by strings: ``"fusestack.sources.tiff:TiffSource"``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("fusestack."):
            yield node.value.partition(":")[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    own = "" if relative.name == "__init__.py" and len(relative.parts) == 1 else relative.parts[0].removesuffix(".py")
    assert own in FLOOR, f"{own} stands on no floor: add it to FLOORS and to ARCHITECTURE.md"
    tree = ast.parse(path.read_text())
    for name in imports(tree):
        if name.split(".")[0] != "fusestack":
            continue
        other = room(name)
        if other not in FLOOR:
            other = ""  # an attribute of the package itself
        below = FLOOR[other] < FLOOR[own] or FLOOR[own] == 0  # stones lean on one another
        assert other == own or below or (own, other) in SAME_FLOOR, f"{relative} ({own}) imports {name} ({other})"


def test_kernels_know_nothing_but_kernels() -> None:
    for path in modules():
        if path.relative_to(PACKAGE).parts[0] == "kernels":
            ours = {name for name in imports(ast.parse(path.read_text())) if name.startswith("fusestack")}
            assert all(room(name) == "kernels" for name in ours), path


def test_modules_named_by_strings_exist() -> None:
    named = {name for path in modules() for name in strings(ast.parse(path.read_text())) if " " not in name}
    assert "fusestack.writers.ome_zarr" in named
    for name in named:
        if "{" in name or name.endswith("."):
            continue
        place = PACKAGE.joinpath(*name.split(".")[1:])
        assert place.with_suffix(".py").exists() or (place / "__init__.py").exists(), name


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
    assert ast.get_docstring(ast.parse(path.read_text())), "a module says what it is for"


def test_the_page_names_every_room() -> None:
    page = (PACKAGE.parents[1] / "ARCHITECTURE.md").read_text()
    assert [name for name in FLOOR if name and f"`{name}" not in page] == []
