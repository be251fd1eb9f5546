from __future__ import annotations

import gzip
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.image import Codec
from fusestack.model.stage import Target
from fusestack.storage import open_store
from fusestack.writers import WRITERS
from fusestack.writers.ome_metadata import arrays as arrays_of
from tests.contracts.writer_contract import WriterContract, image_spec, random_levels, tree


def sharded(spec):
    return replace(spec, levels=tuple(replace(level, shards=level.block) for level in spec.levels))


class TestSharded(WriterContract):
    format, suffix = "ome-zarr", ".ome.zarr"

    def spec(self, path, **changes):
        return sharded(image_spec(path, **changes))

    def placement(self, spec, level):
        import zarr

        attributes = dict(zarr.open_group(spec.path, mode="r").attrs)
        scale, shift = attributes.get("ome", attributes)["multiscales"][0]["datasets"][level][
            "coordinateTransformations"
        ]
        return scale["scale"][2:], shift["translation"][2:]


class TestVersion04(TestSharded):
    def spec(self, path, **changes):
        return image_spec(path, ome_zarr_version="0.4", **changes)


def target_of(spec, tmp_path):
    return Target(WRITERS["ome-zarr"], spec, 0, str(tmp_path / "work"))


def made(spec, tmp_path, arrays=None, options=None):
    target = target_of(spec, tmp_path)
    arrays = random_levels(spec) if arrays is None else arrays
    TestSharded().make(target, arrays).finish(options or {})
    return arrays


@pytest.fixture(params=["0.5 sharded", "0.5", "0.4"])
def spec(request, tmp_path):
    version, _, shards = request.param.partition(" ")
    spec = image_spec(tmp_path / "image.zarr", ome_zarr_version=version)
    return sharded(spec) if shards else spec


CODECS = [Codec("blosc", 1), Codec("zstd", 3), Codec("lz4", 5), Codec("gzip", 6), Codec("none", 0)]


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: c.name)
def test_tensorstore_reads_every_codec(spec, tmp_path, codec):
    import tensorstore

    spec = replace(spec, codec=codec, levels=spec.levels[:2])
    arrays = made(spec, tmp_path)
    driver = "zarr" if spec.ome_zarr_version == "0.4" else "zarr3"
    for level, pixels in enumerate(arrays):
        store = {"driver": "file", "path": f"{spec.path}/{level}"}
        got = tensorstore.open({"driver": driver, "kvstore": store}, open=True).result().read().result()
        assert got.dtype == pixels.dtype
        assert np.array_equal(got, pixels)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("codec", CODECS, ids=lambda c: c.name)
def test_metadata_of_arrays_are_to_the_byte_what_zarr_python_writes(version, codec, tmp_path):
    import numcodecs
    import zarr

    def compressors(itemsize):
        cname = "lz4" if codec.name == "lz4" else "zstd"
        if version == "0.4" and codec.name == "none":
            return None
        if version == "0.4":
            blosc = numcodecs.Blosc(cname, codec.level, numcodecs.Blosc.BITSHUFFLE)
            return {"zstd": numcodecs.Zstd(codec.level), "gzip": numcodecs.GZip(codec.level)}.get(codec.name, blosc)
        blosc = zarr.codecs.BloscCodec(cname=cname, clevel=codec.level, shuffle="bitshuffle", typesize=itemsize)
        zstd, gzip = zarr.codecs.ZstdCodec(level=codec.level), zarr.codecs.GzipCodec(level=codec.level)
        packed = {"zstd": [zstd], "gzip": [gzip], "none": []}.get(codec.name, [blosc])
        return [*packed, zarr.codecs.Crc32cCodec()]

    for dtype, fill, shards in itertools.product(
        ["uint8", "uint16", "int16", "uint32", "float32"], [0, 7, 1.5, -np.inf, np.nan], [False, True]
    ):
        if (shards and version == "0.4") or (dtype != "float32" and fill not in (0, 7)):
            continue
        spec = image_spec(tmp_path / "image.zarr", dtype=dtype, fill=fill, ome_zarr_version=version, codec=codec)
        spec = sharded(spec) if shards else spec
        store = zarr.storage.MemoryStore()
        kind = {"zarr_format": 3, "dimension_names": "tczyx"}
        if version == "0.4":
            kind = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}
            kind["attributes"] = {"_ARRAY_DIMENSIONS": list("tczyx")}
        for number, level in enumerate(spec.levels):
            zarr.create_array(
                store,
                name=str(number),
                shape=level.shape,
                chunks=level.chunks,
                shards=level.shards,
                dtype=np.dtype(dtype).newbyteorder("<"),
                fill_value=np.dtype(dtype).type(fill).item(),
                compressors=compressors(spec.itemsize),
                **kind,
            )
        theirs = {key: data.to_bytes() for key, data in store._store_dict.items()}
        assert {key: theirs[key] for key in arrays_of(spec)} == arrays_of(spec)


