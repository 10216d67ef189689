"""When a cell of the table holds: exact binomial intervals against bars that were set beforehand."""

from __future__ import annotations

from dataclasses import dataclass
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
    from collections.abc import Collection, Iterable, Sequence

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
#: Of one target among several: less is asked for, since it is not judged by this, only looked at by itself.
_LEVEL_OF_TARGET = 0.99
#: Standard errors by which a median bias must pass its bar to fail.
_BIAS_ERRORS = 3.3
#: Studies in which an estimator must be printed for its rate to be judged.
_FEWEST = 30


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


def exact_interval(hits: int, n: int, level: float = _LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share, at 99.9 %."""
    tail = (1 - level) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return low, high


def cells_of(
    experiment: Experiment, outcomes: Iterable[Outcome], like: Collection[Cell] | None = None
) -> list[Cell]:
    """Sum the outcomes of one experiment up to its cells.

    The targets of an estimator share a cell. One that is under a limit, or that misses its bar by itself, would hide in
    it: it has a cell of its own, with its name in brackets.

    Args:
        experiment: whose outcomes they are.
        outcomes: of all its studies.
        like: cells of other studies of it, whose targets are to have cells of their own here as well, and no others.
    """
    sorted_out: dict[tuple[str, str], dict[str, list[Outcome]]] = {}
    for each in outcomes:
        of_targets = sorted_out.setdefault((each.estimator, each.measure), {})
        of_targets.setdefault(each.target, []).append(each)
    apart = None if like is None else {(cell.estimator, cell.measure) for cell in like}
    cells = []
    for (estimator, measure), of_targets in sorted_out.items():
        shared = {}
        for target, found in of_targets.items():
            name = named(estimator, target)
            alone = (
                (name, measure) in experiment.limits or _misses(measure, found)
                if apart is None
                else (name, measure) in apart
            )
            if alone and target:
                cells.append(_cell(experiment, estimator, measure, {target: found}, name))
            else:
                shared[target] = found
        if shared:
            cells.append(_cell(experiment, estimator, measure, shared, estimator))
    return cells


def _misses(measure: str, outcomes: Sequence[Outcome]) -> bool:
    """Whether the 99 % interval of one target lies wholly on the bad side of its bar."""
    hits = [each.hit for each in outcomes if each.hit is not None]
    if measure not in BARS or len(hits) < _FEWEST:
        return False
    low, high = exact_interval(sum(hits), len(hits), _LEVEL_OF_TARGET)
    floor, top = BARS[measure]
    return (high < floor or low > top) and not _is_safe(measure, sum(hits) / len(hits))


def named(estimator: str, target: str) -> str:
    """Return what a cell of one target is called."""
    if target and estimator.endswith(")"):
        return f"{estimator[:-1]}, {target})"
    return f"{estimator} ({target})" if target else estimator


def _cell(
    experiment: Experiment, estimator: str, measure: str, of_targets: dict[str, list[Outcome]], name: str
) -> Cell:
    outcomes = [one for each in of_targets.values() for one in each]
    hits = [each.hit for each in outcomes if each.hit is not None]
    errors = [each.error for each in outcomes if each.error == each.error]
    n, k = len(hits), sum(hits)
    rate, (low, high) = (k / n, _interval(list(of_targets.values()))) if n else (nan, (0.0, 1.0))
    bias = float(np.median(errors)) if errors else nan
    # Of a median, nearly: 1.25 standard errors of a mean.
    bias_error = 1.25 * float(np.std(errors)) / sqrt(len(errors)) if errors else nan
    key = (estimator, measure)
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
        *(name, experiment.world, measure, max(map(len, of_targets.values()))),
        *(printed, rate, low, high, bias, verdict, reason),
    )


def _interval(of_targets: Sequence[Sequence[Outcome]]) -> tuple[float, float]:
    """Return the exact interval; of several targets, which are not independent, as if each had been studied alone."""
    hits = [[each.hit for each in outcomes if each.hit is not None] for outcomes in of_targets]
    n, k = max(map(len, hits)), sum(map(sum, hits))
    return exact_interval(round(k * n / sum(map(len, hits))), n)


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
