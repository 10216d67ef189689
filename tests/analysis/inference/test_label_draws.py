from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis import unit
from vlmprobe.analysis.geometry import Layout, balanced_coherence, sums_of_vectors
from vlmprobe.analysis.inference import LabelPermutations, hash_order


@pytest.mark.parametrize("an_image", [2, 3])
def test_images_get_the_label_vectors_in_the_order_of_their_random_keys(an_image):
    """Oracle: places sorted by keys. Stored p-values rest on these draws."""
    n_images, seed = 40, 7
    n = n_images * an_image
    canonical = np.random.default_rng(1).random(n) < 0.4
    pair_ids, images = [f"pair {i}" for i in range(n)], [f"image {i // an_image:02}" for i in range(n)]

    drawn = LabelPermutations(canonical, images, pair_ids, seed=seed).draw(200)

    rank = np.argsort(hash_order(pair_ids))
    pairs = np.array(
        [sorted(range(i, i + an_image), key=lambda place: rank[place]) for i in range(0, n, an_image)]
    )
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed).spawn(1)[0]))
    keys = rng.integers(2**64, size=(200, n_images), dtype=np.uint64)
    np.testing.assert_array_equal(drawn[:, pairs], canonical[pairs][np.argsort(keys, axis=1)])


@pytest.mark.parametrize("n", [1 + 128, 300])
def test_cosines_of_more_than_a_block_count_once(n):
    """Half of a symmetric matrix is read, block by block."""
    rng = np.random.default_rng(0)
    canonical, images = rng.random(n) < 0.5, [f"image {i // 2}" for i in range(n)]
    vectors = rng.normal(size=(n, 20)) + 0.5
    units = unit(vectors)[0]
    labels = LabelPermutations(canonical, images, [f"pair {i}" for i in range(n)], seed=0)
    rows = labels.draw(5)

    found = labels.statistics(None, rows, cosines=(units @ units.T).astype(np.float32))

    for row, value in zip(rows, found, strict=True):
        products = sums_of_vectors(vectors, Layout((~row).astype(np.int64), images, 2)).units.products()
        assert value == pytest.approx(balanced_coherence(products, 0).value, abs=2e-7)
