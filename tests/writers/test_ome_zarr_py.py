"""ome-zarr-py as the oracle of our OME-Zarr metadata, and as a reader of what a run wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr import OMEZarrImage, OMEZarrMultiscale
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.io import parse_url
from ome_zarr.reader import Multiscales, Reader
from ome_zarr.writer import write_multiscales_metadata

import fusestack
from fusestack.model.image import Channel, ImageSpec
from fusestack.model.stage import Target
from fusestack.writers import WRITERS
from tests.contracts.writer_contract import image_spec
from tests.small import SHAPE, tiles

FORMATS = {"0.4": FormatV04, "0.5": FormatV05}
SPECS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "one plane": {"shape": (1, 1, 1, 64, 48), "factors": ((1, 1, 1), (1, 2, 2)), "chunk": (1, 16, 16)},
    "one level": {"factors": ((1, 1, 1),)},
    "uneven factors": {"factors": ((1, 1, 1), (1, 3, 2), (2, 9, 4), (6, 9, 20))},
    "no unit": {"unit": None, "pixel_size": (1.0, 1.0, 1.0), "origin": (0.0, 0.0, 0.0)},
    "nanometer": {"unit": "nanometer", "pixel_size": (2000.0, 325.5, 325.5), "origin": (1e6 / 3, -0.1, 1e-9)},
    "8 bit": {"dtype": "uint8"},
    "signed": {"dtype": "int16", "fill": -1.0},
    "floating point": {"dtype": "float32"},
    "named": {"name": "fused_tp_3 µ", "channels": (Channel(0, "GFP – 488 nm", "00FF80"), Channel(7, "", "FFFFFF"))},
}


@pytest.fixture(params=["0.5 sharded", "0.5", "0.4"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def spec_of(kind: str, path: Path, **changes: Any) -> ImageSpec:
    version, _, shards = kind.partition(" ")
    spec = image_spec(path, ome_zarr_version=version, **changes)
    return replace(spec, levels=tuple(replace(v, shards=v.block) for v in spec.levels)) if shards else spec


def attributes(path: Path | str) -> dict[str, Any]:
    return zarr.open_group(path, mode="r").attrs.asdict()


def multiscales_of_theirs(spec: ImageSpec, folder: Path) -> dict[str, Any]:
    """What ome-zarr-py writes for arrays at the same paths; the numbers are computed here, not by our writer."""
    unit = {"unit": spec.unit} if spec.unit else {}
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", **unit} for name in "zyx"]
    size, origin = np.array(spec.pixel_size), np.array(spec.origin)
    datasets = []
    for number, level in enumerate(spec.levels):
        factors = np.array(level.factors)
        place = origin + size * 0.5 * (factors - 1)
        scale = {"type": "scale", "scale": [1.0, 1.0, *(size * factors).tolist()]}
        translation = {"type": "translation", "translation": [0.0, 0.0, *place.tolist()]}
        datasets.append({"path": str(number), "coordinateTransformations": [scale, translation]})
    fmt = FORMATS[spec.ome_zarr_version]()
    group = zarr.create_group(folder, zarr_format=fmt.zarr_format)
    write_multiscales_metadata(group, datasets, fmt=fmt, axes=axes, name=spec.name)
    return attributes(folder)


@pytest.mark.parametrize("changes", SPECS.values(), ids=SPECS)
def test_multiscales_are_those_of_ome_zarr_py(kind: str, changes: dict[str, Any], tmp_path: Path) -> None:
    spec = spec_of(kind, tmp_path / "ours", **changes)
    Target(WRITERS["ome-zarr"], spec, 0, str(tmp_path / "work")).open().create()
    ours = attributes(spec.path)
    (ours if spec.ome_zarr_version == "0.4" else ours["ome"]).pop("omero")  # compared below
    assert ours == multiscales_of_theirs(spec, tmp_path / "theirs")


@pytest.mark.parametrize("name", ["as it is", "8 bit", "named", "floating point"])
def test_channels_are_those_of_ome_zarr_py(kind: str, name: str, tmp_path: Path) -> None:
    spec = spec_of(kind, tmp_path / "ours", **SPECS[name])
    Target(WRITERS["ome-zarr"], spec, 0, str(tmp_path / "work")).open().create()
    ours, theirs = attributes(spec.path), tmp_path / "theirs"
    low, high = (0, 1) if spec.dtype == "float32" else (0, np.iinfo(spec.dtype).max)
    OMEZarrMultiscale(
        OMEZarrImage(np.zeros((1, 2, 1, 4, 4), spec.dtype), axes="tczyx"),
        scale_factors=[],
        channel_names=[channel.name for channel in spec.channels],
        channel_colors=[channel.color for channel in spec.channels],
        contrast_limits=[(low, high)] * 2,
    ).to_ome_zarr(str(theirs), version=spec.ome_zarr_version)
    found = [a.get("ome", a)["omero"] for a in (ours, attributes(theirs))]
    # Allowed to differ: which plane is shown first, they do not say; the version, which stands where the
    # specification's example has it (0.4: in omero, 0.5: once for the group), theirs the other way round.
    assert found[0].pop("rdefs") == {"model": "color", "defaultT": 0, "defaultZ": spec.shape[2] // 2}
    assert [omero.pop("version", None) for omero in found] == (["0.4", None] if kind == "0.4" else [None, "0.5"])
    for channel in found[1]["channels"]:
        # Allowed to differ: the range of the type, theirs is 255 for each byte of a pixel.
        assert channel["window"].pop("max") == 255 * np.dtype(spec.dtype).itemsize
        channel["window"]["max"] = high
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["0.5", "0.4"])
def test_ome_zarr_py_reads_what_a_run_wrote(kind: str, tmp_path: Path) -> None:
    views = [{**tiles(tmp_path / f"{c}", seed=c)[0], "channel": c} for c in range(2)]  # where they are: fused, the same
    path = str(tmp_path / "fused.ome.zarr")
    pyramid = [1, {"x": 2, "y": 4, "z": 1}, {"x": 10, "y": 8, "z": 3}]
    output = {"path": path, "ome_zarr_version": kind, "pyramid": pyramid}
    fusestack.run({"version": 1, "input": {"views": views}, "output": output})
    location = parse_url(path)
    assert location is not None
    assert location.fmt.version == kind
    (node,) = Reader(location)()
    (multiscales,) = (spec for spec in node.specs if isinstance(spec, Multiscales))
    assert multiscales.datasets == ["0", "1", "2"]
    assert [axis["name"] for axis in node.metadata["axes"]] == list("tczyx")
    assert node.metadata["channel_names"] == ["0", "1"]
    expected = np.stack([tifffile.imread(view["path"]) for view in views])[None]
    assert [level.dtype for level in node.data] == [np.uint16] * 3
    assert [level.shape[2:] for level in node.data] == [SHAPE, (24, 10, 25), (8, 5, 5)]
    for level, (z, y, x) in zip(node.data, ((1, 1, 1), (1, 4, 2), (3, 2, 5)), strict=True):
        size = expected.shape
        blocks = expected.reshape(1, 2, size[2] // z, z, size[3] // y, y, size[4] // x, x)
        expected = np.floor(blocks.mean(axis=(3, 5, 7)) + 0.5).astype(np.uint16)
        ties = int(z == 3)  # may fall either way for thirds
        assert np.abs(level.compute().astype(int) - expected).max() <= ties
