from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fusestack.model.errors import InputError, OutputError
from fusestack.project import document
from fusestack.project.document import read_tree, write_tree
from fusestack.project.xml import read_project

from .example import EXAMPLE, write

LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
HOSTILE = {
    "billion laughs": f'<!DOCTYPE SpimData [<!ENTITY l0 "ha">{LAUGHS}]><SpimData>&l11;</SpimData>',
    "quadratic": f'<!DOCTYPE SpimData [<!ENTITY a "{"x" * 100_000}">]><SpimData>{"&a;" * 10_000}</SpimData>',
    "file": '<!DOCTYPE SpimData [<!ENTITY a SYSTEM "file:///etc/passwd">]><SpimData>&a;</SpimData>',
    "external DTD": '<!DOCTYPE SpimData SYSTEM "http://127.0.0.1:{port}/x.dtd"><SpimData/>',
    "external entity": '<!DOCTYPE s [<!ENTITY a SYSTEM "http://127.0.0.1:{port}/x">]><SpimData>&a;</SpimData>',
    "parameter entity": '<!DOCTYPE s [<!ENTITY % a SYSTEM "http://127.0.0.1:{port}/x"> %a;]><SpimData/>',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_documents_are_refused_and_fetch_nothing(tmp_path: Path, kind: str) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        path = write(tmp_path, text=HOSTILE[kind].replace("{port}", str(server.server_port)))
        with pytest.raises(InputError, match="declares a document type or entities") as caught:
            read_project(path)
        server.shutdown()
        thread.join()
    assert str(path) in str(caught.value)
    assert asked == []


def test_nesting_without_end(tmp_path: Path) -> None:
    path = write(tmp_path, text="<SpimData>" + "<a>" * 50_000 + "</a>" * 50_000 + "</SpimData>")
    with pytest.raises(InputError, match="no ViewSetup"):
        read_project(path)


def test_a_file_cut_anywhere_is_an_input_error(tmp_path: Path) -> None:
    content = EXAMPLE.strip().encode()
    path = tmp_path / "dataset.xml"
    for length in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="is not XML or is cut short") as caught:
            read_project(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89HDF\r\n\x1a\n" + bytes(200),
        b"<?xml version='1.0' encoding='no-such-code'?><SpimData/>",
        b"<?xml version='1.0' encoding='utf-7'?><SpimData/>",
        b"<SpimData>\xff\xfe</SpimData>",
        b"<SpimData>&undefined;</SpimData>",
        b"version: 1\n",
    ],
)
def test_what_is_no_xml_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dataset.xml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not XML or is cut short"):
        read_project(path)


def test_other_encodings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dataset.xml"
    path.write_bytes(EXAMPLE.replace("UTF-8", "UTF-16").replace("tile A", "Kachel Ä").encode("utf-16"))
    assert read_project(path).views[0].name == "Kachel Ä"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.xml: no such file"):
        read_tree(tmp_path / "none.xml")
    with pytest.raises(InputError, match="cannot be read"):
        read_tree(tmp_path)


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="bytes are too many for a project"):
        read_tree(write(tmp_path))


def test_unknown_elements_and_comments_survive(tmp_path: Path) -> None:
    extra = (
        "<!-- note --><Foo bar='1&amp;2'>α &lt; β<Deep><x/>tail</Deep></Foo>"
        "<PointSpreadFunctions><BoundingBoxDefinition timepoint='0' setup='0'><File>a.tif</File>"
        "</BoundingBoxDefinition></PointSpreadFunctions>"
    )
    path = write(tmp_path, ("<PointSpreadFunctions/>", extra), ("<SequenceDescription>", "<SequenceDescription><Odd/>"))
    copy = tmp_path / "copy.xml"
    write_tree(read_tree(path), copy)

    def canonical(file: Path) -> str:
        return ElementTree.canonicalize(from_file=file, with_comments=True)

    assert canonical(copy) == canonical(path)
    assert "note" in canonical(copy)
    assert read_project(copy).views == read_project(path).views


def test_comments_before_the_root_and_in_lists_do_no_harm(tmp_path: Path) -> None:
    text = EXAMPLE.replace("<SpimData ", "<!-- made by hand --><SpimData ").replace(
        '<Attributes name="channel">', '<Attributes name="channel"><!-- red -->'
    )
    assert len(read_project(write(tmp_path, text=text)).views) == 2


def tree_of(text: str) -> ElementTree.ElementTree[ElementTree.Element]:
    return ElementTree.ElementTree(ElementTree.fromstring(text))


def test_write_keeps_five_backups_and_skips_what_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.xml"
    for number in [0, 0, 1, 2, 3, 4, 5, 6, 6]:
        write_tree(tree_of(f"<a>{number}</a>"), path)
    texts = {file.name: read_tree(file).getroot().text for file in path.parent.iterdir()}
    assert texts == {"x.xml": "6", "x.xml~1": "5", "x.xml~2": "4", "x.xml~3": "3", "x.xml~4": "2", "x.xml~5": "1"}


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.xml"
    write_tree(tree_of("<a>old</a>"), path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"x\.xml: the project cannot be written \(No space left"):
        write_tree(tree_of("<a>new</a>"), path)
    assert [file.name for file in tmp_path.iterdir()] == ["x.xml"]
    assert read_tree(path).getroot().text == "old"


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_tree(tree_of("<a/>"), tmp_path / "file" / "x.xml")
