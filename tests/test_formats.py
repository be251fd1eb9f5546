"""One acquisition, saved in every format that BigStitcher reads, fuses to the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorstore
import tifffile
import zarr

import fusestack
from fusestack.model.view import ViewId
from fusestack.project.xml import read_project
from tests.conftest import SHARED
from tests.small import tree

DATA = SHARED / "data" / "kidney-tiles"
pytestmark = pytest.mark.beside("data/kidney-tiles")

FACTORS = ((1, 1, 1), (1, 2, 2))  # z, y, x
Images = dict[ViewId, list[np.ndarray[Any, Any]]]
COMPRESSIONS: list[dict[str, Any]] = [
    {"type": "raw"},
    {"type": "gzip", "level": 1},
    {"type": "gzip", "level": 1, "useZlib": True},
    {"type": "bzip2", "blockSize": 1},
    {"type": "xz", "preset": 1},
    {"type": "blosc", "cname": "lz4", "clevel": 3, "shuffle": 1},
    {"type": "zstd", "level": 3},
]


@pytest.fixture(scope="module")
def images() -> Images:
    with h5py.File(DATA / "dataset.h5") as file:
        return {
            view.id: [file[f"t{view.id.timepoint:05d}/s{view.id.setup:02d}/{n}/cells"][:].view("u2") for n in range(2)]
            for view in read_project(DATA / "dataset.xml").views
        }


def n5(images: Images, folder: Path) -> str:
    for (timepoint, setup), levels in images.items():
        group = folder / "dataset.n5" / f"setup{setup}"
        for number, pixels in enumerate(levels):
            path = group / f"timepoint{timepoint}" / f"s{number}"
            metadata = {
                "dimensions": pixels.shape[::-1],
                "blockSize": [32, 16, 20],
                "dataType": "uint16",
                "compression": COMPRESSIONS[setup % len(COMPRESSIONS)],
            }
            store = {"driver": "n5", "kvstore": f"file://{path}/", "metadata": metadata}
            tensorstore.open(store, create=True).result().write(pixels.T).result()
        factors = [list(reversed(factor)) for factor in FACTORS]
        text = str(factors).replace("'", '"')
        (group / "attributes.json").write_text(f'{{"downsamplingFactors": {text}, "dataType": "uint16"}}')
    return '<ImageLoader format="bdv.n5" version="1.1"><n5 type="relative">dataset.n5</n5></ImageLoader>'


def _write_zarr(path: Path, levels: list[np.ndarray[Any, Any]]) -> None:
    """As n5-zarr does: Zarr 2, big-endian, levels 0, 1 under whatever name the metadata have."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for number, pixels in enumerate(levels):
        chunks = (*(1,) * (pixels.ndim - 3), 20, 32, 40)
        array = group.create_array(
            str(number),
            shape=pixels.shape,
            chunks=chunks,
            dtype=">u2",
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        array[...] = pixels
    lead = [1.0] * (levels[0].ndim - 3)
    group.attrs["multiscales"] = [
        {
            "name": "/",
            "version": "0.4",
            "axes": [{"name": axis} for axis in "tczyx"[-levels[0].ndim :]],
            "datasets": [
                {
                    "path": f"/{number}",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [*lead, *factor]},
                        {"type": "translation", "translation": [*(0 * n for n in lead), *(f * 99.0 for f in factor)]},
                    ],
                }
                for number, factor in enumerate(FACTORS)
            ],
        }
    ]


def zarr_views(images: Images, folder: Path, version: str) -> str:
    groups = []
    for (timepoint, setup), levels in images.items():
        name = f"s{setup}-t{timepoint}.zarr"
        _write_zarr(folder / "dataset.ome.zarr" / name, [level[None, None] for level in levels])
        if version == "1.0":
            groups.append(f'<zgroup setup="{setup}" timepoint="{timepoint}"><path>{name}</path></zgroup>')
        else:
            groups.append(f'<zgroup setup="{setup}" tp="{timepoint}" path="{name}"/>')
    return (
        f'<ImageLoader format="bdv.multimg.zarr" version="{version}"><zarr type="relative">dataset.ome.zarr</zarr>'
        f"<zgroups>{''.join(groups)}</zgroups></ImageLoader>"
    )


def zarr_1(images: Images, folder: Path) -> str:
    return zarr_views(images, folder, "1.0")


