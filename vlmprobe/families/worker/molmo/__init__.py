"""Molmo, in Hugging Face's form and in that of the olmo package."""

from vlmprobe.families.worker.molmo.family import Molmo

__all__ = ["Molmo"]
