"""Temporary folders of processes that were killed are swept; nothing else is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fusestack.running.lock import output_lock
from fusestack.running.temporary import temporary_folder


def test_what_a_killed_process_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("fusestack-killed", "fusestack-alive", "fusestack-thesis", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image").write_text("pixels")
    for name in ("fusestack-killed", "fusestack-alive", "other"):
        (tmp_path / name / "lock").touch()
    (tmp_path / "fusestack-link").symlink_to(tmp_path / "other")
    with output_lock(tmp_path / "fusestack-alive" / "lock", "x"), temporary_folder() as folder:
        left = {path.name for path in tmp_path.iterdir()}
        with temporary_folder():
            assert Path(folder).is_dir()
    assert left == {"fusestack-alive", "fusestack-thesis", "other", "fusestack-link", Path(folder).name}
    assert not Path(folder).exists()
    assert (tmp_path / "other" / "image").exists()
