"""Arranges the points of a report in tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import OVERALL, axes_and_overall
from vlmprobe.pairs.axes import DEPTH
from vlmprobe.reports.numbers import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.results import AccuracyPoint
    from vlmprobe.pairs.axes import AxisSet
    from vlmprobe.reports.findings import ScaleFindings
    from vlmprobe.reports.report import Report

__all__ = ["Headline", "headline", "problems"]


@dataclass(frozen=True, slots=True)
class Headline:
    """Accuracy of both answers: one row per checkpoint, one column per axis."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, int | None, tuple[AccuracyPoint | None, ...]], ...]
    """Family, scale, samples seen, and a point (or None) per column."""
    sentences: tuple[str, ...]
    """Per column, which scale is best."""

    @property
    def depth(self) -> str:
        """The axis that perspective splits."""
        return DEPTH

    @property
    def others(self) -> tuple[str, ...]:
        """The axes that stand beside it."""
        return tuple(axis for axis in self.columns if axis not in {DEPTH, OVERALL})

    def beside(self, scale: ScaleFindings) -> tuple[AccuracyPoint | None, ...]:
        """Return one scale's accuracy on those axes."""
        for family, name, _, points in self.rows:
            if (family, name) == (scale.family, scale.scale):
                found = dict(zip(self.columns, points, strict=True))
                return tuple(found[axis] for axis in self.others)
        return (None,) * len(self.others)


def headline(points: Sequence[AccuracyPoint], axes: AxisSet) -> Headline:
    """Arrange accuracy by scale and axis, with a sentence on the best scale of each axis."""
    present = {point.target for point in points}
    columns = tuple(target for target in axes_and_overall(axes) if target in present)
    by_run: dict[tuple[str, str, int | None], dict[str, AccuracyPoint]] = {}
    for point in points:
        by_run.setdefault((point.family, point.scale, point.samples_seen), {})[point.target] = point
    rows = tuple((*run, tuple(map(cells.get, columns))) for run, cells in by_run.items())
    families = {point.family for point in points}
    sentences = tuple(
        _sentence(axis, [point for point in points if point.target == axis], with_family=len(families) > 1)
        for axis in columns
    )
    return Headline(columns, rows, sentences)


def _sentence(axis: str, points: Sequence[AccuracyPoint], *, with_family: bool) -> str:
    known = [point for point in points if math.isfinite(point.acc_both)]
    if not known:
        return f"{axis.capitalize()}: no scale has an answered pair."
    best = max(known, key=lambda point: point.acc_both)
    ties = [point for point in known if point.acc_both == best.acc_both]
    names = " and ".join(f"{point.family} @ {point.scale}" if with_family else point.scale for point in ties)
    verb = "gets" if len(ties) == 1 else "get"
    low, high = best.acc_both_low, best.acc_both_high
    shown = measured(best.acc_both, low, high, bounds=len(ties) == 1)
    where = "" if len(ties) > 1 else f" (95 % bounds, n = {best.n})"
    return f"{axis.capitalize()}: {names} {verb} both answers right most often, {shown}{where}."


def problems(report: Report) -> list[str]:
    """List problems and caveats, one line each; empty if there are none."""
    found = []
    dataset = report.dataset
    if dataset.n_problems:
        found.append(f"{_count(dataset.n_problems, 'row')} of {dataset.name} gave no pair.")
    for run in report.runs:
        name = f"{run.family} @ {run.scale} ({run.run_id})"
        if run.status != "complete":
            found.append(f"{name} is {run.status}, so its numbers cover only part of the pairs.")
        if run.n_failed:
            found.append(
                f"{name}: {_count(run.n_failed, 'pair')} of {run.n_pairs} failed and have no answer."
            )
    if report.disagreements:
        found.append(
            f"The two answer checkers disagree on {_count(report.disagreements, 'answer')}; "
            "the numbers here use each run's own checker."
        )
    return [*found, *report.notes]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"
