"""Files that hold the same bytes, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.sources import copies as module
from fusestack.sources.copies import copies

CONTENTS = st.lists(st.sampled_from([b"", b"a", b"b", b"a" * 30, b"a" * 14 + b"b" + b"a" * 15, b"c" * 29]), max_size=6)


@given(CONTENTS)
def test_groups_are_those_of_equal_bytes(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("copies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", 4)
        paths = [str(folder / f"{number}") for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            Path(path).write_bytes(content)
        expected = [[p for p, c in zip(paths, contents, strict=True) if c == one] for one in dict.fromkeys(contents)]
        assert sorted(copies(paths)) == sorted(group for group in expected if len(group) > 1)


def test_links_missing_files_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 9)
    (tmp_path / "b").symlink_to("a")
    named = [str(tmp_path / name) for name in "ab"]
    assert copies([*named, *named, str(tmp_path / "none"), "s3://bucket/a"]) == [named]


def test_what_differs_in_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pieces", lambda _: pytest.fail("is read"))
    for number in range(3):
        (tmp_path / str(number)).write_bytes(b"x" * number)
    assert copies([str(path) for path in tmp_path.iterdir()]) == []
