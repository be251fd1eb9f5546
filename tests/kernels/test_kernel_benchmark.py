"""The benchmark runs, at toy size, so that it does not rot."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def test_benchmark_runs(monkeypatch, capsys):
    path = Path(__file__).parents[2] / "benchmarks" / "kernels.py"
    spec = importlib.util.spec_from_file_location("kernel_benchmark", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr(sys, "argv", ["kernels.py", "--toy"])
    benchmark.main()
    assert capsys.readouterr().out.count("Mvoxel/s") == 17
