"""BigDataViewer N5 as tensorstore, which is not ours, reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.image import Codec
from fusestack.sources.bdv_n5 import BdvN5Source
from tests.contracts.writer_contract import WriterContract, random_levels, tree


class TestBdvN5(WriterContract):
    format, suffix = "bdv-n5", ".n5"

    def placement(self, spec, level):
        """BigDataViewer's own rule: level pixel i is level-0 pixel f*i + (f-1)/2."""
        attributes = json.loads(Path(spec.path, "setup0", "attributes.json").read_text())
        factors = np.array(attributes["downsamplingFactors"][level][::-1])
        size = np.array(spec.pixel_size)
        return size * factors, spec.origin + size * (factors - 1) / 2


CONTRACT = TestBdvN5()


def opened(path):
    import tensorstore

    return tensorstore.open({"driver": "n5", "kvstore": f"file://{path}"}).result()


def check_container(spec, arrays):
    for level, pixels in enumerate(arrays):
        for t, timepoint in enumerate(spec.timepoints):
            for c in range(len(spec.channels)):
                data = opened(f"{spec.path}/setup{c}/timepoint{timepoint}/s{level}").read().result()
                assert data.dtype == pixels.dtype
                assert np.asarray(data).T.tobytes() == pixels[t, c].tobytes()


@pytest.mark.parametrize("codec", [("zstd", 3), ("gzip", 1), ("blosc", 1), ("lz4", 1), ("none", 0)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_tensorstore_reads_every_codec_and_type(tmp_path, codec, dtype):
    target = CONTRACT.target_in(tmp_path, dtype=dtype, codec=Codec(*codec))
    arrays = random_levels(target.image)
    CONTRACT.make(target, arrays).finish({"method": "average"})
    check_container(target.image, arrays)


def test_the_layout_is_that_of_bigdataviewer(tmp_path):
    target = CONTRACT.target_in(tmp_path, codec=Codec("zstd", 3))
    spec = target.image
    CONTRACT.make(target, random_levels(spec)).finish({"method": "average"})

    def attributes(name):
        return json.loads((tmp_path / "out" / "image.n5" / name / "attributes.json").read_text())

    assert attributes("") == {"n5": "2.0.0", "fusestack": {"method": "average"}}
    assert sorted(p.name for p in (tmp_path / "out" / "image.n5").iterdir()) == ["attributes.json", "setup0", "setup1"]
    dataset = {"dataType": "uint16", "dimensions": [50, 41, 13], "blockSize": [16, 16, 4]}
    dataset["compression"] = {"type": "zstd", "level": 3}
    assert attributes("setup1") == {**dataset, "downsamplingFactors": [[1, 1, 1], [2, 2, 1], [4, 6, 2]]}
    facts = {"resolution": [0.25, 0.5, 1.5], "saved_completely": True, "multiScale": True}
    assert attributes("setup1/timepoint6") == facts
    assert attributes("setup1/timepoint6/s0") == {**dataset, "downsamplingFactors": [1, 1, 1]}
    assert attributes("setup1/timepoint6/s2")["dimensions"] == [12, 6, 6]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_odd_shapes_and_chunks(tmp_path_factory, data):
    triple = lambda low, high: st.tuples(*[st.integers(low, high)] * 3)  # noqa: E731
    target = CONTRACT.target_in(
        tmp_path_factory.mktemp("odd"),
        shape=(data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2)), *data.draw(triple(1, 17))),
        chunk=data.draw(triple(1, 9)),
        shard=data.draw(triple(1, 3)),
        factors=((1, 1, 1),),
        dtype=data.draw(st.sampled_from(["uint8", "uint16", "int16", "float32"])),
        fill=data.draw(st.sampled_from([0, 3])),
        codec=data.draw(st.sampled_from([Codec("gzip", 1), Codec("none", 0), Codec("zstd", 3)])),
    )
    arrays = random_levels(target.image, data.draw(st.integers(0, 99)))
    writer = CONTRACT.make(target, arrays)
    CONTRACT.check(target, arrays)
    writer.finish({})
    check_container(target.image, arrays)
    source = BdvN5Source(target.image.path, setup=0, timepoint=5)
    assert source.read(0, Box.of_shape(arrays[0].shape[2:])).tobytes() == arrays[0][0, 0].tobytes()


def test_blocks_of_zeros_are_not_stored(tmp_path):
    target = CONTRACT.target_in(tmp_path, shape=(1, 1, 8, 32, 32), factors=((1, 1, 1),))
    pixels = np.zeros(target.image.shape, "uint16")
    pixels[0, 0, 7, 31, 31] = 1
    CONTRACT.make(target, [pixels]).finish({})
    blocks = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.name.isdecimal()]
    assert [p.relative_to(tmp_path / "out/image.n5/setup0/timepoint5/s0").as_posix() for p in blocks] == ["1/1/1"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("attributes.json", '{"n5": "2.0.0"}'), ("thesis.txt", "years"), ("attributes.json", "{"), ("setup0/a", "raw")],
)
def test_what_others_put_there_is_left_alone(tmp_path, name, content):
    file = tmp_path / "out" / "image.n5" / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    writer = CONTRACT.target_in(tmp_path).open()
    for change in (writer.create, writer.remove):
        with pytest.raises(OutputError, match=r"left alone: choose another output\.path"):
            change()
    assert tree(tmp_path) == {f"out/image.n5/{name}": content.encode()} or len(tree(tmp_path)) == 1
    assert file.read_text() == content


def test_files_that_were_added_to_a_container_are_not_deleted(tmp_path):
    target = CONTRACT.target_in(tmp_path)
    CONTRACT.make(target, random_levels(target.image)).finish({})
    (tmp_path / "out/image.n5/notes.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"holds 'notes\.txt'"):
        target.open().remove()
    assert tree(tmp_path) == before
