"""The gallery: what every way to fuse and every operator makes of one small example, computed at build time.

Pictures are named after what they are made from (options, pixels, the program), so that those of an earlier build are
used again. The examples are real data beside the project; where they are missing, simulated ones stand for them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import fusestack
from fusestack import kernels
from fusestack.operators import REGISTRY
from made_pages import flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Pixels = NDArray[Any]

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
PIXELS = 230
"""Columns of a picture."""


@dataclass(frozen=True)
class Entry:
    """A picture of the gallery: its title, what a configuration says for it, and what of the result is shown."""

    name: str
    title: str
    options: dict[str, Any]
    shows: str = "image"
    own: str = ""

    def said(self) -> str:
        """The options as YAML in one line; of several, its own key."""
        options = {key: value for key, value in self.options.items() if self.own in ("", key)}
        return flow(options)[1:-1]


SMOOTHED = {"merge": [{"blur": {"sigma": 2}}]}
BASE = {"masks": [{"blur": {"sigma": 1, "sigma2": 2}}], "merge": [{"wave": {"percent": 20}}]}
WITH = {  # options without which an operator shows nothing, or cannot be
    ("generator", "blur"): {"sigma": 1, "sigma2": 2},
    ("generator", "dog"): {"sigma": 1},
    ("generator", "statistic"): {"window": 5},
    ("generator", "channel"): {"colorspace": "Lab", "channel": 0},
    ("generator", "cmd"): {"command": "-edge 1 -blur 0x1"},
    ("generator", "cmddiff"): {"command": "-blur 0x2"},
    ("mask", "cmd"): {"command": "-blur 0x2"},
    ("mask", "kuwahara"): {"radius": 3},
    ("mask", "threshold"): {"low": 30, "high": 60},
    ("mask", "level"): {"step": 10, "low": 5},
    ("cut", "blur"): {"sigma": 2, "percent": 50},
    ("cut", "alpha"): {"low": -25, "high": 150},
    ("cut", "soft"): {"sigma": 3},
    ("cut", "cmd"): {"command": "-blur 0x1"},
    ("final", "alpha"): {"low": -10, "high": 120},
    ("final", "threshold"): {"low": 10, "high": 70, "sigma": 2},
    ("final", "gamma"): {"gamma": 1.4},
    ("final", "blur"): {"threshold": 50, "sigma": 3, "border": 1},
    ("final", "blur2"): {"radius": 2, "threshold": 60},
    ("final", "sharpen"): {"sigma": 2, "radius": 1},
    ("final", "cmd"): {"command": "-edge 1 -auto-level"},
}
LEFT_OUT = {("generator", "depthmap"): "needs a depth map that is there"}

FUSION = [
    Entry("average", "average, blended", {"method": "average"}),
    Entry("no-blending", "average, not blended", {"method": "average", "blending": False}),
    Entry("narrow", "a narrow fade", {"blending": {"range": 10}}),
    Entry("border", "a dark rim left out", {"blending": {"range": 20, "border": 15}}),
    Entry("content", "the sharper view", {"content_based": {"sigma1": 5, "sigma2": 10}}),
    Entry("max", "max", {"method": "max"}),
    Entry("lowest", "lowest_view", {"method": "lowest_view"}),
    Entry("highest", "highest_view", {"method": "highest_view"}),
    Entry("closest", "closest_pixel", {"method": "closest_pixel"}),
    Entry("mask", "mask", {"method": "mask"}),
    Entry("coarse", "downsampling", {"downsampling": 4}),
    Entry("nearest", "nearest pixel, finer", {"downsampling": 0.5, "interpolation": "nearest"}),
]


def focus_entries(kind: str) -> Iterator[Entry]:
    """An entry for every operator of a kind, which are known to the program."""
    key = {"generator": "masks", "mask": "merge", "cut": "cut", "final": "final"}[kind]
    for name in REGISTRY[kind]:
        if (kind, name) in LEFT_OUT:
            continue
        operator = {name: WITH.get((kind, name), {})}
        if kind == "generator":
            yield Entry(name, name, {"masks": [operator], **SMOOTHED}, "depth", key)
        elif kind == "mask":
            yield Entry(name, name, {"masks": BASE["masks"], "merge": [operator]}, "mask", key)
        else:
            yield Entry(name, name, {**BASE, key: [operator]}, own=key)


def make(folder: Path, pixels: int = PIXELS) -> str:
    """Make the pictures that are missing, and return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    slices, of_slices = example_slices(pixels)
    page = _Page(folder)
    page.lines += [
        "# Gallery",
        "",
        "Made by `docs/gallery.py` when this documentation is built. Below each picture stands what makes it.",
        "",
        "## Fusion",
        "",
    ]
    with tempfile.TemporaryDirectory() as work:
        fused = example_tiles(Path(work))
        page.lines += [f"{fused.what} The pictures show where they overlap; each goes below `fusion:`.", ""]
        page.grid("fusion", FUSION, lambda entry: fused.picture(entry, pixels), fused.key)
        key = hashlib.sha256(slices.tobytes()).hexdigest()
        page.lines += ["## Focus stacking", "", f"{of_slices} Everything below goes below `focus:`.", ""]
        show = functools.partial(_focused, slices)
        page.lines += ["### The slices and the default", ""]
        page.grid("slices", _shown(len(slices)), lambda entry: _slice(slices, entry), key)
        page.grid("defaults", DEFAULTS, show, key)
        for kind, title, text in SECTIONS:
            page.lines += [f"### {title}", "", text, ""]
            page.grid(kind, list(focus_entries(kind)), show, key)
    for stale in set(folder.glob("*.jpg")) - page.used:
        stale.unlink()
    return "\n".join(page.lines)


