"""Studies of answers: how many are right, and how many more than before."""

from __future__ import annotations

import numpy as np

from vlmprobe.analysis.inference import (
    Estimate,
    binomial_se,
    effective_wilson,
    equivalence,
    paired_difference,
    paired_p_value,
    share_gap,
    share_se,
)
from vlmprobe.analysis.inference.equivalence import EQUIVALENT

from .outcomes import FALSE_EQUIVALENCE, FALSE_POSITIVES, POWER, Outcome, covers, rejects

__all__ = ["accuracy", "paired_accuracy", "perspective_gap", "reproduced", "two_answers"]


def _answers(
    rng: np.random.Generator, p: float, correlation: float, sizes: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Draw answers whose chance of being right differs from image to image (beta-binomial)."""
    chance = np.full(len(sizes), p)
    if correlation:
        scale = 1 / correlation - 1
        chance = rng.beta(p * scale, (1 - p) * scale, size=len(sizes))
    image_of = np.repeat(np.arange(len(sizes)), sizes)
    return rng.random(len(image_of)) < chance[image_of], [str(image) for image in image_of]


def accuracy(
    rng: np.random.Generator, *, p: float, correlation: float, images: int, most: int
) -> list[Outcome]:
    """Share of right answers; 1 to ``most`` pairs an image, or all with 4 where ``most`` is 4 and images are even."""
    sizes = np.full(images, 4) if most == 4 else rng.integers(1, most + 1, size=images)
    correct, names = _answers(rng, p, correlation, sizes)
    return [covers("accuracy", effective_wilson(correct, names), p)]


def two_answers(
    rng: np.random.Generator, *, images: int, an_image: int, gain: float, changed: float, together: float
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draw whether each pair is right at two checkpoints, and the pairs' images."""
    n = images * an_image
    names = [str(i // an_image) for i in range(n)]
    before = rng.random(n) < 0.5
    way = (changed + gain) / changed / 2
    of_image = np.repeat(rng.random(images) < way, an_image)
    up = np.where(rng.random(n) < together, of_image, rng.random(n) < way)
    change = rng.random(n) < changed
    # Changes go up or down by chance; those that cannot are taken as changed the other way round.
    before = np.where(change, ~up, before)
    after = np.where(change, up, before)
    return before, after, names


def paired_accuracy(
    rng: np.random.Generator,
    *,
    images: int,
    an_image: int,
    gain: float,
    changed: float,
    together: float = 0.0,
) -> list[Outcome]:
    """Two checkpoints' answers: a share of pairs changes, up or down, some as the others of their image."""
    before, after, names = two_answers(
        rng, images=images, an_image=an_image, gain=gain, changed=changed, together=together
    )
    kind = POWER if gain else FALSE_POSITIVES
    return [
        covers("delta.accuracy", paired_difference(before, after, names), gain),
        rejects("delta.accuracy", paired_p_value(before, after, names), kind),
    ]


def perspective_gap(
    rng: np.random.Generator,
    *,
    chances: tuple[float, float],
    images: int,
    an_image: int,
    share: float = 0.5,
    correlation: float = 0.0,
) -> list[Outcome]:
    """Draw the gap of consistent and counter pairs; those of an image may be of either perspective."""
    image_of = np.repeat(np.arange(images), an_image)
    first = rng.random(len(image_of)) < share
    ease = rng.random(images)[image_of]
    # An image's pairs are right together in a part of the draws, whatever their perspective.
    together = rng.random(len(image_of)) < np.sqrt(correlation)
    draw = np.where(together, ease, rng.random(len(image_of)))
    correct = draw < np.where(first, *chances)
    found = share_gap(correct, first, [str(image) for image in image_of])
    return [covers("accuracy.perspective (gap)", found, chances[0] - chances[1])]


def reproduced(
    rng: np.random.Generator,
    *,
    theirs: float,
    n_theirs: int,
    gap: float,
    margin: float,
    images: int,
    an_image: int,
    correlation: float = 0.0,
) -> list[Outcome]:
    """Compare a published accuracy of n questions with ours, which is lower by ``gap``."""
    published = rng.binomial(n_theirs, theirs) / n_theirs
    correct, names = _answers(rng, theirs - gap, correlation, np.full(images, an_image))
    ours = effective_wilson(correct, names)
    error = share_se(ours)
    if ours.value is None or error is None:
        return []
    se = float(np.hypot(error, binomial_se(published, n_theirs)))
    found = equivalence(ours.value - published, se, margin, ours.n_images - 1)
    says = Outcome(
        "reproduce (TOST)", FALSE_EQUIVALENCE if abs(gap) >= margin else POWER, found.verdict == EQUIVALENT
    )
    interval = Estimate(found.difference, ours.n_images, found.se, found.ci_low, found.ci_high)
    outcomes = [says, covers("reproduce (difference)", interval, -gap)]
    if gap == 0:
        outcomes.append(rejects("reproduce (difference)", found.p_different))
    return outcomes
