"""Verdicts as a table: a row for each scale and axis with what decided it, or a row for each condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.reports.controls import to_be_run
from vlmprobe.reports.numbers import decimals_of, p_value, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vlmprobe.analysis.controls import Beside, Row, Verdict

__all__ = [
    "ANSWERS",
    "BLIND",
    "EXCHANGED",
    "MOST_COHERENT",
    "NULL_1",
    "READING",
    "RECOMMENDED",
    "AxisVerdict",
    "commands",
    "condition_rows",
    "shown_verdicts",
    "verdicts_in_full",
]

#: What has to be run before the next rule can be looked at.
BLIND, ANSWERS, EXCHANGED, NULL_1 = "blind", "answers", "exchanged pictures", "null 1"
RECOMMENDED, MOST_COHERENT = "recommended", "most coherent"
#: How to read the table, in lines.
READING = (
    "a verdict says what has been shown; a rule that does not hold need not have been shown to be false: only lower "
    "bounds are asked",
    "the layer is chosen on the same pairs; p allows for that, the bounds do not",
    "the bounds of rules 2 to 6 are not adjusted for the number of verdicts",
)
#: Rules of a cosine and of an inner product: unlike squared lengths, these may lie below their limit in truth.
_SIGNED = (5, 6)
#: In place of a rule's number: a row that decides nothing.
_BESIDE = "beside"


@dataclass(frozen=True, slots=True)
class AxisVerdict:
    """The verdict about one axis of one scale."""

    family: str
    scale: str
    template: str
    run_id: str
    axis: str
    layer: int
    layer_is: str
    """``recommended``, or the ``most coherent`` one where none is recommended."""
    p_value: float | None
    """Of the axis over layers, after Holm; None = not tested."""
    n_tests: int
    """Tests that Holm's rule was over."""
    verdict: Verdict
    beside: tuple[Beside, ...]
    """Numbers that decide nothing."""
    runs: Mapping[str, str]
    """What each run is here -> its id."""
    lacks: str = ""
    """What was not run; empty where nothing is missing or where more runs would not help."""
    command: str = ""
    """Runs what is missing, but for the scale."""

    @property
    def decided_by(self) -> str:
        """The condition that decided, with its numbers, or why there is none."""
        found = self.verdict
        if not found.rows:
            return found.missing
        last = found.rows[-1]
        if self.lacks == EXCHANGED:
            return f"rules 1 to {last.rule} hold; {found.note}"
        if found.missing:
            return found.missing
        if found.controls:
            last = next(row for row in found.rows if row.holds is False)
        else:
            last = next((row for row in found.rows if row.holds is False), last)
        return f"rule {last.rule}: {_condition(last)}"


def shown_verdicts(verdicts: Sequence[AxisVerdict]) -> list[dict[str, Any]]:
    """Return the rows for people."""
    several = _several(verdicts)
    return [
        {
            **_for_people(each, several=several),
            "verdict": str(each.verdict.origin) if each.verdict.missing else str(each.verdict),
            "decided_by": each.decided_by,
        }
        for each in verdicts
    ]


def condition_rows(verdicts: Sequence[AxisVerdict], *, in_full: bool = False) -> list[dict[str, Any]]:
    """Return a row for each condition that was looked at, and for each number beside them.

    Args:
        verdicts: of some scales.
        in_full: whether numbers are floats, for machines, rather than digits for people.
    """
    number, several = _as_it_is if in_full else _digits, _several(verdicts)
    return [
        {**(_in_full(each) if in_full else _for_people(each, several=several)), **cells}
        for each in verdicts
        for cells in (
            *(
                {
                    "rule": row.rule,
                    "statistic": row.statistic,
                    "value": number(row, row.value),
                    "low": number(row, row.low),
                    "limit": row.limit,
                    "holds": {True: "yes", False: "no", None: None}[row.holds],
                    "n_images": row.n_images,
                    "reason": row.reason,
                    "note": "",
                }
                for row in each.verdict.rows
            ),
            *(
                {
                    "rule": _BESIDE,
                    "statistic": row.statistic,
                    "value": row.value if in_full else _short(row.value),
                    "low": None,
                    "limit": None,
                    "holds": None,
                    "n_images": row.n_images,
                    "reason": row.reason,
                    "note": row.note,
                }
                for row in each.beside
            ),
        )
    ]


