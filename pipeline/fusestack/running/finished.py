"""Marks of complete images: that they are, and how many bytes the files have that hold them whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.storage import folder_of, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fusestack.planning.plan import Product


def finished_mark(product: Product) -> str:
    """File in the work folder that says that an image is complete, its metadata and its project too."""
    return mark_of(product.target.work, product.fingerprint)


def mark_of(work: str, fingerprint: str) -> str:
    """The same, of an image that only a record knows."""
    return f"{work}/finished/{fingerprint[:12]}"


def mark(product: Product) -> None:
    """Note that an image is complete, with the bytes of its files, where its blocks have none of their own."""
    folder, name = folder_of(finished_mark(product))
    folder.put(name, [json.dumps(product.target.open().whole()).encode()])


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
    folder, name = folder_of(path)
    try:
        return {str(file): int(size) for file, size in json.loads(folder.get(name) or b"{}").items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def change(recorded: int, found: int) -> str:
    """What became of a file, in words."""
    if not found:
        return "is missing or empty"
    return f"has {found:,} bytes, not the {recorded:,} that were written"
