"""Runs that are killed at random moments, again and again, until one ends: the bytes, and the blocks done twice.

Every chain begins an output anew, is killed with SIGKILL up to some times (the client, one worker or everything) and is
then left alone. Compared is what lies there with what a run makes that nobody kills. A block is done twice where a
process had written it and not yet ticked it off; no more of them may be than batches that had begun and had not ended
hold blocks. `array` are two tasks of a job array, without a job system. ``s3`` is a bucket of a moto server.

Prints a row for each scheduler and output, and ends with exit code 1 where bytes differ or a bound does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import tifffile

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEDULERS = ("threads", "processes", "distributed", "array")
OUTPUTS = ("fused.ome.zarr", "fused.n5", "fused.h5", "fused.tif", "fused.dzi", "s3")
_CHAIN = 4
_TIMES = 4
_PATIENCE = 300

WATCHED = """
import importlib.abc, importlib.util, os, sys, time
LOG = os.environ.get("FUSESTACK_KILLS")
NAME = "fusestack.taskgraph.tasks"

def say(*words):
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + chr(10)).encode())
    os.close(file)

def watch(tasks):
    import functools
    run_batch, store = tasks.run_batch, tasks._Batch._store

    def count(tower, level, block):
        nesting = tower.nestings[level] if level else None
        return 1 + (0 if nesting is None else sum(count(tower, level - 1, one) for one in nesting.children(block)))

    @functools.wraps(run_batch)
    def watched(tower, blocks, run, name, needs, *before):
        number = f"{os.getpid()}.{time.monotonic_ns()}"
        level = len(tower.stages) - 1
        say("begin", number, sum(count(tower, level, block) for block in blocks))
        result = run_batch(tower, blocks, run, name, needs, *before)
        if result.complete or not result.stages:
            say("end", number)
        return result

    def stored(self, level, block, *more):
        time.sleep(float(os.environ["FUSESTACK_SLOW"]))
        made = store(self, level, block, *more)
        if made.there:
            say("wrote", self._tower.stages[level].key, block)
        return made

    tasks.run_batch, tasks._Batch._store = watched, stored

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), watch(module))
        return spec

if LOG:
    sys.meta_path.insert(0, Finder())
"""
CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, protocol="tcp://", dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
PART = """
import sys
import fusestack.taskgraph.shared_graph as shared
from fusestack.cli.task import main
shared._LOOK_SECONDS, shared._BEAT_SECONDS, shared._SILENT_SECONDS = 0.1, 0.2, 3.0
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Row:
    """What became of the chains of a scheduler and an output."""

    chains: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    same: int = 0
    twice: int = 0
    in_flight: int = 0
    blocks: int = 0

    @property
    def holds(self) -> bool:
        """Whether all is as it has to be."""
        return self.same == self.chains and self.twice <= self.in_flight


def make_tiles(folder: Path, output: str) -> dict[str, Any]:
    """Two overlapping tiles, four times, as a configuration; one plane of 8 bits for Deep Zoom."""
    rng, flat = np.random.default_rng(0), output.endswith(".dzi")
    shape = (1, 300, 400) if flat else (24, 60, 70)
    views = []
    for number in range(2):
        path = folder / f"{'plane' if flat else 'tile'}{number}.tif"
        if not path.exists():
            tifffile.imwrite(path, rng.integers(1, 250, shape).astype("u1" if flat else "u2"), photometric="minisblack")
        place = {"tile": number, "translation": {"x": 40.5 * number, "y": 0.25, "z": 0}}
        views += [{"path": str(path), "timepoint": t, **place} for t in range(1 if flat else _TIMES)]
    settings: dict[str, Any] = {}
    if output.endswith((".zarr", ".n5", "s3")):
        settings = {"chunks": {"x": 16, "y": 16, "z": 8}, "pyramid": [1, 2]}
    if output.endswith(".zarr") or output == "s3":
        settings["shards"] = {"x": 32, "y": 32, "z": 8}
    if output.endswith(".h5"):
        settings = {"chunks": 8, "shards": "auto", "pyramid": [1, 2]}
    return {"version": 1, "input": {"views": views}, "output": settings}


