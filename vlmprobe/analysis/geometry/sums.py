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
from vlmprobe.analysis.geometry.views import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray, IntArray
    from vlmprobe.analysis.geometry.layout import Layout

__all__ = ["DeltaSums", "sums_of_layouts", "sums_of_swaps", "sums_of_two_runs", "sums_of_vectors"]

#: Numbers per float64 block of vectors: 32 MiB.
_BLOCK = 2**22
#: Vectors of an image whose products with each other are computed one by one; of more, the sums of its cells are.
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
    return sums_of_layouts(orig, swap, [layout])[0]


def sums_of_layouts(
    orig: npt.NDArray[Any], swap: npt.NDArray[Any], layouts: Sequence[Layout]
) -> list[DeltaSums]:
    """Sum the deltas of one layer as ``sums_of_swaps`` does, by several layouts in one pass.

    Groups of a later layout that are unions of the first one's cost nothing. The first layout's sums are the same to
    the last bit, whatever stands beside it.

    Args:
        orig: (N, D) states of the original questions, any float dtype.
        swap: (N, D) states of the swapped questions.
        layouts: of these N pairs, with the same images.

    Raises:
        ValueError: the shapes differ, there are not N rows, or the images differ.
    """
    check_shapes(orig, swap)
    for layout in layouts:
        _check(len(orig), layout)
        if not np.array_equal(layout.images, layouts[0].images):
            raise ValueError("layouts that share a pass must have the same images")
    return _Pass(layouts, orig.shape[1], lambda rows: _difference(orig, swap, rows)).sums()


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

    return _Pass([layout.twice()], dim, read).sums()[0]


