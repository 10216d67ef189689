"""A report as Markdown, for a pull request or a notebook: the tables without the figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vlmprobe.reports.numbers import NOT_AVAILABLE, rounded
from vlmprobe.reports.over_templates import side_by_side
from vlmprobe.reports.tables import headline, problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmprobe.analysis.results import AccuracyPoint
    from vlmprobe.reports.report import Report, TemplatePoint

__all__ = ["render_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


def render_markdown(report: Report) -> str:
    """Render a report's tables, figure captions, SQL and problems as Markdown; every text is escaped."""
    head = headline(report.accuracy)
    parts = [
        f"# {_text(report.title)}",
        f"Dataset {_text(report.dataset.name)}, {report.dataset.n_pairs:,} pairs. "
        f"Written {_text(report.created)}.",
        "## Accuracy",
        *(_text(sentence) for sentence in head.sentences),
        _table(
            ["scale", *head.columns],
            ([f"{family} @ {scale}", *map(_cell, points)] for family, scale, _, points in head.rows),
        ),
    ]
    if report.figures:
        parts.append("## Figures")
        parts += [f"**{_text(figure.title)}.** {_text(figure.caption)}" for figure in report.figures]
    if report.peaks:
        rows = (
            [
                f"{peak.family} @ {peak.scale}",
                peak.axis,
                peak.subset,
                NOT_AVAILABLE if peak.layer is None else str(peak.layer),
                _with_bounds(peak.value, peak.ci_low, peak.ci_high),
                str(peak.n),
            ]
            for peak in report.peaks
        )
        parts += ["## Peak coherence", _table(["scale", "axis", "subset", "layer", "coherence", "n"], rows)]
    if report.over_templates:
        table = side_by_side(report.over_templates)
        rows = (
            [f"{row.family} @ {row.scale}", row.metric, row.target, *map(_template_cell, row.points)]
            for row in table.rows
        )
        parts += ["## Over templates", _table(["scale", "metric", "target", *table.templates], rows)]
        parts.append("\n".join(f"- {_text(name)}: {_text(about)}" for name, about in table.about))
    runs = (
        [
            f"{run.family} @ {run.scale}",
            run.run_id,
            run.checkpoint,
            str(run.n_pairs),
            str(run.n_failed),
            run.status,
        ]
        for run in report.runs
    )
    parts += ["## Runs", _table(["scale", "run", "checkpoint", "pairs", "failed", "status"], runs)]
    for question, sql in report.queries.items():
        parts += [f"### SQL: {_text(question)}", _fenced(sql)]
    parts += ["## Problems", "\n".join(f"- {_text(problem)}" for problem in problems(report)) or "None."]
    return "\n\n".join(parts) + "\n"


def _text(text: str) -> str:
    """Keep a text on one line and literal."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [
        [_text(column) for column in columns],
        ["---"] * len(columns),
        *([_text(cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(point: AccuracyPoint | None) -> str:
    if point is None:
        return NOT_AVAILABLE
    return _with_bounds(point.acc_both, point.acc_both_low, point.acc_both_high)


def _template_cell(point: TemplatePoint | None) -> str:
    return NOT_AVAILABLE if point is None else _with_bounds(point.value, point.ci_low, point.ci_high)


def _with_bounds(value: float, low: float | None, high: float | None) -> str:
    bounds = f"[{rounded(low)}, {rounded(high)}]"
    return rounded(value) if rounded(value) == NOT_AVAILABLE else f"{rounded(value)} {bounds}"


def _fenced(sql: str) -> str:
    """Put SQL in a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", sql)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sql\n{sql.strip()}\n{fence}"
