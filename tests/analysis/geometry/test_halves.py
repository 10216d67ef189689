from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.geometry import (
    Layout,
    balanced_coherence,
    direction_hits,
    halves,
    simultaneous_peak,
    split_reading,
    sums_of_vectors,
    why_no_halves,
)
from vlmprobe.analysis.geometry.halves import TOO_FEW_FOR_HALVES
from vlmprobe.analysis.geometry.peak import TOO_FEW_FOR_PEAK

from ...statistics.axis_trials import layer_choice
from ...statistics.worlds import Layers


def names(n, an_image=1):
    """One name for each pair's image."""
    return [f"image {i // an_image}" for i in range(n)]


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_halves_have_the_categories_alike(share):
    """Refutes: a half by the hash of the image alone lacks a category in 65 % of studies of 20 images, 80 % alike."""
    codes = (np.arange(40) >= share * 40).astype(np.int64)
    second = halves(codes, names(40))
    for code in (0, 1):
        assert abs(second[codes == code].sum() - (~second)[codes == code].sum()) <= 1
    by_hash = [sum(hash_bit(name) for name, code in zip(names(40), codes, strict=True) if code == 1)]
    assert 0 <= by_hash[0] <= (codes == 1).sum()


def hash_bit(name):
    """Which half the hash alone would choose."""
    from hashlib import blake2b

    return blake2b(name.encode()).digest()[0] & 1


def test_an_image_lies_in_one_half_whatever_the_order_of_pairs():
    """Its pairs are not independent."""
    rng = np.random.default_rng(0)
    codes, images = rng.integers(4, size=90), names(90, 3)
    second = halves(codes, images)
    of_image = {
        name: {bool(flag) for flag, other in zip(second, images, strict=True) if other == name}
        for name in images
    }
    assert all(len(flags) == 1 for flags in of_image.values())
    order = rng.permutation(90)
    np.testing.assert_array_equal(halves(codes[order], [images[i] for i in order]), second[order])
    assert abs(int(second.sum()) - 45) <= 3
    assert len(halves([], [])) == 0


def test_few_images_are_not_divided():
    """40 images on an axis and 10 of each category."""
    assert why_no_halves(np.eye(2, dtype=int)[np.arange(40) % 2], (0, 1)) == ""
    assert why_no_halves(np.eye(2, dtype=int)[np.arange(38) % 2], (0, 1)) == TOO_FEW_FOR_HALVES
    assert why_no_halves(np.eye(2, dtype=int)[(np.arange(60) < 9).astype(int)], (0, 1)) == TOO_FEW_FOR_HALVES
    statistics = _readings(np.random.default_rng(0).normal(size=(2, 60, 4)), np.arange(60) % 2)
    assert (
        split_reading(([1.0, 2.0], [1.0, 2.0]), statistics, reason=TOO_FEW_FOR_HALVES).estimate.value is None
    )


def _readings(layers, codes):
    images = names(len(codes))
    second = halves(codes, images)
    layout = Layout(2 * codes + second, images, 4)
    found = ([], [])
    for deltas in layers:
        units = sums_of_vectors(deltas, layout).units
        for half in (0, 1):
            members = np.zeros((2, 4))
            members[0, half] = members[1, 2 + half] = 1
            found[half].append(balanced_coherence(units.products(members), 0))
    return found


def test_either_half_is_read_at_the_layer_that_the_other_chose():
    """Mean of the two; an error that is the two halves' own."""
    layers = (
        np.random.default_rng(0).normal(size=(3, 80, 4))
        + 1.5 * np.eye(4)[0] * np.where(np.arange(80) % 2, -1, 1)[:, None]
    )
    first, second = _readings(layers, np.arange(80) % 2)
    split = split_reading(([0.0, 1.0, 0.5], [np.nan, 0.2, 0.9]), (first, second))
    assert split.places == (1, 2)
    assert split.estimate.value == pytest.approx((second[1].value + first[2].value) / 2)
    assert split.estimate.se == pytest.approx(np.hypot(second[1].se(), first[2].se()) / 2, rel=1e-6)
    assert split.estimate.n_images == 80


