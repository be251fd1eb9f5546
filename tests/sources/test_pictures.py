from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from fusestack.model.errors import InputError
from fusestack.sources.picture_notes import CameraFacts, Metadata, camera_facts, read_metadata
from fusestack.sources.pictures import PicturePage, describe_picture, read_picture
from fusestack.sources.raw_pixels import read_raw
from fusestack.storage import open_store
from tests.conftest import SHARED

PHOTOGRAPHS = sorted((SHARED / "data" / "pcb").glob("pcb_*.jpg"))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NAMES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
MAKE, EXPOSURE, EXIF, GPS = 271, 33434, 34665, 34853


def noise(shape, dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def check(path, expected, colours=None, dtype=None):
    """One picture that is `expected` [y, x] or [y, x, colour]."""
    expected = np.atleast_3d(expected)
    (picture,) = describe_picture(str(path))
    shape = expected.shape[:2]
    assert picture == PicturePage(
        str(path), 0, shape, colours or NAMES[expected.shape[2]], dtype or expected.dtype.name
    )
    found = read_picture(picture)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.moveaxis(expected, -1, 0), strict=True)
    if picture.raw is not None:
        for rows, columns in ((slice(0, shape[0]), slice(0, shape[1])), (slice(3, 8), slice(2, shape[1] - 1))):
            region = read_raw(picture, rows, columns)
            np.testing.assert_array_equal(region, np.moveaxis(expected[rows, columns], -1, 0), strict=True)


@pytest.mark.parametrize("colours", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_that_lie_in_a_tiff_as_they_are(tmp_path, colours, dtype, apart, order):
    pixels = noise((13, 17, colours), dtype)
    stored = np.moveaxis(pixels, -1, 0) if apart and colours > 1 else pixels.squeeze()
    layout = {"planarconfig": "separate" if apart else "contig"} if colours > 1 else {}
    kind = "rgb" if colours > 1 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=order, photometric=kind, rowsperstrip=5, **layout)
    (picture,) = describe_picture(str(tmp_path / "a.tif"))
    assert picture.raw is not None
    check(tmp_path / "a.tif", pixels)


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({"compression": "zlib"}, "uint8"),
        ({"tile": (16, 16)}, "uint8"),
        ({"photometric": "miniswhite"}, "uint8"),
        ({"photometric": "palette", "colormap": np.zeros((3, 256), "u2")}, "uint8"),
        ({}, "float64"),
    ],
)
def test_what_must_be_decoded_is_not_raw(tmp_path, options, dtype):
    tifffile.imwrite(tmp_path / "a.tif", noise((13, 17), dtype), **options)
    (picture,) = describe_picture(str(tmp_path / "a.tif"))
    assert picture.raw is None


def test_a_file_that_is_cut_after_it_was_described(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((13, 17)))
    (picture,) = describe_picture(str(tmp_path / "a.tif"))
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-30])
    with pytest.raises(InputError, match="the file is cut"):
        read_raw(picture, slice(0, 13), slice(0, 17))


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png(tmp_path, colours, dtype):
    pixels = noise((13, 17, colours), dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels[..., 0] if colours == 1 else pixels))
    check(tmp_path / "a.png", pixels)


def test_png_palettes_are_colours(tmp_path):
    picture = Image.fromarray(noise((13, 17, 3))).quantize(7)
    picture.save(tmp_path / "a.png", bits=4)
    check(tmp_path / "a.png", np.asarray(picture.convert("RGB")))
    picture.save(tmp_path / "b.png", transparency=3)
    with Image.open(tmp_path / "b.png") as again:
        check(tmp_path / "b.png", np.asarray(again.convert("RGBA")))


def test_png_with_a_transparent_colour_has_alpha(tmp_path):
    pixels = noise((13, 17))
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=int(pixels[0, 0]))
    check(tmp_path / "a.png", np.stack([pixels, np.where(pixels == pixels[0, 0], 0, 255).astype("uint8")], axis=-1))


