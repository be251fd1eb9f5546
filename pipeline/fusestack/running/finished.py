"""Marks of complete images: that they are, and size and checksum of the files that hold them whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.stage import Written
from fusestack.storage import LocalFolder, folder_of, identity_of
from fusestack.writers.folder import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fusestack.planning.plan import Product

_PART = 2**24


def finished_mark(product: Product) -> str:
    """File in the work folder that says that an image is complete, its metadata and its project too."""
    return mark_of(product.target.work, product.fingerprint)


def mark_of(work: str, fingerprint: str) -> str:
    """The same, of an image that only a record knows."""
    return f"{work}/finished/{fingerprint[:12]}"


def mark(product: Product) -> None:
    """Note that an image is complete, with size and CRC-32C of its files, where its blocks have none of their own.

    Files that lie beside the work folder are named from there: all may be moved. What is known already stays: it may
    not be as it was written.
    """
    path = finished_mark(product)
    sizes, beside = product.target.open().whole(), _beside(path)
    if is_marked(product) and sizes_of(path) == sizes and digests_of(path).keys() == sizes.keys():
        return
    noted = {}
    for file, size in sizes.items():
        named = Path(file).relative_to(beside) if Path(file).is_relative_to(beside) else file
        noted[str(named)] = [size, digest_of(file)]
    folder, name = folder_of(path)
    folder.put(name, [json.dumps(noted).encode()])


def _beside(path: str) -> Path:
    """Where the work folder of a mark lies."""
    return Path(path).parents[2]


def is_marked(product: Product) -> bool:
    """Whether an image was complete, whatever became of it since."""
    return identity_of(finished_mark(product)) is not None


def lost_files(product: Product) -> dict[str, tuple[int, int]]:
    """Finished files that have not their bytes any more: bytes that were written, and that are there."""
    sizes = sizes_of(finished_mark(product))
    writer = product.target.open()
    if not sizes or not writer.exists():
        return {}
    found = writer.whole()
    return {path: (size, found.get(path, 0)) for path, size in sizes.items() if found.get(path, 0) != size}


def changed_files(product: Product) -> Iterator[str]:
    """Files that somebody has changed, or that were cut, as a sentence each: they may not be ours any more."""
    for path, (size, found) in lost_files(product).items():
        if found and not Path(path).is_dir():
            yield f"{path}: {change(size, found)}; delete it to have it made again"


def sizes_of(path: str) -> dict[str, int]:
    """Bytes of finished files by path, as a mark has them; nothing where it has none."""
    return {file: size for file, (size, _) in _known(path).items()}


def digests_of(path: str) -> dict[str, int]:
    """What `digest_of` gave of finished files, by path; nothing where an earlier version finished them."""
    return {file: digest for file, (_, digest) in _known(path).items() if digest is not None}


def _known(path: str) -> dict[str, tuple[int, int | None]]:
    """Size and digest of finished files; earlier versions have noted the size only, and where a file was then."""
    folder, name = folder_of(path)
    try:
        known = json.loads(folder.get(name) or b"{}").items()
        pairs = [(file, noted if isinstance(noted, list) else (noted, None)) for file, noted in known]
        return {str(_beside(path) / file): (int(size), digest) for file, (size, digest) in pairs}
    except (ValueError, AttributeError, TypeError):
        return {}


def digest_of(path: str) -> int:
    """CRC-32C of a file; of a folder those of the names and contents of all its files together.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    import google_crc32c

    if Path(path).is_dir():
        folder = LocalFolder(Path(path))
        names = [name for name, _ in folder.files() if not name.startswith(".")]
        return sum((written(name, [folder.get(name) or b""]) for name in names), Written()).digest
    digest = 0
    with Path(path).open("rb") as file:
        while part := file.read(_PART):
            digest = google_crc32c.extend(digest, part)
    return int(digest)


def change(recorded: int, found: int) -> str:
    """What became of a file, in words."""
    if not found:
        return "is missing or empty"
    return f"has {found:,} bytes, not the {recorded:,} that were written"
