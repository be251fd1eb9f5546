"""A look at a store: nothing is asked twice, what is written meanwhile is seen, and it ends."""

from __future__ import annotations

from pathlib import Path

from fusestack.storage import open_store
from fusestack.storage.look import looking
from fusestack.storage.together import each


def test_a_look(tmp_path: Path) -> None:
    mine, theirs = (open_store(f"memory://{tmp_path.name}/{name}") for name in ("a", "a"))
    theirs.put("b/c", [b"1"])
    with looking({}):
        assert mine.get("b/c") == b"1"
        assert mine.get("b/d") is None
        assert mine.entries("b") == ["c"]
        assert dict(mine.files()) == {"b/c": 1}
        with looking(None):  # somebody else
            theirs.put("b/c", [b"22"])
            theirs.put("b/d", [b"4"])
        assert mine.get("b/c") == b"1"
        assert mine.get("b/d") is None
        mine.put("b/e", [b"333"])
        assert mine.entries("b") == ["c", "d", "e"]
        assert dict(mine.files()) == {"b/c": 2, "b/d": 1, "b/e": 3}
        each(mine.delete, ["b/e", "b/d"], far=True)
        assert mine.entries("b") == ["c"]
        mine.delete_tree("b")
        assert mine.get("b/c") is None
        assert mine.identity("b/c") is None
    theirs.put("b/c", [b"1"])
    assert mine.get("b/c") == b"1"
