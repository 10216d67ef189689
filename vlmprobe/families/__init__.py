"""Model families: code that loads a checkpoint of one architecture and runs swap pairs through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.families.base import Model, NotExactError, OpenFamily
from vlmprobe.families.depth import check_layers
from vlmprobe.families.environments import Environment
from vlmprobe.families.fingerprint import check_folder, fingerprint
from vlmprobe.families.kept_workers import KeptFamily, KeptWorkers, n_processes
from vlmprobe.families.opening import open_family, open_in_processes
from vlmprobe.families.registry import conflict, family_names, load_family_class, missing_packages
from vlmprobe.families.scales import USER_FILE, Catalog, Needs, ScaleSpec, load_catalog
from vlmprobe.families.worker import (
    BatchItem,
    BatchOutput,
    Family,
    LoadOptions,
    ModelInfo,
    ModelOptions,
    OutOfMemoryError,
)
from vlmprobe.families.worker.contract import DTYPES
from vlmprobe.families.worker.loading.places import is_local

if TYPE_CHECKING:
    from vlmprobe.families.certificate import Comparison, certified_batches, compare

__all__ = [
    "DTYPES",
    "USER_FILE",
    "BatchItem",
    "BatchOutput",
    "Catalog",
    "Comparison",
    "Environment",
    "Family",
    "KeptFamily",
    "KeptWorkers",
    "LoadOptions",
    "Model",
    "ModelInfo",
    "ModelOptions",
    "Needs",
    "NotExactError",
    "OpenFamily",
    "OutOfMemoryError",
    "ScaleSpec",
    "certified_batches",
    "check_folder",
    "check_layers",
    "compare",
    "conflict",
    "family_names",
    "fingerprint",
    "is_local",
    "load_catalog",
    "load_family_class",
    "missing_packages",
    "n_processes",
    "open_family",
    "open_in_processes",
]


def __getattr__(name: str) -> Any:
    # The certificate needs NumPy, whose import would be half the time of `vlmprobe families`.
    if name in {"Comparison", "certified_batches", "compare"}:
        from vlmprobe.families import certificate

        return getattr(certificate, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
