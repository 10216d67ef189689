"""Studies that ask whether an axis is one of the scene, by the whole list of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import unit
from vlmprobe.analysis.controls import Origin, verdict
from vlmprobe.analysis.inference import AxisTests, Directions, LabelPermutations

from .outcomes import FALSE_SCENE, POWER, SHARE, Outcome

if TYPE_CHECKING:
    from vlmprobe.analysis.controls import Evidence, Verdict

    from .scene_world import SceneWorld

__all__ = ["judge", "scene_verdict"]

_DRAWS = 1199
#: Three axes of five scales.
_TESTS = 15


def scene_verdict(world: SceneWorld, rng: np.random.Generator) -> list[Outcome]:
    """Run the rules on one study, and look what its axis is called."""
    found = judge(world.evidence(rng), rng, n_tests=_TESTS if world.space else 1)
    measure = POWER if world.space else FALSE_SCENE
    shares = [Outcome(f"verdict: {origin}", SHARE, found.origin is origin) for origin in Origin]
    return [Outcome("axis of the scene", measure, found.origin is Origin.SCENE), *shares]


def judge(evidence: Evidence, rng: np.random.Generator, *, n_tests: int) -> Verdict:
    """Test the axis as a run's is tested, and apply the rules.

    Args:
        evidence: of one study.
        rng: for the seed of the draws.
        n_tests: Holm's factor: of all tests where the others find nothing, 1 where all others are clear. The one is
            the worst for power, the other for false verdicts.
    """
    family = LabelPermutations(
        evidence.canonical,
        evidence.images,
        [f"pair {place}" for place in range(len(evidence.images))],
        seed=int(rng.integers(2**31)),
    )
    directions = Directions(unit(evidence.real)[0].astype(np.float32))
    tests = AxisTests({"axis": family}, n_draws=_DRAWS, n_tests=n_tests)
    p_value = tests.finish([tests.of_layer({"axis": directions})], lambda *_: directions)["axis"].p_value
    return verdict(evidence, None if p_value is None else min(1.0, n_tests * p_value))
