"""Arrays of any kind as dask arrays: names say what they hold, nothing is copied or read, masks are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pytest
import xarray
import zarr

import fusestack
from fusestack.model.errors import FusestackError, InputError
from fusestack.sources.arrays import named_array

SHAPE = (3, 40, 50)
PIXELS = np.random.default_rng(0).integers(0, 60000, SHAPE).astype("uint16")


def name(held: Any) -> str:
    return str(named_array("tile", held).name)


def stored(folder: Path, **more: Any) -> Any:
    array = zarr.create_array(folder / "a.zarr", shape=SHAPE, chunks=(1, 20, 25), dtype="uint16", **more)
    array[:] = PIXELS
    return array


@pytest.mark.parametrize("more", [{}, {"zarr_format": 2}, {"shards": (3, 40, 50)}, {"compressors": None}])
def test_a_zarr_folder_is_named_by_what_is_in_it(more: dict[str, Any], tmp_path: Path) -> None:
    array = stored(tmp_path, **more)
    found = {name(array)}
    assert name(zarr.open_array(tmp_path / "a.zarr", mode="r")) in found, "unchanged"
    array[0, 0, 0] += 1
    found.add(name(array))
    zarr.open_array(tmp_path / "a.zarr")[2, 30:, 30:] = 0
    found.add(name(array))
    array = stored(tmp_path, **more, overwrite=True)
    found.add(name(array))
    array.attrs["weather"] = "rain"
    found.add(name(array))
    assert len(found) == 5
    assert np.array_equal(named_array("tile", array).compute(), PIXELS)


def test_a_chunk_put_back_with_its_old_time_is_seen(tmp_path: Path) -> None:
    array = stored(tmp_path, compressors=None)
    first, other = (tmp_path / "a.zarr/c/0/0" / chunk for chunk in "01")
    before, times = name(array), first.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    moved = name(array)
    os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns - 10**9))
    assert len({before, moved, name(array)}) == 3


def test_other_stores(tmp_path: Path) -> None:
    held = zarr.array(PIXELS)
    before = name(held)
    assert before == name(held)
    held[0] = 0
    assert before != name(held)
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="w") as store:
        zipped = zarr.create_array(store, shape=SHAPE, chunks=SHAPE, dtype="uint16")
        zipped[:] = PIXELS
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="r") as store:
        zipped = zarr.open_array(store, mode="r")
        assert name(zipped) == name(zipped)
        assert np.array_equal(named_array("tile", zipped).compute(), PIXELS)
    wrapped = zarr.open_array(zarr.storage.LoggingStore(stored(tmp_path).store), mode="r")
    assert name(wrapped) != name(wrapped), "a store that cannot tell is another one every time"


def test_hdf5_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=PIXELS, chunks=(1, 20, 25)).dims[0].label = "z"
        assert name(file["a"]) != name(file["a"]), "what is open for writing may change unseen"
    with h5py.File(path, "r") as file:
        before = name(file["a"])
        assert before == name(file["a"])
        assert named_array("tile", file["a"]).chunksize == (1, 20, 25)
    with h5py.File(path, "r+") as file:
        file["a"][0] = 0
    with h5py.File(path, "r") as file:
        assert before != name(file["a"])


def test_an_array_in_memory_is_named_by_its_pixels_and_cut_as_asked() -> None:
    lazy = named_array("tile", PIXELS, (2, 40, 50))
    assert lazy.chunks == ((2, 1), (40,), (50,))
    assert lazy.name == named_array("tile", PIXELS.copy(), (2, 40, 50)).name
    assert lazy.name != name(PIXELS), "chunks of one name are the same chunks"
    assert all(np.shares_memory(chunk, PIXELS) for chunk in dict(lazy.dask).values())


def test_lazily_opened_files_are_neither_read_nor_mistaken(tmp_path: Path) -> None:
    image = xarray.DataArray(PIXELS, dims=("z", "y", "x"), name="a")
    image.to_dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)

    def opened() -> Any:
        return xarray.open_zarr(tmp_path / "a.zarr", chunks=None, consolidated=False)["a"]

    held = opened()
    before = name(held)
    assert not held._in_memory
    assert name(opened()) == before
    assert name(opened()[1]) != name(opened()[0])
    assert np.array_equal(named_array("tile", opened()[1].T).compute(), PIXELS[1].T)
    zarr.open_array(tmp_path / "a.zarr/a")[0, 0] = 0
    assert name(opened()) != before


MASKED = np.ma.masked_less(PIXELS, 9)
DOORS: dict[str, Callable[[Any, str], Any]] = {
    "fuse": lambda held, path: fusestack.fuse([held], positions=[(0, 0, 0)]),
    "write": lambda held, path: fusestack.write(held, path),
    "fused": lambda held, path: fusestack.write(fusestack.fuse([held], positions=[(0, 0, 0)]), path),
    "run": lambda held, path: fusestack.run(
        {"input": {"views": [{"array": held, "translation": 0.0}]}, "output": {"path": path}}
    ),
    "focus_stack": lambda held, path: fusestack.focus_stack(held),
    "slices": lambda held, path: fusestack.focus_stack(list(held)),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("lazy", [False, True])
def test_masks_are_refused(door: str, lazy: bool, tmp_path: Path) -> None:
    held = da.from_array(MASKED, chunks=(1, 40, 50)) if lazy else MASKED
    with pytest.raises(InputError, match=r"is a masked array.*filled\(0\)"):
        DOORS[door](held, str(tmp_path / "a.ome.zarr"))


@pytest.mark.parametrize("door", ["write", "run", "fused"])
@pytest.mark.parametrize("change", ["in place", "made anew"])
def test_what_changed_on_disk_is_written_again(door: str, change: str, tmp_path: Path) -> None:
    array, path = stored(tmp_path), str(tmp_path / "out.ome.zarr")
    assert not DOORS[door](array, path).reused_all
    assert DOORS[door](zarr.open_array(tmp_path / "a.zarr", mode="r"), path).reused_all
    if change == "made anew":
        array = stored(tmp_path, overwrite=True)
    array[...] = 9
    with pytest.raises(FusestackError, match="overwrite"):
        DOORS[door](array, path)


def test_a_stack_that_changed_on_disk_has_other_names(tmp_path: Path) -> None:
    array = stored(tmp_path)
    found = [fusestack.focus_stack(array) for _ in range(2)]
    array[:] = PIXELS[::-1]
    changed = fusestack.focus_stack(array)
    names = [one.image.data.name for one in (*found, changed)]
    assert names[0] == names[1] != names[2], "workers keep what they know by its name"
    assert np.array_equal(changed.image, fusestack.focus_stack(np.ascontiguousarray(PIXELS[::-1])).image)


def test_hdf5_at_every_door(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = PIXELS
    with h5py.File(tmp_path / "a.h5", "r") as file:
        held = file["a"]
        for door in ("write", "run"):
            path = str(tmp_path / f"{door}.ome.zarr")
            DOORS[door](held, path)
            assert np.array_equal(zarr.open_group(path, mode="r")["0"][0, 0], PIXELS), door
            assert DOORS[door](held, path).reused_all, door
        processes = {"scheduler": "processes", "workers": 1}
        fusestack.write(held, tmp_path / "processes.ome.zarr", execution=processes)
        assert np.array_equal(zarr.open_group(tmp_path / "processes.ome.zarr", mode="r")["0"][0, 0], PIXELS)
        assert np.array_equal(fusestack.focus_stack(held).image, fusestack.focus_stack(PIXELS).image)
