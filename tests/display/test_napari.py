"""The reader for napari: found by its manifest, lazy, and without napari."""

from __future__ import annotations

import json
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusestack
from fusestack.api.napari import read, reader
from tests.conftest import UNTESTED
from tests.small import config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("napari")
    settings = config(folder)
    for number, view in enumerate(settings["input"]["views"]):
        view |= {"voxel_size": {"x": 0.5, "y": 0.5, "z": 0.5}, "unit": "micrometer", "channel": int(number == 2)}
    path = folder / "fuse.yaml"
    path.write_text(json.dumps(settings))
    fusestack.run(path)
    return path


def test_layers_are_what_a_run_writes(job: Path) -> None:
    expected = fusestack.fuse(job)
    for source in (job, job.parent / "fused.ome.zarr"):
        function = reader(str(source))
        assert function is not None
        layers = function(str(source))
        assert len(layers) == 2
        for c, (data, settings, kind) in enumerate(layers):
            assert kind == "image"
            assert settings["multiscale"] == (source != job)  # what is fused is too small for levels
            levels = data if settings["multiscale"] else [data]
            assert settings["colormap"]["colors"][1] == [[0, 1, 0, 1], [1, 0, 1, 1]][c]
            np.testing.assert_allclose(settings["scale"], [expected.attrs["pixel_size"][axis] for axis in "zyx"])
            np.testing.assert_allclose(settings["translate"], [float(expected[axis][0]) for axis in "zyx"])
            np.testing.assert_array_equal(levels[0].compute(scheduler="synchronous"), expected.values[0, c])
            for cut in (np.s_[3:5, ::2, 7], np.s_[0], np.s_[-1, ::-3, 2:2], np.s_[:, 5:1:-2, -4:]):  # as viewers cut
                np.testing.assert_array_equal(levels[-1][cut].compute(), levels[-1].compute()[cut])
    assert not {"napari", "qtpy", "PyQt5", "PyQt6", "PySide6"} & sys.modules.keys()


def test_timepoints_are_an_axis(tmp_path: Path) -> None:
    import xarray

    pixels = np.random.default_rng(0).integers(1, 100, (3, 1, 4, 30, 40)).astype(np.uint8)
    image = xarray.DataArray(pixels, dims=("t", "c", "z", "y", "x"))
    fusestack.write(image, tmp_path / "times.ome.zarr")
    ((data, settings, _),) = read(str(tmp_path / "times.ome.zarr"))
    assert not settings["multiscale"]
    assert len(settings["scale"]) == len(settings["translate"]) == data.ndim == 4
    np.testing.assert_array_equal(data.compute(scheduler="synchronous"), pixels[:, 0])


def test_what_is_not_ours_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("name: something\n")
    (tmp_path / "broken.yaml").write_text("{")
    (tmp_path / "other.xml").write_text("<svg/>")
    (tmp_path / "folder").mkdir()
    for name in ("other.yaml", "broken.yaml", "other.xml", "folder", "missing.yaml", "missing.xml"):
        assert reader(str(tmp_path / name)) is None
    assert reader([]) is None


def test_the_manifest(job: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydantic, about npe2
        try:
            from npe2 import PluginManager, PluginManifest
        except ImportError:
            pytest.skip(f"{UNTESTED}WITH NAPARI'S PLUGIN ENGINE: pip install npe2")
        manifest: Any = PluginManifest.from_file(ROOT / "pipeline" / "fusestack" / "napari.yaml")
        manifest.validate_imports()
        manager = PluginManager()
        manager.register(manifest)
        manager.activate(manifest.name)
        (found,) = manager.iter_compatible_readers([str(job)])
        function = found.exec(kwargs={"path": [str(job)], "stack": False, "_registry": manager.commands})
        layers = function([str(job)], stack=False)
        assert [layer[1]["name"] for layer in layers] == [layer[1]["name"] for layer in read(str(job))]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["napari.manifest"] == {manifest.name: "fusestack:napari.yaml"}
