"""Layers side by side: in order, as many at a time as there are threads and memory for."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vlmprobe.analysis.side_by_side import few_threads, side_by_side


def _blas_threads() -> int:
    np.ones((2, 2)) @ np.ones((2, 2))
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def test_results_come_in_the_order_of_the_items() -> None:
    """A later item may be done first."""
    second = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second.wait(30)
        if item == 1:
            second.set()
        return item * item

    with threadpool_limits(2, user_api="blas"):
        assert list(side_by_side(work, range(6), bytes_each=1)) == [0, 1, 4, 9, 16, 25]


def test_a_thread_an_item_and_then_all_threads_again() -> None:
    """NumPy starts none of its own meanwhile, and has its own back afterwards."""
    with threadpool_limits(2, user_api="blas"):
        assert list(side_by_side(lambda _: _blas_threads(), range(4), bytes_each=1)) == [1, 1, 1, 1]
        assert _blas_threads() == 2


@pytest.mark.parametrize(("items", "bytes_each"), [(1, 1), (4, 2**32)])
def test_one_item_at_a_time_has_all_threads(items: int, bytes_each: int) -> None:
    """There is but one, or they need the memory: called from here, one after the other."""
    with threadpool_limits(2, user_api="blas"):
        found = list(
            side_by_side(
                lambda _: (_blas_threads(), threading.current_thread()), range(items), bytes_each=bytes_each
            )
        )
    assert found == [(2, threading.main_thread())] * items


@pytest.mark.parametrize(("allowed", "used"), [(8, 4), (2, 2)])
def test_few_threads_share_a_product_on_a_large_machine(allowed: int, used: int) -> None:
    """They are as many whatever goes on beside them, and all of them are back afterwards."""
    with threadpool_limits(allowed, user_api="blas"):
        with few_threads():
            assert _blas_threads() == used
        assert _blas_threads() == allowed


#: So many, of a millisecond each, that they take longer than the main thread may wait for its turn on a busy machine.
_MANY = 100_000


def test_an_error_ends_it() -> None:
    """What waits is not begun, and NumPy has its threads back."""
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.001)
        raise ValueError(f"item {item}")

    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ValueError, match="item 0"):
            list(side_by_side(work, range(_MANY), bytes_each=1))
        assert _blas_threads() == 2
    assert len(begun) < _MANY
