"""Which scales of a family differ: a matrix with the paired differences that are resolved, and what trainings add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.reports.numbers import NOT_AVAILABLE, rounded, significant_decimals

if TYPE_CHECKING:
    from vlmprobe.analysis.difference import Difference
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.analysis.trainings import Trainings

__all__ = ["MatrixCell", "MatrixTable", "OfTrainings", "ScaleMatrix", "matrix_tables"]


@dataclass(frozen=True, slots=True)
class OfTrainings:
    """One number of one scale over its trainings."""

    scale: str
    metric: str
    target: str
    mean: Trainings

    @property
    def shown(self) -> tuple[str, str, str, str]:
        """Value, interval, SD between trainings and standard error over images, with the digits of the interval."""
        decimals = _decimals(self.mean.estimate)
        low, high = self.mean.estimate.ci_low, self.mean.estimate.ci_high
        bounds = NOT_AVAILABLE if low is None else f"{rounded(low, decimals)} to {rounded(high, decimals)}"
        value, sd, se = (
            rounded(each, decimals) for each in (self.mean.estimate.value, self.mean.sd, self.mean.se_images)
        )
        return value, bounds, sd, se


@dataclass(frozen=True, slots=True)
class ScaleMatrix:
    """All scales of a family, each compared with each more trained one on the pairs that all of them answered."""

    family: str
    scales: tuple[str, ...]
    differences: tuple[tuple[str, str, Difference], ...]
    """Earlier scale, later scale, and a difference of coherence or accuracy of an axis; Holm's family is all of it."""
    n_pairs: int
    left_out: int
    layer_choice: str
    n_trainings: int
    of_trainings: tuple[OfTrainings, ...] = ()
    """Of scales with several trainings."""

    @property
    def n_tests(self) -> int:
        """Tests in the family of Holm's correction."""
        return sum(row.p_value is not None for _, _, row in self.differences)


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One axis in one cell."""

    target: str
    text: str
    resolved: bool
    title: str
    """Interval and p-value, or why there are none."""


@dataclass(frozen=True, slots=True)
class MatrixTable:
    """One metric: a row for each earlier scale, a column for each later one; a cell is empty below the diagonal."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[MatrixCell, ...], ...]], ...]


def matrix_tables(matrix: ScaleMatrix) -> list[MatrixTable]:
    """Arrange the differences of a matrix, a table for each metric."""
    metrics = list(dict.fromkeys(row.entry.title for _, _, row in matrix.differences))
    return [
        MatrixTable(
            metric,
            matrix.scales[1:],
            tuple(
                (
                    before,
                    tuple(
                        tuple(
                            _cell(row)
                            for first, second, row in matrix.differences
                            if (first, second, row.entry.title) == (before, after, metric)
                        )
                        for after in matrix.scales[1:]
                    ),
                )
                for before in matrix.scales[:-1]
            ),
        )
        for metric in metrics
    ]


def _cell(row: Difference) -> MatrixCell:
    estimate, decimals = row.estimate, _decimals(row.estimate)
    text = rounded(estimate.value, decimals)
    if estimate.value is not None and estimate.value > 0:
        text = f"+{text}"
    if estimate.ci_low is None:
        return MatrixCell(row.target, text, row.is_resolved, estimate.reason)
    bounds = f"{rounded(estimate.ci_low, decimals)} to {rounded(estimate.ci_high, decimals)}"
    mde = rounded(row.mde, decimals)
    title = f"95 % interval {bounds}; p {rounded(row.p_value)}, {rounded(row.p_holm)} after Holm; MDE {mde}"
    return MatrixCell(row.target, text, row.is_resolved, title)


def _decimals(estimate: Estimate) -> int:
    low, high = estimate.ci_low, estimate.ci_high
    return significant_decimals(None if low is None or high is None else (high - low) / 2)
