from __future__ import annotations

import numpy as np
import pytest
import tifffile

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.project.readers import READERS
from tests.conftest import SHARED
from tests.contracts.source_contract import (
    Example,
    SourceContract,
    assert_cuts_noticed,
    assert_refused,
    levels_of,
    open_fresh,
    pixels,
    random_boxes,
)

DATA = SHARED / "data"
FACTORS = ((1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (1.0, 4.0, 4.0))


def ref_of(path, timepoint=0, channel=0):
    return SourceRef(READERS[".tif"], str(path), (("timepoint", timepoint), ("channel", channel)))


def damage_segments(path, level):
    """Overwrite all strips or tiles of a level."""
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.series[0].levels[level].pages if page is not None]
        places = [place for page in pages for place in zip(page.dataoffsets, page.databytecounts, strict=True)]
    with path.open("r+b") as file:
        for offset, count in places:
            file.seek(offset)
            file.write(b"\xff" * count)


def write_pyramid(path, arrays, axes, **settings):
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as tiff:
        tiff.write(arrays[0], subifds=len(arrays) - 1, metadata={"axes": axes}, photometric="minisblack", **settings)
        for array in arrays[1:]:
            tiff.write(array, subfiletype=1, photometric="minisblack", **settings)


class TestStack(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((9, 41, 60))
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
        return Example(ref_of(tmp_path / "a.tif", 3, 2), (array,))


class TestStrips(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        array = pixels((9, 41, 60), "float32")
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, array, photometric="minisblack", compression="zlib", predictor=True, rowsperstrip=7)
        return Example(ref_of(path), (array,), damage=lambda level: damage_segments(path, level))


class TestPyramid(SourceContract):
    @pytest.fixture
    def example(self, tmp_path):
        path = tmp_path / "a.ome.tif"
        arrays = levels_of(pixels((2, 3, 5, 101, 140)), [(1, 1, *f) for f in FACTORS])
        write_pyramid(path, arrays, "TCZYX", tile=(32, 48), compression="zstd")
        expected = tuple(array[1, 2] for array in arrays)
        return Example(ref_of(path, 1, 2), expected, FACTORS, lambda level: damage_segments(path, level))


def check(path, expected, timepoint=0, channel=0):
    source = open_fresh(ref_of(path, timepoint, channel))
    assert [level.shape for level in source.levels] == [expected.shape]
    for box in [Box.of_shape(expected.shape), *random_boxes(expected.shape, 12)]:
        np.testing.assert_array_equal(source.read(0, box), expected[box.slices], strict=True)
    return source


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rowsperstrip": 8},
        {"tile": (16, 32)},
        {"byteorder": ">", "bigtiff": True},
        {"byteorder": ">", "tile": (32, 16)},
    ],
    ids=["plain", "strips", "tiles", "big endian BigTIFF", "big endian tiles"],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_storage(tmp_path, compression, settings, dtype):
    array = pixels((6, 35, 50), dtype)
    predictor = compression in ("zlib", "lzw", "zstd")
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric="minisblack", compression=compression, predictor=predictor, **settings
    )
    check(tmp_path / "a.tif", array)


@pytest.mark.parametrize("dtype", ["int16", "uint32"])
def test_other_types(tmp_path, dtype):
    array = pixels((6, 35, 50), dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    check(tmp_path / "a.tif", array)


def test_packed_bits(tmp_path):
    array = pixels((6, 35, 50)) >> 4
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", bitspersample=12)
    check(tmp_path / "a.tif", array)


def test_jpeg_tiles(tmp_path):
    array = pixels((2, 70, 90), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", compression="jpeg", tile=(32, 32))
    check(tmp_path / "a.tif", tifffile.imread(tmp_path / "a.tif"))


@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "CTZYX", "ZCTYX", "CZYX", "TZYX", "ZYX", "CYX", "TYX", "YX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_axes(tmp_path, axes, compression):
    lengths = {"T": 3, "C": 2, "Z": 5, "Y": 20, "X": 26}
    array = pixels([lengths[axis] for axis in axes])
    tifffile.imwrite(
        tmp_path / "a.ome.tif", array, metadata={"axes": axes}, photometric="minisblack", compression=compression
    )
    full = array.reshape([lengths[a] if a in axes else 1 for a in axes + "".join(a for a in "TCZYX" if a not in axes)])
    full = full.transpose([(axes + "".join(a for a in "TCZYX" if a not in axes)).index(a) for a in "TCZYX"])
    t, c = full.shape[0] - 1, full.shape[1] - 1
    check(tmp_path / "a.ome.tif", full[t, c], timepoint=2, channel=1)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_hyperstack(tmp_path, compression):
    array = pixels((3, 5, 2, 20, 26))
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "TZCYX"}, compression=compression)
    check(tmp_path / "a.tif", array[1, :, 1], timepoint=1, channel=1)


