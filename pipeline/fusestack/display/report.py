"""``<output>.report.html``: one self-contained page with pictures, histogram, timings and configuration."""

from __future__ import annotations

import base64
import io
import json
import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.display.still import Volume, draw, drawn_part
from fusestack.model.amounts import size
from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.storage import folder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.running.report import RunReport

_MOST_PIXELS = 2**22  # of all channels of an image: read and drawn in a tenth of a second, however large it is
_DRAWN_PIXELS = 2**20
_MOST_IMAGES = 12
_BINS = 128
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } img { max-width: 100%; border-radius: 4px; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; }
pre { background: #f4f4f6; padding: 1rem; overflow: auto; }
svg { background: #18181c; border-radius: 4px; width: 100%; height: 160px; }
"""


def write_report(plan: Plan, report: RunReport) -> str:
    """Write the report of a run beside its output.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    title = escape(plan.output.rpartition("/")[2])
    parts = [f"<h1>{title}</h1>", _facts(plan, report)]
    for image in plan.images[:_MOST_IMAGES]:
        volume = _volume(image)
        parts += [f"<h2>{escape(image.title)}</h2>", _picture(volume), "<h2>Histogram</h2>", _histogram(volume)]
    if len(plan.images) > _MOST_IMAGES:
        parts.append(f"<p>... and {len(plan.images) - _MOST_IMAGES} more images</p>")
    parts += ["<h2>Stages</h2>", _stages(report), "<h2>Configuration</h2>"]
    parts.append(f"<pre>{escape(json.dumps(plan.config, indent=2, default=str))}</pre>")
    path = plan.report
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )
    try:
        folder, name = folder_of(path)
        folder.put(name, [page.encode()])
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; free some space") from error
    return path


def _volume(image: PlannedImage) -> Volume:
    """First timepoint of an image, at the finest level that is small enough; else the middle of the coarsest."""
    spec = image.target.image
    most = _MOST_PIXELS // spec.shape[1]
    small = (i for i, level in enumerate(spec.levels) if math.prod(level.shape[2:]) <= most)
    number = next(small, len(spec.levels) - 1)
    writer = image.target.open()
    shape = spec.levels[number].shape[2:]
    part = drawn_part(shape, most)
    shown = [c for c, channel in enumerate(spec.channels) if channel.name != "A"]  # opacity is no colour
    span = (shown[0], shown[-1] + 1)
    pixels = writer.read(number, Box((0, span[0], *part.start), (1, span[1], *part.stop)))[0]
    step = math.ceil(math.sqrt(pixels[0].size / _DRAWN_PIXELS)) if part.shape[0] == 1 else 1
    channels = tuple(pixels[c - span[0], :, ::step, ::step] for c in shown)
    colors = tuple(spec.channels[c].color for c in shown)
    title = f"level {number}" if part.shape == shape else f"the middle of level {number}"
    z, y, x = spec.level_scale(number)
    return Volume(channels, colors, (z, y * step, x * step), spec.unit or "pixels", title)


def _picture(volume: Volume) -> str:
    stream = io.BytesIO()
    draw(volume).save(stream, format="JPEG", quality=90, subsampling=0)  # PNG takes 30 times as long
    text = base64.b64encode(stream.getvalue()).decode()
    what = "the image" if volume.channels[0].shape[0] == 1 else "middle planes and maximum projections"
    return f'<img alt="{what}" src="data:image/jpeg;base64,{text}">'


def _histogram(volume: Volume) -> str:
    """Values of the drawn level, logarithmic counts, one line per channel.

    Pixels that show nothing are left out: of floating point those that are no number, of integers those of value 0.
    """
    empty = all(channel.dtype.kind == "f" for channel in volume.channels)
    data = [channel[np.isfinite(channel) & (empty | (channel != 0))] for channel in volume.channels]
    if not any(values.size for values in data):
        return "<p>no pixel differs from 0</p>"
    low = min(float(values.min()) for values in data if values.size)
    high = max(float(values.max()) for values in data if values.size)
    lines = "".join(
        f'<polyline fill="none" stroke="#{color}" points="{_line(values, low, high)}"/>'
        for values, color in zip(data, volume.colors, strict=True)
    )
    return (
        f'<svg viewBox="0 0 {_BINS} 100" preserveAspectRatio="none" stroke-width="0.6">{lines}</svg>'
        f"<p>values {low:g} to {high:g}; counts are logarithmic, pixels that show nothing "
        f"({'no number' if empty else 'value 0'}) are left out</p>"
    )


def _line(values: NDArray[Any], low: float, high: float) -> str:
    counts, _ = np.histogram(values, bins=_BINS, range=(low, high if high > low else low + 1))
    heights = np.log1p(counts) / max(1e-9, np.log1p(counts.max()))
    return " ".join(f"{x},{100 - 95 * height:.1f}" for x, height in enumerate(heights))


def _facts(plan: Plan, report: RunReport) -> str:
    spec = plan.images[0].target.image
    shape = " x ".join(f"{n:,}" for n in reversed(spec.shape[2:]))
    written, cached = report.bytes_written
    rows = [
        ("input", plan.source),
        *([("views", f"{len(plan.inputs.views):,}")] if plan.inputs is not None else []),
        *(("focus", fact) for fact in plan.facts),
        ("output", plan.output),
        (
            "pixels (x, y, z)",
            f"{shape}, {len(spec.channels)} channels, {len(spec.timepoints)} timepoints, {spec.dtype}",
        ),
        ("pixel size (x, y, z)", " x ".join(f"{v:.6g}" for v in reversed(spec.pixel_size)) + f" {spec.unit or ''}"),
        ("origin (x, y, z)", " x ".join(f"{v:.6g}" for v in reversed(spec.origin)) + f" {spec.unit or ''}"),
        ("written", f"{size(written)} of outputs, {size(cached)} of cache"),
        ("time", f"{report.seconds:,.1f} s"),
        *(("warning", warning) for warning in plan.warnings),
    ]
    return f"<table>{''.join(_row(row) for row in rows)}</table>"


def _stages(report: RunReport) -> str:
    names = ("stage", "image", "", "blocks", "seconds", "MiB written", "retries")
    rows = [
        (
            stage.stage,
            stage.image.rpartition("/")[2],
            stage.action,
            f"{stage.blocks:,}",
            f"{stage.seconds:.1f}",
            f"{stage.bytes_written / 2**20:,.1f}",
            stage.retries,
        )
        for stage in report.stages
    ]
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><tr>{head}</tr>{''.join(_row(row) for row in rows)}</table>"


def _row(cells: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"