def zarr_2(images: Images, folder: Path) -> str:
    return zarr_views(images, folder, "2.0")


def _stacks(images: Images) -> dict[int, list[np.ndarray[Any, Any]]]:
    """Levels t, c, z, y, x of every tile; setups are numbered channel by channel."""
    tiles: dict[int, list[np.ndarray[Any, Any]]] = {}
    setups = read_project(DATA / "dataset.xml").setups
    for view, levels in images.items():
        setup = setups[view.setup]
        stack = tiles.setdefault(setup.tile, [np.zeros((2, 2, *level.shape), "u2") for level in levels])
        for whole, level in zip(stack, levels, strict=True):
            whole[view.timepoint, setup.channel] = level
    return tiles


def zarr_3(images: Images, folder: Path) -> str:
    for tile, levels in _stacks(images).items():
        _write_zarr(folder / f"tile{tile}.ome.zarr", levels)
    setups = read_project(DATA / "dataset.xml").setups
    groups = "".join(
        f'<zgroup setup="{view.setup}" tp="{view.timepoint}" path="tile{setups[view.setup].tile}.ome.zarr" '
        f'indicies="{setups[view.setup].channel} {view.timepoint}"/>'
        for view in images
    )
    return (
        '<ImageLoader format="bdv.multimg.zarr" version="3.0"><zarr type="relative">.</zarr>'
        f"<zgroups>{groups}</zgroups></ImageLoader>"
    )


def file_map(images: Images, folder: Path) -> str:
    """One hyperstack for each tile: the project's timepoint is the index in the file."""
    for tile, levels in _stacks(images).items():
        tifffile.imwrite(folder / f"tile{tile}.tif", levels[0].swapaxes(1, 2), imagej=True, metadata={"axes": "TZCYX"})
    setups = read_project(DATA / "dataset.xml").setups
    entries = "".join(
        f'<FileMapping view_setup="{view.setup}" timepoint="{view.timepoint}" series="0" '
        f'channel="{setups[view.setup].channel}"><file type="relative">tile{setups[view.setup].tile}.tif</file>'
        "</FileMapping>"
        for view in images
    )
    return (
        '<ImageLoader format="spimreconstruction.filemap2"><ZGrouped>false</ZGrouped>'
        f"<files>{entries}</files></ImageLoader>"
    )


def file_list(images: Images, folder: Path) -> str:
    """Two series in a file; the timepoint is not looked for in it."""
    entries = []
    for number, ((timepoint, setup), levels) in enumerate(images.items()):
        with tifffile.TiffWriter(folder / f"view{number}.ome.tif") as file:
            file.write(np.zeros((2, 8, 8), "u2"), metadata={"axes": "ZYX"})
            file.write(levels[0], metadata={"axes": "ZYX"}, compression="zlib")
        entries.append(
            f'<FileMapping view_setup="{setup}" timepoint="{timepoint}" series="1" channel="0">'
            f'<file type="relative">view{number}.ome.tif</file></FileMapping>'
        )
    return f'<ImageLoader format="spimreconstruction.filelist"><files>{"".join(entries)}</files></ImageLoader>'


def pattern(images: Images, folder: Path, kind: str, text: str, layout: tuple[int, int]) -> str:
    times, channels = layout
    return (
        f'<ImageLoader format="spimreconstruction.stack.{kind}"><imagedirectory type="relative">images</imagedirectory>'
        f"<filePattern>{text}</filePattern><layoutTimepoints>{times}</layoutTimepoints>"
        f"<layoutChannels>{channels}</layoutChannels><layoutIlluminations>0</layoutIlluminations>"
        "<layoutAngles>0</layoutAngles><layoutTiles>1</layoutTiles></ImageLoader>"
    )


def planes(images: Images, folder: Path) -> str:
    """A file for each z plane; any of them is named."""
    entries = []
    for (timepoint, setup), levels in images.items():
        for z, plane in enumerate(levels[0]):
            tifffile.imwrite(folder / f"t{timepoint}_s{setup}_z{z}.tif", plane, photometric="minisblack")
        entries.append(
            f'<FileMapping view_setup="{setup}" timepoint="{timepoint}" series="0" channel="0">'
            f'<file type="relative">t{timepoint}_s{setup}_z{3 * setup}.tif</file></FileMapping>'
        )
    return (
        '<ImageLoader format="spimreconstruction.filemap2"><ZGrouped>true</ZGrouped>'
        f"<files>{''.join(entries)}</files></ImageLoader>"
    )


