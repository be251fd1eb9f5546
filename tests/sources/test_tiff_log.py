"""tifffile's log of files that we read is kept to those who have set logging up."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.model.errors import InputError

LOGGER = logging.getLogger("tifffile")


class Heard(logging.Handler):
    """What would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def path(tmp_path: Path) -> str:
    """An OME-TIFF that says more planes than it holds."""
    file = tmp_path / "a.ome.tif"
    tifffile.imwrite(file, np.zeros((4, 20, 30), np.uint16), ome=True, metadata={"axes": "ZYX"})
    file.write_bytes(file.read_bytes().replace(b'SizeZ="4"', b'SizeZ="9"'))
    return str(file)


def last_resort(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """Where Python prints what nobody handles, nor pytest."""
    heard = Heard()
    monkeypatch.setattr(logging, "lastResort", heard)
    monkeypatch.setattr(LOGGER, "propagate", False)
    monkeypatch.setattr(LOGGER, "handlers", [])
    return heard


@pytest.mark.parametrize("read", [lambda path: fusestack.fuse([path]), fusestack.focus_stack])
def test_nobody_sees_the_log_of_what_we_refuse(path: str, read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    last = last_resort(monkeypatch)
    assert callable(read)
    with pytest.raises(InputError, match="names no place for some of its planes"):
        read(path)
    assert last.lines == []


def test_who_reads_a_file_themselves_does(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    last = last_resort(monkeypatch)
    with pytest.raises(InputError):
        fusestack.fuse([path])
    tifffile.imread(path)
    assert "missing 5 frames" in last.lines[0]


def test_who_has_set_logging_up_does(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    last, heard = last_resort(monkeypatch), Heard()
    LOGGER.addHandler(heard)
    with pytest.raises(InputError):
        fusestack.fuse([path])
    assert "missing 5 frames" in heard.lines[0]
    assert last.lines == []
