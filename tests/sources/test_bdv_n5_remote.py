"""N5 projects behind addresses fuse to the same bytes as on a disk."""

from __future__ import annotations

import functools
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

import fusestack
from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.sources.coefficients import read_coefficients
from tests.contracts.source_contract import levels_of, open_fresh, pixels
from tests.small import tree
from tests.sources.test_bdv_n5 import FACTORS, ref_of, write_level, write_lz4, write_setup
from tests.sources.test_coefficients import MAP, NAME, as_n5

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of moto and boto

PROJECT = """<SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>
<ImageLoader format="{loader}" version="1.0"><n5 type="{kind}">{path}</n5></ImageLoader>
<ViewSetups><ViewSetup><id>0</id><size>61 45 17</size></ViewSetup><ViewSetup><id>1</id><size>61 45 17</size></ViewSetup>
</ViewSetups><Timepoints type="pattern"><integerpattern>0</integerpattern></Timepoints></SequenceDescription>
<ViewRegistrations>
<ViewRegistration timepoint="0" setup="0"><ViewTransform type="affine"><affine>1 0 0 0 0 1 0 0 0 0 1 0</affine>
</ViewTransform></ViewRegistration>
<ViewRegistration timepoint="0" setup="1"><ViewTransform type="affine"><affine>1 0 0 50.5 0 1 0 0 0 0 1 0</affine>
</ViewTransform></ViewRegistration></ViewRegistrations></SpimData>"""


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    """Two views of two levels, each with a block that is not stored; a map of coefficients beside them."""
    path = tmp_path_factory.mktemp("local") / "my data.n5"
    for setup, save in enumerate((lambda *a, **k: write_level(*a, {"type": "zstd"}, **k), write_lz4)):
        write_setup(path, setup, FACTORS[:2])
        for level, array in enumerate(levels_of(pixels((17, 45, 61), seed=setup), FACTORS[:2])):
            place = save(path, array, setup=setup, level=level)
            (place / "0" / "0" / "0").unlink()
    as_n5(path.parent, NAME)
    return path


@pytest.fixture(scope="module")
def bucket(container):
    """Address of a server with the container in a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, **keys)
    client.create_bucket(Bucket="lab")
    for name, data in tree(container.parent).items():
        client.put_object(Bucket="lab", Key=name, Body=data, ACL="public-read")
    yield address
    server.stop()


@pytest.fixture
def web(container):
    """Address of a server of plain files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=container.parent))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path, bucket):
    """What the environment says of the store, without keys."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no credentials"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    from fusestack.storage import store

    store._open_store.cache_clear()
    yield
    store._open_store.cache_clear()


def same_pixels(path, container):
    for setup in (0, 1):
        source, wanted = open_fresh(ref_of(path, setup)), open_fresh(ref_of(container, setup))
        assert source.levels == wanted.levels
        for level, found in enumerate(source.levels):
            box = Box.of_shape(found.shape)
            np.testing.assert_array_equal(source.read(level, box), wanted.read(level, box))


@pytest.mark.parametrize("keys", [False, True], ids=["anonymous", "keys"])
def test_object_store(container, keys, monkeypatch):
    if keys:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
    same_pixels("s3://lab/my data.n5", container)
    np.testing.assert_array_equal(read_coefficients("s3://lab/map.n5/", 7, 2), MAP)
    with pytest.raises(InputError, match="no coefficients of view"):
        read_coefficients("s3://lab/map.n5", 7, 3)


def test_web_server(container, web):
    same_pixels(f"{web}/my data.n5", container)


def fused(folder: Path, loader, kind, path):
    folder.mkdir()
    (folder / "dataset.xml").write_text(PROJECT.format(loader=loader, kind=kind, path=path))
    output = {"path": str(folder / "fused.ome.zarr"), "chunks": 16, "shards": 32}
    fusestack.run({"version": 1, "input": {"project": str(folder / "dataset.xml")}, "output": output})
    return tree(folder / "fused.ome.zarr")


def test_projects_fuse_to_the_same_bytes(container, tmp_path):
    local = fused(tmp_path / "local", "bdv.n5", "absolute", container.as_uri())
    for loader in ("bdv.n5", "bdv.n5.cloud"):
        assert fused(tmp_path / loader, loader, "absolute", "s3://lab/my%20data.n5/") == local


@pytest.mark.parametrize("address", ["s3://lab/none.n5", "s3://no-such-bucket/a.n5", "http://127.0.0.1:9/a.n5"])
def test_what_is_not_there(address):
    with pytest.raises(InputError, match="check the") as caught:
        open_fresh(ref_of(address))
    assert address in str(caught.value)


def test_what_may_not_be_read_without_keys(bucket):
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=bucket, **keys)
    client.put_object(Bucket="lab", Key="secret.n5/setup0/attributes.json", Body=b"{}")
    with pytest.raises(InputError, match=r"s3://lab/secret\.n5: .*403.* check the .* credentials"):
        open_fresh(ref_of("s3://lab/secret.n5"))


def test_store_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("fusestack.storage.store._PATIENT_RETRIES", 2)  # other tests had answers from this bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"s3://lab/a\.n5: setup0: cannot be read"):
        open_fresh(ref_of("s3://lab/a.n5"))
