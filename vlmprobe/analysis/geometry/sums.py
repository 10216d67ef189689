"""One pass over a layer's deltas: the sums that every estimate, interval and difference of the geometry is made of.

All is float64, whatever the states: a numerator of P is the small difference of two large sums. Beyond one block of
vectors, each is read twice or, where its image has several, three times; what is held at a time does not grow with N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.deltas import check_shapes
from vlmprobe.analysis.geometry.products import CrossSums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray, IntArray
    from vlmprobe.analysis.geometry.layout import Layout

__all__ = ["DeltaSums", "sums_of_swaps", "sums_of_two_runs", "sums_of_vectors"]

#: Numbers per float64 block of vectors: 32 MiB.
_BLOCK = 2**22
#: Vectors whose products with each other are computed at once, to take those of the same image from them.
_TILE = 64


@dataclass(frozen=True, slots=True, eq=False)
class DeltaSums:
    """The sums of one layer's deltas as they are, and of their directions."""

    raw: CrossSums
    units: CrossSums
    """Of deltas scaled to length 1; a zero delta has no direction and is left out, also of the counts."""


def sums_of_swaps(orig: npt.NDArray[Any], swap: npt.NDArray[Any], layout: Layout) -> DeltaSums:
    """Sum the deltas h(swap) - h(orig) of one layer.

    Args:
        orig: (N, D) states of the original questions, any float dtype.
        swap: (N, D) states of the swapped questions.
        layout: of these N pairs.

    Raises:
        ValueError: the shapes differ, or there are not N rows.
    """
    check_shapes(orig, swap)
    _check(len(orig), layout)
    return _Pass(layout, orig.shape[1], lambda rows: _difference(orig, swap, rows)).sums()


def sums_of_two_runs(
    first: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    second: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    layout: Layout,
) -> DeltaSums:
    """Sum the deltas of two runs over the same pairs, for cosines between the two.

    Args:
        first: (N, D) orig and swap of the one run.
        second: (N, D) orig and swap of the other.
        layout: of the N pairs.

    Returns:
        Sums over 2 T groups (``layout.twice()``): those of the first run, then those of the second.

    Raises:
        ValueError: the shapes differ, or there are not N rows.
    """
    for orig, swap in (first, second):
        check_shapes(orig, swap)
        _check(len(orig), layout)
    if first[0].shape != second[0].shape:
        raise ValueError(
            f"states of two runs must have one shape, got {first[0].shape} and {second[0].shape}"
        )
    n, dim = first[0].shape

    def read(rows: IntArray) -> FloatArray:
        vectors = np.empty((len(rows), dim))
        for states, inside, start in ((first, rows < n, 0), (second, rows >= n, n)):
            vectors[inside] = _difference(*states, rows[inside] - start)
        return vectors

    return _Pass(layout.twice(), dim, read).sums()


def sums_of_vectors(vectors: npt.NDArray[Any], layout: Layout) -> DeltaSums:
    """Sum (N, D) vectors, such as the sign-corrected deltas of quads or the differences of two templates.

    Raises:
        ValueError: there are not N rows.
    """
    _check(len(vectors), layout)
    return _Pass(layout, vectors.shape[1], lambda rows: np.asarray(vectors[rows], dtype=np.float64)).sums()


def _difference(orig: npt.NDArray[Any], swap: npt.NDArray[Any], rows: IntArray) -> FloatArray:
    # In float64: two states of half precision are close together. By few rows, whose copies stay in the cache.
    difference = np.empty((len(rows), orig.shape[1]))
    for start in range(0, len(rows), _TILE):
        some = rows[start : start + _TILE]
        np.subtract(swap[some], orig[some], out=difference[start : start + _TILE], dtype=np.float64)
    return difference


def _check(n: int, layout: Layout) -> None:
    if n != len(layout.groups):
        raise ValueError(f"the layout is of {len(layout.groups)} vectors, got {n}")


