"""Areas that somebody drew: the slice in the middle, the picture around, no border between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import fusestack
from fusestack.focus.areas import Area
from fusestack.focus.retouching import Patch, Retouching
from fusestack.kernels import polygon
from fusestack.operators.base import Place
from tests.focus.stacks import config, run, scene, write
from tests.focus.test_invariance import cut

SQUARE = [[20, 20], [100, 20], [100, 75], [20, 75]]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write(tmp_path_factory.mktemp("slices"), scene()[0])


def retouched(paths: list[str], folder: Path, *areas: dict[str, Any], **focus: Any) -> dict[str, NDArray[Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    run(paths, folder, retouch=list(areas), **focus)
    return {name: tifffile.imread(folder / f"{name}.tif") for name in ("sharp", "mask", "depth")}


@pytest.mark.parametrize("options", ["", "--blur=s1,S2", "--blur=s1,S2 --finalthreshold=t30"])
def test_an_area_is_that_of_its_slice(options: str, paths: list[str], tmp_path: Path) -> None:
    focus = {"options": options} if options else {}
    plain = retouched(paths, tmp_path / "plain", **focus)
    made = retouched(paths, tmp_path / "made", {"slice": 3, "polygon": SQUARE}, **focus)
    middle, far = np.s_[40:56, 50:70], np.s_[:, 128:]
    colours = made["sharp"][..., :3]
    assert np.abs(colours[middle].astype(int) - tifffile.imread(paths[3])[middle]).max() <= 1
    assert np.array_equal(made["sharp"][far], plain["sharp"][far])
    inside = polygon.inside([(x, y) for x, y in SQUARE], (0, 0), plain["depth"].shape) > 0
    assert (made["depth"][inside] == 3).all()
    assert (made["mask"][inside] == 65535).all()
    for name in ("mask", "depth"):
        assert np.array_equal(made[name][~inside], plain[name][~inside], equal_nan=True)


def test_later_areas_lie_over_earlier_ones(paths: list[str], tmp_path: Path) -> None:
    inner = [[45, 35], [75, 35], [75, 60], [45, 60]]
    made = retouched(paths, tmp_path, {"slice": 3, "polygon": SQUARE}, {"slice": 0, "polygon": inner})
    assert made["depth"][47, 60] == 0
    assert made["depth"][25, 30] == 3


@pytest.mark.parametrize("more", [0.0, 0.2, -0.2])
def test_no_border_is_seen(more: float) -> None:
    """A slice of another brightness goes over into the picture; its detail is there where the area is."""
    rng = np.random.default_rng(0)
    fine = rng.normal(0, 0.01, (1, 160, 160)).astype(np.float32)
    planes = np.concatenate([np.full((1, 160, 160), 0.5), np.ones((4, 160, 160))]).astype(np.float32)
    area = Area(0, ((40.0, 40.0), (120.0, 40.0), (120.0, 120.0), (40.0, 120.0)))
    assert area.levels == 3
    slice_ = np.float32(0.5 + more) + fine
    made = Retouching((area,))(planes.copy(), [Patch(area, slice_, None)], Place((0, 0), (160, 160)))[0]
    assert np.abs(made[76:84, 76:84] - slice_[0, 76:84, 76:84]).max() < 1e-6
    assert made[45:115, 45:115].std() > 0.005, "its detail is there"
    smooth = made[100:150, 60:100].mean(axis=1)  # across the lower border
    assert np.abs(np.diff(smooth)).max() <= abs(more) / 4 + 0.008
    assert np.abs(made[:4] - 0.5).max() < 1e-6


def test_brightness_of_slices(tmp_path: Path) -> None:
    """A slice that flickered is as bright in an area as all others are."""
    stack = 0.7 * scene((128, 192), 5, 1)[0]
    steady = write(tmp_path / "a", stack)
    stack[3] *= 1.2
    flickering = write(tmp_path / "b", stack)
    area = {"slice": 3, "polygon": [[20, 20], [170, 20], [170, 110], [20, 110]]}
    found = [retouched(one, tmp_path / f"out{i}", area)["sharp"] for i, one in enumerate((steady, flickering))]
    middle = np.s_[50:80, 80:120]
    ratio = found[1][middle].astype(float).mean() / found[0][middle].astype(float).mean()
    assert abs(ratio - 1) < 0.02


def test_what_is_not_known_stays(tmp_path: Path) -> None:
    """NaN of a volume: of the picture around an area, and of the slice within it."""
    stack = scene((128, 192), 4, 1)[0][..., 0].astype(np.float32)
    stack[:, :12] = np.nan
    stack[2, 60:64, 80:84] = np.nan
    import xarray

    volume = xarray.DataArray(stack, dims=("z", "y", "x"))
    area = {"slice": 2, "polygon": [[30, 5], [160, 5], [160, 120], [30, 120]]}
    plain = fusestack.focus_stack(volume).image.values
    made = fusestack.focus_stack(volume, retouch=[area]).image.values
    assert np.isnan(made[:12]).all()
    assert np.isfinite(made[12:]).all()
    assert np.abs(made[40:56, 90:110] - stack[2, 40:56, 90:110]).max() < 1e-5
    assert np.array_equal(made[:, 191], plain[:, 191], equal_nan=True)


corners = st.tuples(st.floats(-20, 150), st.floats(-20, 110))
areas = st.lists(
    st.builds(
        lambda number, found: {"slice": number, "polygon": [list(one) for one in found]},
        st.integers(0, 4),
        st.lists(corners, min_size=3, max_size=7, unique=True),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(drawn=areas)
def test_blocks_never_matter(
    drawn: list[dict[str, Any]], paths: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    drawn = [*drawn, {"slice": 1, "polygon": SQUARE}, {"slice": 4, "polygon": [[60, 10], [129, 50], [70, 89]]}]
    meets = [one for one in drawn if np.any(polygon.inside(one["polygon"], (0, 0), (90, 130)))]
    folder = tmp_path_factory.mktemp("out")
    whole = retouched(paths, folder / "whole", *meets)
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, 48, 16)
        small = retouched(paths, folder / "small", *meets)
    stack = np.stack([tifffile.imread(path) for path in paths])
    lazily = fusestack.focus_stack(stack, retouch=meets, chunks=48)
    for name in whole:
        assert small[name].tobytes() == whole[name].tobytes(), name
    assert lazily.image.values.tobytes() == whole["sharp"].tobytes()
    assert lazily.depth.values.tobytes() == whole["depth"].tobytes()


@settings(max_examples=50)
@given(found=st.lists(st.tuples(st.integers(-5, 40), st.integers(-5, 30)), min_size=3, max_size=8, unique=True))
def test_pixels_in_a_polygon(found: list[tuple[int, int]]) -> None:
    """As Pillow fills it, but for its outline, which Pillow draws besides; of any region of it the same pixels."""
    moved = [(x + 0.5, y + 0.5) for x, y in found]
    whole = polygon.inside(moved, (0, 0), (24, 36))
    part = polygon.inside(moved, (7, 11), (10, 20))
    assert np.array_equal(whole[7:17, 11:31], part)
    corners = np.array(moved)
    sides = np.roll(corners, -1, axis=0) - corners
    rows, columns = np.mgrid[:24, :36]
    points = np.stack([columns, rows], axis=-1)[..., None, :] - corners
    along = np.clip((points * sides).sum(-1) / np.maximum((sides**2).sum(-1), 1e-9), 0, 1)
    near = np.linalg.norm(points - along[..., None] * sides, axis=-1).min(axis=-1) < 1.5
    picture = Image.new("L", (36, 24))
    ImageDraw.Draw(picture).polygon(moved, fill=1)
    winding = np.asarray(picture) > 0
    assert np.array_equal((whole > 0)[~near], winding[~near])


@pytest.mark.parametrize(
    ("area", "said"),
    [
        ({"slice": 5, "polygon": SQUARE}, "there is no slice 5; the stack has 5, counted from 0"),
        (
            {"slice": 0, "polygon": [[200, 0], [300, 0], [300, 50]]},
            "no pixel lies in the polygon; the picture has 130 x 90",
        ),
        ({"slice": 0, "polygon": [[10.1, 10.1], [10.4, 10.1], [10.2, 10.4]]}, "no pixel lies in the polygon"),
        ({"slice": 0, "polygon": [[-50, 80], [20, 150], [-50, 150]]}, "no pixel lies in the polygon"),
        ({"slice": 0, "polygon": [[1e30, 1e30], [2e30, 1e30], [1e30, 3e30]]}, "no pixel lies in the polygon"),
        ({"slice": 0, "polygon": SQUARE, "timepoint": 3}, "there is no timepoint 3"),
    ],
)
def test_areas_that_are_not_there(area: dict[str, Any], said: str, paths: list[str], tmp_path: Path) -> None:
    with pytest.raises(fusestack.ConfigError, match=rf"focus\.retouch\.0.*{said}"):
        fusestack.plan(config(paths, tmp_path, retouch=[area]))


@pytest.mark.parametrize(
    ("focus", "said"),
    [
        ({"substacks": {"number": 2}, "layered": True}, "substacks are pictures of their own"),
        ({"masks": [], "background": "max"}, "there is no picture without masks"),
    ],
)
def test_what_is_not_retouched(focus: dict[str, Any], said: str, paths: list[str], tmp_path: Path) -> None:
    with pytest.raises(fusestack.ConfigError, match=said):
        fusestack.plan(config(paths, tmp_path, retouch=[{"slice": 0, "polygon": SQUARE}], **focus))


def test_a_stack_with_times_asks_which_one(tmp_path: Path) -> None:
    import zarr

    group = zarr.open_group(tmp_path / "in.ome.zarr", mode="w")
    stack = np.moveaxis(scene((64, 96), 3, 1)[0], -1, 0)
    group.create_array("0", shape=(2, 1, 3, 64, 96), chunks=(1, 1, 1, 64, 96), dtype="uint16")[:] = np.broadcast_to(
        stack * 4000, (2, 1, 3, 64, 96)
    )
    axes = [{"name": name} for name in "tczyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    area: dict[str, Any] = {"slice": 0, "polygon": [[10, 10], [80, 10], [80, 50], [10, 50]]}
    focus = {"input": str(tmp_path / "in.ome.zarr"), "output": {"path": str(tmp_path / "out.ome.zarr")}}
    with pytest.raises(fusestack.ConfigError, match="the stack has 2 timepoints; name the one that is retouched"):
        fusestack.plan({"version": 1, "focus": focus | {"retouch": [area]}})
    fusestack.run({"version": 1, "focus": focus | {"retouch": [area | {"timepoint": 1}]}})
    found = zarr.open_group(tmp_path / "out.ome.zarr", mode="r")["0"][:, 0, 0]
    assert not np.array_equal(found[0], found[1])
    assert np.abs(found[1, 25:35, 40:50].astype(int) - (stack[0, 0] * 4000)[25:35, 40:50]).max() <= 2


def test_what_was_done_is_written_down(paths: list[str], tmp_path: Path) -> None:
    run(paths, tmp_path, retouch=[{"slice": 1, "polygon": SQUARE}])
    with tifffile.TiffFile(tmp_path / "sharp.tif") as file:
        assert "--multiscale --between=p100, retouched in 1 area [" in file.pages[0].description
    _, again = run(paths, tmp_path, retouch=[{"slice": 1, "polygon": SQUARE}])
    assert not any(stage.computed for stage in again.stages)
    with pytest.raises(fusestack.OutputError, match="retouch"):
        run(paths, tmp_path, retouch=[{"slice": 2, "polygon": SQUARE}])


def test_colours_of_what_is_transparent_are_not_mixed_in() -> None:
    """Neither those of a picture where nothing is sharp, nor those of a slice that is cut out."""
    rng = np.random.default_rng(0)
    planes = np.full((5, 128, 128), 1, np.float32)
    planes[0] = 0.7 + rng.normal(0, 0.01, (128, 128))
    planes[:2, :, :64] = 0  # nothing is painted there
    area = Area(2, ((20.0, 20.0), (110.0, 20.0), (110.0, 110.0), (20.0, 110.0)))
    slice_ = np.full((1, 128, 128), 0.7, np.float32)
    slice_[:, 80:] = 0
    opacity = np.where(np.arange(128)[:, None] < 80, 1, 0) * np.ones((128, 128))
    made = Retouching((area,))(
        planes.copy(), [Patch(area, slice_, opacity.astype(np.float32))], Place((0, 0), (128, 128))
    )
    shown = made[1] > 0
    assert np.abs(made[0][shown] - 0.7).max() < 0.06
    assert shown[25:75, 25:60].all()
    assert not shown[85:105, 25:60].any(), "the slice has nothing to show"
    assert np.array_equal(made[1:, 85:], planes[1:, 85:]), "the picture stays there"


def test_many_areas_cost_no_more_around_a_block() -> None:
    strokes = tuple(
        Area(0, ((x, 20.0), (x + 80.0, 20.0), (x + 80.0, 90.0), (x, 90.0))) for x in map(float, range(0, 2000, 40))
    )
    assert Retouching(strokes).depth == strokes[0].reach < 64
