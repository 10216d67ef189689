"""The sums that one layer's metrics are made of: of the data, and of every bootstrap resample.

A resample costs one product of its weights with the deltas, and one with the cosines inside each axis: categories,
axes and subsets are unions of groups (:mod:`groups`), whose sums are added.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.directions import Directions
from vlmprobe.analysis.groups import CATEGORIES_OF_AXES, of_subset
from vlmprobe.analysis.resampling import grams_of_sums
from vlmprobe.pairs.axes import AXES, CATEGORIES, Subset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.groups import Groups

__all__ = ["LayerSums", "LayerVectors"]

#: Resamples whose sums are held at a time: 12 groups of 2,048 float64 each, 25 MB.
_CHUNK = 128


@dataclass(frozen=True, slots=True)
class LayerSums:
    """Weighted sums for R resamples, (R, 6, 2) over groups unless said otherwise."""

    drawn: FloatArray
    """sum w."""
    lengths: FloatArray
    """sum w |delta|."""
    directed: FloatArray
    """sum w over the deltas that are not zero."""
    directed_squares: FloatArray
    """sum w^2 over the deltas that are not zero."""
    based: FloatArray
    """sum w over the pairs whose original state is not zero."""
    ratios: FloatArray
    """sum w |delta| / |h(orig)| over those."""
    directions: FloatArray
    """(R, 3, 4, 4) per axis, inner products of the groups' sums of sign-corrected unit vectors: the canonical
    category's groups, then its opposite's."""
    grams: FloatArray
    """(S, R, 9, 9) per subset, inner products of the sums of deltas of the categories and, sign-corrected, axes."""


class LayerVectors:
    """One layer's deltas in groups, and what is computed of each once."""

    def __init__(
        self, deltas: FloatArray, orig_norms: FloatArray, groups: Groups, subsets: Sequence[Subset]
    ) -> None:
        """Part the deltas.

        Args:
            deltas: (N, D), finite.
            orig_norms: (N,) |h(orig)|.
            groups: which pair is in which group.
            subsets: of which ``grams`` are wanted.
        """
        self.lengths: FloatArray = np.sqrt(np.einsum("ij,ij->i", deltas, deltas))
        self.directed: BoolArray = self.lengths > 0
        # |delta| / 0 is no ratio: such a pair is left out of the sum and of its count.
        self.based: BoolArray = orig_norms > 0
        self.ratios: FloatArray = np.divide(
            self.lengths, orig_norms, out=np.zeros_like(self.lengths), where=self.based
        )
        self._subsets = tuple(subsets)
        self._rows = groups.rows()
        self._deltas = [[deltas[rows] for rows in parts] for parts in self._rows]
        columns = np.stack(
            [np.ones_like(self.lengths), self.lengths, self.directed, self.based, self.ratios], axis=1
        )
        self._columns = [[columns[rows] for rows in parts] for parts in self._rows]
        self._directions = [
            Directions([unit for code in axis for unit in self._units(code)]) for axis in CATEGORIES_OF_AXES
        ]

    def _units(self, code: int) -> list[FloatArray]:
        """Return the unit vectors of a category's groups, sign-corrected; a zero delta stays zero."""
        sign = 1.0 if CATEGORIES[code].is_canonical else -1.0
        inverse = np.divide(sign, self.lengths, out=np.zeros_like(self.lengths), where=self.directed)
        return [
            members * inverse[rows, None]
            for members, rows in zip(self._deltas[code], self._rows[code], strict=True)
        ]

    def squares(self) -> FloatArray:
        """Return (3, 4, 4) sums of squared cosines between the groups of each axis."""
        return np.stack([directions.squares() for directions in self._directions])

    def sums(self, weights: npt.NDArray[Any]) -> LayerSums:
        """Add up the data, which is the first row, and every resample after it.

        The data alone, since a product of many rows may end in other last bits than that of one: so an estimate does
        not depend on how many resamples there are.

        Args:
            weights: (B, N) multiplicities.

        Returns:
            Sums for R = 1 + B.
        """
        parts = [self._chunk(np.ones((1, weights.shape[1])))]
        parts += [self._chunk(weights[start : start + _CHUNK]) for start in range(0, len(weights), _CHUNK)]
        joined = {
            field.name: np.concatenate(
                [getattr(part, field.name) for part in parts], axis=1 if field.name == "grams" else 0
            )
            for field in fields(LayerSums)
        }
        return LayerSums(**joined)

    def _chunk(self, weights: npt.NDArray[Any]) -> LayerSums:
        n = len(weights)
        dim = self._deltas[0][0].shape[1]
        columns = np.zeros((5, n, len(CATEGORIES), 2))
        squares = np.zeros((n, len(CATEGORIES), 2))
        sums = np.zeros((n, len(CATEGORIES), 2, dim))
        drawn = [[weights[:, rows].astype(np.float64) for rows in parts] for parts in self._rows]
        for code, parts in enumerate(drawn):
            for part, mine in enumerate(parts):
                columns[:, :, code, part] = (mine @ self._columns[code][part]).T
                squares[:, code, part] = np.square(mine) @ self._columns[code][part][:, 2]
                sums[:, code, part] = mine @ self._deltas[code][part]
        directions = np.stack(
            [
                directions.inner_products([mine for code in axis for mine in drawn[code]])
                for axis, directions in zip(CATEGORIES_OF_AXES, self._directions, strict=True)
            ],
            axis=1,
        )
        grams = np.stack(
            [grams_of_sums(of_subset(sums.swapaxes(-1, -2), subset)) for subset in self._subsets]
        )
        counts, lengths, directed, based, ratios = columns
        assert directions.shape == (n, len(AXES), 4, 4)  # noqa: S101
        return LayerSums(counts, lengths, directed, squares, based, ratios, directions, grams)
