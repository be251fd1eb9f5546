"""``<output>.report.html``: one self-contained page with pictures, histogram, timings and configuration."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import TYPE_CHECKING, Any

from fusestack.display.charts import depth_map, histogram, inline, views_map
from fusestack.display.still import Volume, draw, drawn_part
from fusestack.model.amounts import counted, size
from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.running.report import listed
from fusestack.storage import folder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.running.report import RunReport

_MOST_PIXELS = 2**22  # of all channels of an image: read and drawn in a tenth of a second, however large it is
_DRAWN_PIXELS = 2**20
_MOST_IMAGES = 12
_AT_ONCE = 2  # images that are read and drawn: memory is bounded
_MOST_ENTRIES = 12  # of a list in the configuration: an affine has as many
_DEPTHS = ("depth", "height")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } img { max-width: 100%; border-radius: 4px; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; }
pre { background: #f4f4f6; padding: 1rem; overflow: auto; }
svg.chart { background: #18181c; border-radius: 4px; width: 100%; max-width: 48rem; }
svg.chart text { fill: #ccc; font: 11px system-ui, sans-serif; }
td.number { text-align: right; } ul.warnings { color: #934; }
figure.map { display: grid; grid-template-columns: auto 1fr; gap: .5rem; margin: 0; justify-content: start; }
figure.map div { display: flex; flex-direction: column; } figcaption { grid-column: 1 / 3; }
"""


def write_report(plan: Plan, report: RunReport) -> str:
    """Write the report of a run beside its output.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    title = escape(plan.output.rpartition("/")[2])
    parts = [f"<h1>{title}</h1>", _facts(plan, report), _warnings([*plan.warnings, *report.found])]
    images = plan.images[:_MOST_IMAGES]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fusestack-report") as pool:
        for image, shown in zip(images, pool.map(_shown, images), strict=True):
            parts += [f"<h2>{escape(image.title)}</h2>", *shown]
    if len(plan.images) > _MOST_IMAGES:
        parts.append(f"<p>... and {len(plan.images) - _MOST_IMAGES} more images</p>")
    parts += ["<h2>Where the time went</h2>", _stages(plan, report), "<h2>Configuration</h2>"]
    parts.append(f"<pre>{escape(json.dumps(_short(plan.config), indent=2, default=str))}</pre>")
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


def _shown(image: PlannedImage) -> list[str]:
    """Pictures and histogram of an image; of a fused one, where its views are; of a depth map, its scale."""
    kind = image.stages[0].name.rpartition("/")[2]
    if kind == "mesh":  # what the height shows
        return [f"<p>{escape(image.target.image.path)}</p>"]
    volume = _volume(image)
    if kind in _DEPTHS and volume.channels[0].dtype.kind == "f":
        unit = (image.target.image.unit or "pixels") if kind == "height" else "number of the slice, 0 in front"
        return [depth_map(volume, kind, unit)]
    what = "the image" if volume.channels[0].shape[0] == 1 else "middle planes and maximum projections"
    parts = [f'<img alt="{what}" src="{inline(draw(volume))}">', "<h3>Histogram</h3>", histogram(volume)]
    if image.fusion is not None:
        fused = image.fusion.image
        first = min(t for t, _ in fused.compute.tables)
        tables = [table for (t, _), table in fused.compute.tables.items() if t == first]
        parts += ["<h3>Views</h3>", views_map(tables, fused.frame.shape)]
    return parts


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
    names = tuple(spec.channels[c].name for c in shown)
    return Volume(channels, colors, (z, y * step, x * step), spec.unit or "pixels", title, names)


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
            f"{shape}, {counted(len(spec.channels), 'channel')}, {counted(len(spec.timepoints), 'timepoint')}, "
            f"{spec.dtype}",
        ),
        ("pixel size (x, y, z)", " x ".join(f"{v:.6g}" for v in reversed(spec.pixel_size)) + f" {spec.unit or ''}"),
        ("origin (x, y, z)", " x ".join(f"{v:.6g}" for v in reversed(spec.origin)) + f" {spec.unit or ''}"),
        ("written", f"{size(written)} of outputs, {size(cached)} of cache"),
        ("time", f"{report.seconds:,.1f} s on {counted(plan.resources.workers, 'worker')}"),
    ]
    return f"<table>{''.join(_row(row) for row in rows)}</table>"


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    listed = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<h2>Warnings</h2><ul class="warnings">{listed}</ul>'


def _stages(plan: Plan, report: RunReport) -> str:
    """Seconds of all workers by stage, which with what is no stage's add up to those of the run."""
    head = ("stage", "image", "", "blocks", "seconds of workers", "reading", "computing", "writing", "share")
    hands = plan.resources.workers * (1 if plan.resources.scheduler == "threads" else plan.resources.threads_per_worker)
    spent = sum(stage.working for stage in report.stages)
    total = max(report.seconds * hands, spent)
    rows: list[tuple[str, ...]] = []
    for stage in listed(report.stages):
        parts = (stage.working, stage.reading, stage.working - stage.reading - stage.writing, stage.writing)
        image = stage.image.rpartition("/")[2]
        retries = f", {counted(stage.retries, 'retry', 'retries')}" if stage.retries else ""
        wrote = (f"{stage.working / max(total, 1e-9):.0%}", f"{stage.bytes_written / 2**20:,.1f}")
        row = (stage.stage, image, f"{stage.action}{retries}", f"{stage.blocks:,}")
        rows.append((*row, *(f"{seconds:.1f}" for seconds in parts), *wrote))
    rest = "start, loading and compiling of kernels, records, waiting"
    rows.append((rest, "", "", "", f"{total - spent:.1f}", "", "", "", f"{(total - spent) / max(total, 1e-9):.0%}", ""))
    rows.append(("all", "", f"{report.seconds:.1f} s, {hands:,} at a time", "", f"{total:.1f}", "", "", "", "100%", ""))
    titles = "".join(f"<th>{name}</th>" for name in (*head, "MiB written"))
    return f"<table><tr>{titles}</tr>{''.join(_row(row) for row in rows)}</table>"


def _short(value: Any) -> Any:
    """A configuration with the first entries of long lists; the record has all."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        more = len(value) - _MOST_ENTRIES
        return [_short(item) for item in value[:_MOST_ENTRIES]] + ([f"... and {more:,} more"] if more > 0 else [])
    return value


def _row(cells: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"
