"""Is there an axis? Category labels are permuted among pairs, and the balanced coherence is computed again.

The null hypothesis is that a delta does not depend on its pair's category. Signs of deltas are no valid null: an order
effect, which any swap has, would count as an axis wherever the categories are not equally many.

Pairs about one image keep together: whole label vectors are exchanged among images that have as many pairs of the axis.
Images are never matched by how many pairs of each category they have, which would leave no label to move. Within an
image the pairs stand in the order of a hash: in the order of a file, by category say, the vectors would all be alike.

The test cannot tell a relation from anything else that goes with the category. Where something is known to, such as
indoor and outdoor scenes, exchange labels within strata of it.
"""

from __future__ import annotations

from hashlib import blake2b
from math import lgamma, log
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray

__all__ = ["TOO_FEW_PERMUTATIONS", "LabelPermutations", "hash_order"]

#: With fewer assignments of labels no p-value could be as small as .05.
MIN_PERMUTATIONS = 20
TOO_FEW_PERMUTATIONS = f"fewer than {MIN_PERMUTATIONS} ways to exchange labels among images"
NOT_ACROSS_IMAGES = "the pairs of a category come from fewer than two images"
#: Draws whose labels are multiplied at a time.
_CHUNK = 512
#: Columns per block of a symmetric matrix; with four blocks its product takes two thirds of the time.
_BLOCK = 128
#: Values that differ by less are equal but for rounding in float32, and count as equally extreme.
_ROUNDING = 1e-6


def hash_order(keys: Sequence[str]) -> IntArray:
    """Return the places of N keys in the order of their BLAKE2 hashes: arbitrary, and the same for everyone."""
    digests = [blake2b(key.encode(), digest_size=16).digest() for key in keys]
    return np.array(sorted(range(len(keys)), key=lambda place: (digests[place], keys[place])), dtype=np.int64)


