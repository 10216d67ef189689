"""What this Python has for running models: PyTorch and the GPUs that it finds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Gpu", "find_gpus"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU."""

    name: str
    free: int
    """Bytes."""
    total: int
    """Bytes."""


def find_gpus() -> list[Gpu]:
    """Return the GPUs that PyTorch can use; importing it takes a second.

    Raises:
        ImportError: PyTorch is missing or its libraries do not load.
        RuntimeError: a GPU is there and does not answer.
    """
    import torch

    if not torch.cuda.is_available():
        return []
    return [
        Gpu(torch.cuda.get_device_name(number), *torch.cuda.mem_get_info(number))
        for number in range(torch.cuda.device_count())
    ]
