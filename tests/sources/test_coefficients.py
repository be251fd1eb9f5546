from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import tensorstore
import zarr

from fusestack.model.errors import InputError
from fusestack.sources.coefficients import read_coefficients

MAP = np.random.default_rng(0).random((2, 3, 4, 5))
NAME = "setup7/timepoint2/intensity"


def as_n5(folder, name):
    metadata = {
        "dimensions": MAP.shape[::-1],
        "blockSize": [5, 4, 3, 1],
        "dataType": "float64",
        "compression": {"type": "raw"},
    }
    store = {"driver": "n5", "kvstore": f"file://{folder}/map.n5/{name}/", "metadata": metadata}
    tensorstore.open(store, create=True).result().write(MAP.T).result()
    return folder / "map.n5"


def as_zarr(folder, name, version=2):
    zarr.create_array(folder / "map.zarr" / name, data=MAP, chunks=(1, 3, 4, 5), zarr_format=version, compressors=None)
    return folder / "map.zarr"


def as_zarr3(folder, name):
    return as_zarr(folder, name, 3)


def as_hdf5(folder, name):
    with h5py.File(folder / "map.h5", "w") as file:
        file[name] = MAP
    return folder / "map.h5"


@pytest.mark.parametrize("save", [as_n5, as_zarr, as_zarr3, as_hdf5])
def test_formats(tmp_path, save):
    container = str(save(tmp_path, NAME))
    np.testing.assert_array_equal(read_coefficients(container, 7, 2), MAP)
    with pytest.raises(InputError, match=r"setup7/timepoint3/intensity: there are no .*setup 7.*leave out"):
        read_coefficients(container, 7, 3)


@pytest.mark.parametrize("save", [as_n5, as_zarr, as_hdf5])
def test_group_and_dataset(tmp_path, save):
    container = str(save(tmp_path, "solved/setup0/timepoint0/maps"))
    np.testing.assert_array_equal(read_coefficients(container, 0, 0, "solved", "maps"), MAP)


def test_damage_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_coefficients(str(tmp_path / "none.n5"), 0, 0)
    with h5py.File(tmp_path / "map.h5", "w") as file:
        file["setup0/timepoint0/intensity"] = MAP[0]
        file["setup1/timepoint0/intensity"] = MAP * np.nan
    with pytest.raises(InputError, match="5 x 4 x 3 values"):
        read_coefficients(str(tmp_path / "map.h5"), 0, 0)
    with pytest.raises(InputError, match="all finite"):
        read_coefficients(str(tmp_path / "map.h5"), 1, 0)
    (tmp_path / "broken.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot be read"):
        read_coefficients(str(tmp_path / "broken.h5"), 0, 0)


@pytest.mark.parametrize("version", ["1.0", b"1.0", "1", 1, "2.0", b"10.0"])
@pytest.mark.parametrize("save", [as_n5, as_zarr, as_zarr3, as_hdf5])
def test_versions(tmp_path, save, version):
    container = save(tmp_path, NAME)
    if save is as_hdf5:
        with h5py.File(container, "a") as file:
            file[NAME].attrs["coefficients version"] = version
    elif isinstance(version, bytes):
        pytest.skip("JSON has no bytes")
    elif save is as_n5:
        attributes = container / NAME / "attributes.json"
        attributes.write_text(json.dumps(json.loads(attributes.read_text()) | {"coefficients version": version}))
    else:
        zarr.open_array(container / NAME).attrs["coefficients version"] = version
    if version in ("2.0", b"10.0"):
        with pytest.raises(InputError, match=r"coefficients version is .* only 1 is read"):
            read_coefficients(str(container), 7, 2)
    else:
        np.testing.assert_array_equal(read_coefficients(str(container), 7, 2), MAP)
