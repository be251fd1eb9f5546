"""What people call by mistake is refused in words, with the way out, never by an error of Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray
import zarr

import fusestack
from fusestack.model.errors import ConfigError, FusestackError

VOLUME = np.arange(6 * 20 * 30, dtype=np.uint16).reshape(6, 20, 30)
VIEWS = {"version": 1, "input": {"views": [{"array": VOLUME}]}, "output": {"path": "out.ome.zarr"}}


@pytest.mark.parametrize("function", [fusestack.run, fusestack.plan, fusestack.graph])
@pytest.mark.parametrize(
    "config",
    [None, 3, [1], VOLUME, xarray.DataArray(VOLUME), da.from_array(VOLUME), {1, 2}],
    ids=lambda x: type(x).__name__,
)
def test_what_is_no_configuration(function: Any, config: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"is no configuration; give the path .* \(an image is stored by fusestack.write"
    ):
        function(config)


@pytest.mark.parametrize(
    ("function", "arguments", "options", "sentence"),
    [
        (fusestack.run, (VIEWS, 3), {}, "overrides: 3 is no list of texts; give"),
        (fusestack.run, (VIEWS, {"fusion.downsampling": 2}), {}, "overrides: .* is no list of texts; give"),
        (fusestack.plan, (VIEWS, [3]), {}, "overrides: .* is no list of texts; give"),
        (fusestack.run, (VIEWS,), {"client": "tcp://x:1"}, "client: 'tcp://x:1' is no distributed.Client; give"),
        (fusestack.run, (VIEWS,), {"listener": 3}, "listener: 3 cannot be called; give"),
        (fusestack.write, (VOLUME, "o.ome.zarr"), {"client": 3}, "client: 3 is no distributed.Client; give"),
        (fusestack.write, (VOLUME, None), {}, "path: None is no path; give"),
        (fusestack.write, (VOLUME, 3), {}, "path: 3 is no path; give"),
        (fusestack.write, (VOLUME, "o.ome.zarr"), {"execution": 3}, "execution: 3 is no mapping; give"),
        (fusestack.write, (VOLUME, "o.ome.zarr"), {"voxel_size": 1, "unit": 3}, "unit: '3' is not known; use"),
        (fusestack.write, (VOLUME, "o.ome.zarr"), {"pyramid": [1, 2]}, "pyramid: write calls this levels="),
        (fusestack.open_project, (None,), {}, "path: NoneType is no path; give"),
        (fusestack.open_project, (VOLUME,), {}, "path: ndarray is no path; give"),
    ],
)
def test_arguments_that_cannot_be(
    function: Any, arguments: Any, options: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FusestackError, match=sentence):
        function(*arguments, **options)
    assert not list(tmp_path.iterdir())


def test_one_setting_need_not_be_in_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    planned = fusestack.plan(VIEWS, "fusion.downsampling=2")
    assert (
        planned.images[0].target.image.shape[2:]
        == fusestack.plan(VIEWS, ["fusion.downsampling=2"]).images[0].target.image.shape[2:]
    )
    assert fusestack.plan(planned) is planned


def test_an_image_is_not_written_over_what_it_is_read_from(tmp_path: Path) -> None:
    path = tmp_path / "volume.ome.zarr"
    fusestack.write(VOLUME, path)
    images = {
        "fused": fusestack.fuse(path),
        "computed with": fusestack.fuse(path) * 2,
        "dask": da.from_zarr(path, component="0"),
        "zarr": zarr.open_array(path / "0"),
    }
    for name, image in images.items():
        with pytest.raises(ConfigError, match=r"volume.ome.zarr is an input of this run, and would be replaced"):
            fusestack.write(image, path, overwrite=True)
        assert np.array_equal(zarr.open_array(path / "0")[0, 0], VOLUME), name
