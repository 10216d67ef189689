"""Statistics over quads, each a vertical and a distance delta of the same two objects, and their nulls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.entanglement import cosines
from vlmprobe.analysis.geometry import Layout, category_mean, inner_product, sums_of_vectors
from vlmprobe.analysis.inference import random_sign_p_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray, IntArray
    from vlmprobe.analysis.geometry import CrossSums
    from vlmprobe.analysis.inference import Statistic

__all__ = ["SHUFFLE_SEED", "QuadSet", "Quads", "symmetry_p_value"]

#: The control is part of the published definition: a new generator per layer, whatever the study's seed.
SHUFFLE_SEED = 42
_SHUFFLES = 100
#: Rows of cosines that are held at a time: of 10,000 quads, 20 MB.
_CHUNK = 256
#: Up to so many quads all their cosines are held: 32 MB.
_HELD = 2000


class Quads:
    """One layer's quads without zero deltas: what their sets have in common is computed once."""

    def __init__(
        self,
        vertical: FloatArray,
        distance: FloatArray,
        signs: tuple[FloatArray, FloatArray],
        images: npt.NDArray[np.str_] | None,
        right: BoolArray,
    ) -> None:
        """Keep the deltas.

        Args:
            vertical: (n, D) deltas of the vertical halves.
            distance: (n, D) deltas of the distance halves.
            signs: (n,) of the vertical and of the distance halves, +1 for a canonical category.
            images: (n,) image names; None where they are not known.
            right: (n,) whether all four answers are.
        """
        self.deltas = vertical, distance
        self.lengths = np.linalg.norm(vertical, axis=1), np.linalg.norm(distance, axis=1)
        self.units = vertical / self.lengths[0][:, None], distance / self.lengths[1][:, None]
        self.signs, self.right = signs, right
        self._names = None if images is None else tuple(images.tolist())
        #: (n,) numbers of the images, in the order of their names; None where they are not known.
        self.images = None if images is None else np.unique(images, return_inverse=True)[1]
        self.consistent: BoolArray = signs[0] == signs[1]
        self.cosines: FloatArray = np.einsum("ij,ij->i", *self.units)

    @cached_property
    def all_cosines(self) -> FloatArray | None:
        """(n, n) of each vertical with each distance delta; None where they are too many to hold."""
        return self.units[0] @ self.units[1].T if len(self.cosines) <= _HELD else None

    @cached_property
    def sums(self) -> CrossSums:
        """Sums of the sign-corrected deltas: of the vertical halves, by perspective and answers, then of the others."""
        if self._names is None:
            raise ValueError("products of different images need the images of the quads")
        group = 2 * ~self.consistent + ~self.right
        signed = np.empty((2, *self.deltas[0].shape))
        for out, deltas, signs in zip(signed, self.deltas, self.signs, strict=True):
            np.multiply(deltas, signs[:, None], out=out)
        layout = _layout(tuple(group.tolist()), self._names)
        return sums_of_vectors(signed.reshape(2 * len(group), -1), layout).raw


@dataclass(frozen=True)
class QuadSet:
    """Some of a layer's quads, as they are or sign-corrected."""

    quads: Quads
    rows: IntArray
    signed: bool
    members: tuple[bool, bool, bool, bool]
    """Of the consistent quads those with all answers right and the others, then likewise of the counter ones."""

    @property
    def n(self) -> int:
        """How many quads."""
        return len(self.rows)

    @property
    def images(self) -> IntArray | None:
        """(n,) image numbers; None where they are not known."""
        return None if self.quads.images is None else self.quads.images[self.rows]

    @property
    def n_images(self) -> int:
        """Distinct images; quads of unknown ones count as one image's."""
        return min(self.n, 1) if self.images is None else len(np.unique(self.images))

    @property
    def cosines(self) -> FloatArray:
        """(n,) cosines of the quads' two deltas."""
        vertical, distance = self._signs()
        return self.quads.cosines[self.rows] * vertical * distance

    def cosine_of_means(self) -> float:
        """Take the cosine of the sums of both deltas; NaN without quads, or where a sum is only rounding."""
        # With weights for all quads, so that none are copied.
        weights = np.zeros((2, len(self.quads.cosines)))
        weights[:, self.rows] = self._signs()
        sums = np.stack(
            [of_side @ deltas for of_side, deltas in zip(weights, self.quads.deltas, strict=True)]
        )
        lengths = np.array([lengths[self.rows].sum() for lengths in self.quads.lengths])
        return float(cosines(sums @ sums.T, lengths)[0, 1])

    def product_of_means(self) -> Statistic:
        """Estimate the inner product of the two mean sign-corrected deltas from quads of different images.

        Raises:
            ValueError: the images are not known.
        """
        members = np.kron(np.eye(2), np.array(self.members, dtype=np.float64))
        return inner_product(self.quads.sums.products(members), category_mean(0), category_mean(1))

    def image_sums(self) -> FloatArray:
        """Add the cosines up to the (G,) of their images; of unknown images, all are one image's."""
        if self.images is None:
            return np.array([self.cosines.sum()])
        image_of = np.unique(self.images, return_inverse=True)[1]
        return np.bincount(image_of, weights=self.cosines).astype(np.float64)

    def shuffled_means(self) -> tuple[float, float]:
        """Shuffle the distance halves among the quads 100 times; return mean and std of the mean cosine.

        NaN for fewer than two quads, where a shuffle is the data.
        """
        if self.n < 2:
            return nan, nan
        partners, sums = _partners(self.n), np.zeros(_SHUFFLES)
        for start, rows in self._rows_of_cosines():
            # Shuffles draw from the same n x n cosines, so these are computed once, some rows at a time.
            sums += rows[np.arange(len(rows)), partners[:, start : start + len(rows)]].sum(axis=1)
        return float(np.mean(sums / self.n)), float(np.std(sums / self.n))

    def _rows_of_cosines(self) -> Iterator[tuple[int, FloatArray]]:
        vertical, distance = self._signs()
        held, units = self.quads.all_cosines, self.quads.units
        for start in range(0, self.n, _CHUNK):
            rows = self.rows[start : start + _CHUNK]
            found = held[rows][:, self.rows] if held is not None else units[0][rows] @ units[1][self.rows].T
            yield start, found * vertical[start : start + _CHUNK, None] * distance

    def _signs(self) -> tuple[FloatArray, FloatArray]:
        if not self.signed:
            return np.ones(self.n), np.ones(self.n)
        vertical, distance = self.quads.signs
        return vertical[self.rows], distance[self.rows]


@lru_cache(maxsize=8)
def _layout(groups: tuple[int, ...], images: tuple[str, ...]) -> Layout:
    """Sort vertical halves in groups, and distance halves in four groups more, by image; layers ask for the same."""
    return Layout(groups + tuple(group + 4 for group in groups), images + images, 8)


@lru_cache(maxsize=32)
def _partners(n: int) -> npt.NDArray[np.int64]:
    rng = np.random.RandomState(SHUFFLE_SEED)
    return np.array([rng.permutation(n) for _ in range(_SHUFFLES)])


def symmetry_p_value(quads: QuadSet, *, seed: int, n_draws: int) -> float:
    """Test whether the cosines are symmetric about 0: one fair sign an image, shared by its quads."""
    sums = quads.image_sums()
    return random_sign_p_values(sums[None], np.array([sums.sum()]), seed=seed, n_draws=n_draws)[0]
