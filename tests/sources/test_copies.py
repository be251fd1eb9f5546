"""Files that hold the same bytes, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.sources import copies as module
from fusestack.sources.copies import copies

NOISE = bytes(range(256)) * 20
CONTENTS = st.lists(
    st.sampled_from([NOISE, NOISE[1:] + b"x", NOISE[:-1], NOISE[::-1], b"few", bytes(5120)]), max_size=6
)


@given(CONTENTS)
def test_groups_are_those_of_equal_bytes(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("copies")
    paths = [str(folder / f"{number}") for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        Path(path).write_bytes(content)
    seen = [one for one in dict.fromkeys(contents) if one not in (b"few", bytes(5120))]  # the others are blank
    expected = [[p for p, c in zip(paths, contents, strict=True) if c == one] for one in seen]
    assert sorted(copies(paths)) == sorted(group for group in expected if len(group) > 1)


def test_links_missing_files_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(NOISE)
    (tmp_path / "b").symlink_to("a")
    named = [str(tmp_path / name) for name in "ab"]
    assert copies([*named, *named, str(tmp_path / "none"), "s3://bucket/a"]) == [named]


def test_what_differs_in_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pieces", lambda _: pytest.fail("is read"))
    for number in range(3):
        (tmp_path / str(number)).write_bytes(NOISE[number:])
    assert copies([str(path) for path in tmp_path.iterdir()]) == []