def verdicts_in_full(verdicts: Sequence[AxisVerdict]) -> list[dict[str, Any]]:
    """Return a row for each verdict for machines."""
    return [
        {
            **_in_full(each),
            "verdict": str(each.verdict.origin),
            "controls": ", ".join(each.verdict.controls),
            "decided_by": each.decided_by,
            "missing": each.verdict.missing,
            "note": each.verdict.note,
            "lacks": each.lacks,
            "command": each.command,
            "p_value": each.p_value,
            "n_tests": each.n_tests,
            "version": each.verdict.version,
            "run_id": each.run_id,
            "runs": "; ".join(f"{role} = {run_id}" for role, run_id in each.runs.items()),
        }
        for each in verdicts
    ]


def commands(verdicts: Iterable[AxisVerdict]) -> list[str]:
    """Say which command runs what is missing, a line for each, with the scales that it is missing for."""
    of_command: dict[tuple[str, str, str], list[AxisVerdict]] = {}
    for each in verdicts:
        if each.command:
            of_command.setdefault((each.command, each.lacks, each.family), []).append(each)
    return [
        to_be_run(_lacking(lacks, found), family, command, [each.scale for each in found])
        for (command, lacks, family), found in of_command.items()
    ]


_LACKING = {
    BLIND: "no run without the picture of",
    ANSWERS: "no counterbalanced answers of",
    EXCHANGED: "no exchanged pictures for {axes} of",
    NULL_1: "no other question about the exchanged pictures (Null 1) for",
}


def _lacking(lacks: str, verdicts: Sequence[AxisVerdict]) -> str:
    axes = ", ".join(dict.fromkeys(each.axis for each in verdicts))
    return _LACKING.get(lacks, lacks).format(axes=axes)


def _several(verdicts: Sequence[AxisVerdict]) -> bool:
    return len({each.family for each in verdicts}) > 1


def _for_people(each: AxisVerdict, *, several: bool) -> dict[str, Any]:
    family = {"family": each.family} if several else {}
    return {**family, "scale": each.scale, "axis": each.axis, "layer": _layer(each)}


def _in_full(each: AxisVerdict) -> dict[str, Any]:
    return {
        "family": each.family,
        "scale": each.scale,
        "template": each.template,
        "axis": each.axis,
        "layer": each.layer,
        "layer_is": each.layer_is,
    }


def _layer(each: AxisVerdict) -> str:
    return str(each.layer) if each.layer_is == RECOMMENDED else f"{each.layer} ({each.layer_is})"


def _condition(row: Row) -> str:
    """Say in words how a condition came out."""
    if row.low is None:
        sign = "<=" if row.holds else ">"
        return f"{row.statistic} is {p_value(row.value)} {sign} {row.limit:g}"
    value, low = _digits(row, row.value), _digits(row, row.low)
    says = f"{row.statistic} {value}, lower bound {low} {'' if row.holds else 'not '}above {row.limit:g}"
    return f"{says}{_far_below(row)}"


def _far_below(row: Row) -> str:
    """Say that a signed value is below its limit by more than noise, which more pairs would hardly change."""
    if row.holds or row.rule not in _SIGNED or row.value is None or row.low is None:
        return ""
    half_width = row.value - row.low
    if half_width <= 0 or row.limit - row.value <= half_width:
        return ""
    return f"; {(row.limit - row.value) / half_width:.1f} half-widths below {row.limit:g}, so not for lack of data"


def _as_it_is(row: Row, value: float | None) -> float | None:  # noqa: ARG001 - as _digits
    return value


def _digits(row: Row, value: float | None) -> str | None:
    """Return a number with the digits that its bound allows; of a p-value as p-values are printed."""
    if value is None:
        return None
    if row.low is None or row.value is None:
        return p_value(value) if row.n_images is None else _short(value)
    return rounded(value, decimals_of(row.low, 2 * row.value - row.low))


def _short(value: float | None) -> str | None:
    return None if value is None else rounded(value, decimals_of(None, None))
