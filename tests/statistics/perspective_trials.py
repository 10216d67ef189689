"""Studies of distance pairs by perspective: the angle of either half with height, their gap, and their coherence."""

from __future__ import annotations

from math import sqrt

import numpy as np

from vlmprobe.analysis import perspective_metrics
from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.perspective_axes import PerspectiveAxes
from vlmprobe.pairs import SPACE

from .outcomes import BIAS, Outcome, covers
from .worlds import SwapWorld, truth

__all__ = ["perspectives"]

_TARGET = "vertical/distance"


def perspectives(
    rng: np.random.Generator, *, pairs: int, theta: float, cosines: tuple[float, float], share: float = 0.7
) -> list[Outcome]:
    """Consistent and counter distance pairs, whose axes stand at two angles to that of height.

    Args:
        rng: of the study.
        pairs: an axis, an image each.
        theta: signal per total variance of each axis.
        cosines: of height with the distance axis of consistent and of counter pairs.
        share: of consistent pairs.
    """
    seed = int(rng.integers(2**31))
    worlds = [SwapWorld(pairs=pairs, coherence=(theta,) * 3, cosine=cosine) for cosine in cosines]
    # The same labels, lengths and noise: the two differ in the distance axis alone.
    samples = [world.sample(np.random.default_rng(seed)) for world in worlds]
    codes, n = samples[0].codes, len(samples[0].codes)
    of_depth = np.flatnonzero(codes // 2 == 2)
    counter = np.zeros(n, dtype=bool)
    counter[rng.permutation(of_depth)[round(share * pairs) :]] = True
    deltas = np.where(counter[:, None], samples[1].deltas, samples[0].deltas)
    halves = ["counter" if each else "consistent" for each in counter]
    categories = [str(SPACE.categories[code]) for code in codes]
    found = PerspectiveAxes(categories, halves, samples[0].images)(np.zeros_like(deltas), deltas, layer=0)
    estimates = {
        each.name: Estimate(
            None if np.isnan(each.value) else each.value, 0, ci_low=each.ci_low, ci_high=each.ci_high
        )
        for each in found.metrics
        if each.target == _TARGET
    }
    first, second = cosines
    between = first * second + sqrt((1 - first**2) * (1 - second**2))
    true = {
        "vd_ei.consistent": first,
        "vd_ei.counter": second,
        "vd_ei.gap": first - second,
        "vd_ei.equal": (first + second) / 2 / sqrt((1 + between) / 2),
    }
    outcomes = [covers(name, estimates[name], value) for name, value in true.items()]
    of_halves = perspective_metrics(
        deltas[of_depth],
        [categories[row] for row in of_depth],
        [halves[row] for row in of_depth],
        [samples[0].images[row] for row in of_depth],
        layer=0,
    )
    value = next(each.value for each in of_halves if each.name == "perspective_cosine")
    outcomes.append(Outcome("perspective_cosine", BIAS, None, value - between))
    name = "axis_coherence.perspective"
    for (_, half), estimate in found.coherence.items():
        inside = codes[of_depth][counter[of_depth] == (half == "counter")]
        outcomes.append(covers(name, estimate, _pooled(worlds[half == "counter"], inside)))
    return outcomes


def _pooled(world: SwapWorld, codes: np.ndarray) -> float:
    """Return the mean cosine of so many far and close pairs, whichever they are."""
    true = truth(world)
    far, close = (codes == 4).sum(), (codes == 5).sum()
    across = (true["order"][2] * 4 - true["category"][4] - true["category"][5]) / 2
    total = far * (far - 1) * true["category"][4] + close * (close - 1) * true["category"][5]
    n = far + close
    return float((total - 2 * far * close * across) / (n * (n - 1)))
