"""XML documents: read without trusting them, written so that nobody ever sees half a file."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from fusestack.model.errors import InputError, OutputError
from fusestack.storage import open_file
from fusestack.storage.moving import take_place

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 512 * 2**20
"""Largest project file that is read; parsed, it takes about ten times as much memory."""

BACKUPS = 5
"""Earlier versions that are kept beside a file, ``~1`` being the youngest (BigStitcher's ``XmlIoSpimData2``)."""

_GIVE = "give the XML file of a BigDataViewer or BigStitcher project"


def read_tree(path: str | Path) -> ElementTree.ElementTree[Element]:
    """Read an XML file, with comments and elements of any name; a hostile one cannot do harm.

    Parameters
    ----------
    path : str or Path
        Local file or address.

    Raises
    ------
    InputError
        If the file is missing, unreadable, too large, not XML, cut short, or declares a document type or entities
        (they can fetch other files or fill the memory, and no project needs them).
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    try:
        with open_file(str(path)) as file:
            size = file.seek(0, 2)
            if size > MAX_BYTES:
                raise InputError(f"{path}: {size:,} bytes are too many for a project (at most {MAX_BYTES:,}); {_GIVE}")
            file.seek(0)
            parser = DefusedXMLParser(forbid_dtd=True, target=ElementTree.TreeBuilder(insert_comments=True))
            return ElementTree.parse(file, parser)
    except DefusedXmlException as error:
        raise InputError(
            f"{path}: declares a document type or entities, which may be an attack and which no project needs; "
            "remove the <!DOCTYPE ...> part of the file if you trust it"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {_GIVE}") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path}: is not XML or is cut short ({error}); {_GIVE}, or restore its backup ~1") from error


def write_tree(tree: ElementTree.ElementTree[Element], path: str | Path) -> None:
    """Write an XML file in one step; an earlier version with other content becomes the backup ``~1``.

    Missing folders are made. Same tree, same bytes; a file that has these bytes already is left alone.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_document(bytes_of(tree), path)


def write_document(content: bytes, path: str | Path) -> None:
    """Write a file as `write_tree` does.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = Path(path).absolute()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.is_file() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                _keep_backup(target)
            take_place(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: the project cannot be written ({reason}); choose another output.project") from error


def bytes_of(tree: ElementTree.ElementTree[Element]) -> bytes:
    """Content of the file of a tree."""
    text: bytes = ElementTree.tostring(tree.getroot(), encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def _keep_backup(target: Path) -> None:
    backups = [target.with_name(f"{target.name}~{number}") for number in range(1, BACKUPS + 1)]
    for younger, older in reversed(list(itertools.pairwise(backups))):
        if younger.exists():
            take_place(younger, older)
    shutil.copy2(target, backups[0])
