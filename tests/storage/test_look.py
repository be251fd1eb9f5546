"""A look at a store: nothing is asked twice, what is written meanwhile is seen, and it ends."""

from __future__ import annotations

from pathlib import Path

from fusestack.storage import open_store
from fusestack.storage.look import Look, forget, looking
from fusestack.storage.together import each


def test_a_look(tmp_path: Path) -> None:
    mine, theirs = (open_store(f"memory://{tmp_path.name}/{name}") for name in ("a", "a"))
    theirs.put("b/c", [b"1"])
    with looking(Look()):
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


def test_what_a_listing_says_is_not_asked_for(tmp_path: Path) -> None:
    folder = open_store(f"memory://{tmp_path.name}/c")
    folder.put("x/1", [b"1"])
    with looking(Look()):
        assert folder.entries() == ["x"]
        with looking(None):  # had it been asked for, it would be found
            folder.put("y/1", [b"2"])
            folder.put("x/2", [b"2"])
        assert folder.get("y/1") is None
        assert folder.identity("y") is None
        assert folder.entries("y") == []
        assert dict(folder.files("y")) == {}
        folder.delete_tree("y")
        folder.delete("y/1")
        assert folder.get("x/2") == b"2"  # nothing is known of it
        assert dict(folder.files("x")) == {"1": 1, "2": 1}
        with looking(None):
            folder.put("x/3", [b"3"])
        assert folder.get("x/3") is None
        folder.put("z/1", [b"3"])
        with looking(None):
            folder.put("z/1", [b"4"])
        assert folder.get("z/1") == b"3"  # as it was written
        assert folder.entries("z") == ["1"]
        assert folder.get("x/4") is None
        forget()
        assert folder.get("y/1") == b"2"
    assert folder.get("y/1") == b"2"


def test_an_empty_listing_is_one_of_all_below() -> None:
    folder = open_store("memory://nobody/d")
    with looking(Look()):
        assert folder.entries() == []
        with looking(None):
            folder.put("a/b/c", [b"1"])
        assert dict(folder.files()) == {}
        assert folder.entries("a") == []
        folder.put("a/d", [b"2"])
        assert folder.get("a/d") == b"2"
        assert folder.get("a/b/c") is None
        assert folder.entries("a") == ["b", "d"]