class Trial:
    """One chain of runs on an output."""

    def __init__(self, folder: Path, scheduler: str, output: str, bucket: Any, *, slow: float) -> None:
        self.folder, self.scheduler, self.bucket = folder, scheduler, bucket
        self.path = f"s3://{bucket.name}/{folder.name}/fused.ome.zarr" if output == "s3" else str(folder / output)
        folder.mkdir(parents=True)
        config = make_tiles(folder.parent, output)
        config["output"]["path"] = self.path
        self.config = folder / "fuse.yaml"
        self.config.write_text(json.dumps(config))
        self.log = folder / "log"
        self.log.touch()
        (folder / "watched").mkdir()
        (folder / "watched" / "sitecustomize.py").write_text(WATCHED)
        python_path = os.pathsep.join([str(folder / "watched"), *filter(None, sys.path)])
        self.environment = {
            **os.environ,
            "PYTHONPATH": python_path,
            "FUSESTACK_KILLS": str(self.log),
            "FUSESTACK_SLOW": str(slow),
        }
        self.cluster: subprocess.Popen[str] | None = None
        self.run = ""

    def _start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def begin(self) -> list[subprocess.Popen[str]]:
        """Start a run: its client, or the parts of an array."""
        if self.scheduler == "array":
            return self._parts()
        where = self.scheduler
        if where == "distributed":
            if self.cluster is None or self.cluster.poll() is not None:
                self.cluster = self._start("-c", CLUSTER)
                assert self.cluster.stdout is not None
                lines = (line.strip() for line in self.cluster.stdout)
                self.address = next(line for line in lines if line.startswith("tcp://"))
            where = self.address
        command = ("-m", "fusestack", "run", str(self.config), "--no-probe", "--set", f"execution.scheduler={where}")
        return [self._start(*command, "--set", "execution.workers=2")]

    def _parts(self) -> list[subprocess.Popen[str]]:
        """Two tasks of a job array on the graph of what is missing; one that closes where nothing is."""
        import fusestack

        submitted = fusestack.submit(self.config, ["execution.workers=2"], profile="slurm", mode="array", probe=False)
        self.run = self.run if submitted is None else submitted.run
        work = f"{self.path}.fusestack"
        if submitted is None:
            return []
        return [self._start("-c", PART, work, "part", self.run, "2", str(number)) for number in range(2)]

    def finish(self) -> float:
        """Let a run come to its end; gives the seconds that its processes took.

        Raises
        ------
        RuntimeError
            If it does not.
        """
        runs = self.begin()
        start = time.monotonic()
        _wait(runs)
        seconds = time.monotonic() - start
        if self.scheduler == "array":
            runs = [self._start("-c", PART, f"{self.path}.fusestack", "close", self.run)]
            _wait(runs)
        for run in runs:
            if run.returncode:
                assert run.stdout is not None
                raise RuntimeError(f"{self.folder}: {run.args} ended with {run.returncode}: {run.stdout.read()}")
        return seconds

    def victims(self, runs: list[subprocess.Popen[str]], who: str) -> list[psutil.Process]:
        """Processes that are killed."""
        clients = [psutil.Process(run.pid) for run in runs if run.poll() is None]
        owners = [psutil.Process(self.cluster.pid)] if self.cluster is not None else clients
        workers = [child for owner in owners for child in owner.children(recursive=True) if _is_worker(child)]
        if self.scheduler in ("threads", "array"):
            return clients if who == "everything" else clients[:1]
        if who == "worker":
            return workers[:1]
        return clients if who == "client" else [*clients, *owners, *workers]

    def tally(self) -> tuple[int, int, int]:
        """Blocks, blocks that were written once more than needed, and blocks of batches that began and did not end."""
        begun: dict[str, int] = {}
        wrote: Counter[str] = Counter()
        for line in self.log.read_text().splitlines():
            what, name, *more = line.split()
            if what == "begin":
                begun[name] = int(more[0])
            elif what == "end":
                del begun[name]
            else:
                wrote[f"{name} {more[0]}"] += 1
        return len(wrote), sum(wrote.values()) - len(wrote), sum(begun.values())

    def content(self) -> dict[str, bytes]:
        """What the output holds."""
        if self.bucket is not None and self.path.startswith("s3:"):
            return self.bucket.objects(f"{self.folder.name}/fused.ome.zarr/")
        path = Path(self.path)
        found = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        if path.suffix == ".dzi":
            found += sorted(one for one in path.with_name("fused_files").rglob("*") if one.is_file())
        return {str(one.relative_to(self.folder)): one.read_bytes() for one in found}

    def end(self) -> None:
        """Stop the cluster."""
        if self.cluster is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.cluster.pid, signal.SIGKILL)
            self.cluster.wait()


def _is_worker(process: psutil.Process) -> bool:
    """Whether a process of a LocalCluster computes: it was spawned, and is not what tracks resources."""
    with suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


def _wait(runs: list[subprocess.Popen[str]]) -> None:
    for run in runs:
        with suppress(subprocess.TimeoutExpired):
            run.wait(_PATIENCE)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            raise RuntimeError(f"{run.args} did not end")


def kill_chain(trial: Trial, rng: random.Random, kills: int, seconds: float) -> Counter[str]:
    """Start and kill a run some times, then let it end; says who was killed how often."""
    killed: Counter[str] = Counter()
    who_may = {"threads": ["everything"], "array": ["one", "everything"]}.get(
        trial.scheduler, ["client", "worker", "everything"]
    )
    while sum(killed.values()) < kills:
        runs = trial.begin()
        if not runs:
            break
        until = time.monotonic() + rng.uniform(0.25, 1.0) * seconds
        while time.monotonic() < until and any(run.poll() is None for run in runs):
            time.sleep(0.01)
        if all(run.poll() is not None for run in runs):
            break
        who = rng.choice(who_may)
        victims = trial.victims(runs, who)
        for victim in victims:
            with suppress(psutil.Error):
                victim.kill()
        if trial.cluster is not None and trial.cluster.pid in {victim.pid for victim in victims}:
            trial.cluster.wait()  # else the next run is given the address of one that is just dying
        killed[who] += 1
        if who in ("worker", "one"):
            _wait(runs)  # the others go on
            break
        for run in runs:
            run.wait()
    trial.finish()
    return killed


