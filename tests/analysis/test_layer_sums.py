"""One product for all categories, axes and subsets: the same numbers as a product for each."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from vlmprobe.analysis import LayerMetrics, bootstrap_weights, layer_metrics
from vlmprobe.analysis.deltas import category_codes, signs
from vlmprobe.analysis.groups import Groups, of_subset
from vlmprobe.analysis.layer_sums import LayerVectors
from vlmprobe.pairs import Subset

SIX = ["left", "right", "above", "below", "far", "close"]


@pytest.mark.parametrize("dim", [4, 60])
def test_a_resample_is_the_study_with_its_pairs_repeated(dim):
    """Oracle: sums over copies of the vectors, for resamples beyond the first chunk too."""
    rng = np.random.default_rng(2)
    n = 48
    deltas, codes, right = rng.normal(size=(n, dim)), category_codes(SIX * 8), rng.random(n) < 0.6
    deltas[3] = 0.0
    orig = rng.normal(size=(n, dim)) * (np.arange(n) != 5)[:, None]
    weights = rng.integers(0, 3, size=(300, n))
    groups = Groups(codes, right, np.arange(n), len(SIX))
    order = groups.order()
    vectors = LayerVectors(orig, orig + deltas, order, groups.select(order), list(Subset))

    sums = vectors.sums(weights[:, order])

    signed = vectors_of(deltas) * signs(SIX * 8)[:, None]
    for row, counts in [(0, np.ones(n, dtype=int)), *((r + 1, weights[r]) for r in (0, 127, 128, 299))]:
        copies = np.repeat(np.arange(n), counts)
        for place, subset in enumerate(Subset):
            inside = copies[right[copies]] if subset is Subset.BOTH_CORRECT else copies
            above, far = (deltas[inside[codes[inside] == code]].sum(axis=0) for code in (2, 4))
            assert sums.grams[place, row, 2, 4] == pytest.approx(above @ far, abs=1e-10)
            lengths = np.linalg.norm(deltas, axis=1)[inside[codes[inside] == 2]].sum()
            assert of_subset(sums.lengths, subset)[row, 2] == pytest.approx(lengths)
        left = signed[copies[(codes[copies] == 0) & right[copies]]].sum(axis=0)
        other = signed[copies[(codes[copies] == 1) & ~right[copies]]].sum(axis=0)
        assert sums.directions[row, 0, 0, 3] == pytest.approx(left @ other, abs=1e-10)
        zero = counts[3] if not right[3] else 0
        assert (sums.drawn - sums.directed)[row, 3, 1] == zero
        assert sums.directed_squares[row].sum() == (np.delete(counts, 3) ** 2).sum()
        assert (sums.drawn - sums.based)[row].sum() == counts[5]


def vectors_of(deltas: np.ndarray) -> np.ndarray:
    """Scale to length 1, leaving zero alone."""
    lengths = np.linalg.norm(deltas, axis=1, keepdims=True)
    return np.divide(deltas, lengths, out=np.zeros_like(deltas), where=lengths > 0)


@pytest.mark.parametrize("dim", [5, 80])
def test_means_stds_and_intervals_are_those_of_the_cosine_matrix(dim):
    """Oracle: scikit-learn's cosines of each set, for both subsets and either Gram matrix."""
    rng = np.random.default_rng(4)
    n = 60
    orig, right = rng.normal(size=(n, dim)), rng.random(n) < 0.5
    swap = orig + rng.normal(size=(n, dim)) + 0.4 * signs(SIX * 10)[:, None]
    images = [str(i // 3) for i in range(n)]
    weights = bootstrap_weights(images, 40, seed=0)

    metrics = layer_metrics(orig, swap, SIX * 10, images, layer=0, both_correct=right, weights=weights)

    found = {(each.name, each.subset, each.target): each for each in metrics}
    names = np.array(SIX * 10)
    for subset, inside in (("all", np.ones(n, dtype=bool)), ("both_correct", right)):
        for name, target, members in (
            ("within_category_consistency", "far", ["far"]),
            ("axis_coherence", "vertical", ["above", "below"]),
        ):
            rows = np.flatnonzero(np.isin(names, members) & inside)
            vectors = (swap - orig)[rows] * signs(names[rows].tolist())[:, None]
            upper = cosine_similarity(vectors)[np.triu_indices(len(rows), k=1)]
            metric = found[name, subset, target]
            assert (metric.value, metric.std) == pytest.approx((upper.mean(), upper.std()), abs=1e-12)
            i, j = rows[np.array(np.triu_indices(len(rows), k=1))]
            pairs = weights[:, i] * weights[:, j]
            with np.errstate(invalid="ignore"):  # a set of which no two images were drawn
                resampled = (pairs @ upper) / pairs.sum(axis=1)
            expected = np.nanpercentile(resampled, [2.5, 97.5])
            assert (metric.ci_low, metric.ci_high) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize("dim", [100, 600])
def test_float32_states_give_the_numbers_of_float64(dim):
    """Fewer pairs than dimensions and more: estimates the same, spreads to 1e-6, intervals to 1e-5.

    As of a model: all deltas have something in common, which their sums over opposite categories lose again.
    """
    rng = np.random.default_rng(5)
    n = 360
    orig = 20.0 * rng.normal(size=(n, dim))
    swap = orig + rng.normal(size=(n, dim)) + 3.0 * rng.normal(size=dim)
    swap += 0.3 * signs(SIX * 60)[:, None] * rng.normal(size=dim)
    orig, swap = orig.astype(np.float32), swap.astype(np.float32)
    swap[8] = orig[8]
    options = {"layer": 0, "both_correct": rng.random(n) < 0.6, "n_resamples": 200}
    images = [str(i // 2) for i in range(n)]

    single = layer_metrics(orig, swap, SIX * 60, images, **options)
    double = layer_metrics(orig.astype(float), swap.astype(float), SIX * 60, images, **options)

    for one, other in zip(single, double, strict=True):
        assert (one.name, one.subset, one.target, one.n) == (other.name, other.subset, other.target, other.n)
        assert one.value == pytest.approx(other.value, abs=1e-12)
        if one.std is not None:
            assert one.std == pytest.approx(other.std, abs=1e-6, rel=1e-6)
        if one.ci_low is not None:
            assert (one.ci_low, one.ci_high) == pytest.approx(
                (other.ci_low, other.ci_high), abs=1e-5, rel=1e-6
            )


def test_an_estimate_of_float32_states_does_not_depend_on_the_resamples():
    """Neither its value nor its spread, to the last bit."""
    rng = np.random.default_rng(6)
    states = rng.normal(size=(2, 240, 300)).astype(np.float32)
    images = [str(i) for i in range(240)]

    found = [layer_metrics(*states, SIX * 40, images, layer=0, n_resamples=n) for n in (0, 3, 150)]

    for other in found[1:]:
        assert [(each.value, each.std) for each in other] == [(each.value, each.std) for each in found[0]]


def test_one_study_prepared_for_all_layers_gives_what_each_layer_alone_gives():
    """The order of the pairs, the groups and the resamples are the same for all."""
    rng = np.random.default_rng(7)
    images = [str(i // 2) for i in range(48)]
    options = {"both_correct": rng.random(48) < 0.6, "n_resamples": 20, "seed": 3}
    study = LayerMetrics(SIX * 8, images, **options)

    for layer in range(3):
        states = rng.normal(size=(2, 48, 10))
        assert study(*states, layer=layer) == layer_metrics(*states, SIX * 8, images, layer=layer, **options)
    with pytest.raises(ValueError, match="47 pairs need one category each, got 48"):
        study(np.zeros((47, 10)), np.zeros((47, 10)), layer=0)