DEFAULTS = [
    Entry("multiscale", "nothing said: multiscale", {}),
    Entry("multiscale-depth", "its depth", {}, "depth"),
    Entry("masks", "method: masks", {"method": "masks"}),
    Entry("masks-depth", "its depth", {"method": "masks"}, "depth"),
]
SECTIONS = (
    (
        "generator",
        "Generators",
        "The depth of the masks that each makes by itself: white and red in front, yellow, green, blue, indigo behind. "
        f"With `{flow(SMOOTHED)[1:-1]}`.",
    ),
    ("mask", "On the merged mask", f"The final mask, of `{flow({'masks': BASE['masks']})[1:-1]}`."),
    ("cut", "On the cut", f"The sharp picture, of `{flow(BASE)[1:-1]}`."),
    ("final", "On the picture", f"The sharp picture, of `{flow(BASE)[1:-1]}`."),
)


def _shown(count: int) -> list[Entry]:
    return [Entry(f"slice-{k}", f"slice {k + 1} of {count}", {}, str(k)) for k in (0, count // 2, count - 1)]


def _slice(slices: Pixels, entry: Entry) -> Pixels:
    return np.asarray(slices[int(entry.shows)])


def _focused(slices: Pixels, entry: Entry) -> Pixels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fusestack.FusestackWarning)
        found = fusestack.focus_stack(slices, **entry.options)
    if entry.shows == "depth":
        return in_colours(found.depth.values, len(slices))
    if entry.shows == "mask":
        return np.asarray(np.nan_to_num(found.mask.values) * 255, np.uint8)
    image = np.asarray(found.image.values)[..., :3]
    if "opacity" in found:  # over a chequerboard
        y, x = np.indices(image.shape[:2]) // 8
        board = np.where((y + x) % 2, 200, 255)[..., None]
        share = found.opacity.values[..., None]
        image = image * share + board * (1 - share)
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def in_colours(depth: Pixels, slices: int) -> Pixels:
    """A depth map in colours as `depth_colour` has them, uint8[y, x, 3]: indigo behind, black where it is not known."""
    known = np.isfinite(depth)
    share = (slices - 1 - np.where(known, depth, 0)) / slices
    colours = kernels.colour.rainbow(share.astype(np.float32))
    return np.asarray(np.moveaxis(colours, 0, -1) * known[..., None] * 255, np.uint8)


class _Page:
    """Lines of the page, and the pictures that it uses."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines, self.used = folder, [], set[Path]()

    def grid(self, group: str, entries: list[Entry], show: Any, key: str) -> None:
        self.lines += ["::::{grid} 2 3 3 4", ":gutter: 2", ""]
        for entry in entries:
            path = self.folder / f"{group}-{entry.name}-{_key(entry, key)}.jpg"
            self.used.add(path)
            if not path.exists():
                save(show(entry), path)
            said = f"`{entry.said()}`" if entry.options else "&nbsp;"
            self.lines += [":::{grid-item}", f"![{entry.title}](gallery/{path.name})", "", f"**{entry.title}**", ""]
            self.lines += [said, ":::", ""]
        self.lines += ["::::", ""]


def save(pixels: Pixels, path: Path, quality: int = 88) -> None:
    """Write a picture, uint8[y, x] or [y, x, 3]."""
    Image.fromarray(pixels).save(path, quality=quality)


def _key(entry: Entry, key: str) -> str:
    text = json.dumps([entry.options, entry.shows, key, _program()])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _program() -> str:
    """What the program is: the text of its modules, and of this one."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(Path(fusestack.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def example_slices(pixels: int) -> tuple[Pixels, str]:
    """Slices uint8[k, y, x, 3], and what they are."""
    if (DATA / "pcb").exists():
        size = (pixels, pixels * 3 // 4)
        slices = []
        for path in sorted((DATA / "pcb").glob("pcb_*.jpg")):
            with Image.open(path) as whole:
                part = whole.crop((whole.width // 8, whole.height // 8, whole.width * 7 // 8, whole.height * 7 // 8))
                slices.append(np.asarray(part.convert("RGB").resize(size, Image.Resampling.LANCZOS)))
        return np.stack(slices), "Seven photographs of a circuit board (examples of focus-stack, MIT), made smaller."
    from fusestack.simulate import simulate_macro

    stack = simulate_macro("hairs", size=pixels, seed=1)
    return np.asarray(stack.slices * 255 + 0.5, np.uint8), "Nine simulated photographs of hairs over a ground."


@dataclass(frozen=True)
class Tiles:
    """Two tiles beside one another, and the part of their world that is shown, in pixels."""

    sources: list[Any]
    positions: list[tuple[float, float, float]]
    y: tuple[int, int]
    x: tuple[int, int]
    what: str

    @property
    def key(self) -> str:
        """What they are, for the names of pictures."""
        return hashlib.sha256(b"".join(np.asarray(tile).tobytes() for tile in self.sources)).hexdigest()

    def picture(self, entry: Entry, pixels: int) -> Pixels:
        """The part, fused as an entry says, uint8[y, x]."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fusestack.FusestackWarning)
            image = fusestack.fuse(self.sources, positions=self.positions, voxel_size=1, **entry.options)
        part = image.isel(t=0, c=0, z=0)
        part = part.sel(y=slice(*self.y), x=slice(*self.x)).values.astype(np.float32)
        low, high = (1.0, 65535.0) if entry.options.get("method") == "mask" else self.window
        grey = np.asarray(np.clip((part - low) / (high - low), 0, 1) ** 0.6 * 255, np.uint8)
        shape = (pixels, round(pixels * grey.shape[0] / grey.shape[1]))
        return np.asarray(Image.fromarray(grey).resize(shape, Image.Resampling.NEAREST))

    @functools.cached_property
    def window(self) -> tuple[float, float]:
        """Grey values that are black and white."""
        pixels = np.concatenate([np.ravel(tile) for tile in self.sources])
        return tuple(float(value) for value in np.percentile(pixels, (1, 99.7)))  # type: ignore[return-value]


def example_tiles(work: Path) -> Tiles:
    """Two tiles that overlap."""
    if (DATA / "mosaic").exists():
        import tifffile

        sources = [np.squeeze(tifffile.imread(DATA / "mosaic" / f"tile{n}.tif"))[None] for n in (0, 1)]
        what = "Two tiles of a widefield mosaic (test data of multiview-stitcher, BSD-3-Clause), at nominal places."
        return Tiles(sources, [(0, 0, 0), (0, 0, 832)], (200, 400), (745, 1005), what)
    from fusestack.simulate import simulate_acquisition

    simulate_acquisition(work, tile_shape=(16, 160, 160), channels=1, overlap=0.3)
    project = fusestack.open_project(work / "dataset.xml")
    image = fusestack.fuse(project).isel(t=0, c=0, z=8).values
    left, right = image[None, :, :150], (image[None, :, 110:] * 1.1).astype(image.dtype)
    return Tiles([left, right], [(0, 0, 0), (0, 0, 110)], (20, 140), (60, 200), "Two simulated tiles.")