class _Pass:
    """The vectors of a layer, by their places in the layout's order."""

    def __init__(self, layout: Layout, dim: int, read: Callable[[IntArray], FloatArray]) -> None:
        self._layout, self._dim, self._read = layout, dim, read
        self._n = len(layout.groups)
        self._held = read(layout.order) if self._n * dim <= _BLOCK else None
        self._lengths, self._inverse = np.zeros((2, self._n))

    def _at(self, places: slice | IntArray) -> FloatArray:
        return self._read(self._layout.order[places]) if self._held is None else self._held[places]

    def sums(self) -> DeltaSums:
        """Read the vectors for their lengths and totals, then for their products with the totals."""
        layout, n_groups = self._layout, self._layout.n_groups
        totals = self._totals()
        flat = totals.reshape(-1, self._dim)
        along = np.empty((self._n, len(flat)))
        for block in _blocks(self._n, self._dim):
            np.matmul(self._at(block), flat.T, out=along[block])
        along[:, n_groups:] *= self._inverse[:, None]
        counts = np.stack([np.ones(self._n, dtype=np.int64), (self._lengths > 0).astype(np.int64)], axis=1)
        if self._n:
            along, counts = (np.add.reduceat(each, layout.starts, axis=0) for each in (along, counts))
        firsts, seconds, shared = self._shared()
        raw, units = (
            CrossSums(
                layout,
                counts[:, kind],
                totals[kind] @ totals[kind].T,
                along[:, kind * n_groups : (kind + 1) * n_groups],
                firsts,
                seconds,
                shared[kind],
            )
            for kind in range(2)
        )
        return DeltaSums(raw, units)

    def _totals(self) -> FloatArray:
        """Return (2, T, D) sums of the groups, of the vectors and of their directions."""
        layout = self._layout
        totals = np.zeros((2, layout.n_groups, self._dim))
        for block in _blocks(self._n, self._dim):
            vectors = self._at(block)
            lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            self._lengths[block] = lengths
            inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            self._inverse[block] = inverse
            # One group after the other: a product with all groups' flags would cost T times as much.
            in_order = np.argsort(layout.groups[layout.order[block]], kind="stable")
            ends = np.cumsum(np.bincount(layout.groups[layout.order[block]], minlength=layout.n_groups))
            for group, places in enumerate(np.split(in_order, ends[:-1])):
                weights = np.stack([np.ones(len(places)), inverse[places]])
                totals[:, group] += weights @ vectors[places]
        return totals

    def _shared(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Return pairs of cells of one image, and the (2, K) inner products of their sums."""
        layout = self._layout
        sizes = np.bincount(layout.images, minlength=layout.n_images)[layout.cell_images]
        # The vector of an image that has no other one is its own cell.
        alone = np.flatnonzero(sizes == 1)
        squared = np.square(self._lengths[layout.starts[alone]])
        firsts, seconds, shared = [alone], [alone], [np.stack([squared, (squared > 0).astype(np.float64)])]
        for cells in _whole_images(layout.cell_images, sizes):
            products = self._products_of_cells(cells)
            same = layout.cell_images[cells][:, None] == layout.cell_images[cells]
            first, second = np.nonzero(np.triu(same))
            firsts.append(cells[first])
            seconds.append(cells[second])
            shared.append(products[:, first, second])
        return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(shared, axis=1)

    def _products_of_cells(self, cells: IntArray) -> FloatArray:
        """Return (2, C, C) inner products of the sums of neighbouring cells: of vectors and of directions."""
        layout = self._layout
        # Images with a single vector may lie between these cells.
        start, end = np.searchsorted(layout.cell_of, [cells[0], cells[-1] + 1])
        places = start + np.flatnonzero(np.isin(layout.cell_of[start:end], cells))
        inside = layout.cell_of[places] == cells[:, None]
        weights = np.stack([inside.astype(np.float64), inside * self._inverse[places]])
        if len(places) <= _TILE:
            vectors = self._at(places)
            return np.asarray(weights @ (vectors @ vectors.T) @ weights.swapaxes(1, 2))
        sums = np.zeros((2, len(cells), self._dim))
        for block in _blocks(len(places), self._dim):
            sums += weights[:, :, block] @ self._at(places[block])
        return np.asarray(sums @ sums.swapaxes(1, 2))


def _blocks(n: int, dim: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(dim, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _whole_images(images: IntArray, sizes: IntArray) -> Iterator[IntArray]:
    """Split the cells of images with several vectors into whole images; small ones share a part."""
    cells = np.flatnonzero(sizes > 1)
    first = np.flatnonzero(np.diff(images[cells], prepend=-1))
    start, inside = 0, 0
    for cell in first.tolist():
        inside += int(sizes[cells[cell]])
        if inside > _TILE and cell > start:
            yield cells[start:cell]
            start, inside = cell, int(sizes[cells[cell]])
    if len(cells):
        yield cells[start:]
