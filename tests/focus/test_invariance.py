"""The result does not depend on blocks, chunks, workers or schedulers: bit for bit, borders included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fusestack
import fusestack.planning.stored
from fusestack.focus import blocks, lowpass, slices, statistics
from fusestack.focus.region import Region
from fusestack.kernels import fourier
from fusestack.kernels.fourier import Transfer
from fusestack.model.geometry import Box
from tests.focus.stacks import SET_1, SET_2, config, run, scene, section, write

CHAINS = {
    "default": "",
    "masks": "masks",
    "set 1": SET_1,
    "set 2": SET_2,
    "borders": "--statistic=r4 --dog=s1 --resize=p33 --comet=s2 --maskkuwahara=r3 --maskenhance=n2 --maskdespeckle "
    "--cutsoft=s2 --cutmax=p10 --finalblur=t50,s3,S2 --finalsharpen=s1 --finalgamma",
    "stack": "--max --median --compose=SoftLight2 --evaluate=RootMeanSquare --enfuse --bg=enfuse --bg=wave "
    "--finalalpha=p-10,P120",
    "resized": "--prepresize=p40 --blur=s1 --maskmorph=r2,R2,Close --maskwave=p20,P5 --cutless --cutmorph=r2,R1,Erode",
    "substacks": "--wavelet --colorspace=Lab,c0 --substacks=n2,r1 --masklevel=t0,substack --finalthreshold=t20,s2 "
    "--finalblur2=r3,t30 --bg=darkred",
    "filled": "--statistic=r4 --cuttest=t60 --cutblur=s3",
    "multiscale": "--multiscale=l2 --finalblur=t20,s1,S2",
    "multiscale parts": "--multiscale=l3,s2,n3,h4 --substacks=n2,r1 --finalthreshold=t20 --bg=median",
    "commands": "--cmddiff='-blur 0x2 -auto-level -gamma 2' --cmd=-normalize,c1 --maskcmd='-blur 0x1 -auto-level "
    "-evaluate Pow 0.8' --cutcmd='-blur 0x1 -auto-level' --finalcmd='-level 5%,95% -auto-level -blur 0x1 -normalize'",
    "guided": "--prepresize=p80 --blur=s1 --maskguided=s3 --maskguided=s2,t20 --cutless=p10,far",
    "recursive": "--laplacian --cutblur=s1 --cutless=p10 --cuttest=t40 --cutbg=background",
}


def cut(monkeypatch: pytest.MonkeyPatch, block: int, chunk: int) -> None:
    """Have everything computed in blocks of another size."""
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(blocks, "SMALL_PIXELS", 0)
    monkeypatch.setattr(fusestack.planning.stored, "_CHUNK", chunk)
    monkeypatch.setattr(fusestack.planning.stored, "_FILE", block)
    monkeypatch.setattr(statistics, "BAND_PIXELS", 64 * block)
    monkeypatch.setattr(statistics, "CHUNK", 16)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write(tmp_path_factory.mktemp("slices"), scene()[0])


def results(paths: list[str], folder: Path, chain: str) -> dict[str, bytes]:
    folder.mkdir(parents=True)
    run(paths, folder, **section(chain))
    return {name: tifffile.imread(folder / f"{name}.tif").tobytes() for name in ("sharp", "mask", "depth")}


@pytest.mark.parametrize("name", CHAINS)
def test_blocks_and_chunks(name: str, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = results(paths, tmp_path / "whole", CHAINS[name])
    for block, chunk in ((32, 32), (48, 16)) if name in ("set 2", "multiscale parts") else ((48, 16),):
        with monkeypatch.context() as patch:
            cut(patch, block, chunk)
            small = results(paths, tmp_path / f"{block}", CHAINS[name])
        assert small == whole, (name, block)


@pytest.mark.parametrize("chain", ["", SET_2])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_slices_that_lie_in_their_files_as_they_are(chain: str, dtype: str, tmp_path: Path) -> None:
    """They are read where they lie, and not stored once more."""
    stored = write(tmp_path / "stored", scene()[0], dtype)
    raw = [str(tmp_path / "raw" / Path(path).name) for path in stored]
    (tmp_path / "raw").mkdir()
    for k, (source, path) in enumerate(zip(stored, raw, strict=True)):
        pixels = tifffile.imread(source)
        if k in (1, 4):  # of some files, colours lie in planes
            tifffile.imwrite(path, np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate")
        else:
            tifffile.imwrite(path, pixels, photometric="rgb")
    names = {stage.name for stage in fusestack.plan(config(raw, tmp_path / "a", **section(chain))).stages}
    assert "slices" not in names
    assert results(raw, tmp_path / "a", chain) == results(stored, tmp_path / "b", chain)


@pytest.mark.parametrize("scheduler", ["processes", "distributed"])
def test_schedulers(scheduler: str, paths: list[str], tmp_path: Path) -> None:
    here = results(paths, tmp_path / "threads", SET_2)
    folder = tmp_path / "other"
    folder.mkdir()
    fusestack.run(config(paths, folder, options=SET_2) | {"execution": {"scheduler": scheduler, "workers": 2}})
    assert {name: tifffile.imread(folder / f"{name}.tif").tobytes() for name in here} == here


def test_tiled_low_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes that are too large to be transformed whole: near the exact result, and the same for every block."""
    slices = write(tmp_path / "slices", scene((530, 610), 3, 1)[0], "uint16")
    options = "--fft=r40 --maskfft --masklevel=off"
    exact = results(slices, tmp_path / "exact", options)
    monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    tiled = results(slices, tmp_path / "tiled", options)
    with monkeypatch.context() as patch:
        cut(patch, 192, 64)
        assert results(slices, tmp_path / "small", options) == tiled
    # beyond the image the exact scheme wraps round after 5 percent, tiles see the edge pixel as far as they look
    inner = (slice(60, -60), slice(60, -60))
    masks = [np.frombuffer(found["mask"], np.uint16).reshape(530, 610)[inner] / 65535 for found in (exact, tiled)]
    assert np.abs(masks[0] - masks[1]).max() < 0.02
    assert np.abs(masks[0] - masks[1]).mean() < 2e-3
    sharp = [np.frombuffer(found["sharp"], np.uint16) / 65535 for found in (exact, tiled)]
    assert -10 * np.log10(np.mean((sharp[0] - sharp[1]) ** 2) + 1e-12) > 38


