"""When a cell of the table holds: exact binomial intervals against bars that were set beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv

from .outcomes import (
    AFTER_HOLM,
    BIAS,
    COVERAGE,
    FALSE_AFTER_HOLM,
    FALSE_ALARMS,
    FALSE_AXES,
    FALSE_EQUIVALENCE,
    FALSE_POSITIVES,
    FALSE_SCENE,
    POWER_AT_MDE,
    Outcome,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .experiment import Experiment

__all__ = ["BARS", "Cell", "cells_of", "exact_interval", "named"]

BARS = {
    COVERAGE: (0.92, 0.99),
    FALSE_POSITIVES: (0.035, 0.065),
    # Far out in the tails: twice the level is the bar, and a test that is too strict there is no fault.
    FALSE_AFTER_HOLM: (0.0, 2 * AFTER_HOLM),
    FALSE_AXES: (0.0, 0.065),
    FALSE_ALARMS: (0.0, 0.065),
    FALSE_EQUIVALENCE: (0.0, 0.065),
    # 4 of 200.
    FALSE_SCENE: (0.0, 0.02),
    POWER_AT_MDE: (0.7, 0.95),
}
#: Of the exact binomial interval, so that among hundreds of sound cells none fails by chance.
_LEVEL = 0.999
#: Standard errors by which a median bias must pass its bar to fail.
_BIAS_ERRORS = 3.3
#: Studies in which an estimator must be printed for its rate to be judged.
_FEWEST = 30
#: Verdicts, each with one reason, that the targets of an estimator may share in one cell.
_SHARED = {"", "ok", "conservative"}


@dataclass(frozen=True)
class Cell:
    """One estimator in one world."""

    estimator: str
    world: str
    measure: str
    studies: int
    printed: float
    """Share of studies in which it was not NULL."""
    rate: float
    """Share of those that were covered or rejected; NaN for a row of bias."""
    low: float
    high: float
    """Exact 99.9 % interval of the rate."""
    bias: float
    """Median error of the value."""
    verdict: str
    """``ok``, ``borderline``, ``conservative``, ``fails``, ``limit``, or empty where there is no bar."""
    reason: str = ""


def exact_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share at 99.9 %."""
    tail = (1 - _LEVEL) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return low, high


def cells_of(
    experiment: Experiment, outcomes: Iterable[Outcome], apart: Collection[tuple[str, str]] = ()
) -> list[Cell]:
    """Sum the outcomes of one experiment up to its cells.

    The targets of an estimator share a cell where each of them is judged alike by itself: a rate over all axes would
    hide the one that fails. Else, and where a limit is stated, each has a cell, with its name in brackets.

    Args:
        experiment: whose outcomes they are.
        outcomes: of all its studies.
        apart: estimators and measures whose targets have cells of their own in any case.
    """
    sorted_out: dict[tuple[str, str], dict[str, list[Outcome]]] = {}
    for each in outcomes:
        of_targets = sorted_out.setdefault((each.estimator, each.measure), {})
        of_targets.setdefault(each.target, []).append(each)
    return [
        cell
        for (estimator, measure), of_targets in sorted_out.items()
        for cell in _cells(experiment, estimator, measure, of_targets, (estimator, measure) in apart)
    ]


def _cells(
    experiment: Experiment, estimator: str, measure: str, of_targets: dict[str, list[Outcome]], apart: bool
) -> list[Cell]:
    cells = [
        _cell(experiment, estimator, measure, outcomes, target) for target, outcomes in of_targets.items()
    ]
    verdicts = {(cell.verdict, cell.reason) for cell in cells}
    if apart or len(cells) == 1 or len(verdicts) > 1 or cells[0].verdict not in _SHARED:
        return cells
    joint = _cell(experiment, estimator, measure, [one for each in of_targets.values() for one in each], "")
    # The targets of one study are not independent: the interval is no narrower than that of any of them.
    return [
        replace(
            joint,
            studies=max(cell.studies for cell in cells),
            low=min(cell.low for cell in cells),
            high=max(cell.high for cell in cells),
            verdict=cells[0].verdict,
            reason=cells[0].reason,
        )
    ]


def named(estimator: str, target: str) -> str:
    """Return what a cell of one target is called."""
    if target and estimator.endswith(")"):
        return f"{estimator[:-1]}, {target})"
    return f"{estimator} ({target})" if target else estimator


def _cell(experiment: Experiment, estimator: str, measure: str, outcomes: list[Outcome], target: str) -> Cell:
    hits = [each.hit for each in outcomes if each.hit is not None]
    errors = [each.error for each in outcomes if each.error == each.error]
    n, k = len(hits), sum(hits)
    rate, (low, high) = (k / n, exact_interval(k, n)) if n else (nan, (0.0, 1.0))
    bias = float(np.median(errors)) if errors else nan
    # Of a median, nearly: 1.25 standard errors of a mean.
    bias_error = 1.25 * float(np.std(errors)) / sqrt(len(errors)) if errors else nan
    key, name = (estimator, measure), named(estimator, target)
    limit = experiment.limits.get((name, measure)) or experiment.limits.get(key)
    verdict, reason = _verdict(measure, rate, low, high), ""
    if measure == BIAS:
        verdict, reason = "", "published definition, without an interval"
    elif n < _FEWEST and measure in BARS:
        verdict, reason = "", "printed in too few studies to be judged"
    elif limit:
        verdict, reason = "limit", limit
    elif verdict == "conservative" or (
        verdict == "borderline" and key in experiment.notes and _is_safe(measure, rate)
    ):
        # With a stated reason it need not be studied again: it misleads nobody, whatever more studies would show.
        reason = experiment.notes.get(key, "")
        verdict = "conservative" if reason else "fails"
    elif estimator.startswith("vd_ei.corrected") and (
        experiment.median_bias and abs(bias) - _BIAS_ERRORS * bias_error > experiment.median_bias
    ):
        verdict, reason = "fails", f"median bias above {experiment.median_bias}"
    printed = n / len(outcomes) if measure != BIAS else len(errors) / len(outcomes)
    return Cell(
        name, experiment.world, measure, len(outcomes), printed, rate, low, high, bias, verdict, reason
    )


def _verdict(measure: str, rate: float, low: float, high: float) -> str:
    if measure not in BARS or rate != rate:
        return ""
    floor, top = BARS[measure]
    if floor <= rate <= top:
        return "ok"
    if low <= top and high >= floor:
        return "borderline"
    return "conservative" if _is_safe(measure, rate) else "fails"


def _is_safe(measure: str, rate: float) -> bool:
    """Whether a rate outside its bar is so by too wide an interval, too strict a test or too large an MDE.

    That misleads nobody; it costs power.
    """
    floor, top = BARS[measure]
    return rate > top if measure in {COVERAGE, POWER_AT_MDE} else rate < floor
