"""One page of all stacks of a batch: their pictures, where their results and reports are, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fusestack.display.charts import inline
from fusestack.model.errors import InputError, OutputError
from fusestack.model.image import PICTURE_SUFFIXES
from fusestack.storage import is_address, relative

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIDE = 360
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 0; } .stacks { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; width: 22rem; overflow-wrap: anywhere; } img { max-width: 100%; border-radius: 4px; }
.problem { color: #934; }
"""


@dataclass(frozen=True)
class BatchEntry:
    """What became of a stack: its name, the summary of its run, or what went wrong."""

    name: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def write_batch(path: str, entries: Sequence[BatchEntry], left: Sequence[str]) -> str:
    """Write the page.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    title = escape(Path(path).name.removesuffix(".batch.html"))
    shown = "".join(_figure(one, Path(path).parent) for one in entries)
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in left)
    rest = f"<h2>Left</h2><ul>{listed}</ul>" if left else ""
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<body><h1>{title}: {len(entries)} stacks</h1><div class='stacks'>{shown}</div>{rest}</body></html>"
    )
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _figure(one: BatchEntry, folder: Path) -> str:
    outputs, report = list(one.summary.get("outputs", ())), one.summary.get("report")
    links = [_link(path, Path(path).name, folder) for path in outputs]
    links += [_link(report, "report", folder)] if report else []
    picture = _thumbnail(outputs[0]) if outputs else ""
    problems = "".join(f"<p class='problem'>{escape(problem)}</p>" for problem in one.problems)
    return f"<figure><h2>{escape(one.name)}</h2>{picture}<p>{', '.join(links)}</p>{problems}</figure>"


def _link(path: str, text: str, folder: Path) -> str:
    address = path if is_address(path) else quote(relative(path, folder))
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def _thumbnail(path: str) -> str:
    """A small picture of a result; of what is no picture file, the page of its own shows more."""
    from PIL import Image

    from fusestack.sources.pictures import describe_picture, read_picture

    if not path.lower().endswith(PICTURE_SUFFIXES) or is_address(path):
        return ""
    try:
        page = describe_picture(path)[0]
        pixels = read_picture(page)
    except InputError:
        return ""
    step = max(1, -(-max(page.shape) // _SIDE))
    small = pixels[:3, ::step, ::step] if len(page.colours.rstrip("A")) == 3 else pixels[:1, ::step, ::step]
    scale = 255 / max(1.0, float(small.max())) if small.dtype.kind == "f" or small.dtype.itemsize > 1 else 1.0
    drawn = (small * scale).clip(0, 255).astype("uint8").transpose(1, 2, 0)
    return f'<img alt="result" src="{inline(Image.fromarray(drawn if drawn.shape[2] == 3 else drawn[..., 0]))}">'
