"""Runs layers in parallel, one thread per layer, and says how many threads share a product."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["MEMORY", "few_threads", "side_by_side"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Memory that all layers in progress may use together, unless told otherwise.
MEMORY = 4 * 2**30
#: Threads that share a product of one layer at most. More of them wait for each other: on 16 cores with 16 threads, the
#: tables of one run took 4 s alone and 15 to 45 s beside a model that was asked.
_FEW = 4


def side_by_side(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    bytes_each: int,
    memory: int = MEMORY,
) -> Iterator[_Result]:
    """Call a NumPy function for each item, several in parallel; yield the results in the items' order.

    A layer's matrices are too small to be shared well: two threads on one product wait for each other longer than
    they work, the more so when the machine has other work. So each item gets one thread, in which NumPy starts no
    others, as long as there are items for all processors and memory for all items in work; else the threads are
    divided. There are as many as the linear algebra would use: ``OMP_NUM_THREADS`` limits them as ever.

    Args:
        function: must not depend on the order of its calls.
        items: what it is called with.
        bytes_each: how much memory a call needs, roughly.
        memory: how much all calls in work may use together, in bytes.

    Raises:
        Exception: the first, in the items' order, that a call raised; no further item is begun.
    """
    from threadpoolctl import threadpool_limits

    threads = _blas_threads()
    workers = max(1, min(threads, len(items), memory // max(bytes_each, 1)))
    with threadpool_limits(threads // workers, user_api="blas"):
        if workers == 1:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="vlmprobe-layer") as executor:
            yield from executor.map(function, items)


@contextmanager
def few_threads() -> Iterator[None]:
    """Let few threads share a product of linear algebra meanwhile, in this whole process.

    It is a fixed number for a machine, so that equal data give equal bits whatever goes on beside them.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(min(_FEW, _blas_threads()), user_api="blas"):
        yield


def _blas_threads() -> int:
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