def test_imagej_stack_described_by_its_first_plane(tmp_path):
    # So ImageJ writes files above 4 GiB: one directory, and all planes behind the first one.
    array = pixels((5, 20, 26), "uint16")
    first = tmp_path / "first.tif"
    tifffile.imwrite(first, array, imagej=True, metadata={"axes": "ZYX"}, byteorder=">")
    with tifffile.TiffFile(first) as tiff:
        place = tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
    raw = bytearray(first.read_bytes())
    raw[place : place + 4] = bytes(4)
    first.write_bytes(raw)
    check(first, array)
    first.write_bytes(raw[: len(raw) - 20 * 26 * 4])
    assert_refused(ref_of(first), "ImageJ", "truncated")


def test_planes_as_samples(tmp_path):
    # tifffile writes three or four planes as separate colours unless told otherwise; here they are named.
    for compression in (None, "lzw"):
        array = pixels((4, 20, 26))
        tifffile.imwrite(
            tmp_path / "a.tif",
            array,
            photometric="minisblack",
            planarconfig="separate",
            metadata={"axes": "ZYX"},
            compression=compression,
            rowsperstrip=6,
        )
        check(tmp_path / "a.tif", array)


def test_pages_without_a_description(tmp_path):
    array = pixels((5, 20, 26))
    write_pages(tmp_path / "a.tif", array)
    check(tmp_path / "a.tif", array)


def test_image_in_several_files(tmp_path):
    array = pixels((2, 5, 20, 26))
    names = ["a_c0.ome.tif", "a_c1.ome.tif"]
    planes = "".join(
        f'<TiffData FirstC="{c}" FirstZ="{z}" IFD="{z}" PlaneCount="1">'
        f'<UUID FileName="{names[c]}">urn:uuid:0000000{c}-0000-0000-0000-000000000000</UUID></TiffData>'
        for c in range(2)
        for z in range(5)
    )
    for c, name in enumerate(names):
        description = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{c}-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint16" SizeX="26" SizeY="20" SizeZ="5" SizeC="2" SizeT="1">'
            f"{planes}</Pixels></Image></OME>"
        )
        with tifffile.TiffWriter(tmp_path / name) as tiff:
            for z in range(5):
                tiff.write(array[c, z], metadata=None, description=description if z == 0 else None, compression="zlib")
    for c in range(2):
        check(tmp_path / names[0], array[c], channel=c)
    (tmp_path / names[1]).unlink()
    check(tmp_path / names[0], array[0], channel=0)
    assert_refused(ref_of(tmp_path / names[0], 0, 1), "missing")


def test_tiles_that_are_not_stored(tmp_path):
    array = pixels((2, 64, 64))
    array[:, 32:, :32] = 0
    tiles = [
        None if z is not None and not array[z, y : y + 32, x : x + 32].any() else array[z, y : y + 32, x : x + 32]
        for z in range(2)
        for y in (0, 32)
        for x in (0, 32)
    ]
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter(tiles),
        shape=array.shape,
        dtype="uint16",
        tile=(32, 32),
        compression="zlib",
        photometric="minisblack",
    )
    check(tmp_path / "a.tif", array)


@pytest.mark.parametrize("settings", [{"tile": (16, 16)}, {"rowsperstrip": 16}])
def test_only_what_the_box_touches_is_read(tmp_path, settings):
    array = pixels((4, 48, 48))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", compression="zlib", **settings)
    across = 3 if "tile" in settings else 1
    kept = [(2, 1 * across + (2 if across == 3 else 0))]
    with tifffile.TiffFile(path) as tiff:
        places = {
            (z, i): place
            for z, page in enumerate(tiff.pages)
            for i, place in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True))
        }
    with path.open("r+b") as file:
        for key, (offset, count) in places.items():
            if key not in kept:
                file.seek(offset)
                file.write(b"\xff" * count)
    source = open_fresh(ref_of(path))
    box = Box((2, 17, 33), (3, 32, 48))
    assert np.array_equal(source.read(0, box), array[box.slices])
    with pytest.raises(InputError, match=r"a\.tif: level 0: the pixels cannot be read"):
        source.read(0, Box((2, 15, 33), (3, 32, 48)))


def test_factors_of_odd_levels(tmp_path):
    full = pixels((5, 101, 140))
    arrays = (full, full[:, ::2, ::2], full[:, :25, :46])  # rounded up, rounded down, and one that is no integer
    write_pyramid(tmp_path / "a.ome.tif", arrays, "ZYX", tile=(32, 32))
    factors = [level.factors for level in open_fresh(ref_of(tmp_path / "a.ome.tif")).levels]
    assert factors == [(1.0, 1.0, 1.0), (1.0, 2.0, 2.0), (1.0, 4.0, 3.0)]


