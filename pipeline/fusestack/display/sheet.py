"""``<output>.tune.html``: sets of options side by side on one self-contained page, sorted, compared and copied."""

from __future__ import annotations

import base64
import importlib.resources
import io
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.scores import NOT_KNOWN, SCORES, TIMES, WHY_NOT_KNOWN, WITH_TRUTH
from fusestack.focus.tuned import picture_of
from fusestack.model.amounts import counted, duration
from fusestack.model.errors import OutputError
from fusestack.storage import folder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from fusestack.api.tuning import Tuned, TunedSet
    from fusestack.focus.tuning import PlannedTuning

MOST_BYTES = 9 * 2**20
"""Of all pictures on the page, as text."""
_QUALITIES = (92, 85, 75, 60)
_LOSSES = ("seams", "halo")
_SQUARE = 8
_FEWEST_PIXELS = 192


def write_sheet(tuned: Tuned, planned: PlannedTuning) -> str:
    """Write the contact sheet.

    Parameters
    ----------
    tuned : Tuned
    planned : PlannedTuning
        Whose pictures are there.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    colours = len(planned.slices.painted.sets[0])
    encoded, side = _encoded([_drawn(planned, number, colours) for number in range(len(tuned.sets))])
    room = importlib.resources.files("fusestack.display")
    style, script = ((room / f"sheet.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    title = escape(tuned.page.rpartition("/")[2].removesuffix(".html"))
    shown = "" if side is None else f" The middle {side} x {side} pixels are shown; scores are those of the whole part."
    x, y, width, height = (tuned.part[key] for key in ("x", "y", "width", "height"))
    rows, columns = tuned.plane
    facts = (
        f"{counted(len(tuned.sets), 'set')} of options on {width:,} x {height:,} pixels at x {x:,}, y {y:,} of "
        f"{columns:,} x {rows:,}, each pixel as a run would make it.{shown}"
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{style}</style><body><header><h1>{title}</h1>"
        f"<p>{escape(tuned.source)}</p><p>{escape(facts)}</p></header>"
        f"{_comparison()}{_table(tuned.sets, encoded)}{_explained(tuned)}<script>{script}</script></body></html>"
    )
    try:
        folder, name = folder_of(tuned.page)
        folder.put(name, [page.encode()])
    except OSError as error:
        raise OutputError(f"{tuned.page}: cannot be written: {error.strerror or error}; free some space") from error
    return tuned.page


def _drawn(planned: PlannedTuning, number: int, colours: int) -> NDArray[np.uint8]:
    """A picture uint8[y, x, 3]; where it is transparent, over squares."""
    planes, opacity = picture_of(planned, number)
    if colours != 3:
        planes = np.repeat(planes.mean(axis=0, keepdims=True), 3, axis=0)
    if opacity.min() < 1:
        rows, columns = (np.arange(n) // _SQUARE for n in opacity.shape)
        ground = np.where((rows[:, None] + columns) % 2, np.float32(0.55), np.float32(0.75))
        planes = (planes * opacity + ground * (1 - opacity)).astype(np.float32)
    return np.moveaxis(np.clip(planes * 255 + 0.5, 0, 255).astype(np.uint8), 0, -1)


def _encoded(pictures: Sequence[NDArray[np.uint8]]) -> tuple[list[str], int | None]:
    """Pictures as addresses that hold them, small enough together; and the side of their middle, if only that is."""
    from PIL import Image

    side = None
    while True:
        for quality in _QUALITIES:
            found = [_address(Image.fromarray(one), quality) for one in pictures]
            if sum(map(len, found)) <= MOST_BYTES:
                return found, side
        side = max(pictures[0].shape[:2]) * 3 // 4
        if side < _FEWEST_PIXELS:
            return found, side
        pictures = [_middle(one, side) for one in pictures]


def _middle(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    first = [max(0, (n - side) // 2) for n in picture.shape[:2]]
    return np.ascontiguousarray(picture[first[0] : first[0] + side, first[1] : first[1] + side])


def _address(picture: Image.Image, quality: int) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=quality, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _comparison() -> str:
    """Two pictures over one another, and what moves the edge between them."""
    return (
        '<section id="compare"><div class="names"><span id="left"></span><span id="right"></span></div>'
        '<div id="stage"><img id="below" alt="set on the right"><img id="above" alt="set on the left">'
        '<div id="edge"></div></div>'
        '<input id="slider" type="range" min="0" max="1000" value="500" aria-label="edge between the two pictures">'
        '<p class="hint">Choose the left and the right picture with L and R; the arrows up and down go through those '
        "on the right. Drag the edge, or use the slider; the space bar shows the left one alone.</p></section>"
    )


def _table(sets: Sequence[TunedSet], pictures: Sequence[str]) -> str:
    """Sets with their scores; heads sort."""
    names = list(sets[0].scores)
    best = {name: _best(sets, name) for name in names}
    heads = [("number", "set", 1), *((name, name, 1 if name in _LOSSES else -1) for name in names)]
    heads += [("seconds", "part, s", 1), ("run", "whole, s", 1)]
    cells = "".join(
        f'<th data-key="{key}" data-order="{order}" title="{escape(_said(key))}"><button>{escape(label)}</button></th>'
        for key, label, order in heads
    )
    rows = "".join(_row(one, address, names, best) for one, address in zip(sets, pictures, strict=True))
    return f'<table id="sets"><thead><tr><th></th>{cells}<th>options</th></tr></thead><tbody>{rows}</tbody></table>'


def _best(sets: Sequence[TunedSet], name: str) -> float:
    values = [one.scores[name] for one in sets]
    return min(values) if name in _LOSSES else max(values)


def _row(one: TunedSet, address: str, names: Sequence[str], best: dict[str, float]) -> str:
    times = {"seconds": (one.seconds, ",.2f"), "run": (one.run_seconds, ",.1f")}
    values: dict[str, Any] = {"number": one.number, **one.scores, **{key: value for key, (value, _) in times.items()}}
    data = " ".join(f'data-{key}="{"" if value is None else value}"' for key, value in values.items())
    marks = {name: ' class="best"' if one.scores[name] == best[name] else "" for name in names}
    scores = "".join(f"<td{marks[name]}>{one.scores[name]:{_digits(name)}}</td>" for name in names)
    told = (NOT_KNOWN if value is None else f"{value:{form}}" for value, form in times.values())
    options = escape(one.options)
    return (
        f"<tr {data}><td class='thumb'><div><img src='{address}' alt='set {one.number}' loading='lazy'>"
        "<span><button class='l' title='show on the left'>L</button>"
        "<button class='r' title='show on the right'>R</button></span></div></td>"
        f"<td>{one.number}</td>{scores}{''.join(f'<td>{time}</td>' for time in told)}"
        f"<td class='options'><code>{options}</code>"
        f"<button class='copy' data-text=\"{options}\">copy</button></td></tr>"
    )


def _digits(name: str) -> str:
    return {"ssim": ".4f", "psnr": ".2f", "seams": ".3f"}.get(name, ".2f")


def _said(key: str) -> str:
    known = {
        **SCORES,
        **WITH_TRUTH,
        **TIMES,
        "number": "as fusestack tune --apply takes it",
    }
    return known.get(key, "")


def _explained(tuned: Tuned) -> str:
    """What the columns say, and what can be done."""
    names = [*tuned.sets[0].scores, "seconds", "run"]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(_said(name))}</dd>" for name in names)
    took = duration(tuned.seconds)
    unknown = any(None in (one.seconds, one.run_seconds) for one in tuned.sets)
    why = f"<dt>{NOT_KNOWN}</dt><dd>{escape(WHY_NOT_KNOWN)}</dd>" if unknown else ""
    return (
        f"<section><h2>What the numbers say</h2><dl>{listed}{why}</dl>"
        "<p>Scores without the truth are hints, not verdicts: look at the pictures.</p>"
        f"<p>Made in {escape(took)}. To write a set into the configuration: "
        "<code>fusestack tune CONFIG --apply NUMBER</code></p></section>"
    )
