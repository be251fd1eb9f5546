"""The sections ``execution`` and ``cache``: who computes, and where stages are kept."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fusestack.config.values import Bytes, Count, Id, Model, Positive, Text, not_allowed

Scheduler = Literal["threads", "processes", "distributed", "slurm", "pbs", "sge", "lsf", "htcondor"]
_ADDRESS = r"^tcp://[^\s/]+:[0-9]+$"


def _address(value: str) -> str:
    if not re.match(_ADDRESS, value):
        raise not_allowed("the address of a dask scheduler such as tcp://host:8786")
    return value


Address = Annotated[str, AfterValidator(_address), Field(json_schema_extra={"pattern": _ADDRESS})]


class Execution(Model):
    """Who computes."""

    scheduler: Scheduler | Address = Field(
        default="threads",
        description="on this machine, a job system, or the address of a dask scheduler",
        examples=["tcp://host:8786"],
    )
    workers: Literal["auto"] | Count = Field(default="auto", description="auto, or a number", examples=[8])
    threads_per_worker: Count = Field(default=1, description="threads of one worker")
    memory: Literal["auto"] | Bytes = Field(
        default="auto", description='per worker: auto, bytes, or a size such as "4GiB"', examples=["4GiB"]
    )
    retries: Id = Field(default=3, description="how often a failed block is tried again")
    block_timeout: Literal["auto"] | Positive = Field(
        default="auto",
        description="seconds after which a block on a worker of dask will never return and is given to another; "
        "auto: 50 times what others took, and at least 10 minutes",
        examples=[3600],
    )
    profile: Text | None = Field(default=None, description="cluster profile: a name, or a path", examples=["slurm"])

    @property
    def seconds(self) -> float | None:
        """Timeout of a block; None where it is found out."""
        return None if self.block_timeout == "auto" else float(self.block_timeout)


class Cache(Model):
    """Where the results of stages are kept."""

    path: Text | None = Field(
        default=None, description="folder; default: beside the output", examples=["/scratch/cache"]
    )
    limit: Literal["auto"] | Bytes | None = Field(
        default="auto",
        description='most bytes, or a size such as "500GB"; auto: a tenth of its disk; null: no limit',
        examples=["500GB"],
    )