class Bucket:
    """A bucket of a moto server in this process."""

    def __init__(self, name: str) -> None:
        import boto3

        self.name, self._client = name, boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
        self._client.create_bucket(Bucket=name)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Every object below a prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        keys = sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))
        read = self._client.get_object
        return {key.removeprefix(prefix): read(Bucket=self.name, Key=key)["Body"].read() for key in keys}


@contextmanager
def bucket_server() -> Iterator[Bucket]:
    """A bucket, and the environment that says where it is."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    try:
        yield Bucket("lab")
    finally:
        server.stop()


@contextmanager
def no_job_system() -> Iterator[None]:
    """Arrays are handed to nobody: their tasks are started here."""
    from fusestack.taskgraph.job_systems import JobSystem

    replaced = {
        "hand_in": lambda self, script: "1",
        "check": lambda self, script: None,
        "states": lambda self, numbers: [],
    }
    kept = {name: getattr(JobSystem, name) for name in replaced}
    for name, function in replaced.items():
        setattr(JobSystem, name, function)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(JobSystem, name, function)


def run_trials(
    folder: Path, kills: int, seed: int, schedulers: list[str], outputs: list[str], *, slow: float
) -> dict[tuple[str, str], Row]:
    """Chains of kills on every scheduler and output, one after another, until there were so many."""
    rng, rows = random.Random(seed), {(one, other): Row() for one in schedulers for other in outputs}
    with ExitStack() as stack:
        bucket = stack.enter_context(bucket_server()) if "s3" in outputs else None
        stack.enter_context(no_job_system())
        whole: dict[str, dict[str, bytes]] = {}
        seconds: dict[tuple[str, str], float] = {}
        number = 0
        while sum(sum(row.kills.values()) for row in rows.values()) < kills:
            for (scheduler, output), row in rows.items():
                if sum(sum(row.kills.values()) for row in rows.values()) >= kills:
                    break
                if output not in whole:
                    trial = Trial(folder / f"whole-{output}", "threads", output, bucket, slow=0)
                    trial.finish()
                    whole[output] = trial.content()
                number += 1
                trial = Trial(folder / f"{number}", scheduler, output, bucket, slow=slow)
                try:
                    if (scheduler, output) not in seconds:
                        timed = Trial(folder / f"timed-{number}", scheduler, output, bucket, slow=slow)
                        seconds[scheduler, output] = timed.finish()
                        timed.end()
                    left = kills - sum(sum(one.kills.values()) for one in rows.values())
                    most = rng.randint(1, min(_CHAIN, left))
                    killed = kill_chain(trial, rng, most, seconds[scheduler, output])
                finally:
                    trial.end()
                row.chains += 1
                row.kills += killed
                row.same += trial.content() == whole[output]
                blocks, twice, in_flight = trial.tally()
                row.blocks, row.twice, row.in_flight = row.blocks + blocks, row.twice + twice, row.in_flight + in_flight
                print(f"{scheduler:12} {output:15} {dict(killed)} {twice} twice of {in_flight}", file=sys.stderr)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schedulers", nargs="+", choices=SCHEDULERS, default=list(SCHEDULERS))
    parser.add_argument("--outputs", nargs="+", choices=OUTPUTS, default=list(OUTPUTS))
    parser.add_argument("--slow", type=float, default=0.03, help="seconds that every block waits")
    parser.add_argument("--toy", action="store_true", help="one kill, on threads")
    arguments = parser.parse_args()
    if arguments.toy:
        arguments.kills, arguments.schedulers, arguments.outputs = 1, ["threads"], ["fused.ome.zarr"]
    with tempfile.TemporaryDirectory() as name:
        rows = run_trials(
            Path(name),
            arguments.kills,
            arguments.seed,
            arguments.schedulers,
            arguments.outputs,
            slow=arguments.slow,
        )
    print("| scheduler | output | chains | kills | same bytes | blocks | done twice | in flight |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (scheduler, output), row in rows.items():
        who = ", ".join(f"{count} {one}" for one, count in sorted(row.kills.items()))
        print(
            f"| {scheduler} | {output} | {row.chains} | {who or 0} | {row.same} of {row.chains} | {row.blocks:,} "
            f"| {row.twice:,} | {row.in_flight:,} |"
        )
    print(f"{sum(sum(row.kills.values()) for row in rows.values())} kills")
    return 0 if all(row.holds for row in rows.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
