"""Layers that stand for all."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmprobe.analysis.layer_choice import representative_layers


@pytest.mark.parametrize(
    ("n_layers", "picked"),
    [
        (36, (0, 9, 18, 26, 35)),
        (28, (0, 7, 14, 20, 27)),
        (6, (0, 1, 3, 4, 5)),
        (5, (0, 1, 2, 3, 4)),
        (3, (0, 1, 2)),
    ],
)
def test_five_layers_are_spread_over_depth(n_layers, picked):
    """First and last among them; a model with no more than five keeps all."""
    assert representative_layers(n_layers) == picked


def test_layers_that_were_not_kept_are_not_picked():
    """Of every fifth layer of 36, five: places are counted among those that exist."""
    assert representative_layers([0, 5, 10, 15, 20, 25, 30, 35]) == (0, 10, 20, 25, 35)


def test_one_layer_is_the_last():
    """The last is always included."""
    assert representative_layers(36, 1) == (35,)


@given(n=st.integers(1, 200), count=st.integers(1, 20))
def test_gaps_differ_by_at_most_one(n, count):
    """Even spread: as many as asked for, ascending, the last included."""
    picked = representative_layers(n, count)
    gaps = {later - earlier for earlier, later in pairwise(picked)}

    assert len(picked) == min(n, count)
    assert picked[-1] == n - 1
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_no_layer_at_all_is_an_error():
    """Nothing to draw is nothing to ask for."""
    with pytest.raises(ValueError, match="at least one layer must be picked, not 0"):
        representative_layers(36, 0)
