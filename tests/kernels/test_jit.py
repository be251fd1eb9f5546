"""Compilation: the cache on disk, without it, and by many processes at once."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import fusestack.kernels
from fusestack.kernels.jit import njit

KERNELS = Path(fusestack.kernels.__file__).parent
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
    later = start(tmp_path)
    pixels, hits = later.communicate(timeout=120)[0].splitlines()
    assert later.returncode == 0
    assert {a[0] for a in answers} == {pixels}
    assert int(hits) > 0


def test_compiles_where_no_cache_can_be_written():
    namespace = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<no file at all>", "exec"), namespace)
    assert njit(namespace["double"])(21) == 42


def test_jitted_functions_call_only_their_own_module():
    """The cache looks at one file: an edit in another module would go unnoticed."""
    jitted, imported = set(), {}
    for path in KERNELS.glob("*.py"):
        tree = ast.parse(path.read_text())
        functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
        marked = [f for f in functions if any(isinstance(d, ast.Name) and d.id == "njit" for d in f.decorator_list)]
        jitted |= {f.name for f in marked}
        names = {a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
        imported[path.name] = {n.id for f in marked for n in ast.walk(f) if isinstance(n, ast.Name)} & names
    assert len(jitted) > 20
    assert {name: used & jitted for name, used in imported.items() if used & jitted} == {}


def test_import_of_the_package_loads_no_numba():
    script = "import sys, fusestack.kernels; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_kernels_are_listed_and_typos_are_not():
    assert {"fuse", "downsample"} <= set(dir(fusestack.kernels))
    assert not hasattr(fusestack.kernels, "fusion")
