"""Worker processes on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fusestack.model.errors import ConfigError


def lasting_cluster(**options: Any) -> Any:
    """A `distributed.LocalCluster` whose workers are started again however often they die.

    dask's own gives a worker up for good that is not there 15 seconds after it was lost: also where its successor has
    just died, too, so that nobody was left where blocks ran out of memory one after another.
    """
    from distributed import LocalCluster
    from distributed.deploy.cluster import Cluster

    class Lasting(LocalCluster):  # type: ignore[misc]
        def _update_worker_status(self, op: str, msg: Any) -> None:
            Cluster._update_worker_status(self, op, msg)  # whoever looks after a process starts another one

    return Lasting(**options)


def check_guard() -> None:
    """Refuse scripts that start processes whenever they are imported: each process imports them."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or getattr(main, "__spec__", None) is not None or hasattr(sys, "ps1") or sys.flags.interactive:
        return
    try:
        guarded = "__name__" in Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if not guarded:
        raise ConfigError(
            f"{path}: every worker process imports this script, and would run all of it again; put what it does "
            'below a line if __name__ == "__main__":, or use execution.scheduler: threads'
        )
