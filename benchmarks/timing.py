"""Clocks, ceilings and tables that benchmarks on a GPU share."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["PROFILE_CLASSES", "describe", "matrix_rate", "median_seconds", "profile_by_class", "table"]

#: What a kernel's name says of its kind; the first that fits.
PROFILE_CLASSES = (
    ("matrix products", ("nvjet", "gemm", "cutlass", "splitk", "cublas")),
    ("attention", ("flash", "sdpa", "fmha", "attention")),
    ("fused norms, rotations, activations", ("triton",)),
    ("copies and gathers", ("memcpy", "memset", "copy", "index", "gather", "catarray", "fill")),
)


def median_seconds(work: Callable[[], Any], repeats: int = 5, warm: int = 1) -> float:
    """Return the median time of some runs, the GPU's work included."""
    for _ in range(warm):
        work()
    taken = []
    for _ in range(repeats):
        _wait()
        started = time.perf_counter()
        work()
        _wait()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def matrix_rate(size: int = 8192) -> float:
    """Return the rate of a large bf16 matrix product on random data, FLOP/s: the arithmetic ceiling."""
    one, other = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: one @ other, repeats=20, warm=5)


def profile_by_class(work: Callable[[], Any]) -> list[tuple[str, float]]:
    """Return (class of kernels, seconds) of one run, and the time in which no kernel ran."""
    from torch.profiler import ProfilerActivity, profile

    work()
    seconds = median_seconds(work, repeats=3)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        _wait()
    spent: dict[str, float] = {}
    for event in profiler.key_averages():
        name = event.key.lower()
        kind = next((kind for kind, words in PROFILE_CLASSES if any(word in name for word in words)), "other")
        spent[kind] = spent.get(kind, 0.0) + event.self_device_time_total / 1e6
    busy = sum(spent.values())
    return [
        *sorted(spent.items(), key=lambda item: -item[1]),
        ("no kernel running", max(seconds - busy, 0.0)),
    ]


def describe() -> str:
    """Return device and versions in a line."""
    import platform

    import transformers

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return (
        f"{device}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first to the left."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip(), flush=True)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