def png(width, height, bits, kind, rows, *, interlaced=0, more=b""):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + more + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_packed_grey_png_is_spread_over_uint8(tmp_path, bits):
    values = np.arange(2**bits, dtype="uint8")
    packed = np.packbits(((values[:, None] >> np.arange(bits)[::-1]) & 1).astype("uint8").ravel())
    (tmp_path / "a.png").write_bytes(png(len(values), 1, bits, 0, b"\0" + packed.tobytes()))
    check(tmp_path / "a.png", np.round(values * (255 / (2**bits - 1))).astype("uint8")[np.newaxis])


def test_interlaced_png(tmp_path):
    pixels = noise((5, 5))
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for y, x, step_y, step_x in passes:
        part = pixels[y::step_y, x::step_x]
        rows += b"".join(b"\0" + row.tobytes() for row in part if row.size)
    (tmp_path / "a.png").write_bytes(png(5, 5, 8, 0, rows, interlaced=1))
    check(tmp_path / "a.png", pixels)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"keep_rgb": True}, {"subsampling": 2}], ids=str)
@pytest.mark.parametrize("colours", [1, 3])
def test_jpeg(tmp_path, colours, options):
    pixels = noise((13, 17, colours))
    Image.fromarray(pixels if colours == 3 else pixels[..., 0]).save(tmp_path / "a.jpg", quality=90, **options)
    with Image.open(tmp_path / "a.jpg") as picture:
        check(tmp_path / "a.jpg", np.asarray(picture))