def sums_of_vectors(vectors: npt.NDArray[Any], layout: Layout) -> DeltaSums:
    """Sum (N, D) vectors, such as the sign-corrected deltas of quads or the differences of two templates.

    Raises:
        ValueError: there are not N rows.
    """
    _check(len(vectors), layout)

    def read(rows: IntArray) -> FloatArray:
        return np.asarray(vectors[rows], dtype=np.float64)

    return _Pass([layout], vectors.shape[1], read).sums()[0]


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
    """The vectors of a layer, by their places in the first layout's order."""

    def __init__(self, layouts: Sequence[Layout], dim: int, read: Callable[[IntArray], FloatArray]) -> None:
        self._first, self._dim, self._read = layouts[0], dim, read
        self._views = [View(layout, layouts[0]) for layout in layouts]
        self._n = len(self._first.groups)
        self._held = read(self._first.order) if self._n * dim <= _BLOCK else None
        self._lengths, self._inverse = np.zeros((2, self._n))

    def _at(self, places: slice | IntArray) -> FloatArray:
        return self._read(self._first.order[places]) if self._held is None else self._held[places]

    def sums(self) -> list[DeltaSums]:
        """Read the vectors for their lengths and totals, then for their products with the totals."""
        totals = self._totals()
        found = zip(self._views, totals, self._along(totals), self._shared(), strict=True)
        return [self._of_view(*each) for each in found]

    def _of_view(self, view: View, totals: FloatArray, along: FloatArray, shared: FloatArray) -> DeltaSums:
        layout = view.layout
        counts = np.stack([np.ones(self._n, dtype=np.int64), (self._lengths > 0).astype(np.int64)], axis=1)
        if self._n:
            along, counts = (
                np.add.reduceat(each[view.by_cell], layout.starts, axis=0) for each in (along, counts)
            )
        raw, units = (
            CrossSums(layout, counts[:, kind], totals[kind] @ totals[kind].T, along[:, kind], shared[kind])
            for kind in range(2)
        )
        return DeltaSums(raw, units)

    def _totals(self) -> list[FloatArray]:
        """Return (2, T, D) sums of the groups of each layout, of the vectors and of their directions."""
        totals = [np.zeros((2, view.layout.n_groups, self._dim)) for view in self._views]
        for block in _blocks(self._n, self._dim):
            vectors = self._at(block)
            lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            self._lengths[block] = lengths
            inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            self._inverse[block] = inverse
            for view, of_view in zip(self._views, totals, strict=True):
                # One group after the other: a product with all groups' flags would cost T times as much.
                groups = view.groups[block]
                in_order = np.argsort(groups, kind="stable")
                ends = np.cumsum(np.bincount(groups, minlength=view.layout.n_groups))
                of_groups = np.split(in_order, ends[:-1])
                for group in view.own:
                    places = of_groups[group]
                    weights = np.stack([np.ones(len(places)), inverse[places]])
                    of_view[:, group] += weights @ vectors[places]
        for view, of_view in zip(self._views[1:], totals[1:], strict=True):
            of_view += view.whole @ totals[0]
        return totals

    def _along(self, totals: list[FloatArray]) -> list[FloatArray]:
        """Return (N, 2, T) products of each vector, and of its direction, with the totals of each layout."""
        found = [np.zeros((self._n, 2, view.layout.n_groups)) for view in self._views]
        flat = [
            of_view[:, view.own].reshape(-1, self._dim)
            for view, of_view in zip(self._views, totals, strict=True)
        ]
        for block in _blocks(self._n, self._dim):
            vectors = self._at(block)
            for view, along, of_view in zip(self._views, found, flat, strict=True):
                # Few rows times many columns: a tenth faster than the other way around.
                products = (of_view @ vectors.T).reshape(2, len(view.own), len(vectors))
                along[block][:, :, view.own] = products.transpose(2, 0, 1)
        for view, along in zip(self._views, found, strict=True):
            along[:, 1] *= self._inverse[:, None]
            if view.layout is not self._first:
                along += found[0] @ view.whole.T
        return found

    def _shared(self) -> list[FloatArray]:
        """Return the (2, K) inner products of the sums of pairs of cells of one image, ``Layout.cell_pairs``."""
        images = self._first.images
        shared = [np.zeros((2, len(view.layout.cell_pairs[0]))) for view in self._views]
        sizes = np.bincount(images, minlength=self._first.n_images)
        begins = np.cumsum(sizes) - sizes
        for size in np.unique(sizes).tolist():
            alike = np.flatnonzero(sizes == size)
            places = begins[alike][:, None] + np.arange(size)
            step = 1 if size > _TILE else max(1, _BLOCK // (size * max(self._dim, 1)))
            for start in range(0, len(alike), step):
                self._add_products(places[start : start + step], shared)
        return shared

    def _add_products(self, places: IntArray, shared: list[FloatArray]) -> None:
        """Fill in the pairs of cells of some images with m vectors each, at (k, m) places."""
        if places.shape[1] > _TILE:
            for view, of_view in zip(self._views, shared, strict=True):
                self._add_products_of_image(view, places[0], of_view)
            return
        inverse, begin, end = self._inverse[places], int(places[0, 0]), int(places[-1, -1]) + 1
        # Neighbors are not copied.
        are_neighbors = end - begin == places.size
        vectors = self._at(slice(begin, end) if are_neighbors else places.ravel())
        vectors = vectors.reshape(*places.shape, self._dim)
        raw = vectors @ vectors.swapaxes(1, 2)
        products = np.stack([raw, raw * inverse[:, :, None] * inverse[:, None, :]])
        for view, of_view in zip(self._views, shared, strict=True):
            cells = view.cells[places]
            # Of two cells once, whichever comes first; of a cell with itself each of its vectors with each.
            kept = cells[:, :, None] <= cells[:, None, :]
            pairs = view.layout.pair_numbers(cells[:, :, None], cells[:, None, :])[kept]
            found, which = np.unique(pairs, return_inverse=True)
            of_view[:, found] = [np.bincount(which, each[kept], len(found)) for each in products]

    def _add_products_of_image(self, view: View, places: IntArray, shared: FloatArray) -> None:
        """Fill in those of one image of many vectors, whose cells are summed first."""
        cells = np.unique(view.cells[places])
        inside = view.cells[places] == cells[:, None]
        weights = np.stack([inside.astype(np.float64), inside * self._inverse[places]])
        sums = np.zeros((2, len(cells), self._dim))
        for block in _blocks(len(places), self._dim):
            sums += weights[:, :, block] @ self._at(places[block])
        first, second = np.triu_indices(len(cells))
        pairs = view.layout.pair_numbers(cells[first], cells[second])
        shared[:, pairs] = (sums @ sums.swapaxes(1, 2))[:, first, second]


def _blocks(n: int, dim: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(dim, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
