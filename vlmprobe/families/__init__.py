"""Model families: code that loads a checkpoint of one architecture and answers swap pairs with it."""

from __future__ import annotations

from vlmprobe.families.base import BatchItem, BatchOutput, Family, LoadOptions, ModelInfo, OutOfMemoryError
from vlmprobe.families.certificate import Comparison, certified_batches, compare
from vlmprobe.families.fingerprint import fingerprint, is_local
from vlmprobe.families.registry import family_names, load_family_class
from vlmprobe.families.scales import USER_FILE, Catalog, ScaleSpec, load_catalog

__all__ = [
    "USER_FILE",
    "BatchItem",
    "BatchOutput",
    "Catalog",
    "Comparison",
    "Family",
    "LoadOptions",
    "ModelInfo",
    "OutOfMemoryError",
    "ScaleSpec",
    "certified_batches",
    "compare",
    "family_names",
    "fingerprint",
    "is_local",
    "load_catalog",
    "load_family_class",
]
