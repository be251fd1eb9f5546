"""Texts for ``fusestack init``: commented configurations from plain facts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.model.geometry import Float3

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/+-]*(\.[A-Za-z0-9_/+-]+)*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})

GUESSED = "The translations are guesses"
"""Comment of a configuration whose views lie where nobody knows; it counts as long as it stands there."""

_HEAD = """\
# A fusestack configuration. Keys behind a '#' show what holds without them, or an example.
#   fusestack plan CONFIG      what will be made, how large, how long
#   fusestack run CONFIG       makes it; run again to continue or after a change
version: 1
"""

_FUSION = """\
  # group_by: timepoint_channel     # or: timepoint_channel_illumination | all | view
  # method: average                 # or: max | lowest_view | highest_view | closest_pixel | mask | module:function
  # background: 0                   # value where no view covers; .nan with dtype float32
  # blending: true                  # fade views towards their borders: false | {range: 40, border: 0, from: data}
  # content_based: false            # true prefers the sharper view where several cover a pixel
  # interpolation: linear           # linear | nearest
  # downsampling: 1                 # try 4 first: a quick look at everything
"""

_FUSION_END = """\
  # dtype: input                    # input | uint8 | uint16 | float32
  # rounding: half_up               # half_up | down; integer output
  # intensity_range: auto           # auto | [min, max] that is mapped to the whole range of an integer dtype
  # numerics: exact                 # exact | bigstitcher (equal numbers to BigStitcher's)
"""

_OUTPUT_END = """\
  # chunks: {x: 128, y: 128, z: 64}
  # compression: {codec: blosc, level: 1}    # blosc | zstd | lz4 | gzip | none
  # pyramid: auto                   # auto | none | [{x: 1, y: 1, z: 1}, {x: 2, y: 2, z: 1}]
  # overwrite: false                # true replaces an output that was made with other settings