class LabelPermutations:
    """Draws of the category labels of one axis's pairs, the same for every layer, and the statistic under them."""

    def __init__(
        self,
        canonical: Sequence[bool] | BoolArray,
        images: Sequence[str],
        pair_keys: Sequence[str],
        *,
        seed: int,
        strata: Sequence[str] | None = None,
    ) -> None:
        """Sort the pairs of one axis into images that may exchange labels.

        Args:
            canonical: n flags, whether the pair is of the canonical category.
            images: n image names or hashes.
            pair_keys: n names of the pairs, such as their ids; their hashes order the pairs of an image.
            seed: of PCG64 generators, one for each set of images that exchange labels.
            strata: n names; labels are exchanged among images of one stratum.

        Raises:
            ValueError: the lengths differ, or an image lies in two strata.
        """
        self._labels = np.asarray(canonical, dtype=bool)
        n = len(self._labels)
        columns = {"images": images, "pair_keys": pair_keys, "strata": strata}
        for name, column in columns.items():
            if column is not None and len(column) != n:
                raise ValueError(f"{n} pairs need {n} {name}, got {len(column)}")
        _, image_of = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)
        self._of_one_image = _pairs_of_one_image(image_of)
        self.seed = seed
        self._exchanged = _exchangeable(image_of, hash_order(pair_keys), strata)
        # A generator for each set: its draws stay one sequence, however many are made at a time.
        seeds = np.random.SeedSequence(seed).spawn(len(self._exchanged))
        self._rngs = [np.random.Generator(np.random.PCG64(of_set)) for of_set in seeds]
        canonicals = np.bincount(image_of, weights=self._labels)
        others = np.bincount(image_of, weights=~self._labels)
        a, b = canonicals.sum(), others.sum()
        # Constant under the draws, since images keep exchanging whole label vectors.
        self._pairs = (
            a * a - canonicals @ canonicals,
            b * b - others @ others,
            a * b - canonicals @ others,
        )
        self.reason = ""
        """Why there is no test."""
        if n == 0 or min(self._pairs) <= 0:
            self.reason = NOT_ACROSS_IMAGES
        elif self._log_assignments() < log(MIN_PERMUTATIONS):
            self.reason = TOO_FEW_PERMUTATIONS

    def draw(self, n_draws: int) -> BoolArray:
        """Return the next (n_draws, n) labels; one after the other they are one sequence, whatever the portions."""
        drawn = np.repeat(self._labels[None], n_draws, axis=0)
        for pairs, rng in zip(self._exchanged, self._rngs, strict=True):
            # A random order is that of random keys; 64 bits do not tie.
            keys = rng.integers(2**64, size=(n_draws, len(pairs)), dtype=np.uint64)
            labels = self._labels[pairs]
            if labels.shape[1] > 1:
                _exchange(drawn, pairs, labels, keys)
                continue
            # Of single pairs it is enough to know which have the smallest keys, as many as are canonical.
            n_canonical = int(labels.sum())
            drawn[:, pairs[:, 0]] = n_canonical > 0
            if 0 < n_canonical < len(pairs):
                largest = np.partition(keys, n_canonical - 1, axis=1)[:, n_canonical - 1, None]
                drawn[:, pairs[:, 0]] = keys <= largest
        return drawn

    def observed(self) -> BoolArray:
        """Return the (1, n) labels themselves."""
        return self._labels[None]

    def statistics(
        self,
        units: npt.NDArray[Any] | None,
        labels: BoolArray,
        *,
        cosines: npt.NDArray[np.float32] | None = None,
    ) -> FloatArray:
        """Compute the balanced coherence of one layer under each row of labels.

        Products are float32, which takes a third of the time: their rounding is far below the spread of the draws.
        Values that differ by no more than ``tolerance`` are to count as equal.

        Args:
            units: (n, D) directions of the axis's deltas, a zero vector for a zero delta; or None, with ``cosines``.
            labels: (R, n).
            cosines: (n, n) products of the directions, if they are known.

        Returns:
            (R,) values; NaN if the axis cannot be tested.

        Raises:
            ValueError: there are not n directions.
        """
        given = units if cosines is None else cosines
        n = 0 if given is None else len(given)
        if n != len(self._labels):
            raise ValueError(f"{len(self._labels)} pairs need one direction each, got {n}")
        if self.reason:
            return np.full(len(labels), np.nan)
        squares = _SquaredSums(units, self._of_one_image, len(labels), cosines)
        linear, total = squares.linear.astype(np.float64), float(squares.linear.sum(dtype=np.float64))
        of_canonical, of_other, of_both = self._pairs
        values = np.empty(len(labels))
        for start in range(0, len(labels), _CHUNK):
            rows = labels[start : start + _CHUNK].astype(np.float32)
            both = squares(rows)
            # x'K(1 - x) and (1 - x)'K(1 - x), from x'Kx and x'K1.
            along = rows @ linear
            values[start : start + len(rows)] = (
                both / of_canonical + (total - 2 * along + both) / of_other - 2 * (along - both) / of_both
            ) / 4
        return values

    @staticmethod
    def tolerance() -> float:
        """Return what two values of ``statistics`` may differ by and be equal."""
        return _ROUNDING

    def _log_assignments(self) -> float:
        """Return the logarithm of how many different assignments of labels there are."""
        found = 0.0
        for pairs in self._exchanged:
            _, counts = np.unique(self._labels[pairs], axis=0, return_counts=True)
            found += lgamma(len(pairs) + 1) - sum(lgamma(count + 1) for count in counts.tolist())
        return found


def _exchangeable(image_of: IntArray, order: IntArray, strata: Sequence[str] | None) -> list[IntArray]:
    """Return sets of k images with m pairs each, (k, m) places of the pairs in the order of their hashes."""
    stratum = np.zeros(len(image_of), dtype=np.int64)
    if strata is not None:
        _, stratum = np.unique(np.asarray(strata, dtype=np.str_), return_inverse=True)
    by_image = order[np.argsort(image_of[order], kind="stable")]
    starts = np.flatnonzero(np.diff(image_of[by_image], prepend=-1))
    sets: dict[tuple[int, int], list[IntArray]] = {}
    for pairs in np.split(by_image, starts[1:]) if len(by_image) else []:
        if len(set(stratum[pairs].tolist())) > 1:
            raise ValueError("an image lies in two strata; a stratum is a property of images")
        sets.setdefault((len(pairs), int(stratum[pairs[0]])), []).append(pairs)
    return [np.stack(images) for _, images in sorted(sets.items()) if len(images) > 1]


