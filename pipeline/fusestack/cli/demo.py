"""``fusestack demo``: simulate, fuse, and say how close to the truth it came."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=Path("demo"), help="default: ./demo")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the demo and print its score."""
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
