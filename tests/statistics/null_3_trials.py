"""Studies of what an exchange of pictures does to random weights: whether the interval of Null 3 holds the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from vlmprobe.analysis.catalog.robustness import NULL_3
from vlmprobe.analysis.controls import Counterbalanced, Evidence, null_3

from .experiment import NOISE, Experiment
from .outcomes import COVERAGE, FALSE_AXES, POWER, Outcome, covers
from .scene_world import SceneWorld, length
from .worlds import coherence_of

__all__ = ["NULLS_3", "UntrainedWorld", "read_null_3"]

#: Pairs behind a truth that has no closed form.
_MANY = 20_000


@dataclass(frozen=True)
class UntrainedWorld:
    """One axis of N pairs, read from random weights. Each number is a coherence: signal per total variance."""

    pairs: int = 100
    an_image: int = 1
    alike: float = 0.95
    """Correlation of the noise of the two templates: little of a wording is left in a network that reads none."""
    order: float = 0.0
    """Of what an exchange does to every pair alike, whatever its relation."""
    carried: float = 0.0
    """Of what is of the two objects, and turns with the order in which they are named, not with the relation."""
    objects: int = 24
    """Names that the pairs draw two of, at random."""
    leaked: float = 0.0
    """Of what turns with the relation, though nothing was learnt."""
    steep: float = 1.0
    """As in :class:`SceneWorld`: at 1.5 the deltas fill 5 dimensions."""

    def evidence(self, rng: np.random.Generator) -> Evidence:
        """Draw the pairs; directions are the same in every study."""
        found = SceneWorld(
            pairs=self.pairs,
            an_image=self.an_image,
            position=self.leaked,
            shared=self.alike,
            steep=self.steep,
            fixed=12,
        ).evidence(rng)
        assert found.scene is not None
        dim = found.scene.first.shape[1]
        every_pair = np.random.default_rng(13).normal(size=dim)
        ends = np.array([rng.choice(self.objects, 2, replace=False) for _ in range(self.pairs)])
        of_object = rng.normal(size=(self.objects, dim)) / np.sqrt(2 * dim) * length(self.carried)
        part = of_object[ends[:, 0]] - of_object[ends[:, 1]]
        part += every_pair / np.linalg.norm(every_pair) * length(self.order)
        return replace(found, null_3=Counterbalanced(found.scene.first + part, found.scene.opposite + part))


def read_null_3(world: UntrainedWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look whether Null 3 holds what the exchange does to random weights, which is 0 unless the benchmark leaks."""
    found = null_3(world.evidence(rng))
    assert found is not None
    estimate, _ = found
    above = None if estimate.ci_low is None else estimate.ci_low > 0
    true = _truth(world) if world.leaked else 0.0
    measure = POWER if world.leaked else FALSE_AXES
    return [covers(NULL_3.name, estimate, true), Outcome(NULL_3.name, measure, above)]


@lru_cache(maxsize=16)
def _truth(world: UntrainedWorld) -> float:
    many = replace(world, pairs=_MANY, an_image=1).evidence(np.random.default_rng(36))
    assert many.null_3 is not None
    return coherence_of(many.null_3.space, np.asarray(many.canonical))


_NOTHING = UntrainedWorld()
_WORLDS = {
    "nothing": _NOTHING,
    "an order effect .3 and objects .5": replace(_NOTHING, order=0.3, carried=0.5),
    "the same in few dimensions": replace(_NOTHING, order=0.3, carried=0.5, steep=1.5),
    "the benchmark leaks .05": replace(_NOTHING, leaked=0.05, order=0.1, carried=0.3),
    "the benchmark leaks .2": replace(_NOTHING, leaked=0.2, order=0.1, carried=0.3),
}
#: Pairs, and how many an image.
_SIZES = ((40, 1), (100, 1), (200, 4))

NULLS_3 = [
    Experiment(
        f"Null 3: {name}, {pairs} pairs, {an_image} an image",
        partial(read_null_3, replace(world, pairs=pairs, an_image=an_image)),
        400,
        {(NULL_3.name, COVERAGE): NOISE},
    )
    for name, world in _WORLDS.items()
    for pairs, an_image in _SIZES
]
