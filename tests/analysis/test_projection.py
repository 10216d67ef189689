"""Principal components: scikit-learn's, with a sign that does not change from run to run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from vlmprobe.analysis import project_deltas, project_states


def states(seed, n, dim):
    """Make n pairs of states with a spectrum that decays."""
    rng = np.random.default_rng(seed)
    spread = 0.7 ** np.arange(dim)
    return rng.normal(size=(n, dim)) * spread, rng.normal(size=(n, dim)) * spread + 1.0


def oracle(vectors, k):
    """Project by scikit-learn, each component with its largest loading positive."""
    pca = PCA(k, svd_solver="full").fit(vectors)
    largest = np.take_along_axis(pca.components_, np.abs(pca.components_).argmax(axis=1)[:, None], axis=1)
    return pca.transform(vectors) * np.sign(largest).ravel(), pca.explained_variance_ratio_


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 20), st.integers(3, 20), st.sampled_from([2, 3]))
def test_points_and_explained_variance_are_those_of_scikit_learn(seed, n, dim, k):
    """Of states, original and swapped together, and of deltas; more points than dimensions or fewer."""
    orig, swap = states(seed, n, dim)
    categories = ["left"] * n

    for found, vectors in (
        (project_states(orig, swap, categories, k), np.vstack([orig, swap])),
        (project_deltas(orig, swap, categories, k), swap - orig),
    ):
        points, explained = oracle(vectors, k)
        assert found.explained == pytest.approx(explained, abs=1e-10)
        # Components of nearly equal variance may be turned into each other.
        if np.diff(-explained).min() > 1e-3:
            assert np.abs(np.abs(found.points) - np.abs(points)).max() < 1e-8


@pytest.mark.parametrize(("n", "dim"), [(450, 600), (700, 410)])
@pytest.mark.parametrize("decay", [0.5, 0.0])
def test_large_arrays_are_projected_by_iteration_to_the_same_result(n, dim, decay):
    """With a spectrum like that of states it converges; with a flat one all eigenvectors are computed."""
    rng = np.random.default_rng(1)
    deltas = rng.normal(size=(n, dim)) * np.arange(1, dim + 1) ** -decay

    found = project_deltas(np.zeros((n, dim)), deltas, ["far"] * n, 3)

    points, explained = oracle(deltas, 3)
    assert np.abs(found.points - points).max() < 1e-6
    assert found.explained == pytest.approx(explained, abs=1e-12)


def test_a_large_array_of_low_rank_is_projected_as_well():
    """The iteration runs out of directions; the third component has no variance and no coordinates."""
    rng = np.random.default_rng(2)
    deltas = rng.normal(size=(450, 2)) @ rng.normal(size=(2, 500))

    found = project_deltas(np.zeros((450, 500)), deltas, ["far"] * 450, 3)

    points, _ = oracle(deltas, 2)
    assert np.abs(found.points[:, :2] - points).max() < 1e-8
    assert found.explained[2] == 0.0
    assert (found.points[:, 2] == 0).all()


@pytest.mark.parametrize("kind", ["a few directions", "one large dimension", "far from zero", "of rank two"])
@pytest.mark.parametrize("n", [450, 900])
def test_states_in_float32_have_the_components_that_float64_finds(n, kind):
    """As extractions store them: the shares to 1e-6, the points to a thousandth of the width of a figure."""
    rng = np.random.default_rng(3)
    dim = 600
    states = rng.normal(size=(n, 20)) @ (rng.normal(size=(20, dim)) * np.geomspace(8.0, 0.5, 20)[:, None])
    states += rng.normal(size=(n, dim))
    if kind == "one large dimension":
        states[:, 7] = 300.0 * states[:, 7] + 5000.0
    if kind == "far from zero":
        states += 300.0 * rng.normal(size=dim)
    if kind == "of rank two":
        states = rng.normal(size=(n, 2)) @ rng.normal(size=(2, dim))
    states = states.astype(np.float32)
    nothing = np.zeros((n, dim))

    exact = project_deltas(nothing, states.astype(np.float64), ["far"] * n, 3)
    found = project_deltas(nothing.astype(np.float32), states, ["far"] * n, 3)

    assert found.explained == pytest.approx(exact.explained, abs=1e-6)
    shown = exact.points[:, :2] if kind == "of rank two" else exact.points
    for component, points in zip(found.points.T, shown.T, strict=False):
        assert np.abs(component - points).max() < 1e-3 * np.ptp(points)


def test_the_largest_loading_is_positive():
    """Points along (-3, -1): the first one has the larger coordinate, so it comes last."""
    deltas = np.array([[-3.0, -1.0], [0.0, 0.0], [3.0, 1.0]])

    found = project_deltas(np.zeros((3, 2)), deltas, ["far", "far", "close"])

    assert found.points[:, 0] == pytest.approx([-np.sqrt(10), 0.0, np.sqrt(10)])
    assert found.explained == pytest.approx([1.0, 0.0])


def test_two_components_are_the_first_two_of_three():
    """A figure in two dimensions can use the projection of one in three."""
    orig, swap = states(0, 12, 6)
    two, three = (project_deltas(orig, swap, ["far"] * 12, k) for k in (2, 3))

    assert np.array_equal(two.points, three.points[:, :2])
    assert two.explained == three.explained[:2]


def test_labels_follow_the_points():
    """States: all originals, then all swapped ones; deltas: one point a pair."""
    orig, swap = states(0, 4, 3)
    categories = ["left", "under", "far", "close"]

    both, deltas = project_states(orig, swap, categories), project_deltas(orig, swap, categories)

    assert both.categories == ("left", "below", "far", "close") * 2
    assert both.sides == ("orig",) * 4 + ("swap",) * 4
    assert both.points.shape == (8, 2)
    assert (deltas.categories, deltas.sides) == (("left", "below", "far", "close"), ())
    assert deltas.points.shape == (4, 2)


@pytest.mark.parametrize(("n", "dim"), [(0, 3), (2, 3), (5, 1)])
def test_too_few_points_or_dimensions_give_nan(n, dim):
    """Two components need three points and two dimensions."""
    found = project_deltas(*states(0, n, dim), ["far"] * n)

    assert found.points.shape == (n, 2)
    assert np.isnan(found.points).all()
    assert np.isnan(found.explained).all()


def test_equal_deltas_have_no_components():
    """Without variance there is nothing to explain: NaN, not a division by zero."""
    found = project_deltas(np.zeros((6, 3)), np.full((6, 3), 0.1), ["far"] * 6)

    assert np.isnan(found.points).all()
    assert np.isnan(found.explained).all()


def test_what_does_not_fit_is_refused():
    """States that are no numbers, columns of another length."""
    orig, swap = states(0, 4, 3)
    with pytest.raises(ValueError, match="not finite; extract them again"):
        project_states(orig * np.nan, swap, ["far"] * 4)
    with pytest.raises(ValueError, match="4 pairs need 4 categories, got 3"):
        project_deltas(orig, swap, ["far"] * 3)
    with pytest.raises(ValueError, match="at least one component, got 0"):
        project_deltas(orig, swap, ["far"] * 4, 0)