@pytest.mark.parametrize("unit", ["micrometer", None])
def test_ome_zarr_models_accepts_the_metadata(spec, tmp_path, unit):
    import zarr
    from ome_zarr_models import v04, v05
    from ome_zarr_models.common.omero import Omero

    spec = replace(spec, unit=unit)
    made(spec, tmp_path)
    models = v04 if spec.ome_zarr_version == "0.4" else v05
    image = models.Image.from_zarr(zarr.open_group(spec.path, mode="r"))
    found = image.attributes if spec.ome_zarr_version == "0.4" else image.attributes.ome
    axes = found.multiscales[0].axes
    assert [axis.name for axis in axes] == list("tczyx")
    assert [axis.unit for axis in axes] == [None, None, unit, unit, unit]
    assert [channel.label for channel in Omero.model_validate({"channels": omero(spec)}).channels] == [
        "channel 0",
        "channel 1",
    ]


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: c.name)
def test_metadata_and_unsharded_chunks_are_those_of_zarr_python(spec, tmp_path, codec):
    """zarr-python opens the arrays as its own and writes chunks that we read; blosc gives the very same bytes."""
    import zarr

    spec = replace(spec, codec=codec, levels=spec.levels[:1])
    arrays = made(spec, tmp_path)
    before = tree(spec.path)
    array = zarr.open_group(spec.path, mode="r+")["0"]
    if spec.ome_zarr_version == "0.5":
        assert array.metadata.dimension_names == tuple("tczyx")
    array[...] = arrays[0]
    after = tree(spec.path)
    if spec.levels[0].shards is None and codec.name != "gzip":
        assert after == before
    assert np.array_equal(target_of(spec, tmp_path).open().read(0, Box.of_shape(array.shape)), arrays[0])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_shapes_chunks_and_shards(tmp_path_factory, data):
    import tensorstore

    folder = tmp_path_factory.mktemp("odd")
    triple = lambda low, high: st.tuples(*[st.integers(low, high)] * 3)  # noqa: E731
    shape = (data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2)), *data.draw(triple(1, 17)))
    version = data.draw(st.sampled_from(["0.4", "0.5"]))
    spec = image_spec(
        folder / "image.zarr",
        shape=shape,
        chunk=data.draw(triple(1, 9)),
        shard=data.draw(triple(1, 3)),
        factors=((1, 1, 1),),
        dtype=data.draw(st.sampled_from(["uint8", "int16", "uint32", "float32"])),
        fill=data.draw(st.sampled_from([0, 3])),
        codec=data.draw(st.sampled_from(CODECS)),
        ome_zarr_version=version,
    )
    if version == "0.5" and data.draw(st.booleans()):
        spec = sharded(spec)
    arrays = made(spec, folder, random_levels(spec, data.draw(st.integers(0, 99))))
    TestSharded().check(target_of(spec, folder), arrays)
    kind = {"driver": "zarr" if version == "0.4" else "zarr3", "kvstore": {"driver": "file", "path": f"{spec.path}/0"}}
    assert np.array_equal(tensorstore.open(kind, open=True).result().read().result(), arrays[0])


def test_gzip_does_not_write_the_time_of_day(spec, tmp_path, monkeypatch):
    made(spec, tmp_path)
    before = tree(spec.path)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    target_of(spec, tmp_path).open().remove()
    made(spec, tmp_path)
    assert tree(spec.path) == before


