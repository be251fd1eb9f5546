"""Stages as one dask graph, and that graph on workers: a layer a stage, a task a batch of blocks, edges by region.

::

    Stage, Stage, ...  +  missing blocks
        |
        v   batches      blocks cut into tasks; levels of a pyramid go with the blocks that they are reduced from
        v   edges        which batch reads what which other one writes
        v   job          the graph, as a dask collection
        v   rounds       runs it, and another one of what is missing, until retries are used up
        |                on a backend (clusters): threads of this process, or a client of dask.distributed
        v   tasks        on a worker: compute, write, tick off (ledger), return small results

Knows `Stage` and `Grid`, nothing of fusion or focus. Pixels never travel between tasks: a task reads storage, computes,
and writes whole blocks, so it can be retried, moved, killed and repeated.
"""
