"""The simulated acquisition: files that others read, honest noise, a truth at the right place."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npy2bdv import BdvEditor

import fusestack
from fusestack.model.errors import ConfigError, InputError, OutputError
from fusestack.model.geometry import Box
from fusestack.project.xml import read_project
from fusestack.simulate import Simulation, score, simulate_acquisition
from fusestack.sources.base import open_source

SMALL = (20, 64, 72)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate_acquisition(tmp_path_factory.mktemp("small"), seed=3, tile_shape=SMALL)


def between(image, axis, places):
    """Linear interpolation of an image along one axis."""
    low = np.floor(places).astype(int)
    weight = (places - low).reshape(-1, *(1,) * (image.ndim - 1 - axis))
    return np.take(image, low, axis) * (1 - weight) + np.take(image, low + 1, axis) * weight


def residual(view, truth, shift=(0.0, 0.0, 0.0)):
    """Root mean square of a raw tile minus the truth, looked up `shift` world pixels beside its place."""
    margin = 4
    raw = open_source(view.source).read(0, Box.of_shape(view.shape)).astype(np.float64)
    expected = truth.image[view.channel].astype(np.float64)
    inner = tuple(slice(margin, n - margin) for n in view.shape)
    for axis, n in enumerate(view.shape):
        pixels = np.arange(margin, n - margin)
        place = view.pixel_to_world.offset[axis] + view.pixel_to_world.linear[axis, axis] * pixels
        expected = between(expected, axis, place + shift[axis] - truth.box.start[axis])
    return math.sqrt(np.mean((raw[inner] - expected) ** 2))


def test_the_project_reads_back(small):
    project = read_project(small.project)
    assert len(project.views) == 8
    assert [view.id.setup for view in project.views] == list(range(8))
    assert [(view.channel, view.tile) for view in project.views] == [(c, t) for c in (0, 1) for t in range(4)]
    assert {view.channel_name for view in project.views} == {"nuclei", "marker"}
    for view in project.views:
        assert view.shape == SMALL
        assert view.voxel_size == (1.5, 0.5, 0.5)
        assert view.unit == "micrometer"
        np.testing.assert_array_equal(view.pixel_to_world.linear, np.diag([3, 1, 1]))
        source = open_source(view.source)
        assert source.dtype == np.uint16
        assert [level.factors for level in source.levels] == [(1, 1, 1), (1, 2, 2)]
        assert [level.shape for level in source.levels] == [SMALL, (20, 32, 36)]
    first, right, below, _ = project.views[:4]
    assert (right.pixel_to_world.offset - first.pixel_to_world.offset)[2] == pytest.approx(0.85 * 72, abs=3)
    assert (below.pixel_to_world.offset - first.pixel_to_world.offset)[1] == pytest.approx(0.85 * 64, abs=3)
    fractions = [view.pixel_to_world.offset % 1 for view in project.views[1:4]]
    assert all(np.all(fraction > 0) for fraction in fractions)


def test_another_reader_opens_it(small, tmp_path):
    # a copy: the other reader opens for writing, and this process may hold the file open for reading
    for suffix in (".h5", ".xml"):
        shutil.copy(small.project.with_suffix(suffix), tmp_path)
    editor = BdvEditor(str(tmp_path / small.project.with_suffix(".h5").name))
    try:
        assert (editor.nchannels, editor.ntiles) == (2, 4)
        theirs = editor.read_view(time=0, channel=1, tile=2)
    finally:
        editor.finalize()
    ours = open_source(read_project(small.project).views[6].source).read(0, Box.of_shape(SMALL))
    np.testing.assert_array_equal(np.asarray(theirs).view(np.uint16), ours)


def test_layout_of_the_file(small):
    with h5py.File(small.project.with_suffix(".h5")) as file:
        assert file["s03/resolutions"][()].tolist() == [[1, 1, 1], [2, 2, 1]]
        assert file["s03/subdivisions"][()].tolist() == [[64, 64, 16], [36, 32, 16]]
        fine, coarse = (file[f"t00000/s03/{level}/cells"] for level in (0, 1))
        assert (fine.dtype, fine.compression, fine.shuffle) == (np.uint16, "gzip", True)
        block = fine[7, 10:12, 20:22].astype(float)
        assert coarse[7, 5, 10] == math.floor(block.mean() + 0.5)


def test_the_truth_is_where_the_registrations_say(small):
    """A tile fits the truth best at the sub-pixel place that its registration names."""
    for view in read_project(small.project).views[:4]:  # the channel in which every nucleus shows
        best = residual(view, small.truth)
        assert best < 1.5 * small.truth.raw_error[view.channel]
        for axis in range(3):
            for step in (-0.7, 0.7):
                beside = [0.0, 0.0, 0.0]
                beside[axis] = step
                assert residual(view, small.truth, beside) > 1.002 * best, (view.id, beside)


def test_noise_is_shot_noise(small):
    truth = small.truth
    for channel in range(2):
        electrons = (truth.image[channel].mean() - 100) / 2.2
        assert truth.noise[channel] == pytest.approx(2.2 * math.sqrt(electrons + 1.6**2), rel=0.1)
        assert truth.noise[channel] < truth.raw_error[channel] < 1.2 * truth.noise[channel]


def test_coverage(small):
    views = small.truth.views
    assert views.shape == small.truth.box.shape == small.truth.image.shape[1:]
    assert views.max() == 4
    middle = views[views.shape[0] // 2]
    assert middle[3:50, 5:50].tolist() == np.ones((47, 45)).tolist()
    assert np.count_nonzero(views) > 0.85 * views.size
    assert 0.1 < np.count_nonzero(views > 1) / views.size < 0.4


def test_channels_differ(small):
    first, second = small.truth.image.reshape(2, -1)
    assert np.corrcoef(first, second)[0, 1] < 0.9
    assert first.max() > 3 * np.median(first)


def test_the_same_seed_makes_the_same_data(tmp_path):
    first, again, other = (
        simulate_acquisition(tmp_path / name, seed=seed, tile_shape=(16, 24, 24), channels=1)
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    )
    assert first.project.read_bytes() == again.project.read_bytes()
    assert first.truth.image.tobytes() == again.truth.image.tobytes()
    files = [h5py.File(run.project.with_suffix(".h5")) for run in (first, again, other)]
    try:
        pixels = [file["t00000/s02/0/cells"][()] for file in files]
    finally:
        for file in files:
            file.close()
    assert pixels[0].tobytes() == pixels[1].tobytes()
    assert pixels[0].tobytes() != pixels[2].tobytes()


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(16, 20), st.integers(16, 30), st.integers(16, 30)),
    overlap=st.floats(0, 0.5),
    channels=st.integers(1, 3),
    z_step=st.floats(1, 3.5),
)
def test_any_allowed_arguments_work(tmp_path, shape, overlap, channels, z_step):
    simulation = simulate_acquisition(
        tmp_path, tile_shape=shape, overlap=overlap, channels=channels, z_step=z_step, seed=1
    )
    project = read_project(simulation.project)
    assert len(project.views) == 4 * channels
    assert simulation.truth.image.shape == (channels, *simulation.truth.box.shape)
    assert np.isfinite(simulation.truth.image).all()
    assert simulation.truth.image.min() > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile_shape": (8, 64, 64)}, "tile_shape: (8, 64, 64)"),
        ({"overlap": 0.7}, "overlap: 0.7"),
        ({"channels": 0}, "channels: 0"),
        ({"z_step": math.nan}, "z_step: nan"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ConfigError) as caught:
        simulate_acquisition(tmp_path / "none", **arguments)
    assert message in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="choose another folder"):
        simulate_acquisition(tmp_path / "file" / "data", tile_shape=(16, 16, 16))


def test_score_of_the_truth_and_of_known_errors(small):
    truth = small.truth
    perfect = score(truth.image, truth)
    assert perfect.psnr_db == perfect.overlap_psnr_db == math.inf
    assert (perfect.correlation, perfect.bias) == (pytest.approx(1), 0)
    ranges = np.ptp(truth.image.reshape(2, -1), axis=1)
    worse = score(truth.image[None] + 0.01 * ranges[None, :, None, None, None], truth)
    assert worse.psnr_db == pytest.approx(40, abs=1e-3)
    assert worse.single_psnr_db == pytest.approx(40, abs=1e-3)
    assert worse.bias == pytest.approx(0.01 * ranges.mean(), rel=1e-4)
    assert worse.raw_psnr_db == pytest.approx(-10 * np.log10(np.mean((truth.raw_error / ranges) ** 2)))


def test_score_ignores_pixels_that_no_tile_covers(small):
    truth = small.truth
    fused = np.where(truth.views > 0, truth.image, 0)
    assert np.any(truth.views == 0)
    assert score(fused, truth).psnr_db == math.inf
    assert math.isnan(score(fused, replace(truth, views=np.minimum(truth.views, 1))).overlap_psnr_db)


def test_score_of_another_shape(small):
    with pytest.raises(InputError, match="downsampling 1"):
        score(small.truth.image[:, 1:], small.truth)
    with pytest.raises(InputError, match="no part of that of the truth"):
        score(small.truth.image, small.truth, small.truth.box.shift([0, 0, 1]))


def test_fusion_beats_a_raw_tile_and_overlaps_are_better_still(small):
    design = fusestack.plan({"input": {"project": str(small.project)}, "output": {"path": "a.zarr"}}).design
    assert design is not None
    box = design.frame.box
    fused = fusestack.fuse(small.project).to_numpy()
    found = score(fused, small.truth, box)
    assert found.psnr_db > found.raw_psnr_db + 1
    assert found.overlap_psnr_db > found.single_psnr_db
    assert found.correlation > 0.98
    assert abs(found.bias) < 4
    assert score(np.roll(fused, 1, axis=-1), small.truth, box).psnr_db < found.psnr_db - 1


def test_the_default_is_small_on_disk(tmp_path):
    simulation = simulate_acquisition(tmp_path)
    assert sum(path.stat().st_size for path in Path(tmp_path).iterdir()) < 40e6
    assert simulation.truth.image.shape[0] == 2