def test_the_first_bytes_say_what_it_is(tmp_path):
    pixels = noise((13, 17))
    (tmp_path / "a.jpg").write_bytes(imagecodecs.png_encode(pixels))
    check(tmp_path / "a.jpg", pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_pictures_are_turned_as_the_camera_was_held(tmp_path, suffix, orientation):
    path, stored = str(tmp_path / f"a.{suffix}"), noise((20, 30, 3))
    if suffix == "tif":
        tifffile.imwrite(path, stored, photometric="rgb", rowsperstrip=4, extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        exif.get_ifd(EXIF).update({36867: "2024:05:06 07:08:09", 37521: "25"})
        Image.fromarray(stored).save(path, exif=exif)
    assert camera_facts(path) == CameraFacts(orientation, "" if suffix == "tif" else "2024:05:06 07:08:09.25")
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    (picture,) = describe_picture(path)
    assert picture.shape == (20, 30)
    upright = picture.upright(orientation)
    assert upright.shape == expected.shape[:2]
    np.testing.assert_array_equal(read_picture(upright), np.moveaxis(expected, -1, 0))
    np.testing.assert_array_equal(read_picture(upright, slice(3, 9)), np.moveaxis(expected, -1, 0)[:, 3:9])


def test_a_jpeg_that_is_cut_is_noticed_by_its_header(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif.get_ifd(EXIF)[37500] = b"a thumbnail \xff\xd8 \xff\xd9"
    Image.fromarray(noise((200, 300, 3))).save(path, exif=exif)
    path.write_bytes(path.read_bytes()[:-30000])
    with pytest.raises(InputError, match=r"a.jpg: ends within the picture"):
        describe_picture(str(path))


def test_smaller_pages_are_no_slices_whether_they_say_so_or_not(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.svs") as file:
        for shape in ((16, 12), (64, 48), (64, 48), (32, 24), (20, 60)):
            file.write(noise((*shape, 3)), photometric="rgb", tile=(16, 16), compression="zlib")
    pictures = describe_picture(str(tmp_path / "a.svs"))
    assert [(picture.page, picture.shape, picture.beside) for picture in pictures] == [
        (1, (64, 48), 3),
        (2, (64, 48), 3),
    ]


def test_bytes_behind_a_jpeg_do_no_harm(tmp_path):
    Image.new("L", (30, 20), 100).save(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"a film \xff\xda and more")
    check(tmp_path / "a.jpg", np.full((20, 30), 100, "uint8"))


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8", "int16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planarconfig": "separate", "rowsperstrip": 5},
        {"byteorder": ">", "bigtiff": True, "tile": (16, 16)},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "predictor": True, "planarconfig": "separate"},
    ],
    ids=str,
)
def test_tiff(tmp_path, colours, dtype, options):
    pixels = noise((13, 37, colours), dtype)
    stored = pixels if colours > 1 else pixels[..., 0]
    if colours == 1 or options.get("planarconfig") == "separate":
        options = {key: value for key, value in options.items() if colours > 1 or key != "planarconfig"}
        stored = np.moveaxis(pixels, -1, 0) if colours > 1 else stored
    elif colours > 1:
        options = options | {"planarconfig": "contig"}
    if colours in (2, 4):
        options = options | {"extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb" if colours > 2 else "minisblack", **options)
    check(tmp_path / "a.tif", pixels.astype("float32") if pixels.dtype.kind == "f" else pixels)


def test_pages_of_a_tiff_are_pictures_without_its_thumbnails(tmp_path):
    first, second = noise((13, 17, 3)), noise((20, 9), "uint16")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(first, photometric="rgb", metadata=None)
        tiff.write(first[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
        tiff.write(second, photometric="minisblack", metadata=None)
    one, two = describe_picture(str(tmp_path / "a.tif"))
    assert (one.page, one.shape, one.colours, one.dtype) == (0, (13, 17), "RGB", "uint8")
    assert (two.page, two.shape, two.colours, two.dtype) == (2, (20, 9), "L", "uint16")
    assert np.array_equal(read_picture(one), np.moveaxis(first, -1, 0))
    assert np.array_equal(read_picture(two), second[np.newaxis])


@pytest.mark.parametrize("options", [{}, {"ome": True}, {"imagej": True}], ids=str)
def test_planes_of_a_stack_are_pictures(tmp_path, options):
    stack = noise((5, 13, 17), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    pictures = describe_picture(str(tmp_path / "a.tif"))
    assert np.array_equal(np.concatenate([read_picture(picture) for picture in pictures]), stack)


def test_palette_and_white_is_zero(tmp_path):
    picture = Image.fromarray(noise((13, 17, 3))).quantize(7)
    picture.save(tmp_path / "a.tif")
    check(tmp_path / "a.tif", np.asarray(picture.convert("RGB")))
    pixels = noise((13, 17), "uint16")
    tifffile.imwrite(tmp_path / "b.tif", 65535 - pixels, photometric="miniswhite")
    check(tmp_path / "b.tif", pixels)


def test_jpeg_and_packed_bits_in_tiff(tmp_path):
    pixels = noise((32, 48, 3))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="jpeg", tile=(16, 16))
    check(tmp_path / "a.tif", tifffile.imread(tmp_path / "a.tif"))
    packed = noise((13, 16), "uint16") >> 4
    tifffile.imwrite(tmp_path / "b.tif", packed, photometric="minisblack", bitspersample=12)
    check(tmp_path / "b.tif", packed)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_pictures_behind_addresses(tmp_path, name):
    Image.fromarray(noise((13, 17, 3))).save(tmp_path / name)
    open_store("memory://pictures").put(name, [(tmp_path / name).read_bytes()])
    (local,), (there,) = describe_picture(str(tmp_path / name)), describe_picture(f"memory://pictures/{name}")
    assert there == PicturePage(f"memory://pictures/{name}", 0, local.shape, "RGB", "uint8")
    assert np.array_equal(read_picture(there), read_picture(local))
    assert read_metadata(there.path) == read_metadata(local.path)


def camera():
    exif = Image.Exif()
    exif.endian = "<"
    exif[MAKE], exif[306], exif[274] = "Maker", "2024:05:06 07:08:09", 6
    exif.get_ifd(EXIF).update({EXPOSURE: 0.25, 34855: 200})
    exif.get_ifd(GPS).update({1: "N"})
    return exif


def as_read(exif):
    found = Image.Exif()
    found.load(exif)
    return found, found.get_ifd(EXIF), found.get_ifd(GPS)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "big.tif"])
def test_metadata(tmp_path, name):
    path = tmp_path / name
    options = {"big_tiff": True} if name == "big.tif" else {}
    Image.new("RGB", (30, 20)).save(path, exif=camera().tobytes(), icc_profile=SRGB, **options)
    found = read_metadata(str(path))
    assert found.icc == SRGB
    exif, photo, place = as_read(found.exif)
    assert found.exif.startswith(b"Exif\0\0")
    assert exif[MAKE] == "Maker"
    assert exif[306] == "2024:05:06 07:08:09"
    assert (photo[EXPOSURE], photo[34855], place[1]) == (0.25, 200, "N")
    if name.endswith("tif"):
        assert set(exif) == {MAKE, 306, EXIF, GPS}


def test_metadata_behind_the_pixels_of_a_png(tmp_path):
    data = camera().tobytes()[6:]
    more = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 0, b"\0ab", more=more))
    assert read_metadata(str(tmp_path / "a.png")) == Metadata(b"Exif\0\0" + data, None)


