"""Any vision-language model that transformers knows."""

from vlmprobe.families.worker.auto.family import Auto

__all__ = ["Auto"]
