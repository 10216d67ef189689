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

__all__ = ["NO_NULL_SPREAD", "AxisTest", "LayerTest", "axis_tests", "min_p"]

NO_NULL_SPREAD = "the draws do not differ"
#: Draws to begin with. Where fewer than ``_FEW`` of them exceed, there are more if the family is large.
FIRST_DRAWS = 1999
_FEW = 20
#: Draws per test of a family that Holm's rule corrects: a p-value can then be a twentieth of what the rule asks for.
_PER_TEST = 100


@dataclass(frozen=True, slots=True)
class LayerTest:
    """One layer's p-values; None with the reason where the layer cannot be tested."""

    p_value: float | None
    """Of this layer alone, one-sided: more coherence than under permuted labels."""
    p_adjusted: float | None
    """That some layer has a p-value this small, if there is no axis in any."""
    reason: str = ""


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
        return int(np.searchsorted(smallest, rank, side="right")) / n_values

    layers = tuple(
        LayerTest(int(ranks[layer, 0]) / n_values, adjusted(int(ranks[layer, 0])))
        if spread[layer]
        else LayerTest(None, None, NO_NULL_SPREAD)
        for layer in range(n_layers)
    )
    shown = np.flatnonzero(spread & allowed)
    return (adjusted(int(ranks[shown, 0].min())) if len(shown) else 1.0), layers


def axis_tests(
    families: Mapping[str, LabelPermutations],
    units_of: Callable[[int], Mapping[str, npt.NDArray[np.float32]]],
    n_layers: int,
    *,
    n_tests: int = 1,
    eligible: Mapping[str, Sequence[bool]] | None = None,
) -> dict[str, AxisTest]:
    """Test axes over all layers, reading each layer once, or twice where the first draws leave a p-value too coarse.

    Args:
        families: name (an axis, or an axis of a subset) -> the permutations of its pairs.
        units_of: place of a layer -> for each name the (n, D) directions of its pairs, zero for a zero delta.
        n_layers: L.
        n_tests: tests that Holm's rule will correct together. Where few draws exceed the data, draws are added until
            B + 1 is at least 100 times that.
        eligible: name -> L flags, as of ``min_p``.
    """
    allowed = eligible or {}
    labels = {name: family.draw(FIRST_DRAWS) for name, family in families.items() if not family.reason}
    found = {name: np.empty((n_layers, 1 + FIRST_DRAWS)) for name in labels}
    _fill(found, families, labels, units_of, n_layers)
    wanted = _PER_TEST * n_tests - 1
    if wanted > FIRST_DRAWS:
        coarse = [name for name, values in found.items() if _exceeding(values, families[name]) < _FEW]
        more = {name: families[name].draw(wanted - FIRST_DRAWS) for name in coarse}
        added = {name: np.empty((n_layers, 1 + wanted - FIRST_DRAWS)) for name in coarse}
        if coarse:
            _fill(added, families, more, units_of, n_layers)
        for name in coarse:
            found[name] = np.concatenate([found[name], added[name][:, 1:]], axis=1)
    tests = {}
    for name, family in families.items():
        if family.reason:
            nothing = tuple(LayerTest(None, None, family.reason) for _ in range(n_layers))
            tests[name] = AxisTest(None, nothing, 0, family.seed, family.reason)
            continue
        p_value, layers = min_p(found[name], allowed.get(name), tolerance=family.tolerance())
        reason = NO_NULL_SPREAD if p_value is None else ""
        tests[name] = AxisTest(p_value, layers, found[name].shape[1] - 1, family.seed, reason)
    return tests


def _fill(
    found: Mapping[str, FloatArray],
    families: Mapping[str, LabelPermutations],
    labels: Mapping[str, BoolArray],
    units_of: Callable[[int], Mapping[str, npt.NDArray[np.float32]]],
    n_layers: int,
) -> None:
    for layer in range(n_layers):
        units = units_of(layer)
        for name, values in found.items():
            family = families[name]
            rows = np.concatenate([family.observed(), labels[name]])
            values[layer] = family.statistics(units[name], rows)


def _exceeding(values: FloatArray, family: LabelPermutations) -> float:
    """Count the draws whose smallest p-value is at most that of the data."""
    p_value, _ = min_p(values, tolerance=family.tolerance())
    return np.inf if p_value is None else p_value * values.shape[1] - 1
