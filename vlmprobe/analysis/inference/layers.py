"""One test for an axis over all layers: the smallest p-value, judged by the same permutations in every layer.

Westfall and Young, Resampling-Based Multiple Testing (1993), single step. p-values are compared rather than the
statistics themselves: a coherence of .01 is much in a layer whose deltas fill many dimensions and nothing in one whose
deltas fill two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.inference.permutation import LabelPermutations

__all__ = [
    "DRAWS_PER_TEST",
    "DRAWS_PER_TEST_AND_LAYER",
    "NO_NULL_SPREAD",
    "AxisTest",
    "AxisTests",
    "Directions",
    "LayerTest",
    "min_p",
]

NO_NULL_SPREAD = "the draws do not differ"
#: A p-value that would be above this after the correction is refined, where fewer than ``_FEW`` draws exceed the data.
_COARSE, _FEW = 0.025, 20
#: Draws of the best layer per test and layer, at least so many per test, and how many are made at a time.
DRAWS_PER_TEST_AND_LAYER, DRAWS_PER_TEST, _PORTION = 40, 100, 4096


@dataclass(frozen=True, slots=True)
class LayerTest:
    """One layer's p-values; None with the reason where the layer cannot be tested."""

    p_value: float | None
    """Of this layer alone, one-sided: more coherence than under permuted labels."""
    p_adjusted: float | None
    """That some layer has a p-value this small, if there is no axis in any."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Directions:
    """Of one family's n pairs in one layer: the directions themselves, or their products."""

    units: npt.NDArray[np.float32] | None = None
    """(n, D) directions of deltas, zero for a zero delta."""
    cosines: npt.NDArray[np.float32] | None = None
    """(n, n) products."""


@dataclass(frozen=True, slots=True)
class AxisTest:
    """Whether an axis is there in some layer."""

    p_value: float | None
    """Of the smallest p-value among layers whose |alpha|^2 is resolved too; 1 where there is none."""
    layers: tuple[LayerTest, ...]
    n_draws: int
    seed: int
    """Of the draws."""
    reason: str = ""


def min_p(
    statistics: FloatArray, eligible: Sequence[bool] | BoolArray | None = None, *, tolerance: float = 0.0
) -> tuple[float | None, tuple[LayerTest, ...]]:
    """Compare each layer with its draws, and the smallest p-value with those of the draws.

    Args:
        statistics: (L, 1 + B) of the data and of B draws that all layers share.
        eligible: L flags, whether the layer may show the axis: the lower jackknife bound of its |alpha|^2 is above 0.
            Unit vectors turn an order effect into an axis where one category is noisier, and permuted labels cannot
            tell. Draws are not asked for it, so that the test is rather too strict.
        tolerance: values that differ by less count as equal.

    Returns:
        The p-value of the axis, and the layers' own. A layer whose draws do not differ, or that has no values, is left
        out of the family; the axis's p-value is None if no layer is left.
    """
    n_layers, n_values = len(statistics), int(statistics.shape[1])
    allowed = np.ones(n_layers, dtype=bool) if eligible is None else np.asarray(eligible, dtype=bool)
    known = np.isfinite(statistics).all(axis=1)
    spread = known & (np.ptp(statistics[:, 1:], axis=1) > tolerance) if n_values > 1 else np.zeros_like(known)
    # (L, 1 + B) how many of a layer's values, the data's among them, are at least as large as each.
    ranks = np.full((n_layers, n_values), n_values, dtype=np.int64)
    for layer in np.flatnonzero(spread):
        row = statistics[layer]
        ranks[layer] = n_values - np.searchsorted(np.sort(row), row - tolerance)
    if not spread.any():
        return None, tuple(LayerTest(None, None, NO_NULL_SPREAD) for _ in range(n_layers))
    smallest = np.sort(ranks[spread].min(axis=0))

    def adjusted(rank: int) -> float:
        # Ranks are whole numbers: those up to this one are those below the next.
        return int(np.searchsorted(smallest, rank + 1)) / n_values

    layers = tuple(
        LayerTest(int(ranks[layer, 0]) / n_values, adjusted(int(ranks[layer, 0])))
        if spread[layer]
        else LayerTest(None, None, NO_NULL_SPREAD)
        for layer in range(n_layers)
    )
    shown = np.flatnonzero(spread & allowed)
    return (adjusted(int(ranks[shown, 0].min())) if len(shown) else 1.0), layers


