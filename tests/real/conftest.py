"""Fixtures of real systems."""

from tests.slurm import slurm

__all__ = ["slurm"]