@pytest.mark.parametrize(
    ("timepoint", "channel", "words"), [(3, 0, ("3 timepoints",)), (0, 2, ("2 channels", "no channel 2"))]
)
def test_indices_outside(tmp_path, timepoint, channel, words):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels((3, 2, 20, 26)), metadata={"axes": "TCYX"}, photometric="minisblack"
    )
    assert_refused(ref_of(tmp_path / "a.ome.tif", timepoint, channel), *words)


@pytest.mark.parametrize(
    ("shape", "dtype", "settings", "words"),
    [
        ((20, 26, 3), "uint8", {"photometric": "rgb"}, ("colours", "axes: yxc")),
        ((3, 20, 26), "uint8", {"photometric": "rgb", "planarconfig": "separate"}, ("colours", "axes: ")),
        ((4, 20, 26, 3), "uint8", {"photometric": "rgb"}, ("colours", "axes: ")),
        ((4, 5, 20, 26), "uint8", {"photometric": "minisblack"}, ("axes are Q (4), Q (5)", "OME-TIFF")),
        ((5, 20, 26), "float64", {"photometric": "minisblack"}, ("float64", "convert")),
        ((5, 20, 26), "int32", {"photometric": "minisblack"}, ("int32",)),
        (
            (32, 32, 32),
            "uint8",
            {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)},
            ("volumetric",),
        ),
    ],
)
def test_images_that_are_refused(tmp_path, shape, dtype, settings, words):
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, dtype), **settings)
    assert_refused(ref_of(tmp_path / "a.tif"), *words)


def write_pages(path, array):
    with tifffile.TiffWriter(path) as tiff:
        for plane in array:
            tiff.write(plane, metadata=None)


WRITERS = {
    "plain": lambda path, a: tifffile.imwrite(path, a, photometric="minisblack"),
    "pages": write_pages,
    "zlib": lambda path, a: tifffile.imwrite(path, a, photometric="minisblack", compression="zlib", rowsperstrip=8),
    "imagej": lambda path, a: tifffile.imwrite(path, a, imagej=True, metadata={"axes": "ZYX"}),
    "ome": lambda path, a: tifffile.imwrite(path, a, ome=True, metadata={"axes": "ZYX"}, tile=(16, 16)),
    "big": lambda path, a: tifffile.imwrite(path, a, photometric="minisblack", bigtiff=True, byteorder=">"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_cut_files(tmp_path, name):
    array = pixels((5, 30, 40))
    path = tmp_path / "a.tif"
    WRITERS[name](path, array)
    # Near the ends of the file every length, for the directories are there.
    lengths = lambda size: [*range(0, 700, 11), *range(700, size, size // 60), *range(size - 700, size, 7)]  # noqa: E731
    refused = assert_cuts_noticed(ref_of(path), (array,), path, lengths)
    assert refused > 100


def test_cut_pyramid(tmp_path):
    path = tmp_path / "a.ome.tif"
    arrays = levels_of(pixels((5, 60, 80)), FACTORS)
    write_pyramid(path, arrays, "ZYX", tile=(16, 16), compression="zlib")
    lengths = lambda size: range(0, size, size // 150)  # noqa: E731
    assert assert_cuts_noticed(ref_of(path), arrays, path, lengths) >= 150


def test_file_that_is_cut_after_it_was_opened(tmp_path):
    array = pixels((5, 30, 40))
    for name in ("plain", "zlib"):
        path = tmp_path / f"{name}.tif"
        WRITERS[name](path, array)
        source = open_fresh(ref_of(path))
        path.write_bytes(path.read_bytes()[:6000])
        with pytest.raises(InputError, match=name):
            source.read(0, Box.of_shape(array.shape))


def test_files_that_are_not_tiff(tmp_path):
    (tmp_path / "a.tif").write_text("<html>404</html>")
    assert_refused(ref_of(tmp_path / "a.tif"), "not a TIFF")
    (tmp_path / "folder.tif").mkdir()
    assert_refused(ref_of(tmp_path / "folder.tif"), "directory")
    (tmp_path / "loop.tif").write_bytes(b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00")
    assert_refused(ref_of(tmp_path / "loop.tif"))


def test_no_file_stays_open(tmp_path):
    import gc
    import weakref

    tifffile.imwrite(tmp_path / "a.tif", pixels((5, 30, 40)), photometric="minisblack", compression="zlib")
    made = []
    original = tifffile.TiffFile.__init__

    def remember(self, *args, **kwargs):
        made.append(weakref.ref(self))
        original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tifffile.TiffFile, "__init__", remember)
        source = open_fresh(ref_of(tmp_path / "a.tif"))
    gc.collect()
    assert [ref() for ref in made] == [None]  # and its pages are forgotten
    assert source.read(0, Box.of_shape((5, 30, 40))).any()


@pytest.mark.beside("data/mosaic")
@pytest.mark.parametrize("tile", [0, 1])
def test_published_mosaic(tile):
    expected = tifffile.imread(DATA / "mosaic" / f"tile{tile}.tif")
    check(DATA / "mosaic" / f"tile{tile}.tif", expected[None])
