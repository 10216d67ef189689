"""Several trainings of one scale: their mean, and how far trainings differ beside what pictures leave open."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.inference.estimate import two_sided_p, upper_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NO_SPREAD", "ONE_TRAINING", "Trainings", "over_trainings"]

ONE_TRAINING = "one training: nothing is known of others"
NO_SPREAD = "the trainings do not differ"


@dataclass(frozen=True, slots=True)
class Trainings:
    """One number of R trainings that were asked about the same pictures."""

    estimate: Estimate
    """Mean over the trainings; the interval is t's with R - 1 degrees of freedom. ``n_images`` is that of the training
    that has the fewest."""
    n_trainings: int
    """R."""
    sd: float | None
    """Standard deviation between the trainings; None for fewer than two values."""
    se_images: float | None
    """Root of the mean squared standard error over images: what each value would move by with other pictures."""

    @property
    def p_value(self) -> float | None:
        """Two-sided p of Student's t against 0."""
        value, se = self.estimate.value, self.estimate.se
        return None if value is None or not se else two_sided_p(value / se, self.n_trainings - 1)


def over_trainings(estimates: Sequence[Estimate]) -> Trainings:
    """Average one number over R trainings, with the interval mean -+ t_{R - 1} SD / sqrt(R).

    The interval is about further trainings, asked about these pictures. What the pictures have in common moves all
    trainings together and is not in it; ``se_images`` stands beside.

    A value that one training lacks is missing: a mean over those that have one would be a selection.
    """
    n = len(estimates)
    n_images = min((each.n_images for each in estimates), default=0)
    values = [each.value for each in estimates if each.value is not None]
    errors = [each.se for each in estimates if each.se is not None]
    se_images = sqrt(float(np.mean(np.square(errors)))) if n and len(errors) == n else None
    if len(values) < n or not n:
        why = next((each.reason for each in estimates if each.value is None), ONE_TRAINING)
        missing = f"not in {n - len(values)} of {n} trainings: {why}"
        return Trainings(Estimate(None, n_images, reason=missing), n, None, se_images)
    mean = float(np.mean(values))
    if n < 2:
        return Trainings(Estimate(mean, n_images, reason=ONE_TRAINING), n, None, se_images)
    sd = float(np.std(values, ddof=1))
    if sd == 0:
        return Trainings(Estimate(mean, n_images, reason=NO_SPREAD), n, sd, se_images)
    se = sd / sqrt(n)
    half = upper_quantile(n - 1) * se
    return Trainings(Estimate(mean, n_images, se, mean - half, mean + half), n, sd, se_images)
