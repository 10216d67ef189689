"""The code that runs a model, in this process or in that of another Python environment.

It needs the standard library, PyTorch and what a family's model needs, keeps to the syntax of Python 3.10 and
imports nothing else of vlmprobe; so an environment with an older transformers can run it without installing
vlmprobe there. `vlmprobe.families.worker` is its name in both places.
"""

from __future__ import annotations

from vlmprobe.families.worker.contract import (
    BatchItem,
    BatchOutput,
    LoadOptions,
    ModelInfo,
    ModelOptions,
    Unembedding,
)
from vlmprobe.families.worker.engine.family import Family
from vlmprobe.families.worker.faults import Fault, ModelFault, OutOfMemoryError, PackageFault, UsageFault

__all__ = [
    "BatchItem",
    "BatchOutput",
    "Family",
    "Fault",
    "LoadOptions",
    "ModelFault",
    "ModelInfo",
    "ModelOptions",
    "OutOfMemoryError",
    "PackageFault",
    "Unembedding",
    "UsageFault",
]