def test_exposure_beside_the_camera(tmp_path):
    extratags = [(MAKE, "s", None, "Maker", True), (EXPOSURE, "2I", 1, (1, 4), True)]
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8)), photometric="minisblack", extratags=extratags)
    exif, photo, _ = as_read(read_metadata(str(tmp_path / "a.tif")).exif)
    assert (exif[MAKE], photo[EXPOSURE]) == ("Maker", 0.25)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_nothing_said(tmp_path, name):
    Image.new("L", (30, 20)).save(tmp_path / name)
    assert read_metadata(str(tmp_path / name)) == Metadata(None, None)


def test_a_profile_in_many_segments(tmp_path):
    profile = SRGB + np.random.default_rng(0).bytes(200_000)
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", icc_profile=profile)
    assert read_metadata(str(tmp_path / "a.jpg")).icc == profile


def encoded(form, **options):
    file = io.BytesIO()
    Image.fromarray(noise((40, 50, 3))).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_cut_is_noticed(tmp_path_factory, form, data):
    whole = encoded(form, **({"compression": "tiff_lzw"} if form == "TIFF" else {}))
    path = tmp_path_factory.mktemp("cut") / "a"
    harmless = {"PNG": 12, "JPEG": 0, "TIFF": 1}[form]  # a chunk that says no more than that it is the last, padding
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - harmless - 1))])
    with pytest.raises(InputError, match=f"^{path}: .*restore it from its source") as caught:
        [read_picture(picture) for picture in describe_picture(str(path))]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_damage_is_noticed_or_harmless(tmp_path_factory, form, data):
    damaged = bytearray(encoded(form))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 700)))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "a"
    path.write_bytes(damaged)
    with suppress(InputError):
        pictures = describe_picture(str(path))
        if all(np.prod(picture.shape) < 1e6 for picture in pictures):
            [read_picture(picture) for picture in pictures]
    with suppress(InputError):
        read_metadata(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; restore it"),
        (b"GIF89a and so on", "is no JPEG, PNG or TIFF file; convert it"),
        (encoded("PNG")[:8], ".*the file is cut"),
        (encoded("TIFF")[:8], "is truncated or damaged"),
    ],
)
def test_what_is_no_picture(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for function in (describe_picture, read_metadata):
        with pytest.raises(InputError, match=f"^{path}: {message}"):
            function(str(path))


def test_missing(tmp_path):
    for path in (str(tmp_path / "a.png"), "memory://nothing/a.png"):
        with pytest.raises(InputError, match=r"a\.png: .*; "):
            describe_picture(path)
    with pytest.raises(InputError, match="Is a directory"):
        describe_picture(str(tmp_path))


def test_colours_and_numbers_that_are_not_read(tmp_path):
    Image.new("CMYK", (30, 20)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg: .*CMYK colours, which are not read.*; "):
        describe_picture(str(tmp_path / "a.jpg"))
    refused = {
        "int32": noise((8, 8), "int32"),
        "uint64": noise((8, 8), "uint64"),
        "complex64": noise((8, 8), "float32").astype("complex64"),
        "1-bit": noise((8, 8)) > 100,
    }
    for name, pixels in refused.items():
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
        with pytest.raises(InputError, match=rf"a\.tif: pixels of type {name} are not read; convert it to grey or RGB"):
            describe_picture(str(tmp_path / "a.tif"))
    for photometric, colours in (("separated", 4), ("cielab", 3), ("minisblack", 5), ("rgb", 5)):
        extra = {"separated": 0, "cielab": 0, "minisblack": 4, "rgb": 2}[photometric]
        options = {"extrasamples": [0] * extra} if extra else {}
        pixels = noise((8, 8, colours))
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, planarconfig="contig", **options)
        with pytest.raises(InputError, match=rf"a\.tif: has {colours} colours of kind {photometric.upper()}"):
            describe_picture(str(tmp_path / "a.tif"))


def test_a_large_imagej_stack_of_one_page_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((5, 13, 17)), imagej=True, truncate=True)
    with pytest.raises(InputError, match=r"describes 5 planes by 1 page.*write it again"):
        describe_picture(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_that_was_replaced_since(tmp_path, name):
    Image.new("RGB", (30, 20)).save(tmp_path / name)
    (picture,) = describe_picture(str(tmp_path / name))
    Image.new("RGB", (30, 21)).save(tmp_path / name)
    with pytest.raises(InputError, match=r"is 21 x 30 x 3 pixels .*; run again"):
        read_picture(picture)


@pytest.mark.beside("data/pcb")
def test_photographs():
    for path in PHOTOGRAPHS[:2]:
        (picture,) = describe_picture(str(path))
        with Image.open(path) as expected:
            assert picture.shape == expected.size[::-1]
            assert read_metadata(str(path)).exif == expected.info.get("exif")
            assert np.array_equal(read_picture(picture), np.moveaxis(np.asarray(expected), -1, 0))


LAYOUTS = {
    "one piece": {},
    "big endian": {"byteorder": ">"},
    "strips": {"rowsperstrip": 7},
    "zlib": {"compression": "zlib", "rowsperstrip": 9, "predictor": True},
    "tiles": {"tile": (32, 48)},
    "lzw tiles": {"compression": "lzw", "tile": (16, 16)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 11},
    "lzw planes": {"planarconfig": "separate", "compression": "lzw", "tile": (32, 32)},
    "jpeg": {"compression": "jpeg", "tile": (32, 32)},
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("colours", [1, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_tiff(tmp_path, layout, colours, dtype):
    if (layout == "jpeg" and (dtype != "uint8" or colours == 4)) or ("planes" in layout and colours == 1):
        pytest.skip("there is no such file")
    if layout == "zlib" and dtype == "float32":
        pytest.skip("predictors of floats are others")
    pixels = (np.random.default_rng(0).random((101, 130, colours)) * 255).astype(dtype)
    path = tmp_path / "a.tif"
    options = dict(LAYOUTS[layout])
    stored = np.moveaxis(pixels, -1, 0) if "planes" in layout else pixels[..., 0] if colours == 1 else pixels
    extra = {"extrasamples": ("unassalpha",)} if colours == 4 else {}
    kind = "minisblack" if colours == 1 else "rgb"
    tifffile.imwrite(path, stored, photometric=kind, metadata=None, **extra, **options)
    (picture,) = describe_picture(str(path))
    whole = read_picture(picture)
    assert whole.shape == (colours, 101, 130)
    for rows in (slice(0, 1), slice(5, 40), slice(32, 101), slice(100, 101), slice(0, 101)):
        assert np.array_equal(read_picture(picture, rows), whole[:, rows])
    assert 1 <= picture.piece <= 101 if layout == "one piece" else True


def test_rows_of_other_files(tmp_path):
    pixels = (np.random.default_rng(0).random((40, 30, 3)) * 255).astype(np.uint8)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(pixels))
    (picture,) = describe_picture(str(path))
    assert picture.piece == 0
    assert np.array_equal(read_picture(picture, slice(10, 20)), np.moveaxis(pixels, -1, 0)[:, 10:20])


def test_rows_are_read_without_the_call_of_the_system_too(tmp_path, monkeypatch):
    monkeypatch.delattr("os.pread", raising=False)
    pixels = noise((13, 17, 3))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    check(tmp_path / "a.tif", pixels)


@pytest.mark.parametrize("rows", [slice(0, 13), slice(11, 13)])
def test_part_of_a_file_that_is_cut(tmp_path, rows):
    """Rows that are there are read, and the one that is cut is found."""
    tifffile.imwrite(tmp_path / "a.tif", noise((13, 17)))
    (picture,) = describe_picture(str(tmp_path / "a.tif"))
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: picture.raw.start + 12 * 17 + 9])
    assert read_raw(picture, slice(0, 13), slice(2, 9)).shape == (1, 13, 7)
    with pytest.raises(InputError, match="the file is cut"):
        read_raw(picture, rows, slice(2, 10))
