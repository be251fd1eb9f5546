"""Sets of focus options on a part of a stack: the bytes of a run, shared stages once, scores, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

import fusestack
from fusestack.api.tuning import apply_set
from fusestack.cli.main import run
from fusestack.config.load import from_mapping
from fusestack.focus import scores as scoring
from fusestack.focus.busiest import busiest
from fusestack.focus.option_sets import OptionSet, option_sets
from fusestack.focus.region import Region
from fusestack.focus.scores import SliceDetail, truth_scores
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.geometry import Box
from fusestack.planner import Tuning
from fusestack.running.runner import run_plan
from fusestack.simulate.macro import simulate_macro
from fusestack.simulate.shaken import as_shaken, shaken_motions
from tests.focus.stacks import SET_1, SET_2, scene, write


def sets_of(focus: dict[str, Any]) -> list[OptionSet]:
    loaded = from_mapping({"version": 1, "input": {"images": "a/*.tif"}, "focus": focus})
    return option_sets(loaded, photographs=True, opacity=False)


def strings(focus: dict[str, Any]) -> list[str]:
    return [one.options for one in sets_of(focus)]


class TestSets:
    def test_a_grid_over_a_string(self) -> None:
        found = strings(
            {
                "options": "--fft --cutless=p5 --cutwave=p75",
                "tune": {"vary": {"cutless.percent": [10, 30], "cut.wave.percent": [50, 75]}},
            }
        )
        assert found == [
            f"--fft --cutless=p{less} --cutwave=p{wave} --bg=transparent" for less in (10, 30) for wave in (50, 75)
        ]

    def test_lists_and_methods_take_only_what_is_theirs(self) -> None:
        tune = {
            "options": ["--multiscale", {"method": "masks"}, "--fft --cutwave"],
            "vary": {"multiscale": {"levels": [4, 5]}, "maskwave.percent": [50]},
        }
        found = strings({"tune": tune})
        assert [one.partition(" --bg")[0] for one in found] == [
            "--multiscale=l4 --between=p100",
            "--multiscale --between=p100",
            "--blur=s1,S2 --maskwave=p50 --maskblur=s4",
            "--fft --cutwave",
        ]

    def test_methods_vary(self) -> None:
        found = strings({"tune": {"vary": {"method": ["masks", "multiscale"], "multiscale.noise": [1, 2]}}})
        assert [one.partition(" ")[0] for one in found] == ["--blur=s1,S2", "--multiscale=n1", "--multiscale=n2"]

    def test_a_set_says_what_its_settings_say(self) -> None:
        focus = {
            "masks": [{"blur": {"sigma": 1}}],
            "merge": ["wave"],
            "tune": {"vary": {"blur.sigma": [1, 3], "background": ["max", "enfuse"], "output.between_slices": [True]}},
        }
        for one in sets_of(focus):
            again = from_mapping({"version": 1, "input": {"images": "a/*.tif"}, "focus": dict(one.settings)})
            assert again.config.focus is not None
            assert again.config.focus.background == one.recipe.backgrounds
            assert again.config.focus.masks == one.recipe.generators
            assert again.config.focus.output.between_slices is True

    @pytest.mark.parametrize(
        ("tune", "message"),
        [
            ({}, "names no sets to try"),
            (
                {"vary": {"maskwav.percent": [1]}},
                "there is no option 'maskwav.percent' (did you mean 'maskwave.percent'",
            ),
            ({"vary": {"blur.percent": [1]}}, "there is no option 'blur.percent' (it has weight"),
            ({"vary": {"cutless.percent": [1]}}, "no set has the operator less; name it in focus.cut"),
            ({"vary": {"maskwave.percent": [1]}}, "no set has the operator wave"),
            ({"vary": {"multiscale.levels": ["x"]}}, "set 1, {'multiscale': {'levels': 'x'}}: focus.multiscale.levels"),
            ({"vary": {"multiscale.noise": list(range(1, 99)), "multiscale.levels": [1, 2, 3]}}, "asks for 294 sets"),
            ({"options": ["--blurr"]}, "did you mean --blur?"),
            ({"options": [{"msaks": []}]}, "'msaks' is no key that a set may name (did you mean 'masks'?)"),
            ({"options": [{"output": {"path": "a"}}]}, "a set may not name output.path"),
            ({"options": ["--blur --blur=s2"], "vary": {"blur.sigma": [1]}}, "has the operator blur 2 times"),
        ],
    )
    def test_what_is_refused(self, tune: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            sets_of({"tune": tune})
        assert message in str(caught.value)


OPTIONS = [
    "--multiscale=l3",
    {"method": "masks"},
    SET_1,
    SET_2,
    "--laplacian --prepresize=p50 --cutwave --finalalpha=off --bg=wave",
    "--bg=max",
]


def settings(paths: list[str], folder: Path, options: list[Any], **tune: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "input": {"images": paths},
        "focus": {"tune": {"options": options, **tune}, "output": {"path": str(folder / "sharp.tif")}},
        "execution": {"workers": 2},
    }


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write(tmp_path_factory.mktemp("slices"), scene((150, 190), 4)[0])


@pytest.mark.parametrize("region", [Region(0, 64, 0, 70), Region(31, 120, 53, 190)])
def test_a_part_is_that_of_a_run(slices: list[str], tmp_path: Path, region: Region) -> None:
    config = settings(slices, tmp_path, OPTIONS)
    tuning = Tuning.of(from_mapping(config))
    planned, plan = tuning.on_part(region)
    assert len(planned.sets) == len(OPTIONS)
    run_plan(plan)
    for one in planned.sets:
        focus = {**dict(one.chosen.settings), "output": {"path": str(tmp_path / f"{one.chosen.number}.tif")}}
        fusestack.run({**config, "focus": focus, "cache": {"path": str(tmp_path / "other")}})
        whole = tifffile.imread(tmp_path / f"{one.chosen.number}.tif")[region.parts]
        part = one.part.array.read(Box.of_shape(one.part.grid.shape))[0, :, 0].transpose(1, 2, 0)
        if part.shape[-1] > whole.shape[-1]:  # opaque everywhere
            assert part[..., 3].min() == 255
            part = part[..., :3]
        assert part.tobytes() == np.ascontiguousarray(whole).tobytes(), one.chosen.options


def test_a_part_of_slices_that_are_aligned_and_prepared(slices: list[str], tmp_path: Path) -> None:
    """Parts lie in what a run would stack."""
    motions = shaken_motions(4, (190, 150), shift=8, turn=1, growth=0.02)
    still = np.stack([tifffile.imread(path) for path in slices]) / 255
    config = settings(write(tmp_path / "in", as_shaken(still, motions)), tmp_path, ["--multiscale=l3", "--blur"])
    config["focus"] |= {"align": True, "prepare": [{"shave": {"x": 4}}, {"gamma": {}}, {"sharpen": {}}]}
    config["focus"]["tune"]["crop"] = {"x": 20, "y": 30, "width": 60, "height": 50}
    tuned = fusestack.tune(config, progress=False)
    assert tuned.plane[1] < 190 - 8
    for one in tuned.sets:
        path = str(tmp_path / f"{one.number}.tif")
        kept = {key: config["focus"][key] for key in ("align", "prepare")}
        fusestack.run({**config, "focus": {**kept, **dict(one.settings), "output": {"path": path}}})
        whole = tifffile.imread(path)
        assert whole.shape[:2] == tuned.plane
        part = zarr.open_array(Path(tuned.folder) / "results.ome.zarr" / "0")[0, :3, one.number - 1]
        assert part.transpose(1, 2, 0).tobytes() == np.ascontiguousarray(whole[30:80, 20:80, :3]).tobytes()


def test_what_sets_share_is_made_once_and_serves_a_run(slices: list[str], tmp_path: Path) -> None:
    config = settings(slices, tmp_path, ["--blur=s1 --fft --cutless=p5 --cutwave"])
    config["focus"]["tune"]["vary"] = {"cutless.percent": [5, 10, 20], "cutwave.percent": [20, 75]}
    tuned = fusestack.tune(config)
    assert len(tuned.sets) == 6
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "cache.fusestack").iterdir() if path.is_dir())
    assert [name for name in names if name != "part"] == [
        "counts-blur",
        "counts-fft",
        "limits-blur",
        "limits-fft",
        "limits-merged",
        "masks-blur",
        "masks-fft",
        "merge",
        "slices",
    ]
    report = fusestack.run({**config, "focus": {**config["focus"], **tuned.sets[0].settings}})
    assert {stage.stage: stage.action for stage in report.stages if stage.action != "reused"} == {
        "write/image": "computed",
    }
    again = fusestack.tune(config)  # nothing is made again, and it is known what it took
    assert [one.seconds for one in again.sets] == [one.seconds for one in tuned.sets]
    assert all(one.run_seconds is not None for one in again.sets)


def test_times_that_nobody_measured_are_said_not_to_be_known(
    slices: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(slices, tmp_path, ["--blur=s1 --fft --cutless=p5"])
    (tmp_path / "tune.yaml").write_text(json.dumps(config))
    why = "not known: what was in the cache already, made by a run, was not made again"
    assert run(["tune", str(tmp_path / "tune.yaml")]) == 0
    assert "not known" not in capsys.readouterr().out
    assert "<dt>not known" not in (tmp_path / "sharp.tif.tune.html").read_text()
    (tmp_path / "sharp.tif.tune" / "results.json").unlink()
    assert run(["tune", str(tmp_path / "tune.yaml")]) == 0
    text = capsys.readouterr().out
    assert why in text
    assert "?" not in text
    page = (tmp_path / "sharp.tif.tune.html").read_text()
    assert "<dt>not known</dt><dd>what was in the cache" in page
    assert page.count("<td>not known</td>") == 2  # the part, and the whole
    (one,) = fusestack.tune(config).sets
    assert one.seconds is None
    assert "not known" in repr(one)


def test_volumes_of_channels_are_tuned(tmp_path: Path) -> None:
    stack = (1000 * scene((60, 70), 5, 2)[0]).astype(np.uint16).transpose(0, 3, 1, 2)
    tifffile.imwrite(tmp_path / "v.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    focus = {"input": str(tmp_path / "v.tif"), "output": {"path": str(tmp_path / "o.tif")}}
    config = {"version": 1, "focus": {**focus, "tune": {"vary": {"multiscale.levels": [2, 3]}}}}
    with pytest.warns(fusestack.FusestackWarning, match="of 2 channels, the page shows and scores the first one"):
        tuned = fusestack.tune(config)
    assert len(tuned.sets) == 2
    assert all(0 < one.scores["sharpness"] <= 100 for one in tuned.sets)


def test_the_busiest_part_is_where_depths_meet() -> None:
    depth, detail = np.zeros((50, 80), np.float32), np.ones((50, 80), np.float32)
    depth[20:40, 55:75] = 5
    found = busiest(depth, detail, (199, 317), (100, 100))
    assert found.shape == (100, 100)
    assert found.top <= 80
    assert found.bottom >= 156
    assert found.left <= 220
    assert found.right >= 296
    detail[:, 40:] = 0  # chance
    depth[10:20, 5:15] = 5
    assert busiest(depth, detail, (199, 317), (100, 100)).left < 60


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60))
def test_a_part_lies_in_the_slices(rows: int, columns: int, height: int, width: int) -> None:
    plane = (rows * 4 - 1, columns * 4 - 2)
    depth = np.random.default_rng(0).integers(0, 5, (rows, columns)).astype(np.float32)
    found = busiest(depth, np.ones_like(depth), plane, (height, width))
    assert found.shape == (min(height, plane[0]), min(width, plane[1]))
    assert min(found.top, found.left) >= 0
    assert found.bottom <= plane[0]
    assert found.right <= plane[1]


def scores(stack: Any, *pictures: Any) -> list[dict[str, float]]:
    return scoring.scores_of([lambda one=one: one for one in pictures], lambda: stack, SliceDetail.of(stack), 2)


class TestScores:
    @pytest.mark.parametrize("name", ["hairs", "steps"])
    def test_the_truth_is_better_than_a_mean_and_than_noise(self, name: str) -> None:
        scene = simulate_macro(name, size=96)
        stack, truth = np.moveaxis(scene.slices, -1, 1), np.moveaxis(scene.truth, -1, 0)
        noise = np.random.default_rng(0).normal(0, 0.03, truth.shape).astype(np.float32)
        best, *others = scores(stack, truth, stack.mean(axis=0), truth + noise)
        assert all(one["sharpness"] < best["sharpness"] - 2 for one in others)
        assert others[0]["halo"] > best["halo"] + 10

    def test_pictures_are_scored_each_for_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stack = np.moveaxis(simulate_macro("steps", size=64).slices, -1, 1)
        together = scores(stack, *stack[:5])
        monkeypatch.setattr(scoring, "_TOGETHER", 2)
        assert scores(stack, *stack[:5]) == together
        assert [scores(stack, one)[0] for one in stack[:5]] == together

    def test_seams_are_edges_that_no_slice_has(self) -> None:
        dark, bright = np.full((2, 1, 64, 64), 0.4, np.float32)
        bright += 0.2
        dark[:, :, 40:] += 0.2  # an edge of the subject
        cut = np.where(np.arange(64)[:, None] < 30, dark, bright)
        whole, both = scores(np.stack([dark, bright]), dark, cut)
        assert whole["seams"] == 0
        assert 1 < both["seams"] < 10

    def test_likeness_to_the_truth(self) -> None:
        hairs = simulate_macro("hairs", size=96)
        truth = np.moveaxis(hairs.truth, -1, 0)
        found = truth_scores(truth + np.float32(0.1), truth)
        assert found["psnr"] == pytest.approx(20, abs=1e-3)
        assert 0.5 < found["ssim"] < truth_scores(truth, truth)["ssim"] == 1

    def test_a_truth_of_another_size_is_refused(self, slices: list[str], tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "t.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
        with pytest.raises(InputError, match="has 30 x 20 pixels, the slices have 190 x 150"):
            fusestack.tune(settings(slices, tmp_path, ["--multiscale"], truth=str(tmp_path / "t.tif")))


def test_a_part_of_prepared_slices_is_that_of_a_run(slices: list[str], tmp_path: Path) -> None:
    config = settings(slices, tmp_path, ["--multiscale=l3"], crop={"x": 5, "y": 7, "width": 60, "height": 50})
    config["focus"]["prepare"] = [{"crop": {"geometry": "150x120+30+20"}}]
    tuning = Tuning.of(from_mapping(config))
    planned, plan = tuning.on_part(Region(7, 57, 5, 65))
    run_plan(plan)
    part = planned.sets[0].part.array
    found = part.read(Box.of_shape(part.shape))[0, :, 0].transpose(1, 2, 0)
    fusestack.run({**config, "focus": {**config["focus"], "options": "--multiscale=l3"}})
    assert np.array_equal(found, tifffile.imread(tmp_path / "sharp.tif")[7:57, 5:65])
    config["focus"]["align"] = True
    with pytest.raises(ConfigError, match="the slices are not aligned yet"):
        Tuning.of(from_mapping(config))


def test_a_part_outside_is_refused(slices: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="begins at x 500, y 0, and the slices have 190 x 150 pixels"):
        fusestack.tune(settings(slices, tmp_path, ["--multiscale"], crop={"x": 500}))


TEXT = """# my stack
version: 1
input:
    images: "*.tif"   # photographs
focus:
    # found in spring
    options: "--fft --cutless=p5"  # good
    # where it goes
    output: {path: o/sharp.tif}
    tune:
        vary: {cutless.percent: [10, 30]}   # try
        crop: {x: 3, y: 5, width: 60, height: 50}
"""


def test_a_set_is_applied_and_comments_stay(tmp_path: Path) -> None:
    write(tmp_path, scene((70, 80), 3)[0])
    path = tmp_path / "stack.yaml"
    path.write_text(TEXT)
    with pytest.raises(ConfigError, match="nothing was tuned yet"):
        apply_set(path, 1)
    tuned = fusestack.tune(path)
    assert tuned.part == {"x": 3, "y": 5, "width": 60, "height": 50}
    with pytest.raises(ConfigError, match="there is no such set; the contact sheet has 1 to 2"):
        apply_set(path, 3)
    apply_set(path, 2)
    assert path.read_text() == TEXT.replace('"--fft --cutless=p5"  #', '"--fft --cutless=p30 --bg=transparent" #')
    assert not list(tmp_path.glob(".*"))
    path.write_text(TEXT.replace("[10, 30]", "[10, 40]"))
    with pytest.raises(ConfigError, match="has been changed since the contact sheet was made"):
        apply_set(path, 2)
