"""An S3 server on this machine, and a web server that knows ranges."""

from __future__ import annotations

import functools
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from fusestack.storage import store


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def client(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Client of the server; the environment says where it is, and has keys for it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store._open_store.cache_clear()
    yield boto3.client("s3", endpoint_url=endpoint)
    store._open_store.cache_clear()


@pytest.fixture
def bucket(client: Any) -> str:
    """Name of an empty bucket."""
    name = f"lab-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def objects(client: Any, bucket: str) -> Callable[[str], dict[str, bytes]]:
    """Every object below a prefix."""

    def read(prefix: str) -> dict[str, bytes]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {
            key.removeprefix(prefix): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in sorted(keys)
        }

    return read


class _Ranges(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def send_head(self) -> Any:
        wanted = self.headers.get("Range")
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            return super().send_head()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        size = path.stat().st_size
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(path.read_bytes()[start:stop])
        return None


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Address of a server of the test's folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Ranges, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
