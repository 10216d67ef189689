"""Rejects what no figure can show: no data, unknown names, two values for one mark, two metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmprobe.analysis.results import AccuracyPoint, LayerCurve, PeakPoint

__all__ = ["check_marks", "check_one_metric", "check_points"]


def check_marks(
    what: str,
    marks: Sequence[tuple[str, str, str]],
    noun: str,
    nothing: str,
    *,
    kind: str = "",
    known: Sequence[str] | None = None,
) -> None:
    """Raise if there are no marks, duplicate marks or unknown names.

    Args:
        what: the figure, for the message.
        marks: family, scale and name of each value; the name is an axis, a category or another target.
        noun: what a value is, for the message.
        nothing: what to do if there are none, for the message.
        kind: what a name is, for the message.
        known: the names there may be; None = any.

    Raises:
        UsageError: no marks, one name for two of a scale, or an unknown name.
    """
    if not marks:
        raise UsageError(f"{what}: {nothing} first")
    seen: set[tuple[str, str, str]] = set()
    for mark in marks:
        family, scale, name = mark
        if known is not None and name not in known:
            raise unknown_name(kind, name, [str(each) for each in known])
        if mark in seen:
            raise UsageError(f"{what}: two {noun} for {family} @ {scale}, {name}; pass one run per scale")
        seen.add(mark)


def check_points(what: str, points: Sequence[AccuracyPoint], kind: str, known: Sequence[str]) -> None:
    """Check points with ``check_marks``."""
    marks = [(point.family, point.scale, point.target) for point in points]
    check_marks(what, marks, "points", "no points to draw; run `vlmprobe extract`", kind=kind, known=known)


def check_one_metric(what: str, items: Iterable[LayerCurve | PeakPoint]) -> None:
    """Raise if the values are of several metrics or subsets.

    Raises:
        UsageError: there are several; the message names them.
    """
    kinds = sorted({f"{item.metric} of {item.subset}" for item in items})
    if len(kinds) > 1:
        raise UsageError(f"{what}: one figure shows one metric of one subset, not {', '.join(kinds)}")
