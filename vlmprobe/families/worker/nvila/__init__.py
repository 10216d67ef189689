"""NVILA, run by VILA's own code."""

from vlmprobe.families.worker.nvila.family import Nvila

__all__ = ["Nvila"]