def test_files_of_a_sharded_image(tmp_path):
    spec = sharded(image_spec(tmp_path / "image.zarr", codec=Codec("gzip", 1), shape=(1, 1, 13, 41, 50)))
    spec = replace(spec, levels=spec.levels[:1])
    pixels = np.zeros(spec.shape, "uint16")
    pixels[0, 0, 12, 40, 49] = 5
    made(spec, tmp_path, [pixels])
    assert set(tree(spec.path)) == {"zarr.json", "0/zarr.json", "0/c/0/0/1/2/1"}
    shard = (tmp_path / "image.zarr/0/c/0/0/1/2/1").read_bytes()
    index = np.frombuffer(shard[-(2 * 1 * 2 * 16 + 4) : -4], "<u8").reshape(2, 1, 2, 2)
    # chunks (1, 2, 3) of (4, 16, 16) pixels: the second along z and along x of its shard
    offset, length = index[1, 0, 1] if index[1, 0, 1][1] < 2**63 else index[1, 0, 0]
    assert (index == np.iinfo(np.uint64).max).all(axis=-1).sum() == 3
    assert len(gzip.decompress(shard[int(offset) : int(offset + length) - 4])) == 4 * 16 * 16 * 2


def test_levels_open_before_the_first_block_is_written(spec, tmp_path):
    import zarr

    target_of(spec, tmp_path).open().create()
    group = zarr.open_group(spec.path, mode="r")
    assert [group[str(n)].shape for n in range(3)] == [level.shape for level in spec.levels]
    assert sorted(name for name, _ in group.members()) == ["0", "1", "2"]
    window = dict(group.attrs).get("ome", dict(group.attrs))["omero"]["channels"][0]["window"]
    assert window == {"min": 0, "max": 65535, "start": 0, "end": 65535}


def omero(spec):
    import zarr

    attributes = dict(zarr.open_group(spec.path, mode="r").attrs)
    return attributes.get("ome", attributes)["omero"]["channels"]


def test_contrast_limits_are_percentiles_of_the_pixels_with_data(spec, tmp_path):
    arrays = [np.zeros(level.shape, "uint16") for level in spec.levels]
    coarse = arrays[-1]
    coarse[:, 0, 1:] = np.random.default_rng(0).integers(1000, 2000, coarse[:, 0, 1:].shape)
    made(spec, tmp_path, arrays)
    first, second = omero(spec)
    values = coarse[:, 0][coarse[:, 0] > 0]
    assert (first["window"]["min"], first["window"]["max"]) == (0, 65535)
    assert first["window"]["start"] == pytest.approx(np.percentile(values, 0.1), abs=5)
    assert first["window"]["end"] == pytest.approx(np.percentile(values, 99.9), abs=5)
    assert second["window"] == {"min": 0, "max": 65535, "start": 0, "end": 65535}
    assert [channel["color"] for channel in omero(spec)] == ["00FF00", "00FF00"]
    assert all(channel["active"] for channel in omero(spec))


@pytest.mark.parametrize(("dtype", "value"), [("uint16", 65535), ("uint8", 7), ("float32", 0.25), ("int16", -5)])
def test_contrast_limits_of_a_constant_image_are_apart(tmp_path, dtype, value):
    spec = image_spec(tmp_path / "image.zarr", dtype=dtype)
    made(spec, tmp_path, [np.full(level.shape, value, dtype) for level in spec.levels])
    for channel in omero(spec):
        assert channel["window"]["start"] < channel["window"]["end"]


def test_contrast_limits_of_floating_point_ignore_what_is_no_number(tmp_path):
    spec = image_spec(tmp_path / "image.zarr", dtype="float32", fill=float("nan"))
    arrays = [np.full(level.shape, np.nan, "float32") for level in spec.levels]
    arrays[-1][0, :, 0, 0, :4] = [-2.5, np.inf, 0, 8]
    made(spec, tmp_path, arrays)
    assert omero(spec)[0]["window"] == {"min": -2.5, "max": 8.0, "start": -2.5, "end": 8.0}
    json.loads((tmp_path / "image.zarr/zarr.json").read_text(), parse_constant=pytest.fail)


