"""Studies of answers: how many are right, and how many more than before."""

from __future__ import annotations

import numpy as np

from vlmprobe.analysis.inference import effective_wilson, paired_difference, paired_p_value

from .outcomes import FALSE_POSITIVES, POWER, Outcome, covers, rejects

__all__ = ["accuracy", "paired_accuracy"]


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
    kind = POWER if gain else FALSE_POSITIVES
    return [
        covers("delta.accuracy", paired_difference(before, after, names), gain),
        rejects("delta.accuracy", paired_p_value(before, after, names), kind),
    ]
