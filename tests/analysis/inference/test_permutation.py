from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from vlmprobe.analysis import unit
from vlmprobe.analysis.geometry import Layout, axis_size, balanced_coherence, sums_of_vectors
from vlmprobe.analysis.inference import AxisTests, Directions, LabelPermutations, hash_order, min_p
from vlmprobe.analysis.inference.layers import NO_NULL_SPREAD
from vlmprobe.analysis.inference.permutation import NOT_ACROSS_IMAGES, TOO_FEW_PERMUTATIONS

from ...statistics.worlds import Layers, SwapWorld

DRAWS = 199


def names(n, an_image=1):
    """One name for each pair's image."""
    return [f"image {i // an_image}" for i in range(n)]


def family(canonical, images=None, seed=0, **options):
    """Permutations of labels, with pairs named by number."""
    n = len(canonical)
    return LabelPermutations(
        canonical, images or names(n), [f"pair {i}" for i in range(n)], seed=seed, **options
    )


def p_of(vectors, canonical, images=None, seed=0, **options):
    """Go from vectors of one layer to its p-value."""
    labels = family(canonical, images, seed, **options)
    rows = np.concatenate([labels.observed(), labels.draw(DRAWS)])
    return min_p(labels.statistics(unit(vectors)[0], rows)[None], tolerance=labels.tolerance())[0]


@pytest.mark.parametrize("an_image", [1, 3])
@pytest.mark.parametrize("n_draws", [5, 900])
def test_the_statistic_is_balanced_coherence_under_each_labelling(an_image, n_draws):
    """Oracle: the estimate itself with the labels permuted; few draws multiply vectors, many a matrix of cosines."""
    rng = np.random.default_rng(0)
    n = 24
    canonical, images = rng.random(n) < 0.6, names(n, an_image)
    vectors = rng.normal(size=(n, 40)) + 1.0
    labels = family(canonical, images)
    rows = labels.draw(n_draws)
    found = labels.statistics(unit(vectors)[0], rows)
    for row, value in list(zip(rows, found, strict=True))[:5]:
        products = sums_of_vectors(vectors, Layout((~row).astype(np.int64), images, 2)).units.products()
        assert value == pytest.approx(balanced_coherence(products, 0).value, abs=2e-7)


def test_draws_are_one_sequence_whatever_the_portions():
    """So that draws can be added where the first leave a p-value too coarse."""
    canonical = np.arange(20) % 3 == 0
    one, two = family(canonical), family(canonical)
    np.testing.assert_array_equal(one.draw(30), np.concatenate([two.draw(7), two.draw(23)]))


def test_images_exchange_whole_label_vectors_with_images_of_their_size():
    """The labels of an image stay together, and strata apart."""
    canonical = np.array([1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0], dtype=bool)
    images = ["a", "a", "b", "b", "c", "c", "d", "e", "f", "g", "h", "i"]
    strata = ["in"] * 6 + ["in", "in", "out", "out", "out", "in"]
    labels = family(canonical, images, strata=strata)
    for row in labels.draw(50):
        pairs = sorted(map(tuple, row[:6].reshape(3, 2).tolist()))
        of_pairs = sorted(map(tuple, canonical[:6].reshape(3, 2).tolist()))
        # In the order of hashes an image's vector may be the other way round in the order of the file.
        assert sorted(map(sum, pairs)) == sorted(map(sum, of_pairs))
        assert row[[6, 7, 11]].sum() == canonical[[6, 7, 11]].sum()
        assert row[[8, 9, 10]].sum() == canonical[[8, 9, 10]].sum()
    with pytest.raises(ValueError, match="two strata"):
        family(canonical, images, strata=["in", "out"] * 6)


