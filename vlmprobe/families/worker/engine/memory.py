"""Measures the device memory of models and batches, and recognizes out-of-memory errors."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, TypeVar

import torch

from vlmprobe.families.worker.faults import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["fitting_batch", "free_memory", "reporting_full_memory", "room_for_float32"]

Result = TypeVar("Result")

#: On a CPU larger batches gain nothing and take longer to redo.
_CPU_PAIRS = 16
#: Beyond this a GPU gains nothing more: its matrix products are large enough.
_MOST_PAIRS = 64
#: Share of the free memory; the rest is for batches with longer prompts and for fragmentation.
_SHARE = 0.6
#: Parameters of the largest model to copy on a CPU, where a pass in float32 is slow.
_MOST_ON_A_CPU = 500_000_000


def fitting_batch(run: Callable[[], object], n_pairs: int, device_name: str) -> int:
    """Return a batch size, a power of two, from the memory that a few pairs take.

    Args:
        run: runs a batch of ``n_pairs`` pairs, ideally those with the largest images; called only on a GPU.
        n_pairs: how many those are.
        device_name: where the model is.
    """
    device = torch.device(device_name)
    if device.type != "cuda" or not n_pairs:
        return _CPU_PAIRS
    before = torch.cuda.memory_allocated(device)
    try:
        # The first batch also sets libraries up, and some memory for that is released.
        run()
        torch.cuda.reset_peak_memory_stats(device)
        run()
    except OutOfMemoryError:
        return 1
    taken = (torch.cuda.max_memory_allocated(device) - before) / n_pairs
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    fits = min(int(_SHARE * free / max(taken, 1.0)), _MOST_PAIRS)
    return 1 << max(fits, 1).bit_length() - 1


def free_memory(device_name: str) -> int | None:
    """Return how many bytes of a GPU no program has taken; None of a processor, where memory does not limit a batch."""
    device = torch.device(device_name)
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def room_for_float32(n: int, device: torch.device) -> bool:
    """Return whether a float32 copy of so many half-precision parameters fits next to the model.

    During the conversion, a part of it exists in both formats.
    """
    if device.type != "cuda":
        return bool(n <= _MOST_ON_A_CPU)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return bool(7 * n <= free)


def reporting_full_memory(work: Callable[[], Result]) -> Result:
    """Run the work; if the device runs out of memory, free what the attempt held and raise.

    Raises:
        OutOfMemoryError: the work did not fit.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        message = (str(error).splitlines() or ["out of memory"])[0]
    # Only out here is the failed attempt's traceback gone, and with it what its frames held on the device.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise OutOfMemoryError(message)


def _is_out_of_memory(error: Exception) -> bool:
    said = str(error).lower()
    # Before PyTorch 2.5 the class had this name alone.
    of_the_gpu = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
    # A CPU allocation fails with a plain RuntimeError: "DefaultCPUAllocator: can't allocate memory".
    return (
        isinstance(error, (MemoryError, of_the_gpu))
        or "out of memory" in said
        or "can't allocate memory" in said
    )