def test_contrast_limits_sample_a_large_coarsest_level(tmp_path, monkeypatch):
    from fusestack.writers import ome_zarr

    spec = image_spec(tmp_path / "image.zarr", shape=(3, 1, 40, 64, 64), factors=((1, 1, 1),))
    arrays = random_levels(spec)
    made(spec, tmp_path, arrays)
    full = omero(spec)[0]["window"]
    monkeypatch.setattr(ome_zarr, "_SAMPLE_PIXELS", 20 * 4 * 16 * 16)
    regions = []
    read = ome_zarr.OmeZarrWriter.read

    def counted(self, level, box):
        regions.append(box)
        return read(self, level, box)

    monkeypatch.setattr(ome_zarr.OmeZarrWriter, "read", counted)
    target_of(spec, tmp_path).open().finish({})
    assert len(regions) == 20
    assert {box.start[0] for box in regions} == {0, 1, 2}
    sampled = omero(spec)[0]["window"]
    assert sampled["start"] == pytest.approx(full["start"], abs=1000)
    assert sampled["end"] == pytest.approx(full["end"], abs=1000)


def test_finish_keeps_what_others_added_and_records_the_options(spec, tmp_path):
    import zarr

    made(spec, tmp_path)
    zarr.open_group(spec.path, mode="r+").attrs["mine"] = [1, 2]
    target_of(spec, tmp_path).open().finish({"method": "average"})
    attributes = dict(zarr.open_group(spec.path, mode="r").attrs)
    assert attributes["mine"] == [1, 2]
    assert attributes["fusestack"] == {"method": "average"}


def test_what_is_finished_is_not_read_again(spec, tmp_path, monkeypatch):
    made(spec, tmp_path, options={"method": "average", "range": (1, 2)})
    before = tree(spec.path)
    writer = target_of(spec, tmp_path).open()
    monkeypatch.setattr(writer, "read", lambda *_: pytest.fail("pixels were read"))
    writer.create()
    writer.finish({"method": "average", "range": (1, 2)})
    assert tree(spec.path) == before
    with pytest.raises(pytest.fail.Exception):
        writer.finish({"method": "max"})


def test_a_create_that_was_killed_is_continued(spec, tmp_path, monkeypatch):
    writer = target_of(spec, tmp_path).open()
    writer.create()
    whole = tree(spec.path)
    writer.remove()
    replace_file = Path.replace
    for allowed in range(len(whole)):
        left = [True] * allowed

        def killed(path, to, left=left):
            if not left or not to.parent.is_dir():  # a kill before the rename, or a folder to be made first
                if left:
                    raise FileNotFoundError
                raise KeyboardInterrupt
            left.pop()
            return replace_file(path, to)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                writer.create()
        target_of(spec, tmp_path).open().create()
        writer._folder.delete_tree(writer._scratch)
        assert tree(spec.path) == whole
        writer.remove()
        assert not Path(spec.path).exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [("notes.txt", "is no part of a Zarr image"), ("raw/a.tif", "'raw'"), ("0/zarr.json", "is not a Zarr image")],
)
def test_leaves_folders_alone_that_hold_something_else(spec, tmp_path, file, message):
    (Path(spec.path) / file).parent.mkdir(parents=True)
    (Path(spec.path) / file).write_text("{}")
    before = tree(spec.path)
    writer = target_of(spec, tmp_path).open()
    # what is called as a level is: whether it is ours is asked beforehand, of the record and the mark
    for action in (writer.create, *([] if file.startswith("0/") else [writer.remove])):
        with pytest.raises(OutputError, match=message):
            action()
    assert not writer.is_marked()
    assert tree(spec.path) == before


def test_does_not_remove_a_zarr_image_with_foreign_files(spec, tmp_path):
    made(spec, tmp_path)
    (Path(spec.path) / "notes.txt").write_text("mine")
    before = tree(spec.path)
    with pytest.raises(OutputError, match=r"notes\.txt"):
        target_of(spec, tmp_path).open().remove()
    assert tree(spec.path) == before


def test_does_not_remove_a_plain_file(spec, tmp_path):
    Path(spec.path).write_text("mine")
    with pytest.raises(OutputError, match=r"image\.zarr"):
        target_of(spec, tmp_path).open().remove()
    assert Path(spec.path).read_text() == "mine"


def test_refuses_an_image_of_the_other_version(tmp_path):
    spec = image_spec(tmp_path / "image.zarr", ome_zarr_version="0.4")
    made(spec, tmp_path)
    other = target_of(replace(spec, ome_zarr_version="0.5"), tmp_path).open()
    with pytest.raises(OutputError, match=r"exists with another OME-Zarr version"):
        other.create()
    assert other.exists()
    other.remove()
    other.create()