@pytest.mark.parametrize("layers", [10])
def test_choosing_on_the_same_images_flatters(layers):
    """Refutes: the peak over exchangeable layers is too high, the split reading is not."""
    world = Layers(pairs=60, coherence=0.2, layers=layers, shared=0.3, dim=24)
    outcomes = [
        each for number in range(24) for each in layer_choice(world, np.random.default_rng([1, number]))
    ]
    errors = {
        name: np.array([each.error for each in outcomes if each.estimator == name])
        for name in ("axis_coherence.balanced.peak", "axis_coherence.split")
    }
    split = errors["axis_coherence.split"]
    assert errors["axis_coherence.balanced.peak"].mean() > 0.015
    assert abs(split.mean()) < 3.5 * split.std() / np.sqrt(len(split))


def test_the_interval_of_a_peak_is_at_least_that_of_its_layer():
    """It holds for all layers at once, and needs 50 images."""
    layers, canonical = Layers(pairs=60, coherence=0.3, layers=6, dim=24).sample(np.random.default_rng(0))
    layout = Layout((~canonical).astype(np.int64), names(60), 2)
    statistics = [balanced_coherence(sums_of_vectors(each, layout).units.products(), 0) for each in layers]
    peak, place = simultaneous_peak(statistics, seed=0)
    own = statistics[place].estimate()
    assert peak.value == own.value == max(each.value for each in statistics)
    assert peak.ci_high >= own.ci_high
    # The layer's own is moved by its skewness.
    alone, _ = simultaneous_peak([statistics[place]], seed=0, n_draws=50_000)
    assert alone.ci_low == pytest.approx(own.ci_low, abs=0.01)
    few = Layout((~canonical[:40]).astype(np.int64), names(40), 2)
    statistics = [balanced_coherence(sums_of_vectors(each[:40], few).units.products(), 0) for each in layers]
    assert simultaneous_peak(statistics, seed=0)[0].reason == TOO_FEW_FOR_PEAK
    assert simultaneous_peak([], seed=0)[1] is None


def test_the_interval_of_a_peak_knows_how_many_layers_were_looked_at():
    """Oracle: of 8 independent layers the largest deviation has its 95 % point at 2.73 errors, not at 1.96."""
    layers, canonical = Layers(pairs=200, coherence=0.2, layers=8, shared=0.0, dim=24).sample(
        np.random.default_rng(0)
    )
    layout = Layout((~canonical).astype(np.int64), names(200), 2)
    statistics = [balanced_coherence(sums_of_vectors(each, layout).units.products(), 0) for each in layers]
    peak, place = simultaneous_peak(statistics, seed=0)
    alone, _ = simultaneous_peak([statistics[place]], seed=0)

    def above(estimate):
        return np.log((1 - estimate.value) / (1 - estimate.ci_high))

    assert above(peak) / above(alone) == pytest.approx(2.73 / 1.96, rel=0.05)


def test_a_direction_is_read_on_images_that_it_was_not_fitted_on():
    """Noise alone hits half; on the images that it was fitted on, far more."""
    rng = np.random.default_rng(0)
    n = 80
    canonical, second = np.arange(n) % 2 == 0, halves(np.arange(n) % 2, names(n))
    noise = rng.normal(size=(n, 300))
    hits = direction_hits(noise, canonical, second)
    assert 0.3 < hits.mean() < 0.7
    fitted = noise[canonical].mean(axis=0) - noise[~canonical].mean(axis=0)
    assert ((noise @ fitted > 0) == canonical).mean() > 0.9
    axis = np.where(canonical, 1.0, -1.0)[:, None] * np.eye(300)[0] * 20
    assert direction_hits(noise + axis, canonical, second).all()
    assert direction_hits(noise[:1], canonical[:1], second[:1]) is None
