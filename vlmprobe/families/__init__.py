"""Model families: code that loads a checkpoint of one architecture and answers swap pairs with it."""

from __future__ import annotations

from vlmprobe.families.base import Model, OpenFamily
from vlmprobe.families.certificate import Comparison, certified_batches, compare
from vlmprobe.families.fingerprint import fingerprint
from vlmprobe.families.opening import open_family
from vlmprobe.families.registry import family_names, load_family_class
from vlmprobe.families.scales import USER_FILE, Catalog, ScaleSpec, load_catalog
from vlmprobe.families.worker import (
    BatchItem,
    BatchOutput,
    Family,
    LoadOptions,
    ModelInfo,
    OutOfMemoryError,
)
from vlmprobe.families.worker.places import is_local

__all__ = [
    "USER_FILE",
    "BatchItem",
    "BatchOutput",
    "Catalog",
    "Comparison",
    "Family",
    "LoadOptions",
    "Model",
    "ModelInfo",
    "OpenFamily",
    "OutOfMemoryError",
    "ScaleSpec",
    "certified_batches",
    "compare",
    "family_names",
    "fingerprint",
    "is_local",
    "load_catalog",
    "load_family_class",
    "open_family",
]
