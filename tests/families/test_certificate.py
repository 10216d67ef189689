"""The certificate: when the fast path may be believed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vlmprobe.families import BatchOutput, certified_batches, compare


def output(states, dtype="float32", texts=None, margins=None) -> BatchOutput:
    """Make a batch of N pairs; by default every answer is ``left`` with a margin of 1."""
    n_pairs = states.shape[1]
    return BatchOutput(
        pair_ids=tuple(f"p{number}" for number in range(n_pairs)),
        states=states,
        dtype=dtype,
        texts=texts or (("left", "left"),) * n_pairs,
        margins=np.ones((n_pairs, 2)) if margins is None else np.array(margins, float),
    )


def bits(states):
    """bfloat16 bits of float32 values that it can hold."""
    return (np.asarray(states, np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.fixture
def states():
    """Two layers, three pairs, two sides, eight dimensions."""
    return np.random.default_rng(0).normal(size=(2, 3, 2, 8)).astype(np.float32)


def test_equal_runs_pass(states):
    """Nothing differs; both layers have a delta to speak of, and all six answers count."""
    found = compare(output(states), output(states), (0, 5))
    assert found.passed
    assert (found.max_rel_dh, found.layers_counted) == (0.0, (0, 5))
    assert found.median_delta_cos == pytest.approx(1.0)
    assert (found.answers_compared, found.answers_equal) == (6, 6)


@pytest.mark.parametrize(("error", "passed"), [(0.9e-5, True), (1.1e-5, False)])
def test_float32_passes_up_to_1e_5_of_a_hidden_state(error, passed):
    """The largest relative difference of any one hidden state decides."""
    plain = np.ones((1, 2, 2, 4), np.float32)
    fast = plain.copy()
    fast[0, 1, 1] *= np.float32(1 + error)
    assert compare(output(fast), output(plain), (0,)).passed is passed


def test_half_precision_asks_for_the_direction_of_the_delta():
    """A delta turned by 30 degrees fails although each hidden state is close."""
    plain = np.zeros((1, 1, 2, 4), np.float32)
    plain[0, 0] = [[16, 0, 0, 0], [16, 1, 0, 0]]
    fast = plain.copy()
    fast[0, 0, 1] = [16, 0.875, 0.5, 0]
    found = compare(output(bits(fast), "bfloat16"), output(bits(plain), "bfloat16"), (3,))
    assert found.layers_counted == (3,)
    assert found.median_delta_cos == pytest.approx(0.868, abs=1e-3)
    assert not found.passed


def test_layers_whose_delta_is_rounding_are_not_counted():
    """Below 2 % of the hidden state a delta has no direction to compare; then the answers decide."""
    plain = np.zeros((1, 1, 2, 2), np.float16)
    plain[0, 0] = [[100, 0], [100, 1]]
    fast = plain.copy()
    fast[0, 0, 1] = [100, -1]
    found = compare(output(fast, "float16"), output(plain, "float16"), (0,))
    assert found.layers_counted == ()
    assert math.isnan(found.median_delta_cos)
    assert found.passed
    wrong = output(fast, "float16", texts=(("right", "left"),))
    assert not compare(wrong, output(plain, "float16"), (0,)).passed


def test_a_near_tie_may_fall_either_way(states):
    """Answers with a margin up to 0.1 are not compared; in float32 one without a margin is."""
    margins = [[0.05, -0.1], [math.nan, 3], [-2, 1]]
    plain = output(states, margins=margins)
    turned = output(states, texts=(("right", "right"), ("left", "left"), ("left", "left")))
    found = compare(turned, plain, (0, 1))
    assert (found.answers_compared, found.answers_equal, found.passed) == (4, 4, True)
    wrong = output(states, texts=(("left", "left"), ("left", "right"), ("left", "left")))
    assert not compare(wrong, plain, (0, 1)).passed


def test_states_that_are_not_finite_never_pass(states):
    """NaN is no small difference."""
    broken = states.copy()
    broken[0, 0, 0, 0] = np.nan
    assert not compare(output(broken), output(states), (0, 1)).passed
    half = broken.astype(np.float16)
    assert not compare(output(half, "float16"), output(states.astype(np.float16), "float16"), (0, 1)).passed


def test_different_pairs_cannot_be_compared(states):
    """Order and shape must be the same."""
    with pytest.raises(ValueError, match="different pairs or shapes"):
        compare(output(states[:, :2]), output(states), (0, 1))
    with pytest.raises(ValueError, match="1 layer numbers for states of 2"):
        compare(output(states), output(states), (0,))


def test_the_first_the_largest_and_one_in_fifty_are_certified():
    """Each with its reason, in order."""
    sizes = [16] * 120
    sizes[70] = 18
    assert certified_batches(sizes) == {0: "first", 50: "sample", 70: "largest", 100: "sample"}


def test_few_batches():
    """A single batch is the first; no batch, nothing."""
    assert certified_batches([4]) == {0: "first"}
    assert certified_batches([4, 4, 2], every=2) == {0: "first", 2: "sample"}
    assert certified_batches([]) == {}


def half(states, leads=None, texts=None):
    """Make a run in bfloat16 of states that it can hold."""
    return replace(output(bits(states), "bfloat16", texts), leads=leads)


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), (0.0625, True), (0.125, False)])
def test_half_precision_may_be_as_far_from_float32_as_plain_forwards_are(error, passed):
    """Both runs round: the fast one passes while its deltas are no further off than 1.1 times the plain one's."""
    exact = np.zeros((1, 2, 2, 4), np.float32)
    exact[0, :, 1, 0] = 1.0
    plain, fast = exact.copy(), exact.copy()
    plain[0, :, 1, 1] = 0.0625
    fast[0, :, 1, 2] = error
    found = compare(half(fast), half(plain), (4,), output(exact))
    assert found.passed is passed
    assert (found.delta_error, found.plain_delta_error) == (error, 0.0625)


