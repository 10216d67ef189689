"""Metrics under several question templates: rows by scale, metric and target, one column per template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import AXIS_COHERENCE
from vlmprobe.pairs.prompts import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.reports.report import TemplatePoint

__all__ = ["READING", "TemplateRow", "TemplateTable", "side_by_side"]

#: How to read the table, in a line.
READING = "Metrics of layers are taken at the layer where the run's axes are most coherent, chosen on the same images"
#: Where the published coherence is among the rows.
READING_OF_PEAKS = f"of {AXIS_COHERENCE.name}, the published one, the peak over layers is shown"


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """One metric and target of one scale."""

    family: str
    scale: str
    dataset: str
    metric: str
    target: str
    points: tuple[TemplatePoint | None, ...]
    """One per column of the table; None if the scale has no run under that template."""


@dataclass(frozen=True, slots=True)
class TemplateTable:
    """The points, arranged in rows and columns."""

    templates: tuple[str, ...]
    """The columns."""
    rows: tuple[TemplateRow, ...]

    @property
    def reading(self) -> str:
        """How to read these rows."""
        shows_peaks = any(row.metric == AXIS_COHERENCE.name for row in self.rows)
        return f"{READING}; {READING_OF_PEAKS}" if shows_peaks else READING

    @property
    def about(self) -> tuple[tuple[str, str], ...]:
        """Each template and how it differs from the published one."""
        return tuple((name, TEMPLATES[name].about if name in TEMPLATES else "") for name in self.templates)


def side_by_side(points: Sequence[TemplatePoint]) -> TemplateTable:
    """Arrange points; rows keep the points' order, columns that of the templates."""
    asked = {point.template for point in points}
    columns = (*(name for name in TEMPLATES if name in asked), *sorted(asked - TEMPLATES.keys()))
    cells: dict[tuple[str, ...], dict[str, TemplatePoint]] = {}
    for point in points:
        key = (point.family, point.scale, point.dataset_id, point.dataset, point.metric, point.target)
        cells.setdefault(key, {})[point.template] = point
    return TemplateTable(
        columns,
        tuple(
            TemplateRow(family, scale, dataset, metric, target, tuple(found.get(name) for name in columns))
            for (family, scale, _, dataset, metric, target), found in cells.items()
        ),
    )
