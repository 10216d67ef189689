"""One row of a comparison: a paired difference, a slope, or the cosine between two checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import DELTA_ACCURACY, DELTA_COHERENCE
from vlmprobe.analysis.inference import Estimate, holm, largest_p, power_difference, power_mcnemar
from vlmprobe.analysis.trainings import over_trainings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.entries import Entry
    from vlmprobe.analysis.trainings import Trainings
    from vlmprobe.pairs.axes import AxisSet

__all__ = [
    "ALIKE",
    "ALPHA",
    "CLUSTERED_T",
    "MCNEMAR",
    "NO_TEST",
    "PAIRED_T",
    "T_OVER_TRAININGS",
    "Difference",
    "averaged",
    "missing",
    "with_holm",
]

#: A difference is resolved at this p-value after Holm's correction.
ALPHA = 0.05
MCNEMAR, CLUSTERED_T, PAIRED_T = "exact McNemar", "clustered t", "paired jackknife t"
T_OVER_TRAININGS = "t over trainings"
#: The angle between two directions is no difference: 0 is not what it is held against.
NO_TEST = ""
#: Of accuracies that are all 0, or all 1.
ALIKE = "all answers alike"


@dataclass(frozen=True, slots=True)
class Difference:
    """One paired difference (later minus earlier), slope, or cosine between two checkpoints."""

    entry: Entry
    target: str
    estimate: Estimate
    p_value: float | None
    """None where there is no test; ``estimate.reason`` says why."""
    method: str
    """The test."""
    n: int
    """Pairs behind it."""
    before: float | None = None
    """Value of the earlier checkpoint; None for slopes and cosines."""
    after: float | None = None
    gained: int | None = None
    """Of accuracy: pairs that only the later checkpoint gets right."""
    lost: int | None = None
    trainings: Trainings | None = None
    """Of several trainings: their spread. ``estimate`` is then their mean."""
    alike: bool = False
    """Of accuracy: whether all answers are wrong at both checkpoints, or all right. There is no spread to measure."""
    p_holm: float | None = None
    """Corrected for the family of tests that :func:`with_holm` was given."""
    n_tests: int = 1
    """Tests of that family."""
    control: str = ""
    """Of what is above a control: its kind, as it is stored. ``before`` and ``after`` are then less the control's."""
    control_before: float | None = None
    """What the earlier checkpoint's control has."""
    control_after: float | None = None
    of_controls: tuple[Estimate, Estimate] | None = None
    """The same two with their intervals; None over several trainings, whose intervals have no mean."""

    @property
    def mde(self) -> float | None:
        """The size of a true difference that about four of five such studies resolve, after Holm at its strictest."""
        if self.p_value is None or self.alike:
            return None
        level = ALPHA / self.n_tests
        if self.method == MCNEMAR and self.gained is not None and self.lost is not None:
            return power_mcnemar(self.n, min(self.gained, self.lost), level)
        n = self.trainings.n_trainings if self.trainings else self.estimate.n_images
        return power_difference(self.estimate.se, n, level)

    @property
    def remark(self) -> str:
        """Why a value, an interval or the MDE is missing, or what a reader must know of the value."""
        if self.alike:
            return ALIKE
        said = self.estimate.reason or self.estimate.note
        if said or self.p_value is None or self.mde is not None:
            return said
        return f"too few pairs to resolve any difference over {self.n_tests} tests"

    @property
    def is_resolved(self) -> bool:
        """Whether it differs from 0 after Holm's correction."""
        return self.p_holm is not None and self.p_holm <= ALPHA

    @property
    def is_worse(self) -> bool:
        """Whether accuracy or coherence has fallen, resolved."""
        value = self.estimate.value
        of_worth = self.entry in {DELTA_ACCURACY, DELTA_COHERENCE}
        return of_worth and self.is_resolved and value is not None and value < 0


def averaged(of_trainings: Sequence[Sequence[Difference]]) -> list[Difference]:
    """Average the rows of R trainings: mean, t interval and t test over trainings. One training stays as it is.

    Args:
        of_trainings: R lists of the same rows in the same order.
    """
    if len(of_trainings) == 1:
        return list(of_trainings[0])
    found = []
    for rows in zip(*of_trainings, strict=True):
        mean = over_trainings([row.estimate for row in rows])
        first = rows[0]
        has_test = any(row.method for row in rows)
        p_value, method = mean.p_value, T_OVER_TRAININGS
        if mean.sd == 0:
            # Trainings that differ by the same amount have no spread for a t, and each has a test of its own.
            p_value, method = largest_p([row.p_value for row in rows]), first.method
        found.append(
            replace(
                first,
                estimate=mean.estimate,
                p_value=p_value if has_test else None,
                method=method if has_test else NO_TEST,
                before=_mean([row.before for row in rows]),
                after=_mean([row.after for row in rows]),
                gained=None,
                lost=None,
                trainings=mean,
                control_before=_mean([row.control_before for row in rows]),
                control_after=_mean([row.control_after for row in rows]),
                of_controls=None,
                alike=all(row.alike for row in rows),
            )
        )
    return found


def with_holm(differences: Sequence[Difference]) -> list[Difference]:
    """Correct the p-values of one family of tests by Holm's rule."""
    adjusted = holm([each.p_value for each in differences])
    n_tests = max(1, sum(p_value is not None for p_value in adjusted))
    return [
        replace(each, p_holm=p_value, n_tests=n_tests)
        for each, p_value in zip(differences, adjusted, strict=True)
    ]


def missing(entries: Sequence[Entry], axes: AxisSet, reason: str) -> list[Difference]:
    """Return the rows of some entries without values."""
    return [
        Difference(entry, target, Estimate(None, 0, reason=reason), None, NO_TEST, 0)
        for entry in entries
        for target in entry.targets(axes)
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
