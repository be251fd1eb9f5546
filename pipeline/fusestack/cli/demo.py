"""``fusestack demo``: simulate, fuse or focus, and say how close to the truth it came."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=Path("demo"), help="default: ./demo")
    parser.add_argument("--focus", action="store_true", help="a focus stack of photographs instead of an acquisition")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the demo and print its score."""
    if arguments.focus:
        return _focus(arguments)
    from fusestack.demo import run_demo
    from fusestack.display.still import save
    from fusestack.display.volumes import volume_of_image

    if not arguments.quiet:
        print("simulating a light-sheet acquisition: 2 x 2 tiles, 2 channels ...", flush=True)
    result = run_demo(arguments.folder, seed=arguments.seed, progress=not arguments.quiet)
    picture = result.output.with_name("fused.png")
    save(volume_of_image(str(result.output)), picture)
    if not arguments.quiet:
        found = result.score
        print(
            f"\nHow close the fused image came to the truth (PSNR, higher is better)\n"
            f"  the raw tiles, for comparison   {found.raw_psnr_db:5.1f} dB\n"
            f"  fused image                     {found.psnr_db:5.1f} dB\n"
            f"    where one tile covers         {found.single_psnr_db:5.1f} dB\n"
            f"    where tiles overlap           {found.overlap_psnr_db:5.1f} dB\n"
            f"  correlation {found.correlation:.4f}, mean difference {found.bias:+.2f} grey values\n"
            f"\nWhere to look\n"
            f"  picture        {picture}\n"
            f"  fused image    {result.output}   (napari, neuroglancer, Fiji)\n"
            f"  record         {result.output}.run.json\n"
            f"  configuration  {result.config}   (change a value, then: fusestack run {result.config})\n"
            f"  acquisition    {result.project}   (opens in BigDataViewer and BigStitcher)"
        )
    return {**result.facts(), "picture": str(picture)}


def _focus(arguments: argparse.Namespace) -> dict[str, Any]:
    from fusestack.demo import run_focus_demo

    if not arguments.quiet:
        print("simulating nine photographs of hairs over a textured ground ...", flush=True)
    result = run_focus_demo(arguments.folder, seed=arguments.seed, progress=not arguments.quiet)
    if not arguments.quiet:
        print(
            f"\nHow close the picture came to the truth (PSNR, higher is better)\n"
            f"  the best photograph             {result.best_slice_psnr_db:5.1f} dB\n"
            f"  best photograph at each pixel   {result.best_choice_psnr_db:5.1f} dB   (needs the truth)\n"
            f"  stacked picture                 {result.psnr_db:5.1f} dB\n"
            f"  depth off by {result.depth_error:.2f} photographs (median)\n"
            f"\nWhere to look\n"
            f"  picture        {result.output}\n"
            f"  depth          {result.output.with_name('depth.png')}   (red is near, indigo is far)\n"
            f"  record         {result.output}.run.json\n"
            f"  configuration  {result.config}   (change a value, then: fusestack run {result.config})"
        )
    return result.facts()
