"""Which scales of a family differ: a matrix with the paired differences that are resolved, and what trainings add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.difference import ALIKE, CLUSTERED_T, MCNEMAR, NO_TEST, PAIRED_T
from vlmprobe.reports.comparison import shown_holm, shown_p
from vlmprobe.reports.numbers import NOT_AVAILABLE, decimals_of, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.difference import Difference
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.analysis.trainings import Trainings

__all__ = ["MatrixCell", "MatrixTable", "OfTrainings", "ScaleMatrix", "matrix_tables"]


#: What simulations say of a test, beside its name.
_CHECKED = {
    MCNEMAR: "stricter than the interval, which may leave out 0 where p is above .05; the interval of 80 unchanged "
    "pairs ends at .024, so that 13 % of studies of a true gain of .025 without losses miss it",
    PAIRED_T: "checked in simulations at 5 %, also on the demo's deltas, where a test of angles rejects in up to .12 "
    "of studies if both sides are one mixture of two checkpoints with nearly opposite axes; at .05/63, as Holm's rule "
    "may ask, in made-up worlds only. Above a coherence of .5 only differences of the demo's 400k, 800k and 2m, and "
    "of vanilla and 2m, were simulated; intervals of the horizontal one of 400k and 800k cover .91 at 80 pairs, .90 "
    "at 40",
    CLUSTERED_T: "checked in simulations at 5 %, in made-up worlds",
}


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
    """Earlier scale, later scale, and a difference of accuracy or coherence of an axis, or of the size of VD-EI; Holm's
    family is all of it."""
    n_pairs: int
    left_out: int
    layer_choice: str
    n_trainings: int
    of_trainings: tuple[OfTrainings, ...] = ()
    """Of scales with several trainings."""
    n_scales: int = 0
    """Of the family; those that are compared are spread evenly over them where they are fewer."""

    @property
    def n_tests(self) -> int:
        """Tests in the family of Holm's correction."""
        return sum(row.p_value is not None for _, _, row in self.differences)


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One axis, or the two of VD-EI, in one cell."""

    target: str
    text: str
    resolved: bool
    state: str
    """Beside the number: whether it is resolved, or why that is no question. Empty where there is no number."""
    title: str
    """Interval, p-value and MDE, or why there are none."""


@dataclass(frozen=True, slots=True)
class MatrixTable:
    """One metric: a row for each earlier scale, a column for each later one; a cell is empty below the diagonal."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[MatrixCell, ...], ...]], ...]
    tests: str
    """Names of its tests, and how they were checked; empty without any."""


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
            _tests([row for _, _, row in matrix.differences if row.entry.title == metric]),
        )
        for metric in metrics
    ]


def _tests(rows: Sequence[Difference]) -> str:
    """Name the tests of some rows, and say how they were checked."""
    names = dict.fromkeys(row.method for row in rows if row.method != NO_TEST)
    return "; ".join(f"{name}, {_CHECKED[name]}" if name in _CHECKED else name for name in names)


def _cell(row: Difference) -> MatrixCell:
    estimate, decimals = row.estimate, _decimals(row.estimate)
    text = rounded(estimate.value, decimals)
    if estimate.value is not None and estimate.value > 0:
        text = f"+{text}"
    state = "resolved" if row.is_resolved else ALIKE if row.alike else "not resolved"
    if estimate.ci_low is None:
        state = "" if estimate.value is None else state
        return MatrixCell(row.target, text, row.is_resolved, state, row.remark)
    bounds = f"{rounded(estimate.ci_low, decimals)} to {rounded(estimate.ci_high, decimals)}"
    p, p_holm = shown_p(row, row.p_value), shown_holm(row)
    title = f"95 % interval {bounds}; {row.method}: p {p}, {p_holm} (Holm over {row.n_tests} tests)"
    mde = rounded(row.mde, decimals)
    title += f"; MDE {mde}" if row.mde is not None else f"; MDE {mde}: {row.remark}"
    return MatrixCell(row.target, text, row.is_resolved, state, title)


def _decimals(estimate: Estimate) -> int:
    return decimals_of(estimate.ci_low, estimate.ci_high)
