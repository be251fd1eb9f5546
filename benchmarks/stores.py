"""A fusion from a store into it, where every answer comes late: the time of a run and of its rerun, against none late.

The store is moto's S3 server in a process of its own; each request waits before it is answered. Without an argument the
tiles are four Zarr arrays whose chunks are objects of their own. Rounds alternate; medians and ratios are printed,
nothing is asserted. Needs ``pip install moto[server,s3]``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fusestack
from fusestack.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection

_COUNTED = "/requests-so-far"


def serve(ready: Connection, seconds: float) -> None:
    """Serve S3 at a free port; requests wait, and are counted."""
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store, count = DomainDispatcherApplication(create_backend_app), 0

    def late(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        nonlocal count
        if environ["PATH_INFO"] == _COUNTED:
            start("200 OK", [])
            return [str(count).encode()]
        count += 1
        time.sleep(seconds)
        found: Iterable[bytes] = store(environ, start)
        return found

    server = make_server("127.0.0.1", 0, late, threaded=True)
    ready.send(server.server_port)
    server.serve_forever()


class Store:
    """A server in a process of its own, with a bucket."""

    def __init__(self, seconds: float) -> None:
        mine, its = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=serve, args=(its, seconds), daemon=True)
        self._process.start()
        self.endpoint = f"http://127.0.0.1:{mine.recv()}"
        self.use()
        import boto3

        self.bucket = f"lab{int(1000 * seconds)}"  # writers are kept by their addresses
        boto3.client("s3", endpoint_url=self.endpoint).create_bucket(Bucket=self.bucket)

    def use(self) -> None:
        """Make it the store that everybody finds."""
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        os.environ |= {"AWS_ENDPOINT_URL": self.endpoint, **keys}
        from fusestack.storage import store

        store._open_store.cache_clear()

    @property
    def requests(self) -> int:
        """How many there were."""
        import urllib.request

        with urllib.request.urlopen(self.endpoint + _COUNTED) as answer:
            return int(answer.read())

    def close(self) -> None:
        """End it."""
        self._process.terminate()


def make_tiles(bucket: str, shape: tuple[int, int, int], chunk: int) -> list[dict[str, Any]]:
    """Four overlapping tiles as Zarr arrays in the bucket; what `input.views` has."""
    import zarr

    rng, views = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(64) as pool:
        for tile in range(4):
            array = zarr.create_array(f"{name}/tile{tile}.zarr", shape=shape, chunks=(chunk,) * 3, dtype="u2")
            array[...] = rng.integers(0, 4096, shape)
            y, x = divmod(tile, 2)
            at = {"x": x * (shape[2] * 0.9 + 0.4), "y": y * (shape[1] * 0.9 + 0.3), "z": 0}
            views.append({"path": f"s3://{bucket}/tile{tile}.zarr", "translation": at, "tile": tile})
        folder, files = open_store(f"s3://{bucket}"), [path for path in Path(name).rglob("*") if path.is_file()]
        list(pool.map(lambda path: folder.put(str(path.relative_to(name)), [path.read_bytes()]), files))
    return views


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny tiles, hardly late, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--late", type=float, default=0.3, help="seconds that each answer waits")
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 256, 256), metavar=("Z", "Y", "X"))
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--shards", default="auto")
    parser.add_argument("--scheduler", default="threads")
    arguments = parser.parse_args()
    shape, chunk, late = tuple(arguments.shape), arguments.chunk, arguments.late
    if arguments.toy:
        shape, chunk, late, arguments.rounds = (8, 20, 20), 8, 0.002, 1
    warnings.simplefilter("ignore")
    stores = {f"{seconds:g} s late": Store(seconds) for seconds in (0.0, late)}
    took: dict[tuple[str, str], list[float]] = {}
    requests: dict[tuple[str, str], int] = {}
    try:
        views: dict[str, list[dict[str, Any]]] = {}
        for number in range(1 + arguments.rounds):  # the first one warms
            for name, store in stores.items():
                store.use()
                if number == 0:
                    views[name] = make_tiles(store.bucket, shape, chunk)
                if number == 0 and store is stores[f"{late:g} s late"]:
                    continue
                config = {
                    "version": 1,
                    "input": {"views": views[name]},
                    "output": {
                        "path": f"s3://{store.bucket}/fused{number}.ome.zarr",
                        "chunks": chunk,
                        "shards": arguments.shards,
                    },
                    "execution": {"scheduler": arguments.scheduler, "workers": 2},
                }
                for what in ("run", "rerun"):
                    before, start = store.requests, time.perf_counter()
                    fusestack.run(config, progress=False)
                    if number:
                        took.setdefault((what, name), []).append(time.perf_counter() - start)
                        requests[what, name] = store.requests - before
    finally:
        for store in stores.values():
            store.close()
    medians = {key: float(np.median(values)) for key, values in took.items()}
    for (what, name), value in medians.items():
        print(f"  {what:6} {name:12} {value:7.2f} s   {requests[what, name]:5} requests")
    slow, fast = reversed(stores)
    for what in ("run", "rerun"):
        waited = (medians[what, slow] - medians[what, fast]) / late
        print(
            f"  {what:6} {slow} / {fast}: {medians[what, slow] / medians[what, fast]:.1f}, {waited:.0f} waits in a row"
        )


if __name__ == "__main__":
    main()
