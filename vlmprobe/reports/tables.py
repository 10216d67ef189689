"""Arranges the points of a report in tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import DELTA_ACCURACY, OVERALL, axes_and_overall
from vlmprobe.analysis.results import FEWEST_IMAGES
from vlmprobe.pairs.axes import DEPTH, Subset
from vlmprobe.reports.numbers import measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.analysis.results import AccuracyPoint, PeakPoint
    from vlmprobe.pairs.axes import AxisSet
    from vlmprobe.reports.controls import ControlRow
    from vlmprobe.reports.findings import ScaleFindings
    from vlmprobe.reports.matrix import ScaleMatrix
    from vlmprobe.reports.report import Report, RunFacts
    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.reports.verdicts import AxisVerdict

__all__ = ["Headline", "at_last_layer", "headline", "peak_rows", "peaks_of_run", "problems", "why_no_peak"]


@dataclass(frozen=True, slots=True)
class Headline:
    """Accuracy of both answers: one row per checkpoint, one column per axis."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, int | None, tuple[AccuracyPoint | None, ...]], ...]
    """Family, scale, samples seen, and a point (or None) per column."""
    sentences: tuple[str, ...]
    """Per column, at which scale the highest value was observed."""

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


def at_last_layer(report: Report) -> dict[str, list[str]]:
    """Return the scales that a section reads at the last stored layer, also where that is the recommended one."""
    scales = report.findings.scales if report.findings else ()
    last = {(found.family, found.scale, found.last_layer) for found in scales}
    sections: Mapping[str, Sequence[AxisVerdict | ControlRow | RobustnessRow]] = {
        "verdicts": report.verdicts,
        "controls": report.controls,
        "robustness": report.robustness,
    }
    return {
        name: list(
            dict.fromkeys(
                f"{row.family} @ {row.scale}" for row in rows if (row.family, row.scale, row.layer) in last
            )
        )
        for name, rows in sections.items()
    }


def headline(
    points: Sequence[AccuracyPoint], axes: AxisSet, matrices: Sequence[ScaleMatrix] = ()
) -> Headline:
    """Arrange accuracy by scale and axis, with a sentence on where the highest value of each axis was observed.

    The highest of several is chosen by its value, so the sentence says from which scales it is not resolved, as
    ``matrices`` have it.
    """
    present = {point.target for point in points}
    columns = tuple(target for target in axes_and_overall(axes) if target in present)
    by_run: dict[tuple[str, str, int | None], dict[str, AccuracyPoint]] = {}
    for point in points:
        by_run.setdefault((point.family, point.scale, point.samples_seen), {})[point.target] = point
    rows = tuple((*run, tuple(map(cells.get, columns))) for run, cells in by_run.items())
    families = {point.family for point in points}
    sentences = tuple(
        _sentence(
            axis, [point for point in points if point.target == axis], matrices, with_family=len(families) > 1
        )
        for axis in columns
    )
    return Headline(columns, rows, sentences)


def _sentence(
    axis: str, points: Sequence[AccuracyPoint], matrices: Sequence[ScaleMatrix], *, with_family: bool
) -> str:
    known = [point for point in points if math.isfinite(point.acc_both)]
    if not known:
        return f"{axis.capitalize()}: no scale has an answered pair."
    best = max(known, key=lambda point: point.acc_both)
    ties = [point for point in known if point.acc_both == best.acc_both]
    names = _listed([f"{point.family} @ {point.scale}" if with_family else point.scale for point in ties])
    low, high = best.acc_both_low, best.acc_both_high
    shown = measured(best.acc_both, low, high, bounds=len(ties) == 1)
    where = "" if len(ties) > 1 else f" (95 % bounds, n = {best.n})"
    others = [point for point in known if point not in ties]
    beside = f"; {_against(axis, ties, others, matrices)}" if others else ""
    return f"{axis.capitalize()}: highest observed at {names}, {shown}{where}{beside}."


def _against(
    axis: str,
    best: Sequence[AccuracyPoint],
    others: Sequence[AccuracyPoint],
    matrices: Sequence[ScaleMatrix],
) -> str:
    resolved = {
        (matrix.family, frozenset((before, after))): row.is_resolved
        for matrix in matrices
        for before, after, row in matrix.differences
        if row.entry is DELTA_ACCURACY and row.target == axis
    }
    found = {
        (other.family, other.scale): [
            resolved.get((point.family, frozenset((point.scale, other.scale))))
            for point in best
            if point.family == other.family
        ]
        for other in others
    }
    if not all(found.values()) or any(None in each for each in found.values()):
        return "chosen after looking, not tested"
    alike = [scale for (_, scale), each in found.items() if not all(each)]
    verdict = f"not resolved from {_listed(alike)}" if alike else "resolved from every other scale"
    return f"{verdict}, see Which scales differ; the bounds ignore the choice"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def why_no_peak(report: Report, peak: PeakPoint) -> str:
    """Say why a peak is not shown: too few images, or no axis; empty where it is."""
    if not peak.has_images:
        return f"fewer than {FEWEST_IMAGES} images"
    found = report.findings.of(peak.family, peak.scale) if report.findings else None
    if found is None or any(axis.is_there for axis in found.axes if axis.axis == peak.target):
        return ""
    return "no axis resolved (not evidence of none)"


def peak_rows(report: Report) -> list[tuple[PeakPoint, str]]:
    """Return the peaks of a report, each with the reason why it is not shown."""
    return [(peak, why_no_peak(report, peak)) for peak in report.peaks]


def peaks_of_run(report: Report, run: RunFacts) -> list[tuple[str, int, float, str]]:
    """Return axis, layer, coherence and the reason why they are not shown, of each axis that has a peak."""
    why = {
        peak.target: reason
        for peak, reason in peak_rows(report)
        if peak.run_id == run.run_id and peak.subset == Subset.ALL
    }
    return [(axis, layer, value, why.get(axis, "")) for axis, (layer, value) in run.peak_layers.items()]


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