def test_an_answer_that_was_nearly_another_is_not_compared():
    """The label's margin is wide, but the word that won is tied with a third one."""
    states = np.ones((1, 1, 2, 4), np.float32)
    states[0, 0, 1] = 2.0
    plain = half(states, texts=(("red", "left"),))
    fast = half(states, leads=np.array([[0.25, 3.0]]), texts=(("4", "left"),))
    found = compare(fast, plain, (0,))
    assert (found.answers_compared, found.answers_equal, found.passed) == (1, 1, True)
    far = half(states, leads=np.array([[0.75, 3.0]]), texts=(("4", "left"),))
    assert not compare(far, plain, (0,)).passed


def test_an_exact_run_of_other_pairs_is_refused(states):
    """Comparing different pairs would say nothing."""
    with pytest.raises(ValueError, match="exact run holds different pairs"):
        compare(half(states), half(states), (0, 5), output(states[:, :2]))


def rounded(truth, generator, size):
    """Return a run whose states are as far from the true ones as rounding leaves them, and its bits."""
    return half(truth + size * generator.normal(size=truth.shape).astype(np.float32))


@pytest.fixture
def scene():
    """Twelve layers, eight pairs, 64 dimensions: true states, a plain and a fast run that both round."""
    generator = np.random.default_rng(3)
    truth = generator.normal(size=(12, 8, 2, 64)).astype(np.float32)
    return truth, rounded(truth, generator, 0.05), rounded(truth, generator, 0.05)


def test_one_row_with_the_states_of_another_fails_although_the_median_does_not_see_it(scene):
    """Seven of eight pairs are as they should be; the eighth is far from float32 where plain forwards are not."""
    truth, plain, fast = scene
    layers = tuple(range(12))
    assert compare(fast, plain, layers, output(truth)).passed
    states = fast.states.copy()
    states[:, 5, 1] = states[:, 2, 1]
    found = compare(replace(fast, states=states), plain, layers, output(truth))
    assert found.delta_error <= 1.1 * found.plain_delta_error
    assert found.pair_error_ratio > 3
    assert not found.passed


def test_without_float32_such_a_row_asks_for_it(scene):
    """Its deltas point elsewhere; only float32 tells whether that is a fault or the rounding of a faint delta."""
    _, plain, fast = scene
    layers = tuple(range(12))
    assert not compare(fast, plain, layers).needs_float32
    states = fast.states.copy()
    states[:, 5, 1] = states[:, 2, 1]
    found = compare(replace(fast, states=states), plain, layers)
    assert found.passed
    assert found.needs_float32