"""

_EXECUTION = """\
# execution:
#   scheduler: threads              # threads | processes | distributed | slurm | pbs | sge | lsf | htcondor | tcp://host:8786
#   workers: auto
#   memory: auto                    # per worker, such as 4GiB; blocks are sized to stay below it
#   retries: 3
"""


def project_template(
    project: str,
    *,
    channels: Mapping[int, str],
    timepoints: Sequence[int] = (0,),
    bounding_boxes: Sequence[str] = (),
    anisotropy: float = 1.0,
    output: str = "fused.ome.zarr",
) -> str:
    """Configuration for a BigDataViewer or BigStitcher project.

    Parameters
    ----------
    project : str
        Path of the XML as it should stand in the file.
    channels : mapping of int to str
        Names of the channels by id.
    timepoints : sequence of int
        Ids.
    bounding_boxes : sequence of str
        Names of the boxes of the project; the first one is proposed.
    anisotropy : float
        Mean of z size over x, y size of the voxels.
    output : str
        Path of the fused image.
    """
    names = ", ".join(f"{number} = {_quoted(name)}" for number, name in channels.items())
    boxes = [*map(_quoted, bounding_boxes), "all_views", "selected_views"]
    lines = [
        _HEAD,
        "input:",
        f"  project: {_quoted(project)}",
        "  # Every view takes part unless something is named here: all, a list [0, 2], or a pattern 0-3.",
        f"  # The project has {len(timepoints)} timepoint(s), and the channels {names}.",
        f"  # select: {{timepoints: all, channels: {_listed(channels)}, angles: all, tiles: all}}",
        "",
        "fusion:",
        f"  bounding_box: {boxes[0]}",
        f"  # there are also: {', '.join(boxes[1:])},",
        "  # or world pixels, the maximum included: {min: {x: 0, y: 0, z: 0}, max: {x: 511, y: 511, z: 99}}",
        _FUSION.rstrip(),
        *_anisotropy_lines(anisotropy),
        _FUSION_END,
        *_output_lines(output),
        _EXECUTION.rstrip(),
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class ViewLine:
    """A view in the text of a configuration.

    Parameters
    ----------
    path : str
        As it should stand in the file.
    translation : (float, float, float) or None
        World pixels, **z, y, x**; None leaves it to the file.
    keys : mapping of str to int
        Further keys: series, tile.
    commented : bool
        Behind a ``#``.
    """

    path: str
    translation: Float3 | None = None
    keys: Mapping[str, int] = field(default_factory=dict)
    commented: bool = False

    @property
    def text(self) -> str:
        """The line."""
        entries = [f"path: {_quoted(self.path)}"]
        if self.translation is not None:
            entries.append(f"translation: {_axes(self.translation)}")
        entries += [f"{key}: {value}" for key, value in self.keys.items()]
        return f"    {'# ' if self.commented else ''}- {{{', '.join(entries)}}}"


def views_template(views: Sequence[ViewLine], *, notes: Sequence[str] = (), output: str = "fused.ome.zarr") -> str:
    """Configuration for images that are fused as views.

    Parameters
    ----------
    views : sequence of ViewLine
    notes : sequence of str
        Comments.
    output : str
        Path of the fused image.
    """
    lines = [
        _HEAD,
        "input:",
        *(f"  # {note}" for note in notes),
        "  # What a view does not say comes from its file: voxel_size, unit, translation (world pixels) or affine (12",
        "  # numbers row by row, x, y, z: [1,0,0,0, 0,1,0,0, 0,0,1,0]), timepoint, channel. Further keys: series,",
        "  # axes, illumination, angle, tile.",
        "  views:",
        *(view.text for view in views),
        "",
        "fusion:",
        "  bounding_box: all_views           # all_views | selected_views | {min: {x:, y:, z:}, max: {x:, y:, z:}}",
        _FUSION.rstrip(),
        *_anisotropy_lines(1.0),
        _FUSION_END,
        *_output_lines(output),
        _EXECUTION.rstrip(),
    ]
    return "\n".join(lines) + "\n"


def stack_template(
    images: str | Sequence[str], *, doubts: Sequence[str] = (), output: str = "sharp.tif", volume: bool = False
) -> str:
    """Configuration for a focus stack of plain images.

    Parameters
    ----------
    images : str or sequence of str
        Pattern such as ``stack/*.jpg``, or the files, front to back.
    doubts : sequence of str
        What is to be looked at.
    output : str
        Path of the sharp image.
    volume : bool
        Whether the only one of the images is a volume, whose planes are the slices.
    """
    given = [_quoted(images)] if isinstance(images, str) else ["", *(f"    - {_quoted(path)}" for path in images)]
    read = ["input:", f"  images: {given[0]}".rstrip(), *given[1:]]
    stem = output.rpartition(".")[0]
    depth = f"depth: {_quoted(f'{stem}_depth.tif')}"
    if volume:
        read = ["focus:", f"  input: {_quoted(images if isinstance(images, str) else images[0])}"]
    lines = [
        _HEAD,
        *read,
        *("  # look at this: " + "".join(c if c.isprintable() else "?" for c in doubt) for doubt in doubts),
        "  # reverse: false                  # true: the images are ordered from back to front",
        *([] if volume else ["", "focus:"]),
        "  # Slices that a hand, a lens or the stage moved may be brought over one another, and prepared, first:",
        "  # align: false                     # true: details that are sharp in two slices show how they moved",
        "  #   e.g.  prepare: [{crop: {geometry: 800x600+100+50}}, {resize: {percent: 50}}]",
        "  # Without operators the slices are mixed at every scale. More levels where they are blurred more widely:",
        "  #   e.g.  multiscale: {levels: 6}",
        "  # Masks of your own, as imfuse's options:",
        '  #   e.g.  options: "--blur=s1,S2 --maskblur=s4 --cutless=p20 --bg=max"',
        "  # or spelled out:",
        "  #   e.g.  masks: [{blur: {sigma: 1, sigma2: 2}}]     how sharp is each pixel of a slice?",
        "  #   e.g.  merge: [{blur: {sigma: 4}}]                smooth the merged mask",
        "  #   e.g.  cut:   [{less: {percent: 20}}]             what is painted of each slice",
        "  #   e.g.  background: max                            where nothing is sharp",
        "  output:",
        f"    path: {_quoted(output)}",
        f"    # mask: {_quoted(f'{stem}_mask.tif')}",
        f"    # {depth:<32} # which slice is sharp, 0 in front; .jpg draws it in colours",
        "    # overwrite: false               # true: replace it when options have changed",
        "",
        _EXECUTION.rstrip(),
    ]
    return "\n".join(lines) + "\n"


def _anisotropy_lines(factor: float) -> list[str]:
    note = f"voxels are {factor:.3g} times as long along z" if abs(factor - 1) > 0.01 else "factor from the voxel sizes"
    return [f"  # preserve_anisotropy: false      # false | true ({note}) | a factor"]


def _output_lines(path: str) -> list[str]:
    return [
        "output:",
        f"  path: {_quoted(path)}",
        "  # The suffix chooses the format: .ome.zarr, .h5 and .n5 (BigDataViewer, with a project XML beside it),",
        "  # .tif (for ImageJ, a file for each timepoint and channel), .ome.tif (with levels).",
        _OUTPUT_END,
    ]


def _listed(numbers: Mapping[int, str]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _axes(zyx: Float3) -> str:
    """``{x: 1, y: 2, z: 3}`` of z, y, x."""
    z, y, x = (repr(float(v)).removesuffix(".0") for v in zyx)
    return f"{{x: {x}, y: {y}, z: {z}}}"


def _quoted(text: str) -> str:
    """Write a text so that YAML reads it back, also inside ``{}`` and in comments."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    escaped = (f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
    return '"' + "".join(escaped) + '"'