def _exchange(drawn: BoolArray, pairs: IntArray, labels: BoolArray, keys: npt.NDArray[np.uint64]) -> None:
    """Write the label vectors of k images into the rows of ``drawn``, in the order of the images' keys.

    Different label vectors are few. The number of an image's vector replaces the lowest bits of its key, so that sorted
    keys bring it along: half the time of sorting places by keys and looking up their labels, for the same order, since
    the bits that are left do not tie either.

    Args:
        drawn: (R, n) rows to write into.
        pairs: (k, m) places of the images' pairs.
        labels: (k, m) of these.
        keys: (R, k) random numbers, one for each image; overwritten.
    """
    vectors, numbers = np.unique(labels, axis=0, return_inverse=True)
    lowest = np.uint64(2 ** (len(vectors) - 1).bit_length() - 1)
    keys &= ~lowest
    keys |= numbers.reshape(-1).astype(np.uint64)
    keys.sort(axis=1)
    keys &= lowest
    for place, column in enumerate(pairs.T):
        drawn[:, column] = np.take(vectors[:, place], keys.view(np.int64))


class _SquaredSums:
    """x'Kx for rows x of labels, K the cosines of pairs of different images (0 for those of one)."""

    def __init__(
        self,
        units: npt.NDArray[Any] | None,
        of_one_image: tuple[IntArray, IntArray],
        n_rows: int,
        cosines: npt.NDArray[np.float32] | None,
    ) -> None:
        first, second = of_one_image
        # K costs n^2 D once and n^2 a row; the sums of the vectors n D a row.
        self._cosines = None if cosines is None else cosines.copy()
        if units is not None and cosines is None:
            vectors = np.asarray(units, dtype=np.float32)
            n, dim = vectors.shape
            if n * (dim + n_rows) < dim * n_rows or len(first) > 4 * n:
                self._cosines = vectors @ vectors.T
        if self._cosines is not None:
            self._cosines[first, second] = self._cosines[second, first] = 0.0
            self.linear = self._cosines.sum(axis=1, dtype=np.float64).astype(np.float32)
            # K is symmetric: blocks above the diagonal count twice, and those below it are not read.
            for columns in self._columns():
                self._cosines[: columns.start, columns] *= 2.0
            return
        self._vectors, self._first, self._second = vectors, first, second
        self._shared = np.einsum("ij,ij->i", vectors[first], vectors[second]).astype(np.float64)
        others = first != second
        own = np.bincount(first, self._shared, n) + np.bincount(second[others], self._shared[others], n)
        self.linear = (vectors @ vectors.sum(axis=0) - own).astype(np.float32)

    def __call__(self, rows: npt.NDArray[np.float32]) -> FloatArray:
        if self._cosines is not None:
            found = np.zeros(len(rows))
            for columns in self._columns():
                along = rows[:, : columns.stop] @ self._cosines[: columns.stop, columns]
                found += np.einsum("ij,ij->i", along, rows[:, columns])
            return found
        sums = rows @ self._vectors
        twice = np.where(self._first == self._second, 1.0, 2.0) * self._shared
        shared = (rows[:, self._first] * rows[:, self._second]) @ twice
        return np.asarray(np.einsum("ij,ij->i", sums, sums) - shared, dtype=np.float64)

    def _columns(self) -> Iterator[slice]:
        """Divide the columns of K into equal blocks."""
        n = len(self.linear)
        step = -(-n // max(1, -(-n // _BLOCK)))
        for start in range(0, n, max(1, step)):
            yield slice(start, min(start + step, n))


def _pairs_of_one_image(images: IntArray) -> tuple[IntArray, IntArray]:
    """Return (i, j), i <= j, of the pairs of one image, each pair with itself among them."""
    order = np.argsort(images, kind="stable")
    in_order = images[order]
    first, second = [order], [order]
    for offset in range(1, len(images)):
        near = np.flatnonzero(in_order[:-offset] == in_order[offset:])
        if not len(near):
            break
        first.append(order[near])
        second.append(order[near + offset])
    return np.concatenate(first), np.concatenate(second)
