from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmprobe.analysis import unit
from vlmprobe.analysis.geometry import Layout, sums, sums_of_swaps, sums_of_two_runs, sums_of_vectors

from . import oracle

seeds = st.integers(0, 2**32 - 1)


def products_of(vectors, codes, images, groups=4):
    """Go from vectors to P of what they are and of their directions."""
    found = sums_of_vectors(vectors, Layout(codes, images, groups))
    return found.raw.products(), found.units.products()


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_products_are_means_over_pairs_of_different_images(seed):
    """Oracle: a loop over all pairs, again without each image."""
    vectors, codes, images = oracle.study(seed)
    raw, units = products_of(vectors, codes, images)
    for found, given_vectors in ((raw, vectors), (units, unit(vectors)[0])):
        for first in range(4):
            for second in range(4):

                def value(*study, one=first, two=second):
                    return oracle.product(*study, one, two)

                expected = value(given_vectors, codes, images)
                assert found.values[first, second] == pytest.approx(expected, abs=1e-12, nan_ok=True)
                expected = oracle.leave_outs(value, given_vectors, codes, images)
                np.testing.assert_allclose(found.leave_outs[:, first, second], expected, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_a_union_of_groups_is_what_its_vectors_make_together(seed):
    """One reading of the vectors serves categories, axes, subsets and halves."""
    vectors, codes, images = oracle.study(seed)
    found = sums_of_vectors(vectors, Layout(codes, images, 4)).raw.products(
        np.array([[1, -1, 0, 0], [0, 0, 1, 1]])
    )

    signed = vectors * np.where(codes == 1, -1.0, 1.0)[:, None]
    expected, _ = products_of(signed, codes // 2, images, 2)

    np.testing.assert_allclose(found.values, expected.values, atol=1e-12)
    np.testing.assert_allclose(found.leave_outs, expected.leave_outs, atol=1e-12)
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_allclose(found.plug_in, expected.plug_in, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(1, 40), st.integers(1, 9))
def test_blocks_and_tiles_do_not_change_the_sums(seed, block, tile):
    """However few vectors are held at a time, also of an image that is larger than a block."""
    vectors, codes, images = oracle.study(seed, n=40, n_images=6)
    expected = products_of(vectors, codes, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "_BLOCK", block * vectors.shape[1])
        patch.setattr(sums, "_TILE", tile)
        found = products_of(vectors, codes, images)
    for one, two in zip(expected, found, strict=True):
        np.testing.assert_allclose(one.values, two.values, atol=1e-12)
        np.testing.assert_allclose(one.leave_outs, two.leave_outs, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_products_ignore_rotation_and_the_order_of_pairs(seed):
    """Only angles and lengths count, and which pairs share an image."""
    vectors, codes, images = oracle.study(seed)
    rng = np.random.default_rng(seed)
    rotation, order = np.linalg.qr(rng.normal(size=(5, 5)))[0], rng.permutation(len(codes))
    expected = products_of(vectors, codes, images)
    for found in (
        products_of(vectors @ rotation, codes, images),
        products_of(vectors[order], codes[order], [images[i] for i in order]),
    ):
        np.testing.assert_allclose(found[0].leave_outs, expected[0].leave_outs, atol=1e-10)
        np.testing.assert_allclose(found[1].values, expected[1].values, atol=1e-10)


def test_states_of_half_precision_are_subtracted_without_loss():
    """Deltas are small beside the states."""
    rng = np.random.default_rng(0)
    orig = rng.normal(size=(12, 4)).astype(np.float16)
    swap = (orig + rng.normal(size=(12, 4)) * 1e-2).astype(np.float16)
    codes, images = np.arange(12) % 2, [str(i // 3) for i in range(12)]
    found = sums_of_swaps(orig, swap, Layout(codes, images, 2)).raw.products()
    expected, _ = products_of(swap.astype(np.float64) - orig.astype(np.float64), codes, images, 2)
    np.testing.assert_array_equal(found.values, expected.values)


def test_two_runs_stand_beside_each_other():
    """The groups of the second run come behind those of the first; an image is left out of both."""
    first, codes, images = oracle.study(1)
    second = oracle.study(2)[0]
    zeros = np.zeros_like(first)
    layout = Layout(codes, images, 4)
    found = sums_of_two_runs((zeros, first), (zeros, second), layout).raw.products()
    expected = sums_of_vectors(np.vstack([first, second]), layout.twice()).raw.products()
    np.testing.assert_allclose(found.leave_outs, expected.leave_outs, atol=1e-12)


def test_a_zero_delta_has_no_direction():
    """It counts among the deltas, and not among their directions."""
    vectors = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    raw, units = products_of(vectors, [0, 0, 0], ["a", "b", "c"], 1)
    assert raw.values[0, 0] == 0.0
    assert units.counts.sum() == 2
    raw, units = products_of(np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), [0, 0, 0], ["a", "b", "c"], 1)
    assert raw.values[0, 0] == pytest.approx(2 / 3)
    assert units.values[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_pairs_of_one_image_have_no_product(n):
    """No data is NaN, never 0."""
    raw, units = products_of(np.ones((n, 3)), [0] * n, ["a"] * n, 2)
    assert np.isnan(raw.values).all()
    assert np.isnan(units.values).all()


def test_a_wrong_layout_is_refused():
    """Lengths and group numbers are checked before anything is summed."""
    with pytest.raises(ValueError, match="one image each"):
        Layout([0, 1], ["a"], 2)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Layout([0, 2], ["a", "b"], 2)
    with pytest.raises(ValueError, match="layout is of 2 vectors"):
        sums_of_vectors(np.ones((3, 2)), Layout([0, 1], ["a", "b"], 2))


@pytest.mark.full
@pytest.mark.parametrize("pairs_an_image", [1, 4])
def test_twenty_thousand_pairs_are_summed_in_little_memory(pairs_an_image):
    """20,000 pairs of 4,096 numbers; the states themselves, 328 MB a side, are the caller's."""
    n, dim = 20_000, 4096
    states = np.zeros((n, dim), dtype=np.float16)
    states[:, ::512] = np.random.default_rng(0).normal(size=(n, 8))
    layout = Layout(np.arange(n) % 24, [str(i // pairs_an_image) for i in range(n)], 24)
    tracemalloc.start()
    found = sums_of_swaps(states, states[::-1], layout)
    found.units.products(np.repeat(np.eye(6), 4, axis=1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**30 - 2 * n * dim * 4
