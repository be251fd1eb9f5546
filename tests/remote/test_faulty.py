"""Stores that answer late, refuse now and then, die and come back, or know the keys not."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

import fusestack
from fusestack.cli.main import run
from fusestack.storage import store
from tests.faults.test_killed import written
from tests.remote.test_addresses import Objects
from tests.small import config

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of moto and boto

_DENIED = b"<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match the key.</Message></Error>"


_MOMENT = 0.1


def _is_a_sign_of_life(environ: dict[str, Any]) -> bool:
    """Whether nobody waits for the answer: the lock is written again, the turn looked at."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    return (method == "GET" and "/runs/" in path) or (method == "PUT" and "HTTP_IF_MATCH" in environ)


class Faulty:
    """The same buckets, behind a server that misbehaves as it is told."""

    def __init__(self) -> None:
        self.late = 0.0
        self.every = 0
        self.dead = False
        self.denied = False
        self.requests = self.refused = self.now = self.most = 0
        self.rounds: int | None = None
        self._latest = 0.0
        self._lock = threading.Condition()
        self._store = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._lock:
            self.requests += 1
            number = self.requests
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            time.sleep(self.late)
            if self.rounds is not None and not _is_a_sign_of_life(environ):
                self._wait_for_others()
            if self.dead:  # whoever asked gets no answer
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise ConnectionAbortedError
            if self.denied:
                start("403 Forbidden", [("Content-Type", "application/xml")])
                return [_DENIED]
            if self.every and number % self.every == 0:
                self.refused += 1
                start("503 Slow Down" if number % 2 else "500 Internal Server Error", [])
                return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
            found: Iterable[bytes] = self._store(environ, start)
            return found
        finally:
            with self._lock:
                self.now -= 1

    def _wait_for_others(self) -> None:
        """Answer all that were asked together as one round: when nobody has asked for more for a moment."""
        with self._lock:
            number, self._latest = self.rounds, time.monotonic()
            while self.rounds == number:
                left = self._latest + _MOMENT - time.monotonic()
                if left <= 0:
                    self.rounds += 1  # type: ignore[operator]
                    self._lock.notify_all()
                else:
                    self._lock.wait(left)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def faulty(client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = Faulty()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    store._open_store.cache_clear()
    yield server
    server.dead = False
    server.close()


@pytest.fixture
def job(bucket: str, client: Any, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """A fusion of two Zarr arrays of a bucket into it, or of the same ones on a disk onto it."""

    def make(place: str) -> dict[str, Any]:
        rng, views = np.random.default_rng(3), []
        for number in range(2):
            path = tmp_path / f"tile{number}.zarr"
            if not path.exists():
                array = zarr.create_array(path, shape=(8, 32, 32), chunks=(8, 8, 8), dtype="u2")
                array[...] = rng.integers(1, 60000, array.shape)
                for file in (one for one in path.rglob("*") if one.is_file()):
                    client.put_object(Bucket=bucket, Key=str(file.relative_to(tmp_path)), Body=file.read_bytes())
            at = {"x": 20.4 * number, "y": 0.3, "z": 0}
            views.append({"path": f"{place}/tile{number}.zarr", "translation": at, "tile": number})
        output = {"path": f"{place}/fused.ome.zarr", "chunks": 16, "shards": "none", "pyramid": [1, 2]}
        return {"version": 1, "input": {"views": views}, "output": output, "execution": {"workers": 2}}

    return make


def tree_of(job: Callable[[str], dict[str, Any]], folder: Path) -> dict[str, bytes]:
    fusestack.run(job(str(folder)))
    root = folder / "fused.ome.zarr"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_requests_and_blocks_go_together_where_answers_come_late(
    faulty: Faulty, job: Callable[[str], dict[str, Any]], bucket: str, objects: Objects, tmp_path: Path
) -> None:
    wanted = tree_of(job, tmp_path)
    settings = job(f"s3://{bucket}")
    faulty.late = 0.03
    fusestack.run(settings)
    assert 8 < faulty.most < 200  # two workers alone have two under way
    before = faulty.requests
    assert fusestack.run(settings).reused_all
    assert faulty.requests - before < 110
    assert objects("fused.ome.zarr/") == wanted


def test_few_answers_are_waited_for_one_after_another(
    faulty: Faulty, job: Callable[[str], dict[str, Any]], bucket: str, objects: Objects, tmp_path: Path
) -> None:
    wanted = tree_of(job, tmp_path)
    settings = job(f"s3://{bucket}")
    faulty.rounds = 0
    fusestack.run(settings)
    run, faulty.rounds = faulty.rounds, 0
    assert fusestack.run(settings).reused_all
    rerun = faulty.rounds
    assert 10 < run <= 45  # 97 before they were asked together
    assert 4 < rerun <= 14  # 33 before
    assert objects("fused.ome.zarr/") == wanted


def test_a_store_that_refuses_every_fifth_request_gives_the_same_bytes(
    faulty: Faulty, job: Callable[[str], dict[str, Any]], bucket: str, objects: Objects, tmp_path: Path
) -> None:
    wanted = tree_of(job, tmp_path)
    faulty.every = 5
    fusestack.run(job(f"s3://{bucket}"))
    assert faulty.refused > 15
    faulty.every = 0
    assert objects("fused.ome.zarr/") == wanted


def test_a_store_that_dies_and_comes_back(
    faulty: Faulty, job: Callable[[str], dict[str, Any]], bucket: str, objects: Objects, tmp_path: Path
) -> None:
    wanted = tree_of(job, tmp_path)
    died = threading.Event()

    def watch(event: Any) -> None:
        if type(event).__name__ == "BlocksEnded" and not died.is_set():
            died.set()
            faulty.dead = True
            threading.Timer(2.5, lambda: setattr(faulty, "dead", False)).start()

    settings = job(f"s3://{bucket}") | {"execution": {"workers": 2, "retries": 3}}
    fusestack.run(settings, listener=watch)
    assert died.is_set()
    assert objects("fused.ome.zarr/") == wanted


@pytest.mark.parametrize(("place", "code"), [("output", 5), ("input", 3)])
def test_wrong_keys_are_told_at_once(
    place: str,
    code: int,
    faulty: Faulty,
    bucket: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    faulty.denied = True
    settings = config(tmp_path)
    if place == "output":
        settings["output"]["path"] = f"s3://{bucket}/fused.ome.zarr"
    else:
        settings["input"] = {"views": [{"path": f"s3://{bucket}/tile.ome.zarr"}]}
    start = time.perf_counter()
    assert run(["run", str(written(tmp_path, settings))]) == code
    assert time.perf_counter() - start < 10
    said = capsys.readouterr().err
    assert f"s3://{bucket}" in said
    assert "signature does not match" in said
    assert "credentials" in said
    assert "Traceback" not in said
