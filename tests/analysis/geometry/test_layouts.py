from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmprobe.analysis.geometry import Layout, sums, sums_of_layouts, sums_of_swaps

from . import oracle

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(("block", "tile"), [(2**22, 64), (40, 64), (40, 2)])
@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_layouts_that_share_a_pass_have_the_sums_of_their_own(block, tile, seed):
    """Groups of whole groups, divided ones, and ones without a vector; vectors held or read by blocks."""
    vectors, codes, images = oracle.study(seed)
    orig = np.random.default_rng([seed, 1]).normal(size=vectors.shape)
    # Groups 0 and 1 go together, 2 and 3 are divided anew, and no vector is in group 1.
    kinds = np.random.default_rng([seed, 2]).integers(2, 5, size=len(codes))
    layouts = [Layout(codes, images, 4), Layout(np.where(codes < 2, 0, kinds), images, 5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "_BLOCK", block)
        patch.setattr(sums, "_TILE", tile)
        together = sums_of_layouts(orig, orig + vectors, layouts)
        apart = [sums_of_swaps(orig, orig + vectors, layout) for layout in layouts]
    for found, expected in zip(together, apart, strict=True):
        for one, other in ((found.raw, expected.raw), (found.units, expected.units)):
            np.testing.assert_array_equal(one.counts, other.counts)
            for name in ("totals", "along", "shared"):
                np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12)
    # What is computed beside a layout does not move the last bit of the first one's sums.
    np.testing.assert_array_equal(together[0].raw.along, apart[0].raw.along)


def test_layouts_of_other_images_do_not_share_a_pass():
    """Products within an image would be those of another one."""
    states = np.ones((2, 3))
    with pytest.raises(ValueError, match="same images"):
        sums_of_layouts(states, states, [Layout([0, 1], ["a", "b"], 2), Layout([0, 1], ["a", "a"], 2)])


def test_zero_deltas_of_one_layer_do_not_count_in_the_next():
    """Numbers of pairs are kept for all layers where no delta is zero."""
    vectors, codes, images = oracle.study(3)
    layout, zeros = Layout(codes, images, 4), np.zeros_like(vectors)
    full = sums_of_swaps(zeros, vectors, layout).units.products()
    fewer = sums_of_swaps(zeros, np.where(np.arange(len(codes))[:, None] == 0, 0.0, vectors), layout)
    assert fewer.units.products().counts.sum() == full.counts.sum() - 1
    again = sums_of_swaps(zeros, vectors, layout).units.products()
    np.testing.assert_array_equal(again.leave_outs, full.leave_outs)
