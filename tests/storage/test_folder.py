"""Folders that several processes write and sweep at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusestack.storage import open_folder


def test_a_folder_that_comes_back_while_it_is_deleted_is_deleted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    is_dir, looks = Path.is_dir, []

    def gone_for_a_moment(self: Path, **more: Any) -> bool:
        """A task of another graph makes the scratch folder anew just after somebody has looked."""
        found = is_dir(self, **more)
        if self.name == "scratch":
            looks.append(found)
            if len(looks) == 1:
                return False
        return found

    monkeypatch.setattr(Path, "is_dir", gone_for_a_moment)
    open_folder(str(tmp_path)).delete_tree("scratch")
    assert not (tmp_path / "scratch").exists()
    assert len(looks) > 1
    open_folder(str(tmp_path)).delete_tree("scratch")


def test_links_are_deleted_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "thesis.txt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    open_folder(str(tmp_path)).delete_tree("link")
    assert (tmp_path / "kept" / "thesis.txt").exists()
    assert not (tmp_path / "link").is_symlink()
