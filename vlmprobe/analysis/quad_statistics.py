"""Statistics over quads, each a vertical and a distance delta of the same two objects, and their nulls."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.entanglement import cosines

if TYPE_CHECKING:
    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray

__all__ = ["SHUFFLE_SEED", "Quads", "cosines_of_means", "flipped_means", "shuffled_means"]

#: The control is part of the published definition: a new generator per layer, whatever the study's seed.
SHUFFLE_SEED = 42
_SHUFFLES = 100
#: Rows of cosines that are held at a time: of 10,000 quads, 20 MB.
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Quads:
    """(n, D) deltas; (n,) signs and image numbers; (R, n) weights and (B, n) flips."""

    vertical: FloatArray
    distance: FloatArray
    vertical_signs: FloatArray
    distance_signs: FloatArray
    images: npt.NDArray[Any]
    weights: npt.NDArray[Any]
    flips: npt.NDArray[np.int8]

    def select(self, rows: BoolArray) -> Quads:
        """Keep some quads; images were drawn among all, so the size of a subset varies with the resample."""
        return Quads(
            self.vertical[rows],
            self.distance[rows],
            self.vertical_signs[rows],
            self.distance_signs[rows],
            self.images[rows],
            self.weights[:, rows],
            self.flips[:, rows],
        )

    def sign_corrected(self) -> Quads:
        """Flip signs so that all deltas of an axis point the same way."""
        return Quads(
            self.vertical * self.vertical_signs[:, None],
            self.distance * self.distance_signs[:, None],
            np.ones_like(self.vertical_signs),
            np.ones_like(self.distance_signs),
            self.images,
            self.weights,
            self.flips,
        )

    def in_fewer_dimensions(self) -> Quads:
        """Rotate the deltas into the space they span: inner products stay, and 2n numbers replace D."""
        n, dim = self.vertical.shape
        if 2 * n >= dim:
            return self
        rotated = np.asarray(np.linalg.qr(np.vstack([self.vertical, self.distance]).T, mode="r")).T
        return Quads(
            rotated[:n],
            rotated[n:],
            self.vertical_signs,
            self.distance_signs,
            self.images,
            self.weights,
            self.flips,
        )


def cosines_of_means(quads: Quads, weights: FloatArray) -> FloatArray:
    """Take the cosine of the weighted sums of both deltas, for each of R rows of weights."""
    sums = weights @ quads.vertical, weights @ quads.distance
    lengths = [weights @ np.linalg.norm(deltas, axis=1) for deltas in (quads.vertical, quads.distance)]
    grams = np.stack([[np.einsum("ij,ij->i", first, second) for second in sums] for first in sums])
    return cosines(grams.transpose(2, 0, 1), np.stack(lengths, axis=1))[:, 0, 1]


def flipped_means(quads: Quads, cosine_of_quad: FloatArray) -> FloatArray:
    """Compute the mean cosine of the data and of B draws of one random sign per image.

    Args:
        quads: n sign-corrected quads without zero deltas.
        cosine_of_quad: (n,) their cosines.

    Returns:
        (1 + B,) means, of the data in place 0; NaN for n = 0.
    """
    n = len(quads.images)
    if n == 0:
        return np.full(1 + len(quads.flips), nan)
    _, first, image_of_quad = np.unique(quads.images, return_index=True, return_inverse=True)
    per_image = np.bincount(image_of_quad, weights=cosine_of_quad) / n
    signs = np.vstack([np.ones((1, len(first)), dtype=np.int8), quads.flips[:, first]]).astype(np.float64)
    return np.asarray(signs @ per_image)


def shuffled_means(vertical_units: FloatArray, distance_units: FloatArray) -> tuple[float, float]:
    """Shuffle the distance halves among the quads 100 times; return mean and std of the mean cosine.

    Args:
        vertical_units: (n, D) unit vectors.
        distance_units: (n, D) unit vectors.

    Returns:
        NaN for n < 2, where a shuffle is the data.
    """
    n = len(vertical_units)
    if n < 2:
        return nan, nan
    rng = np.random.RandomState(SHUFFLE_SEED)
    partners = np.array([rng.permutation(n) for _ in range(_SHUFFLES)])
    sums = np.zeros(_SHUFFLES)
    for start in range(0, n, _CHUNK):
        # Shuffles draw from the same n x n cosines, so these are computed once, some rows at a time.
        all_cosines = vertical_units[start : start + _CHUNK] @ distance_units.T
        sums += all_cosines[np.arange(len(all_cosines)), partners[:, start : start + _CHUNK]].sum(axis=1)
    return float(np.mean(sums / n)), float(np.std(sums / n))
