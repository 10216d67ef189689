"""Writes rows and figures as a report: one self-contained HTML file, and CSV."""

from __future__ import annotations

from vlmprobe.reports.html import render_report
from vlmprobe.reports.over_templates import TemplateTable, side_by_side
from vlmprobe.reports.report import (
    ChangeRow,
    DatasetFacts,
    LayerRange,
    Report,
    ReportFigure,
    RunFacts,
    TemplatePoint,
)
from vlmprobe.reports.summary import summary_rows, write_summary_csv

__all__ = [
    "ChangeRow",
    "DatasetFacts",
    "LayerRange",
    "Report",
    "ReportFigure",
    "RunFacts",
    "TemplatePoint",
    "TemplateTable",
    "render_report",
    "side_by_side",
    "summary_rows",
    "write_summary_csv",
]
