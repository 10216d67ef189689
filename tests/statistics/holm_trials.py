"""Studies where there is nothing, judged at the level that Holm's rule asks of the smallest of 63 p-values.

A test may keep 5 % and not the tail: a t of a skewed statistic rejects too often far out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import unit
from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE_BALANCED,
    DELTA_ACCURACY,
    DELTA_COHERENCE,
    DELTA_VD_EI,
    DELTA_VD_EI_SIZE,
)
from vlmprobe.analysis.geometry import Layout, balanced_coherence, sums_of_vectors
from vlmprobe.analysis.inference import (
    LabelPermutations,
    contrast,
    contrast_of_sizes,
    paired_p_value,
    paired_t,
)

from .answer_trials import two_answers
from .outcomes import FALSE_AFTER_HOLM, Outcome, rejects
from .trials import two_angles

if TYPE_CHECKING:
    from .worlds import Twins

__all__ = ["accuracy_after_holm", "angles_after_holm", "axis_after_holm", "coherence_after_holm"]

#: Draws of labels in a study: as few as a refined p-value rests on.
_DRAWS = 2999


def coherence_after_holm(world: Twins, rng: np.random.Generator) -> list[Outcome]:
    """Two checkpoints whose axes are equally coherent."""
    samples = world.sample(rng)
    layout = Layout(samples[0].codes, samples[0].images, 2)
    both = [balanced_coherence(sums_of_vectors(each.deltas, layout).units.products(), 0) for each in samples]
    return [rejects(DELTA_COHERENCE.name, paired_t(contrast(both, (-1, 1))), FALSE_AFTER_HOLM)]


def angles_after_holm(rng: np.random.Generator, *, pairs: int, theta: float, cosine: float) -> list[Outcome]:
    """Two checkpoints with the same VD-EI."""
    angles = two_angles(rng, pairs=pairs, theta=theta, cosines=(cosine, cosine))
    return [
        rejects(DELTA_VD_EI.name, paired_t(contrast(angles, (-1, 1))), FALSE_AFTER_HOLM),
        rejects(DELTA_VD_EI_SIZE.name, contrast_of_sizes(angles, (-1, 1)).p_value(), FALSE_AFTER_HOLM),
    ]


def accuracy_after_holm(
    rng: np.random.Generator, *, images: int, an_image: int, changed: float
) -> list[Outcome]:
    """Two checkpoints that are right equally often; pairs of an image change together in part."""
    together = 0.6 if an_image > 1 else 0.0
    before, after, names = two_answers(
        rng, images=images, an_image=an_image, gain=0.0, changed=changed, together=together
    )
    return [rejects(DELTA_ACCURACY.name, paired_p_value(before, after, names), FALSE_AFTER_HOLM)]


def axis_after_holm(rng: np.random.Generator, *, pairs: int, order: float) -> list[Outcome]:
    """Deltas that do not depend on the category, with an order effect."""
    canonical = rng.permutation(np.arange(pairs) < round(0.65 * pairs))
    deltas = rng.normal(size=(pairs, 24))
    deltas[:, 0] += np.sqrt(24 * order / (1 - order))
    names = [str(place) for place in range(pairs)]
    family = LabelPermutations(canonical, names, names, seed=int(rng.integers(2**31)))
    values = family.statistics(unit(deltas)[0], np.concatenate([family.observed(), family.draw(_DRAWS)]))
    p_value = float((values >= values[0] - family.tolerance()).mean())
    return [rejects(AXIS_COHERENCE_BALANCED.name, p_value, FALSE_AFTER_HOLM)]
