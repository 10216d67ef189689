"""One product for all categories, axes and subsets: the same numbers as a product for each."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from vlmprobe.analysis import LayerMetrics, PairGroups, layer_metrics
from vlmprobe.analysis.deltas import category_codes, signs
from vlmprobe.analysis.groups import of_subset
from vlmprobe.analysis.inference import Scale, Statistic
from vlmprobe.pairs import Subset

SIX = ["left", "right", "above", "below", "far", "close"]


@pytest.mark.parametrize("dim", [4, 60])
def test_sums_are_those_of_the_vectors(dim):
    """Oracle: vectors added up one set after the other."""
    rng = np.random.default_rng(2)
    n = 48
    deltas, codes, right = rng.normal(size=(n, dim)), category_codes(SIX * 8), rng.random(n) < 0.6
    deltas[3] = 0.0
    orig = rng.normal(size=(n, dim)) * (np.arange(n) != 5)[:, None]
    pairs = PairGroups(SIX * 8, [str(i) for i in range(n)], both_correct=right)

    sums = pairs.vectors(orig, orig + deltas, layer=0).sums()

    signed = vectors_of(deltas) * signs(SIX * 8)[:, None]
    for place, subset in enumerate(Subset):
        inside = np.flatnonzero(right) if subset is Subset.BOTH_CORRECT else np.arange(n)
        above, far = (deltas[inside[codes[inside] == code]].sum(axis=0) for code in (2, 4))
        assert sums.grams[place, 2, 4] == pytest.approx(above @ far, abs=1e-10)
        lengths = np.linalg.norm(deltas, axis=1)[inside[codes[inside] == 2]].sum()
        assert of_subset(sums.lengths, subset)[2] == pytest.approx(lengths)
    left = signed[(codes == 0) & right].sum(axis=0)
    other = signed[(codes == 1) & ~right].sum(axis=0)
    assert sums.directions[0, 0, 3] == pytest.approx(left @ other, abs=1e-10)
    assert (sums.n - sums.n_directed).sum() == (sums.n - sums.n_directed)[3].sum() == 1
    assert (sums.n - sums.n_based).sum() == 1


def vectors_of(deltas: np.ndarray) -> np.ndarray:
    """Scale to length 1, leaving zero alone."""
    lengths = np.linalg.norm(deltas, axis=1, keepdims=True)
    return np.divide(deltas, lengths, out=np.zeros_like(deltas), where=lengths > 0)


@pytest.mark.parametrize("dim", [5, 80])
@pytest.mark.parametrize("an_image", [1, 3])
def test_means_stds_and_intervals_are_those_of_the_cosine_matrix(dim, an_image):
    """Oracle: scikit-learn's cosines of each set, for both subsets and either Gram matrix."""
    rng = np.random.default_rng(4)
    n = 90
    orig, right = rng.normal(size=(n, dim)), rng.random(n) < 0.6
    swap = orig + rng.normal(size=(n, dim)) + 0.4 * signs(SIX * 15)[:, None]
    # Several pairs of an axis in one image: 0, 6, 12 are all of one category.
    images = [str(i if an_image == 1 else i % 30) for i in range(n)]

    metrics = layer_metrics(orig, swap, SIX * 15, images, layer=0, both_correct=right)

    found = {(each.name, each.subset, each.target): each for each in metrics}
    names = np.array(SIX * 15)
    for subset, inside in (("all", np.ones(n, dtype=bool)), ("both_correct", right)):
        for name, target, members in (
            ("within_category_consistency", "far", ["far"]),
            ("axis_coherence", "vertical", ["above", "below"]),
        ):
            rows = np.flatnonzero(np.isin(names, members) & inside)
            vectors = (swap - orig)[rows] * signs(names[rows].tolist())[:, None]
            cosines = cosine_similarity(vectors)
            upper = cosines[np.triu_indices(len(rows), k=1)]
            metric = found[name, subset, target]
            assert (metric.value, metric.std) == pytest.approx((upper.mean(), upper.std()), abs=1e-12)
            if an_image > 1:
                assert (metric.ci_low, metric.ci_high, metric.method) == (None, None, "not-covering")
            elif metric.ci_low is not None:
                np.fill_diagonal(cosines, 0.0)
                size = len(rows)
                rest = [np.delete(np.delete(cosines, i, 0), i, 1).sum() for i in range(size)]
                expected = Statistic(
                    value=upper.mean(),
                    leave_outs=np.array(rest) / (size - 1) / (size - 2),
                    members=np.ones(size, dtype=bool),
                    n_images=size,
                    scale=Scale.BELOW_ONE,
                ).estimate()
                bounds = expected.ci_low, expected.ci_high
                assert (metric.ci_low, metric.ci_high) == pytest.approx(bounds, abs=1e-10)
            else:
                assert metric.n_images < 10


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
    options = {"layer": 0, "both_correct": rng.random(n) < 0.6}
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


def test_one_study_prepared_for_all_layers_gives_what_each_layer_alone_gives():
    """The order of the pairs and the groups are the same for all."""
    rng = np.random.default_rng(7)
    images, right = [str(i // 2) for i in range(48)], rng.random(48) < 0.6
    pairs = PairGroups(SIX * 8, images, both_correct=right)
    study = LayerMetrics(pairs)

    for layer in range(3):
        states = rng.normal(size=(2, 48, 10))
        together = study(pairs.vectors(*states, layer=layer), pairs.products(*states), layer=layer)
        assert together == layer_metrics(*states, SIX * 8, images, layer=layer, both_correct=right)
    with pytest.raises(ValueError, match="47 pairs need one category each, got 48"):
        pairs.vectors(np.zeros((47, 10)), np.zeros((47, 10)), layer=0)


def test_values_alone_are_the_values_beside_the_intervals():
    """To the last bit, and without bounds."""
    states = np.random.default_rng(6).normal(size=(2, 240, 300)).astype(np.float32)
    images = [str(i) for i in range(240)]

    alone, beside = (
        layer_metrics(*states, SIX * 40, images, layer=0, intervals=intervals) for intervals in (False, True)
    )

    assert [(each.value, each.std) for each in alone] == [(each.value, each.std) for each in beside]
    assert {each.ci_low for each in alone} == {None}
    assert any(each.ci_low is not None for each in beside)
