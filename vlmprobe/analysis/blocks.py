"""The states of a layer, some pairs at a time: for layers that do not fit into memory as a whole.

Sums over the blocks are the same as over the whole, to the last bit: only reading differs. The shares of the principal
components are not; they agree to five digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.projection import shares_of_variance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray, IntArray

    Floats = npt.NDArray[np.float32]
    #: Reads the (n, 2, D) states of the pairs at n places.
    Reader = Callable[[IntArray], Floats]

__all__ = ["Side", "in_order", "shares_in_blocks"]

#: Bytes of a block of states.
_BLOCK = 64 * 2**20
#: Columns of a product of a block with itself that are added at a time.
_STRIP = 512


class _Blocks:
    """Holds the block that was asked for last; blocks follow one order of the pairs."""

    def __init__(self, read: Reader, order: IntArray, dim: int) -> None:
        self._read, self._order, self.dim = read, order, dim
        self._step = max(1, _BLOCK // (8 * max(dim, 1)))
        self._place = np.empty(len(order), dtype=np.int64)
        self._place[order] = np.arange(len(order))
        self._number, self._held = -1, np.empty((0, 2, dim), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._order)

    def at(self, rows: IntArray) -> Floats:
        """Return the states of some pairs."""
        places = self._place[rows]
        if not len(places):
            return self._held[:0]
        number = int(places[0]) // self._step
        start = number * self._step
        if places.min() < start or places.max() >= start + self._step:
            return self._read(np.asarray(rows))
        if number != self._number:
            # Not both at once.
            self._held = self._held[:0].copy()
            self._held = self._read(self._order[start : start + self._step])
            self._number = number
        return self._held[places - start]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The (N, D) states of one side, read when rows of them are asked for."""

    _blocks: _Blocks
    _side: int

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return len(self._blocks), self._blocks.dim

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Float32, whatever is stored."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, rows: IntArray) -> Floats:
        return self._blocks.at(rows)[:, self._side]


def in_order(read: Reader, order: IntArray, dim: int) -> tuple[Any, Any]:
    """Return both sides of a layer, for code that takes arrays and asks for rows in about this order.

    Args:
        read: reads the (n, 2, D) states of the pairs at n places.
        order: (N,) all places.
        dim: D.
    """
    blocks = _Blocks(read, order, dim)
    return Side(blocks, 0), Side(blocks, 1)


def shares_in_blocks(
    read: Reader, places: IntArray, dim: int, n_components: int
) -> dict[str, tuple[float, ...]]:
    """Return the shares of the variance of the states of both sides, and of the deltas, as a projection has them.

    Args:
        read: reads the (n, 2, D) states of the pairs at n places.
        places: of the pairs.
        dim: D.
        n_components: k.
    """
    step = max(1, _BLOCK // (8 * max(dim, 1)))

    def states() -> Iterator[Floats]:
        for start in range(0, len(places), step):
            yield read(places[start : start + step]).reshape(-1, dim)

    def deltas() -> Iterator[FloatArray]:
        for start in range(0, len(places), step):
            both = read(places[start : start + step])
            yield np.subtract(both[:, 1], both[:, 0], dtype=np.float64)

    return {
        name: _shares(vectors, dim, n_components)
        for name, vectors in (("states", states), ("deltas", deltas))
    }


def _shares(vectors: Callable[[], Iterator[npt.NDArray[Any]]], dim: int, k: int) -> tuple[float, ...]:
    n, total, largest = 0, np.zeros(dim), 0.0
    for block in vectors():
        n += len(block)
        total += block.sum(axis=0, dtype=np.float64)
        largest = max(largest, float(np.abs(block).max(initial=0.0)))
    if n < k + 1 or dim < k:
        return (nan,) * k
    mean, spread = total / n, 0.0
    gram = np.zeros((dim, dim))
    for block in vectors():
        # Products in float32, as those of a whole layer are; their sums in float64.
        centered = (block - mean).astype(np.float32)
        spread = max(spread, float(np.abs(centered).max(initial=0.0)))
        for start in range(0, dim, _STRIP):
            strip = slice(start, start + _STRIP)
            gram[strip] += centered[:, strip].T @ centered
    return shares_of_variance(gram, k, spread=spread, largest=largest)
