"""Intensity adjustment through runs: the project's models and coefficient maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

import fusestack
from fusestack.fusion.intensity import LinearModel
from fusestack.kernels import intensity
from fusestack.model.errors import ConfigError, InputError, OutputError
from tests.reference.test_features import hdf5_project
from tests.small import config, tree


def project(folder: Path, adjustments: str, value: int = 10) -> dict[str, Any]:
    path = hdf5_project(folder, [((1, 1, 1), np.full((4, 5, 8), value, np.uint16))])
    text = path.read_text()
    assert "</SpimData>" in text
    text = text.replace("<IntensityAdjustments/>", "").replace("</SpimData>", f"{adjustments}</SpimData>")
    path.write_text(text)
    output = {"path": str(folder / "fused.ome.zarr"), "pyramid": "none"}
    return {"version": 1, "input": {"project": str(path)}, "fusion": {"intensity_adjustment": True}, "output": output}


def models(text: str) -> str:
    return (
        '<IntensityAdjustments><IntensityAdjustments timepoint="0" setup="0">'
        f"<model>{text}</model></IntensityAdjustments></IntensityAdjustments>"
    )


def fused(settings: dict[str, Any]) -> np.ndarray[Any, Any]:
    report = fusestack.run(settings)
    return np.asarray(zarr.open_array(f"{report.outputs[0]}/0", mode="r")[0, 0])


def test_models_of_the_project(tmp_path: Path) -> None:
    assert (fused(project(tmp_path, models("2.0 5.0"))) == 25).all()


def test_integers_are_clamped_and_floats_are_not(tmp_path: Path) -> None:
    settings = project(tmp_path, models("-2 5"))
    assert (fused(settings) == 0).all()
    settings["fusion"]["dtype"] = "float32"
    settings["output"]["overwrite"] = True
    assert (fused(settings) == -15).all()


def test_a_project_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no intensity adjustments.*use false, or give coefficients: PATH"):
        fusestack.plan(project(tmp_path, ""))


def test_a_changed_model_is_noticed(tmp_path: Path) -> None:
    settings = project(tmp_path, models("2 5"))
    fusestack.run(settings)
    xml = Path(settings["input"]["project"])
    xml.write_text(xml.read_text().replace("2 5<", "3 5<"))
    with pytest.raises(OutputError, match="other views or registrations"):
        fusestack.run(settings)


@pytest.mark.parametrize("method", ["average", "max", "lowest_view", "highest_view", "closest_pixel"])
def test_every_method_knows_it(method: str, tmp_path: Path) -> None:
    """BigStitcher raises for most of them, ``FusionTools.fuseVirtual``."""
    settings = project(tmp_path, models("2 5"))
    settings["fusion"]["method"] = method
    assert (fused(settings) == 25).all()


def maps(folder: Path, coefficients: np.ndarray[Any, Any], views: int = 1) -> str:
    with h5py.File(folder / "maps.h5", "w") as file:
        for setup in range(views):
            file[f"setup{setup}/timepoint0/intensity"] = coefficients
    return str(folder / "maps.h5")


def test_coefficient_maps(tmp_path: Path) -> None:
    settings = project(tmp_path, "")
    coefficients = np.zeros((2, 1, 1, 2))
    coefficients[0, ..., 0], coefficients[0, ..., 1], coefficients[1] = 1, 3, 0.5
    settings["fusion"] = {"intensity_adjustment": {"coefficients": maps(tmp_path, coefficients)}, "dtype": "float32"}
    wanted = 10 * np.array([1, 1, 1, 1.5, 2, 2.5, 3, 3]) + 0.5  # factors 1 and 3 on two cells over eight pixels
    np.testing.assert_allclose(fused(settings), np.broadcast_to(wanted, (4, 5, 8)), rtol=1e-6)


def test_missing_maps_are_named_before_anything_is_made(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings["fusion"] = {"intensity_adjustment": {"coefficients": maps(tmp_path, np.ones((2, 1, 1, 1)), views=2)}}
    with pytest.raises(InputError, match=r"setup2/timepoint0/intensity.*timepoint 0, setup 2"):
        fusestack.run(settings)
    assert not (tmp_path / "fused.ome.zarr").exists()


def test_bytes_do_not_depend_on_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    container = maps(tmp_path, rng.uniform(0.5, 1.5, (2, 3, 4, 5)), views=3)
    settings = config(tmp_path, "float32")
    settings["fusion"] = {"intensity_adjustment": {"coefficients": container}}
    fusestack.run(settings)
    whole = np.asarray(zarr.open_array(tmp_path / "fused.ome.zarr" / "0", mode="r")[:])
    settings["output"] |= {"path": str(tmp_path / "other.ome.zarr"), "shards": {"x": 64, "y": 64, "z": 64}}
    fusestack.run(settings)
    other = np.asarray(zarr.open_array(tmp_path / "other.ome.zarr" / "0", mode="r")[:])
    assert whole.tobytes() == other.tobytes()
    assert len(tree(tmp_path / "other.ome.zarr")) < len(tree(tmp_path / "fused.ome.zarr"))


def test_a_linear_model_is_a_map_of_one_cell() -> None:
    pixels = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    found = intensity.adjust(pixels, (7, 8, 9), (50, 60, 70), LinearModel(2.5, -1.0).read())
    np.testing.assert_allclose(found, 2.5 * pixels - 1)
    assert found.dtype == np.float32


def test_rows_of_a_two_dimensional_map() -> None:
    """Also beyond the last cell centre, where BigStitcher's ``TransformCoefficients`` reads the first line."""
    coefficients = np.zeros((2, 1, 2, 2))
    coefficients[0, 0] = [[1, 3], [11, 13]]
    found = intensity.adjust(np.ones((1, 8, 8), np.uint8), (0, 0, 0), (1, 8, 8), coefficients)[0]
    np.testing.assert_allclose(found[4], [6, 6, 6, 6.5, 7, 7.5, 8, 8])
    np.testing.assert_allclose(found[6], [11, 11, 11, 11.5, 12, 12.5, 13, 13])
    part = intensity.adjust(np.ones((1, 3, 4), np.uint8), (0, 4, 3), (1, 8, 8), coefficients)[0]
    np.testing.assert_array_equal(part, found[4:7, 3:7])
