"""Any vision-language model that transformers supports."""

from vlmprobe.families.worker.auto.family import Auto

__all__ = ["Auto"]