def _rejections(world, count, **options):
    found = 0
    for number in range(count):
        rng = np.random.default_rng([5, number])
        sample = world.sample(rng)
        rows = np.flatnonzero(sample.codes // 2 == 1)
        found += (
            p_of(
                sample.deltas[rows],
                sample.codes[rows] == 2,
                [sample.images[row] for row in rows],
                number,
                **options,
            )
            <= 0.05
        )
    return found


def test_an_order_effect_is_rarely_taken_for_an_axis():
    """Refutes: a null of random signs rejects nearly always at an order effect of .3, 80/20."""
    world = SwapWorld(pairs=40, coherence=(0.1, 0.0, 0.1), order=0.3, share=0.8)
    assert _rejections(world, 100) <= 14
    by_signs = 0
    for number in range(30):
        rng = np.random.default_rng([5, number])
        sample = world.sample(rng)
        rows = np.flatnonzero(sample.codes // 2 == 1)
        signed = unit(sample.deltas[rows])[0] * np.where(sample.codes[rows] == 2, 1.0, -1.0)[:, None]
        signs = np.vstack([np.ones(len(rows)), rng.choice([-1.0, 1.0], size=(DRAWS, len(rows)))])
        sums = np.square(signs @ signed).sum(axis=1)
        by_signs += (sums >= sums[0]).mean() <= 0.05
    assert by_signs >= 27


def test_an_axis_is_seen_also_where_images_list_their_pairs_by_category():
    """Refutes: in the order of the file all label vectors are alike, and nothing can be rejected."""
    rng = np.random.default_rng(0)
    n = 80
    canonical = np.tile([True, True, False, False], n // 4)
    vectors = np.where(canonical, 1.0, -1.0)[:, None] * np.eye(30)[0] + rng.normal(size=(n, 30)) * 0.4
    assert p_of(vectors, canonical, names(n, 4)) <= 0.05
    in_order = LabelPermutations(canonical, names(n, 4), _keys_in_order(n), seed=0)
    assert in_order.reason == TOO_FEW_PERMUTATIONS


def _keys_in_order(n):
    """Names whose hashes stand in the order of the file within each image of four."""
    found, tried = [], 0
    for image in range(n // 4):
        candidates = [f"{image} {tried + i}" for i in range(4)]
        found += [candidates[i] for i in hash_order(candidates)]
        tried += 4
    return found


def test_strata_take_out_what_images_have():
    """Refutes: scenes that differ and lean to a category pass for an axis unless labels stay within their kind."""
    rng = np.random.default_rng(1)
    plain = within = 0
    for number in range(40):
        kind = rng.random(80) < 0.5
        canonical = rng.random(80) < np.where(kind, 0.8, 0.2)
        vectors = np.where(kind, 1.0, -1.0)[:, None] * np.eye(20)[0] + rng.normal(size=(80, 20)) * 0.5
        plain += p_of(vectors, canonical, seed=number) <= 0.05
        within += p_of(vectors, canonical, seed=number, strata=[str(flag) for flag in kind]) <= 0.05
    assert plain >= 36
    assert within <= 8


def test_a_noisier_category_is_no_axis():
    """Refutes: unit vectors turn the order effect into an axis; |alpha|^2 of the deltas themselves is not resolved."""
    world = SwapWorld(pairs=100, coherence=(0.1, 0.0, 0.1), order=0.3, share=0.5, noise_ratio=2.0)
    alone = with_size = 0
    for number in range(30):
        sample = world.sample(np.random.default_rng([9, number]))
        rows = np.flatnonzero(sample.codes // 2 == 1)
        canonical = sample.codes[rows] == 2
        labels = family(canonical, seed=number)
        drawn = np.concatenate([labels.observed(), labels.draw(DRAWS)])
        statistics = labels.statistics(unit(sample.deltas[rows])[0], drawn)[None]
        layout = Layout((~canonical).astype(np.int64), names(len(rows)), 2)
        size = axis_size(sums_of_vectors(sample.deltas[rows], layout).raw.products(), 0).estimate()
        alone += min_p(statistics)[0] <= 0.05
        with_size += min_p(statistics, [size.is_resolved])[0] <= 0.05
    assert alone >= 15
    assert with_size <= 3


@pytest.mark.parametrize(
    ("canonical", "images", "reason"),
    [
        ([True] * 6, names(6), NOT_ACROSS_IMAGES),
        ([True, False] * 3, ["a"] * 6, NOT_ACROSS_IMAGES),
        ([True, True, False, False], names(4), TOO_FEW_PERMUTATIONS),
        ([], [], NOT_ACROSS_IMAGES),
    ],
)
def test_what_cannot_be_tested_says_why(canonical, images, reason):
    """Six labellings of four pairs leave no p-value below 1/6."""
    labels = family(canonical, images)
    assert labels.reason == reason
    assert np.isnan(
        labels.statistics(np.ones((len(canonical), 3)), np.zeros((2, len(canonical)), dtype=bool))
    ).all()


def test_few_assignments_are_counted_as_they_are():
    """7 pairs, 3 canonical: 35 labellings, drawn about equally often."""
    labels = family([True] * 3 + [False] * 4)
    drawn = {tuple(row) for row in labels.draw(2000).tolist()}
    assert drawn == set(permutations([True] * 3 + [False] * 4))


def test_min_p_keeps_its_level_over_layers():
    """Refutes: the smallest of 12 p-values, uncorrected, rejects in a third of studies without any axis."""
    uncorrected = corrected = 0
    for number in range(60):
        layers, canonical = Layers(pairs=30, coherence=0.0, layers=12, shared=0.5, dim=24).sample(
            np.random.default_rng([3, number])
        )
        labels = family(canonical, seed=number)
        drawn = np.concatenate([labels.observed(), labels.draw(DRAWS)])
        statistics = np.stack([labels.statistics(unit(layer)[0], drawn) for layer in layers])
        p_value, found = min_p(statistics)
        corrected += p_value <= 0.05
        uncorrected += min(layer.p_value for layer in found) <= 0.05
        assert p_value == pytest.approx(min(layer.p_adjusted for layer in found))
    assert corrected <= 9
    assert uncorrected >= 12


def test_min_p_sees_a_small_axis_in_a_wide_layer():
    """Refutes: by the statistics themselves 11 layers of one dimension hide an axis in one of many dimensions."""
    rng = np.random.default_rng(0)
    by_p = by_size = 0
    for number in range(15):
        canonical = rng.permutation(np.arange(60) < 30)
        narrow = [
            rng.normal(size=(60, 1)) * np.ones((1, 100)) + 1e-3 * rng.normal(size=(60, 100))
            for _ in range(11)
        ]
        wide = rng.normal(size=(60, 100)) + 3.0 * np.where(canonical, 1.0, -1.0)[:, None] * np.eye(100)[0]
        labels = family(canonical, seed=number)
        drawn = np.concatenate([labels.observed(), labels.draw(999)])
        statistics = np.stack([labels.statistics(unit(layer)[0], drawn) for layer in [*narrow, wide]])
        by_p += min_p(statistics)[0] <= 0.05
        largest = statistics.max(axis=0)
        by_size += (largest >= largest[0]).mean() <= 0.05
    assert by_p >= 10
    assert by_size <= 5


def test_layers_whose_draws_do_not_differ_leave_the_family():
    """Equal deltas in a layer are no evidence, and cost the others nothing."""
    rng = np.random.default_rng(0)
    row = np.append(3.0, rng.normal(size=DRAWS))
    p_value, layers = min_p(np.stack([np.ones(DRAWS + 1), row, np.full(DRAWS + 1, np.nan)]))
    assert p_value == layers[1].p_value == (1 + (row[1:] >= 3.0).sum()) / (DRAWS + 1)
    assert [layer.reason for layer in layers] == [NO_NULL_SPREAD, "", NO_NULL_SPREAD]
    assert min_p(np.ones((2, 5)))[0] is None
    assert min_p(row[None], [False])[0] == 1.0


def test_ties_count_against_the_axis():
    """Of equal values none is the larger."""
    assert min_p(np.array([[1.0, 1.0, 0.0, 0.0]]))[0] == 0.5
    assert min_p(np.array([[1.0, 1.0 - 1e-9, 0.0, 0.0]]), tolerance=1e-6)[0] == 0.5


def late(n_layers=24, n=60):
    """Directions of layers of which only the last one has an axis, and the axis's categories."""
    rng = np.random.default_rng(0)
    canonical = rng.permutation(np.arange(n) < n // 2)
    layers = [rng.normal(size=(n, 30)) for _ in range(n_layers)]
    layers[-1] += 2.0 * np.where(canonical, 1.0, -1.0)[:, None] * np.eye(30)[0]
    return [unit(layer)[0].astype(np.float32) for layer in layers], canonical


def test_an_axis_in_the_last_of_many_layers_is_refined():
    """Refutes: each layer without an axis has a draw that tops its data, so that 2,999 draws leave p above .005."""
    layers, canonical = late()
    read = []

    def directions(place, name):
        read.append((place, name))
        return Directions(layers[place])

    tests = AxisTests({"a": family(canonical)}, n_draws=2999, n_tests=30)
    found = [tests.of_layer({"a": Directions(layer)}) for layer in layers]
    coarse, _ = min_p(np.stack([each["a"] for each in found]))
    test = tests.finish(found, directions)["a"]
    assert coarse > 0.005
    assert test.p_value == pytest.approx(24 / (1 + 40 * 30 * 24))
    assert read == [(23, "a")]
    # Alone, or where no correction follows, it is clear enough.
    alone = AxisTests({"a": family(canonical)}, n_draws=2999, n_tests=1).finish(found, directions)["a"]
    assert alone.p_value == coarse
    assert len(read) == 1


def test_a_refinement_ends_where_draws_exceed():
    """A border case: after 20 draws that exceed, the bound stands, and it can only lower the p-value."""
    layers, canonical = late(3)
    layers[-1] = layers[0]
    labels = family(canonical, seed=1)
    tests = AxisTests({"a": labels}, n_draws=99, n_tests=1000)
    found = [tests.of_layer({"a": Directions(layer)}) for layer in layers]
    coarse, _ = min_p(np.stack([each["a"] for each in found]))
    test = tests.finish(found, lambda place, _: Directions(layers[place]))["a"]
    assert test.p_value == coarse
    assert coarse > 0.05


def test_products_stand_for_directions():
    """To rounding; the products given are not changed. What cannot be tested has no draws."""
    layers, canonical = late(1)
    labels = family(canonical)
    rows = np.concatenate([labels.observed(), labels.draw(50)])
    products = layers[0] @ layers[0].T
    kept = products.copy()
    assert labels.statistics(None, rows, cosines=products) == pytest.approx(
        labels.statistics(layers[0], rows), abs=1e-6
    )
    assert (products == kept).all()
    tests = AxisTests({"few": family([True, False])}, n_draws=9)
    assert tests.of_layer({"few": Directions(np.ones((2, 3), dtype=np.float32))}) == {}
    found = tests.finish([{}], lambda *_: Directions())["few"]
    assert (found.p_value, found.reason) == (None, NOT_ACROSS_IMAGES)
