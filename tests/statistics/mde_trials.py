"""Studies of a world whose true difference is the MDE that studies of it print: four of five should resolve it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import DELTA_ACCURACY, DELTA_COHERENCE, DELTA_VD_EI_SIZE
from vlmprobe.analysis.comparison import Geometry, SharedPairs, accuracy_differences, geometry_differences
from vlmprobe.analysis.difference import ALPHA
from vlmprobe.analysis.geometry import Layout, balanced_coherence, sums_of_vectors

from .answer_trials import two_answers
from .outcomes import POWER_AT_MDE, Outcome
from .trials import twin_truth, two_angles
from .worlds import Twins

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.analysis.difference import Difference

__all__ = ["accuracy_at_mde", "coherence_at_mde", "size_at_mde"]

#: Studies of a pilot, and pilots one after the other: the MDE depends a little on the difference that is there.
_PILOT, _PILOTS = 60, 5


def _resolved(row: Difference) -> list[Outcome]:
    """Look whether a test rejects in the family at its strictest."""
    hit = None if row.p_value is None else row.p_value <= ALPHA / row.n_tests
    return [Outcome(row.entry.name, POWER_AT_MDE, hit)]


def _settled(study: Callable[[np.random.Generator, float], Difference], first: float) -> float:
    """Return the difference that is the mean MDE of studies in which it is the true one."""
    found = first
    for pilot in range(_PILOTS):
        rows = (study(np.random.default_rng([4, pilot, number]), found) for number in range(_PILOT))
        found = float(np.mean([row.mde for row in rows if row.mde is not None]))
    return found


def _accuracy(
    rng: np.random.Generator, gain: float, *, images: int, an_image: int, both: float, together: float
) -> Difference:
    changed = both + gain
    before, after, names = two_answers(
        rng, images=images, an_image=an_image, gain=gain, changed=changed, together=together
    )
    n = len(names)
    pairs = SharedPairs(tuple(map(str, range(n))), ("far",) * n, tuple(names), (None,) * n)
    found = accuracy_differences(before, after, pairs)
    return next(row for row in found if (row.entry, row.target) == (DELTA_ACCURACY, "overall"))


def accuracy_at_mde(
    rng: np.random.Generator,
    *,
    images: int,
    an_image: int,
    both: float,
    n_tests: int,
    together: float = 0.0,
) -> list[Outcome]:
    """Share ``both`` of the pairs changes either way, half of it up; and besides as many up as the MDE says."""
    how = {"images": images, "an_image": an_image, "both": both, "together": together}
    return _resolved(replace(_accuracy(rng, _gain(n_tests, **how), **how), n_tests=n_tests))


@lru_cache(maxsize=64)
def _gain(n_tests: int, **how: float) -> float:
    return _settled(lambda rng, gain: replace(_accuracy(rng, gain, **how), n_tests=n_tests), 0.1)  # type: ignore[arg-type]


def _coherence(rng: np.random.Generator, pairs: int, thetas: tuple[float, float]) -> Difference:
    samples = Twins(pairs, thetas, 0.9).sample(rng)
    layout = Layout(samples[0].codes, samples[0].images, 2)
    readings = [
        Geometry({"axis": balanced_coherence(sums_of_vectors(each.deltas, layout).units.products(), 0)}, {})
        for each in samples
    ]
    (row,) = geometry_differences(*readings, {"axis": pairs})
    assert row.entry is DELTA_COHERENCE
    return row


def coherence_at_mde(rng: np.random.Generator, *, pairs: int, theta: float, n_tests: int) -> list[Outcome]:
    """Let the later checkpoint hold its axis more coherently, and a little turned."""
    later = _later_theta(pairs, theta, n_tests)
    return _resolved(replace(_coherence(rng, pairs, (theta, later)), n_tests=n_tests))


@lru_cache(maxsize=64)
def _later_theta(pairs: int, theta: float, n_tests: int) -> float:
    dim = Twins().dim
    # The coherence of unit vectors is nearly theta, and nearly in line with it.
    slope = (twin_truth(theta + 0.1, dim) - twin_truth(theta, dim)) / 0.1

    def study(rng: np.random.Generator, gain: float) -> Difference:
        return replace(_coherence(rng, pairs, (theta, theta + gain / slope)), n_tests=n_tests)

    return theta + _settled(study, 0.05) / slope


def _size(rng: np.random.Generator, pairs: int, cosines: tuple[float, float]) -> Difference:
    readings = [
        Geometry({}, {"vertical/distance": angle})
        for angle in two_angles(rng, pairs=pairs, theta=0.5, cosines=cosines)
    ]
    rows = geometry_differences(*readings, {"vertical/distance": 2 * pairs})
    return next(row for row in rows if row.entry is DELTA_VD_EI_SIZE)


def size_at_mde(rng: np.random.Generator, *, pairs: int, cosine: float, n_tests: int) -> list[Outcome]:
    """Vertical and distance at a larger VD-EI at the later checkpoint, with a coherence of .5."""
    later = cosine + _larger(pairs, cosine, n_tests)
    return _resolved(replace(_size(rng, pairs, (cosine, later)), n_tests=n_tests))


@lru_cache(maxsize=64)
def _larger(pairs: int, cosine: float, n_tests: int) -> float:
    def study(rng: np.random.Generator, gain: float) -> Difference:
        return replace(_size(rng, pairs, (cosine, min(1.0, cosine + gain))), n_tests=n_tests)

    return _settled(study, 0.2)
