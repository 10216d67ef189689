"""How many pairs a batch should hold, from what a few of them take of the device's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vlmprobe.families.worker.faults import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.families.worker.contract import BatchItem
    from vlmprobe.families.worker.engine.family import Family

__all__ = ["fitting_batch"]

#: On a CPU larger batches gain nothing and take longer to redo.
_CPU_PAIRS = 16
#: Beyond this a GPU gains nothing more: its matrix products are large enough.
_MOST_PAIRS = 64
#: Of the free memory; the rest is for batches with longer prompts and for what fragments.
_SHARE = 0.6


def fitting_batch(family: Family, items: Sequence[BatchItem]) -> int:
    """Return a number of pairs, a power of two.

    Args:
        family: a loaded model.
        items: a few pairs, best those with the largest images; on a GPU they are asked.
    """
    device = torch.device(family.info.device)
    if device.type != "cuda" or not items:
        return _CPU_PAIRS
    before = torch.cuda.memory_allocated(device)
    try:
        # The first batch compiles, too, and what that takes is given back.
        family.run_batch(items)
        torch.cuda.reset_peak_memory_stats(device)
        family.run_batch(items)
    except OutOfMemoryError:
        return 1
    taken = (torch.cuda.max_memory_allocated(device) - before) / len(items)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    fits = min(int(_SHARE * free / max(taken, 1.0)), _MOST_PAIRS)
    return 1 << max(fits, 1).bit_length() - 1