def test_unknown_version_and_codec():
    with pytest.raises(OutputError, match=r"'0\.9' is none of 0\.4, 0\.5"):
        target_of(image_spec("image.zarr", ome_zarr_version="0.9"), Path()).open()
    with pytest.raises(OutputError, match="'bzip2' is none of blosc"):
        target_of(image_spec("image.zarr", codec=Codec("bzip2", 1)), Path()).open().create()
    assert not Path("image.zarr").exists()


def test_a_damaged_chunk_is_named(spec, tmp_path):
    arrays = [np.full(level.shape, 7, "uint16") for level in spec.levels]
    made(spec, tmp_path, arrays)
    for path in (Path(spec.path) / "0").rglob("0"):
        if path.is_file():
            path.write_bytes(b"damaged" * 20)
    with pytest.raises(OutputError, match=r"level 0 cannot be read back.*delete the output and run again"):
        target_of(spec, tmp_path).open().read(0, Box.of_shape(spec.shape))


def test_a_url_holds_the_same_image(spec, tmp_path):
    arrays = made(spec, tmp_path)
    remote = replace(spec, path=f"memory://{tmp_path.name}/image.zarr")
    target = target_of(remote, tmp_path)
    assert not target.open().exists()
    TestSharded().make(target, arrays).finish({})
    TestSharded().check(target, arrays)
    import obstore

    folder = open_store(remote.path)
    found = [entry["path"] for batch in obstore.list(folder.store, folder.prefix) for entry in batch]
    files = {path.removeprefix(f"{folder.prefix}/"): folder.get(path.removeprefix(folder.prefix)) for path in found}
    assert files == tree(spec.path)
    target.open().create()
    target.open().remove()
    assert not folder.entries()
    assert not target.open().exists()


def test_a_url_that_cannot_be_written():
    with pytest.raises(OutputError, match=r"nosuch://bucket.*cannot be written"):
        target_of(image_spec("nosuch://bucket/image.zarr"), Path()).open()


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: c.name)
@pytest.mark.parametrize("shards", [True, False])
def test_a_flipped_bit_is_an_error_that_names_the_file(tmp_path, codec, shards):
    import zarr

    spec = image_spec(tmp_path / "image.zarr", codec=codec)
    spec = replace(sharded(spec) if shards else spec, levels=(sharded(spec) if shards else spec).levels[:1])
    (pixels,) = made(spec, tmp_path)
    key = max((key for key in tree(spec.path) if not key.endswith(".json")), key=lambda key: len(tree(spec.path)[key]))
    path = Path(spec.path) / key
    whole = path.read_bytes()
    whole_box = Box.of_shape(pixels.shape)
    rng = np.random.default_rng(0)
    for _ in range(40):
        bit = int(rng.integers(0, 8 * len(whole)))
        harmed = bytearray(whole)
        harmed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(harmed)
        with pytest.raises(OutputError, match=rf"{key}: .*(checksum|cut|smaller)"):
            target_of(spec, tmp_path).open().read(0, whole_box)
    path.write_bytes(whole)
    assert np.array_equal(target_of(spec, tmp_path).open().read(0, whole_box), pixels)
    assert np.array_equal(zarr.open_group(spec.path, mode="r")["0"][:], pixels)


@pytest.mark.parametrize("shards", [True, False])
def test_an_image_that_was_begun_without_checksums_goes_on_without_them(tmp_path, shards):
    import zarr

    from fusestack.model.stage import forget_writers

    spec = image_spec(tmp_path / "image.zarr")
    spec = sharded(spec) if shards else spec
    made(spec, tmp_path)
    for key, data in arrays_of(spec, checksums=False).items():  # as earlier versions began it
        (Path(spec.path) / key).write_bytes(data)
    forget_writers()
    pixels = made(spec, tmp_path)
    assert arrays_of(spec, checksums=False) == {key: tree(spec.path)[key] for key in arrays_of(spec)}
    for number, array in enumerate(pixels):
        assert np.array_equal(zarr.open_group(spec.path, mode="r")[str(number)][:], array)
    target_of(spec, tmp_path).open().remove()
    pixels = made(spec, tmp_path)
    assert arrays_of(spec) == {key: tree(spec.path)[key] for key in arrays_of(spec)}
    assert np.array_equal(zarr.open_group(spec.path, mode="r")["0"][:], pixels[0])
