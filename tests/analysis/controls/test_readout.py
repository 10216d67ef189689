"""What of an axis the unembedding reads as the answer's words."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.controls import readout, readout_span, readouts, without_span
from vlmprobe.analysis.controls.readout import DRAWS, TOO_EARLY
from vlmprobe.analysis.geometry import Layout
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED

from ...statistics.worlds import noise_spread

DIM, WORDS = 64, 200
ANSWERS = [(0, 1), (2, 3), (4, 5)]


def world(*, of_word=0.0, beside=0.0, pairs=80, seed=0):
    """One axis along an answer's word, along a direction outside all of them, or along both."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(WORDS, DIM))
    word = rows[0] - rows[1]
    outside = without_span(rng.normal(size=(1, DIM)), readout_span(rows, ANSWERS))[0]
    canonical = rng.permutation(np.arange(pairs) < pairs // 2)
    axis = of_word * word / np.linalg.norm(word) + beside * outside / np.linalg.norm(outside)
    deltas = np.where(canonical, 1.0, -1.0)[:, None] * axis
    deltas = deltas + rng.normal(size=(pairs, DIM)) * noise_spread(DIM)
    return deltas, Layout((~canonical).astype(int), [f"image {i}" for i in range(pairs)], 2), rows


def read(layer=5, n_layers=6, **options):
    """Read out one study's axis."""
    deltas, layout, rows = world(**options)
    return readout(deltas, layout, 0, rows, ANSWERS, range(WORDS), layer=layer, n_layers=n_layers, seed=1)


def test_an_axis_of_the_word_is_gone_without_it():
    """The words hold all of it; random words hold little, and leave it."""
    found = read(of_word=1.0)
    assert found.share.value == pytest.approx(1.0, abs=0.1)
    assert abs(found.coherence.value) < 0.05
    assert len(found.random_share) == len(found.random_coherence) == DRAWS
    assert max(found.random_share) < 0.5
    assert min(found.random_coherence) > 0.3


def test_an_axis_beside_the_words_stays():
    """Refutes a projection that takes away more than the span."""
    found, untouched = read(beside=1.0), read(of_word=1.0)
    assert abs(found.share.value) < 0.1
    assert found.coherence.value > 0.4
    # Any three dimensions of 64 hold some of it: about a twentieth.
    assert 0.0 < np.median(found.random_share) < 0.15
    assert found.coherence.value > untouched.coherence.value


@pytest.mark.parametrize(("of_word", "beside"), [(0.0, 1.0), (0.7, 0.7), (1.0, 0.5)])
def test_the_interval_of_the_share_holds_the_truth(of_word, beside):
    """Over 40 studies."""
    true, held = of_word**2 / (of_word**2 + beside**2), 0
    for seed in range(40):
        deltas, layout, rows = world(of_word=of_word, beside=beside, seed=seed)
        where = {"layer": 5, "n_layers": 6, "seed": 1, "n_draws": 0}
        share = readout(deltas, layout, 0, rows, ANSWERS, range(WORDS), **where).share
        held += share.ci_low <= true <= share.ci_high
    assert held >= 34


def test_the_control_has_the_rank_of_the_answers():
    """Two axes with the same words span two dimensions, not three."""
    rows = np.random.default_rng(0).normal(size=(10, DIM))
    assert readout_span(rows, ANSWERS).shape == (3, DIM)
    assert readout_span(rows, [(0, 1), (1, 0), (2, 3)]).shape == (2, DIM)
    span = readout_span(rows, ANSWERS)
    np.testing.assert_allclose(span @ span.T, np.eye(3), atol=1e-12)
    left = without_span(rows, span)
    np.testing.assert_allclose(left @ span.T, 0.0, atol=1e-12)
    np.testing.assert_allclose(without_span(left, span), left)
    np.testing.assert_allclose((rows[0] - rows[1]) @ left.T, 0.0, atol=1e-10)


def test_draws_are_of_real_words_and_the_same_for_a_seed():
    """The answer's own words are none of them."""
    first, second = read(of_word=1.0), read(of_word=1.0)
    assert first == second
    deltas, layout, rows = world(of_word=1.0)
    with pytest.raises(ValueError, match="6 words"):
        readout(deltas, layout, 0, rows, ANSWERS, [*range(6), 7, 8, 9], layer=5, n_layers=6, seed=1)
    with pytest.raises(ValueError, match="different rows"):
        readout_span(rows, [(3, 3)])


@pytest.mark.parametrize(("layer", "n_layers", "there"), [(3, 6, False), (4, 6, True), (18, 28, True)])
def test_early_layers_are_refused(layer, n_layers, there):
    """They do not speak the language of the unembedding."""
    found = read(layer=layer, n_layers=n_layers, of_word=1.0)
    assert (found.share.value is not None) == there
    assert there or (found.share.reason, found.random_share) == (TOO_EARLY, ())


def test_no_axis_no_share():
    """NULL, with the reason; of the random words as well."""
    found = read()
    assert (found.share.value, found.share.reason) == (None, NOT_RESOLVED)
    assert set(found.random_share) == {None}


def test_several_axes_share_the_spans_and_nothing_else():
    """To the last bit each is what it is alone, with the draws of the same words."""
    deltas, _, rows = world(of_word=0.5, beside=0.5)
    groups = np.arange(len(deltas)) % 6
    layout = Layout(groups, [f"image {i // 2}" for i in range(len(deltas))], 6)
    where = {"layer": 5, "n_layers": 6, "seed": 1}
    alone = [readout(deltas, layout, axis, rows, ANSWERS, range(WORDS), **where) for axis in (2, 0)]
    assert readouts(deltas, layout, [2, 0], rows, ANSWERS, range(WORDS), **where) == alone
    assert alone[0].random_coherence != alone[1].random_coherence