def stack_ij(images: Images, folder: Path) -> str:
    """A file for each view; the first pattern that exists is taken."""
    (folder / "images").mkdir()
    project = read_project(DATA / "dataset.xml")
    for view, levels in images.items():
        setup = project.setups[view.setup]
        name = f"t{view.timepoint:03d}_c{setup.channel_name}_x{setup.tile:02d}.tif"
        tifffile.imwrite(folder / "images" / name, levels[0], photometric="minisblack")
    return pattern(images, folder, "ij", "none_{t}.tif; t{ttt}_c{c}_x{xx}.tif", (1, 1))


def stack_loci(images: Images, folder: Path) -> str:
    """All timepoints and channels of a tile in one file."""
    (folder / "images").mkdir()
    for tile, levels in _stacks(images).items():
        path = folder / "images" / f"x{tile}.ome.tif"
        tifffile.imwrite(path, levels[0], metadata={"axes": "TCZYX"}, photometric="minisblack")
    return pattern(images, folder, "loci", "x{x}.ome.tif", (2, 2))


HDF5 = f'<ImageLoader format="bdv.hdf5"><hdf5 type="absolute">{DATA}/dataset.h5</hdf5></ImageLoader>'


def split_whole(images: Images, folder: Path) -> str:
    """Intervals that are whole views, of a project that is split itself."""

    def wrap(inner: str) -> str:
        sequence = re.sub(r"<ImageLoader.*?</ImageLoader>", "", _sequence(), flags=re.DOTALL)
        ids = "".join(
            f"<SetupIdDefinition><NewId>{n}</NewId><OldId>{n}</OldId><min>0 0 0</min><max>65 99 31</max>"
            "</SetupIdDefinition>"
            for n in range(8)
        )
        return f'<ImageLoader format="split.viewerimgloader">{inner}{sequence}<SetupIds>{ids}</SetupIds></ImageLoader>'

    return wrap(wrap(HDF5))


def flat_field(images: Images, folder: Path) -> str:
    """An even field changes nothing."""
    tifffile.imwrite(folder / "bright.tif", np.full((100, 66), 700, "u2"))
    tifffile.imwrite(folder / "dark.tif", np.zeros((100, 66), "u2"))
    fields = "".join(
        f'<FlatField Timepoint="{t}" ViewSetup="{s}"><BrightImg type="relative">bright.tif</BrightImg>'
        '<DarkImg type="relative">dark.tif</DarkImg></FlatField>'
        for t, s in images
    )
    return (
        '<ImageLoader format="spimreconstruction.wrapped.flatfield.default" Active="true" Cached="true">'
        f"<WrappedImgLoader>{HDF5}</WrappedImgLoader><FlatFields>{fields}</FlatFields></ImageLoader>"
    )


def _sequence() -> str:
    text = (DATA / "dataset.xml").read_text()
    found = re.search(r"<SequenceDescription>.*?</SequenceDescription>", text, re.DOTALL)
    assert found is not None
    return found[0]


def saved(loader: str, folder: Path) -> Path:
    text = (DATA / "dataset.xml").read_text()
    path = folder / "dataset.xml"
    path.write_text(re.sub(r"<ImageLoader.*?</ImageLoader>", lambda _: loader, text, count=1, flags=re.DOTALL))
    return path


def fused(project: Path, folder: Path, **fusion: Any) -> dict[str, bytes]:
    config = {
        "version": 1,
        "input": {"project": str(project)},
        "fusion": {"preserve_anisotropy": True, **fusion},
        "output": {"path": str(folder / "fused.ome.zarr"), "chunks": 32, "shards": 64},
    }
    fusestack.run(config)
    return tree(folder / "fused.ome.zarr")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[float, dict[str, bytes]]:
    """Fused from the HDF5 project, at full resolution and from the coarser level."""
    return {d: fused(DATA / "dataset.xml", tmp_path_factory.mktemp(f"hdf5-{d}"), downsampling=d) for d in (1, 2)}


WITH_LEVELS = [n5, zarr_1, zarr_2, zarr_3, split_whole, flat_field]
WITHOUT_LEVELS = [file_map, file_list, planes, stack_ij, stack_loci]