@pytest.mark.parametrize(("radius", "curve"), [(75, "gradient"), (10, "gradient"), (40, "log100"), (25, "log1000")])
def test_two_scales_are_near_the_whole_at_the_border_too(radius: float, curve: str) -> None:
    slices = scene((1001, 1203), 2, 1, seed=3)[0][1, :, :, 0]
    y, x = np.mgrid[:1001, :1203]
    plane = (0.6 * slices + 0.4 * (x + y) / 2202).astype(np.float32)[None]  # brighter on one side
    transfers = (Transfer(radius, curve),)
    source = Plane(plane)
    small = lowpass.reduced_shape(*plane.shape[1:])
    whole = Box((0, 0, 0, 0, 0), (1, 1, 1, *small))
    reduced = Plane(lowpass.Reduce(source, plane.shape[1:])(whole)[0, :, 0])
    low = Plane(lowpass.LowFrequencies(reduced, transfers, plane.shape[1:])(whole)[0, :, 0])
    region = Region(0, 1001, 0, 1203)
    tiled = lowpass.TiledLowPass(low, plane.shape[1:], 1, transfers)
    made = tiled.filter(0, 0, 0, region, lambda part: source.pixels[:, *part.parts])[0]
    (exact,) = fourier.whole(plane, transfers)
    error = np.abs(made - exact)
    assert error.max() < 2e-3
    assert error.mean() < 2e-4


class Plane:
    """Planes [c, y, x], read as regions and as boxes."""

    def __init__(self, pixels: NDArray[np.float32]) -> None:
        self.pixels = pixels

    def read(self, *place: Any) -> NDArray[np.float32]:
        if isinstance(place[0], Box):
            return self.pixels[None, :, None][place[0].slices]
        return self.pixels[:, *place[3].parts]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    block=st.integers(2, 9).map(lambda n: 16 * n),
    generators=st.lists(
        st.sampled_from(["--blur=s1", "--wavelet", "--statistic=r3,Median", "--kirsch", "--morphology=r2", "--chroma"]),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    chain=st.lists(
        st.sampled_from(["--maskblur=s2", "--maskstat=r4", "--maskwave", "--maskmorph=r2", "--masktest=p30"]),
        max_size=3,
    ),
    cuts=st.lists(st.sampled_from(["--cutwave", "--cutblur=s2", "--cutless", "--cutalpha=p-10"]), max_size=2),
)
def test_any_chain_in_any_blocks(
    block: int,
    generators: list[str],
    chain: list[str],
    cuts: list[str],
    paths: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    options = " ".join([*generators, *chain, *cuts])
    whole = results(paths, folder / "whole", options)
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, block, 16)
        assert results(paths, folder / "small", options) == whole


@pytest.mark.parametrize("options", [SET_2, "--bg=median"])
def test_photographs_in_strips(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path / "slices", scene((300, 120), 3)[0])
    whole = results(paths, tmp_path / "whole", options)
    monkeypatch.setattr(slices, "WHOLE_PIXELS", 0)
    cut(monkeypatch, 64, 32)
    plan = fusestack.plan(config(paths, tmp_path / "plan", options=options))
    first = next(stage for stage in plan.images[0].preparation if stage.name == "slices")
    assert first.grid.count == 3 * 5
    assert results(paths, tmp_path / "strips", options) == whole
