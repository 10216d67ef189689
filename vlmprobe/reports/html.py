"""A report as one HTML file that needs nothing else: no script, no network."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from vlmprobe.analysis.leaks import summary_line
from vlmprobe.analysis.metric_maker import NOT_COVERING
from vlmprobe.reports.comparison import MDE_KNOWN, MDE_SAYS
from vlmprobe.reports.controls import READING, shown_controls
from vlmprobe.reports.matrix import matrix_tables
from vlmprobe.reports.numbers import NOT_AVAILABLE, decimals_of, full, p_value, rounded
from vlmprobe.reports.over_templates import side_by_side
from vlmprobe.reports.robustness import READING as READING_OF_ROBUSTNESS
from vlmprobe.reports.robustness import folded_tables, reasons
from vlmprobe.reports.tables import at_last_layer, headline, peak_rows, peaks_of_run, problems
from vlmprobe.reports.verdicts import READING as READING_OF_VERDICTS
from vlmprobe.reports.verdicts import commands, condition_rows, shown_verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

    from vlmprobe.reports.report import Report, ReportFigure

__all__ = ["render_report"]


def render_report(report: Report) -> str:
    """Render a report as a self-contained HTML page: inline style, figures as data, nothing loaded or run.

    Every text is escaped, whether a model, a TSV or a user wrote it. Numbers are printed with the digits that their
    intervals allow, rounded as DuckDB does; ``data-value`` holds them in full. What is not a number reads ``n/a``,
    with the reason in its ``title``.
    """
    return _template().render(
        report=report,
        headline=headline(report.accuracy, report.axes, report.matrices),
        peaks=peak_rows(report),
        peaks_of={run.run_id: peaks_of_run(report, run) for run in report.runs},
        problems=problems(report),
        matrices=[(matrix, matrix_tables(matrix)) for matrix in report.matrices],
        controls=shown_controls(report.controls),
        reading_of_controls=READING,
        verdicts=shown_verdicts(report.verdicts),
        conditions=condition_rows(report.verdicts),
        missing_runs=commands(report.verdicts),
        reading_of_verdicts=READING_OF_VERDICTS,
        robustness=folded_tables(report.robustness),
        reading_of_robustness=(*READING_OF_ROBUSTNESS, *reasons(report.robustness)),
        last_layers=at_last_layer(report),
        leaks=summary_line(report.leaks),
        templates=side_by_side(report.over_templates),
        figures=list(zip(_anchors(report.figures), report.figures, strict=True)),
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "full": full,
        "decimals_of": decimals_of,
        "NOT_AVAILABLE": NOT_AVAILABLE,
        "MDE_KNOWN": MDE_KNOWN,
        "MDE_SAYS": MDE_SAYS,
        "NOT_COVERING": NOT_COVERING,
    }
    environment.filters |= {"rounded": rounded, "p_value": p_value, "data_uri": _data_uri, "count": _count}
    return environment.get_template("report.html.j2")


def _source(name: str) -> str:
    return files("vlmprobe.reports").joinpath(name).read_text(encoding="utf-8")


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode('ascii')}"


def _count(number: int) -> str:
    return f"{number:,}"


def _anchors(figures: Sequence[ReportFigure]) -> list[str]:
    """Return an id for each figure that is unique and safe in a link."""
    anchors: list[str] = []
    for figure in figures:
        anchor = "figure-" + (re.sub(r"[^a-z0-9]+", "-", figure.name.lower()).strip("-") or "unnamed")
        while anchor in anchors:
            anchor += "-again"
        anchors.append(anchor)
    return anchors