@pytest.mark.parametrize("save", [*WITH_LEVELS, *WITHOUT_LEVELS], ids=lambda save: save.__name__)
def test_same_bytes(
    save: Callable[[Images, Path], str], images: Images, wanted: dict[float, dict[str, bytes]], tmp_path: Path
) -> None:
    project = saved(save(images, tmp_path), tmp_path)
    assert fused(project, tmp_path / "1") == wanted[1]


@pytest.mark.parametrize("save", WITH_LEVELS, ids=lambda save: save.__name__)
def test_same_bytes_from_the_coarser_level(
    save: Callable[[Images, Path], str], images: Images, wanted: dict[float, dict[str, bytes]], tmp_path: Path
) -> None:
    project = saved(save(images, tmp_path), tmp_path)
    assert fused(project, tmp_path / "2", downsampling=2) == wanted[2]


def test_halves_of_a_split_project_are_the_whole(images: Images, tmp_path: Path) -> None:
    """Every tile cut at x = 30; the registration of the right half is the old one after a shift by 30."""
    text = (DATA / "dataset.xml").read_text()
    old = read_project(DATA / "dataset.xml")
    setups, registrations, ids = [], [], []
    for n in range(16):
        low, high = ((0, 29), (30, 65))[n % 2]
        setup = old.setups[n // 2]
        setups.append(
            f"<ViewSetup><id>{n}</id><size>{high - low + 1} 100 32</size><voxelSize><unit>nm</unit>"
            "<size>65.62 65.62 160.1</size></voxelSize><attributes><illumination>0</illumination>"
            f"<channel>{setup.channel}</channel><tile>{n}</tile><angle>0</angle></attributes></ViewSetup>"
        )
        ids.append(
            f"<SetupIdDefinition><NewId>{n}</NewId><OldId>{n // 2}</OldId><min>{low} 0 0</min><max>{high} 99 31</max>"
            "</SetupIdDefinition>"
        )
    for view in old.views:
        numbers = " ".join(map(repr, view.pixel_to_world.to_xyz()))
        for half, start in ((0, 0), (1, 30)):
            registrations.append(
                f'<ViewRegistration timepoint="{view.id.timepoint}" setup="{2 * view.id.setup + half}">'
                f'<ViewTransform type="affine"><affine>{numbers}</affine></ViewTransform>'
                f'<ViewTransform type="affine"><affine>1 0 0 {start} 0 1 0 0 0 0 1 0</affine></ViewTransform>'
                "</ViewRegistration>"
            )
    whole = re.search(r"<ImageLoader.*?</ImageLoader>", text, re.DOTALL)
    assert whole is not None
    inside = _sequence().replace(whole[0], "")
    loader = f'<ImageLoader format="split.imgloader">{HDF5}{inside}<SetupIds>{"".join(ids)}</SetupIds></ImageLoader>'
    text = text.replace(whole[0], loader)
    start, stop = text.rindex("<ViewSetups>"), text.rindex("</ViewSetups>")
    attributes = re.search(r"<Attributes.*</Attributes>", text[start:stop], re.DOTALL)
    assert attributes is not None
    text = text[:start] + "<ViewSetups>" + "".join(setups) + attributes[0] + text[stop:]
    text = re.sub(
        r"<ViewRegistrations>.*</ViewRegistrations>",
        f"<ViewRegistrations>{''.join(registrations)}</ViewRegistrations>",
        text,
        flags=re.DOTALL,
    )
    doubled = "".join(
        f'<MissingView timepoint="{t}" setup="{2 * s + half}"/>' for t, s in old.missing for half in (0, 1)
    )
    head, _, tail = text.rpartition("<MissingViews>")
    text = head + "<MissingViews>" + doubled + tail[tail.index("</MissingViews>") :]
    path = tmp_path / "split.xml"
    path.write_text(text)
    halves, whole_tiles = (
        fused(project, tmp_path / name, blending=False)
        for project, name in ((path, "halves"), (DATA / "dataset.xml", "whole"))
    )
    # the mean calibration in the metadata is rounded differently
    pixels = {name for name in whole_tiles if "/c/" in name}
    assert {name: halves[name] for name in pixels} == {name: whole_tiles[name] for name in pixels}
    assert halves.keys() == whole_tiles.keys()
