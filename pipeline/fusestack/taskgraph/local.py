"""Worker processes on this machine."""

from __future__ import annotations

from typing import Any


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