class AxisTests:
    """Tests of axes over all layers, which see one layer after the other."""

    def __init__(self, families: Mapping[str, LabelPermutations], *, n_draws: int, n_tests: int = 1) -> None:
        """Draw the labels that all layers share.

        Args:
            families: name (an axis, or an axis of a subset) -> the permutations of its pairs.
            n_draws: B.
            n_tests: tests that Holm's rule will correct together.
        """
        self._families, self._n_tests, self._n_draws = families, n_tests, n_draws
        self._labels = {
            name: np.concatenate([family.observed(), family.draw(self._n_draws)])
            for name, family in families.items()
            if not family.reason
        }

    def of_layer(self, directions: Mapping[str, Directions]) -> dict[str, FloatArray]:
        """Return each family's (1 + B,) values in one layer: of the data, then of the draws."""
        return {
            name: self._families[name].statistics(each.units, self._labels[name], cosines=each.cosines)
            for name, each in directions.items()
            if name in self._labels
        }

    def finish(
        self,
        found: Sequence[Mapping[str, FloatArray]],
        directions_of: Callable[[int, str], Directions],
        eligible: Mapping[str, Sequence[bool]] | None = None,
    ) -> dict[str, AxisTest]:
        """Test each family over the layers.

        Args:
            found: L results of ``of_layer``.
            directions_of: place of a layer and name -> its directions, where a p-value is to be refined.
            eligible: name -> L flags, as of ``min_p``.
        """
        tests = {}
        for name, family in self._families.items():
            if family.reason:
                nothing = tuple(LayerTest(None, None, family.reason) for _ in found)
                tests[name] = AxisTest(None, nothing, 0, family.seed, family.reason)
                continue
            values, allowed = np.stack([of_layer[name] for of_layer in found]), (eligible or {}).get(name)
            p_value, layers = min_p(values, allowed, tolerance=family.tolerance())
            reason = NO_NULL_SPREAD if p_value is None else ""
            if p_value is not None:
                p_value = self._refined(name, p_value, layers, values, allowed, directions_of)
            tests[name] = AxisTest(p_value, layers, self._n_draws, family.seed, reason)
        return tests

    def _refined(
        self,
        name: str,
        p_value: float,
        layers: Sequence[LayerTest],
        values: FloatArray,
        allowed: Sequence[bool] | None,
        directions_of: Callable[[int, str], Directions],
    ) -> float:
        """Bound the p-value by that of the best layer times the number of layers, from draws of that layer alone.

        Each layer without an axis has a draw that tops its data, so that with B draws the smallest p-value can hardly
        be below L / B, however clear the axis is in one layer. By Bonferroni's rule the bound holds whichever layer
        was chosen; the fresh draws end early where they show that it will not be small.
        """
        tested = [place for place, layer in enumerate(layers) if layer.p_value is not None]
        shown = [place for place in tested if allowed is None or allowed[place]]
        are_many = self._n_draws + 1 >= DRAWS_PER_TEST * self._n_tests
        if not shown or (are_many and p_value * self._n_tests <= _COARSE):
            return p_value
        spreads = values[shown, 1:].std(axis=1)
        excess = (values[shown, 0] - values[shown, 1:].mean(axis=1)) / np.where(spreads > 0, spreads, np.inf)
        best, family = shown[int(np.argmax(excess))], self._families[name]
        if (layers[best].p_value or 1.0) * (self._n_draws + 1) > _FEW:
            return p_value
        each = directions_of(best, name)
        wanted = max(DRAWS_PER_TEST_AND_LAYER * len(tested), DRAWS_PER_TEST) * self._n_tests
        drawn = exceeding = 0
        while drawn < wanted and exceeding < _FEW:
            labels = family.draw(min(_PORTION, wanted - drawn))
            exceeding += int(
                (
                    family.statistics(each.units, labels, cosines=each.cosines)
                    >= values[best, 0] - family.tolerance()
                ).sum()
            )
            drawn += len(labels)
        return min(p_value, len(tested) * (1 + exceeding) / (1 + drawn))
