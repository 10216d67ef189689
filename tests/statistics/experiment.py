"""One world of the simulation suite, studied many times, and why its estimators may be too safe in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from .outcomes import Outcome

__all__ = ["BOTH", "COVERED", "DISCRETE", "NOISE", "OPEN", "TESTED", "Experiment"]

#: Studies of a world that asks for coverage and power alone, and of one that asks for a rate of false findings as well.
COVERED, TESTED = 500, 1000
#: Why an interval is too wide, or a test too strict, by its construction.
NOISE = "few images and a weak axis: the jackknife counts the spread of products of noise twice"
BOTH = "an axis must also be resolved in |alpha|^2"
OPEN = f"{NOISE}; where a sign is open, both are allowed for"
DISCRETE = "exact test of few changed pairs"


@dataclass(frozen=True)
class Experiment:
    """One world, studied many times."""

    world: str
    study: Callable[[np.random.Generator], list[Outcome]]
    replicates: int
    notes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(estimator, measure) -> why it is conservative here."""
    limits: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(estimator, measure) -> a limit that the documentation states: the cell is printed and not judged."""
    median_bias: float | None = None
    """What the median error of VD-EI may be."""
