"""Compilation: the cache on disk, without it, and by many processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import fusestack.kernels.rows
from fusestack.kernels import jit
from fusestack.kernels.jit import njit

SCRIPT = """
import numpy as np
from fusestack.kernels import downsample
print(downsample.block_mean(np.arange(64, dtype=np.uint16).reshape(4, 4, 4), (2, 2, 2), (2, 2, 2)).tolist())
print(sum(downsample._block_mean.stats.cache_hits.values()))
"""


def start(cache):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_share_one_cache(tmp_path):
    first = [start(tmp_path) for _ in range(3)]
    answers = [p.communicate(timeout=120)[0].splitlines() for p in first]
    assert [p.returncode for p in first] == [0, 0, 0]
    assert sorted(int(hits) > 0 for _, hits in answers) == [False, True, True], "one compiles, the others wait for it"
    later = start(tmp_path)
    pixels, hits = later.communicate(timeout=120)[0].splitlines()
    assert later.returncode == 0
    assert {a[0] for a in answers} == {pixels}
    assert int(hits) > 0


def test_who_waits_too_long_compiles_itself(tmp_path, monkeypatch):
    cache = SimpleNamespace(cache_path=str(tmp_path / "new"), _impl=SimpleNamespace(filename_base="kernel"))
    with jit._alone(cache, "types") as waited:
        assert not waited
        other = (
            "import sys; from types import SimpleNamespace; from fusestack.kernels import jit; jit._PATIENCE = 0.2\n"
            "cache = SimpleNamespace(cache_path=sys.argv[1], _impl=SimpleNamespace(filename_base='kernel'))\n"
            "for what in ('types', 'others'):\n"
            "    with jit._alone(cache, what) as waited: print(waited)"
        )
        said = subprocess.run(
            [sys.executable, "-c", other, cache.cache_path], capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == ["True", "False"]
    (tmp_path / "file").write_text("")
    cache.cache_path = str(tmp_path / "file" / "nowhere")
    with jit._alone(cache, "types") as waited:
        assert not waited, "no locks, no waiting"


TWO_TYPES = """
import sys
import numpy as np
from fusestack.kernels import pyramid
planes = np.ones((1, 8, 8), np.float32)
for one in (planes, planes[:, ::2]):
    pyramid._reduce(one, np.empty((1, (one.shape[1] + 1) // 2, 4), np.float32))
print(sum(pyramid._reduce.stats.cache_hits.values()))
"""


def test_kernels_of_other_types_under_one_name_are_compiled_again(tmp_path):
    """Two processes that compile at once may both call their file number 1."""

    def run():
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run([sys.executable, "-c", TWO_TYPES], env=environment, capture_output=True, text=True)

    assert run().stdout.split() == ["0"], "all were compiled"
    assert run().stdout.split() == ["2"], "all were there"
    one, other = sorted(tmp_path.rglob("pyramid._reduce-*.nbc"))
    other.write_bytes(one.read_bytes())
    again = run()
    assert again.returncode == 0, again.stderr[-500:]
    assert again.stdout.split() == ["1"]


def test_compiles_where_no_cache_can_be_written():
    namespace = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<no file at all>", "exec"), namespace)
    assert njit(namespace["double"])(21) == 42


def test_an_edit_of_any_kernel_compiles_all_anew(tmp_path, monkeypatch):
    """The cache of numba looks at one file, but kernels call those of other modules."""
    for name in ("jit.py", "other.py"):
        (tmp_path / name).write_text("one = 1\n")
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    before = jit._stamp.__wrapped__()
    assert jit._stamp.__wrapped__() == before
    (tmp_path / "other.py").write_text("two = 22\n")
    assert jit._stamp.__wrapped__() != before
    assert fusestack.kernels.rows.fuse_rows.py_func.__qualname__.endswith(jit._stamp())


def test_no_kernel_has_numba_look_for_extensions_in_all_packages():
    script = f"{SCRIPT}\nfrom numba.core import entrypoints\nprint(entrypoints._already_initialized)"
    for _ in range(2):  # its compiler may, whoever takes kernels from the cache need not
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_import_of_the_package_loads_no_numba():
    script = "import sys, fusestack.kernels; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_kernels_are_listed_and_typos_are_not():
    assert {"fuse", "downsample"} <= set(dir(fusestack.kernels))
    assert not hasattr(fusestack.kernels, "fusion")
