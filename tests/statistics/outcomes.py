"""What an estimator said in one study of a world, and how that is counted."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.analysis.results import Metric

__all__ = [
    "AFTER_HOLM",
    "BIAS",
    "COVERAGE",
    "DRAWS",
    "FALSE_AFTER_HOLM",
    "FALSE_ALARMS",
    "FALSE_AXES",
    "FALSE_EQUIVALENCE",
    "FALSE_POSITIVES",
    "FALSE_SCENE",
    "POWER",
    "POWER_AT_MDE",
    "SHARE",
    "Outcome",
    "covers",
    "rejects",
]

COVERAGE, BIAS = "coverage", "bias"
#: Of a p-value at 5 %; of "an axis is there", which asks for more than a p-value; and where there is something.
FALSE_POSITIVES, FALSE_AXES, POWER = "false positives", "false axes", "power"
#: Of a p-value at Holm's strictest level in a comparison of five scales: .05 over 63 tests.
FALSE_AFTER_HOLM, AFTER_HOLM = "false positives after Holm", 0.05 / 63
#: Of a true difference of the size of the MDE, at .05 over the tests of the family.
POWER_AT_MDE = "power at the MDE"
#: Of "equivalent", where the difference is the margin.
FALSE_EQUIVALENCE = "false equivalence"
#: Of "something leaks", over all tests of a benchmark from which nothing does.
FALSE_ALARMS = "false alarms"
#: Of "axis of the scene", where no axis follows the scene; and how often a study ends with each verdict.
FALSE_SCENE, SHARE = "false scene verdicts", "share of verdicts"
#: Draws of a test within a study: 20 divides B + 1, so that a p-value at .05 is exact.
DRAWS = 399
_ALPHA = 0.05


@dataclass(frozen=True)
class Outcome:
    """What one estimator said in one study."""

    estimator: str
    measure: str
    hit: bool | None
    """Whether the interval held the truth, or the test rejected; None = it was NULL."""
    error: float = nan
    """Value less truth."""
    target: str = ""
    """The axis, angle or category that it was about, where a study asks about several."""


def covers(estimator: str, found: Estimate | Metric, true: float, target: str = "") -> Outcome:
    """Look whether an interval holds the truth."""
    error = nan if found.value is None else found.value - true
    if found.ci_low is None or found.ci_high is None:
        return Outcome(estimator, COVERAGE, None, error, target)
    return Outcome(estimator, COVERAGE, bool(found.ci_low <= true <= found.ci_high), error, target)


def rejects(
    estimator: str, p_value: float | None, measure: str = FALSE_POSITIVES, target: str = ""
) -> Outcome:
    """Look whether a test rejects at 5 %, or at Holm's strictest level."""
    level = AFTER_HOLM if measure == FALSE_AFTER_HOLM else _ALPHA
    return Outcome(estimator, measure, None if p_value is None else p_value <= level, target=target)
