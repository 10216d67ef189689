"""Benchmarks from which nothing leaks: how often a check raises an alarm all the same."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vlmprobe.analysis.leaks import find_leaks
from vlmprobe.pairs import SPACE

from ..analysis.leaks.benchmarks import perspectives_of, simulated
from .experiment import TESTED, Experiment
from .outcomes import DRAWS, FALSE_ALARMS, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = ["LEAKS"]


def checked(pairs_an_image: Sequence[int], canonical_share: float, rng: np.random.Generator) -> list[Outcome]:
    """Draw a benchmark of three axes, by chance alone, and look whether any of its checks raises an alarm."""
    seed = int(rng.integers(2**31))
    pairs = simulated(seed, pairs_an_image=pairs_an_image, canonical_share=canonical_share)
    found = find_leaks(pairs, SPACE, perspectives_of(pairs, seed), n_draws=DRAWS, seed=seed)
    return [Outcome("leaks, all checks together", FALSE_ALARMS, any(leak.is_alarm for leak in found))]


LEAKS = [
    Experiment(f"benchmark without a leak: {text}, 80 pairs an axis", partial(checked, sizes, share), TESTED)
    for text, sizes, share in (
        ("one pair an image, balanced categories", (1,), 0.5),
        ("one to four pairs an image, 80% canonical", (1, 2, 3, 4), 0.8),
    )
]
