"""What a judged home says, as rows of ``docs/results/controls``: one for each axis of each run, one for the angle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE,
    AXIS_COHERENCE_BALANCED,
    ORDER_COHERENCE,
    VD_EI_CORRECTED,
    VD_EI_POOLED,
)
from vlmprobe.pairs import DEPTH, HEIGHT, PUBLISHED
from vlmprobe.store.leaks import read_leaks
from vlmprobe.workflows.robustness import robustness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vlmprobe import Workspace
    from vlmprobe.analysis.leaks import Leak
    from vlmprobe.reports.verdicts import AxisVerdict

__all__ = ["COLUMNS", "Row", "rows_of"]

COLUMNS = (
    "scale",
    "target",
    "layer",
    "layer_is",
    "published",
    "published_low",
    "published_high",
    "corrected",
    "low",
    "high",
    "order_coherence",
    "order_warning",
    "p",
    "verdict",
    "controls",
    "rule",
    "decided_by",
    "deciding",
    "deciding_low",
    "alpha",
    "beyond_grey",
    "beyond_grey_low",
    "beyond_other",
    "beyond_other_low",
    "missing",
    "note",
    "names_alone",
    "names_p",
    "alarms",
    "verdict_version",
    "seconds",
)

Row = dict[str, Any]


def rows_of(workspace: Workspace, data: Path, found: Sequence[AxisVerdict]) -> Iterator[Row]:
    """Yield the rows of some verdicts, with the numbers of their layer.

    Args:
        workspace: the home.
        data: the benchmark.
        found: the verdicts about its runs.
    """
    leaks = _leaks(workspace, found[0].run_id)
    alarms = ", ".join(f"{leak.name} {leak.target}" for leak in leaks if leak.is_alarm)
    for run_id in dict.fromkeys(each.run_id for each in found):
        of_run = [each for each in found if each.run_id == run_id]
        layer, scale = of_run[0].layer, of_run[0].scale
        value = _metrics(workspace, run_id, layer)
        warnings = {
            row.target: row.note
            for row in robustness(workspace, of_run[0].family, data, scales=(scale,), layer=layer)
            if row.metric == ORDER_COHERENCE.name
        }
        for each in of_run:
            names = next((leak for leak in leaks if (leak.name, leak.target) == ("names", each.axis)), None)
            old = value(AXIS_COHERENCE.name, each.axis)
            new = value(AXIS_COHERENCE_BALANCED.name, each.axis)
            yield {
                "scale": scale,
                "target": each.axis,
                "layer": layer,
                "layer_is": each.layer_is,
                **_numbers(old, new),
                "order_coherence": _text(value(ORDER_COHERENCE.name, each.axis).get("value")),
                "order_warning": warnings.get(each.axis, ""),
                "p": _text(each.p_value),
                "verdict": str(each.verdict.origin),
                "controls": ", ".join(each.verdict.controls),
                **_conditions(each),
                "missing": each.verdict.missing,
                "note": each.verdict.note,
                "names_alone": _text(names and names.value),
                "names_p": _text(names and names.p_holm),
                "alarms": alarms,
                "verdict_version": each.verdict.version,
            }
        angle = f"{HEIGHT}/{DEPTH}"
        old, new = value(VD_EI_POOLED.name, angle), value(VD_EI_CORRECTED.name, angle)
        yield {"scale": scale, "target": angle, "layer": layer, **_numbers(old, new)}


def _conditions(found: AxisVerdict) -> Row:
    """Return which rule decided, and what the axis has beyond each blind control, in squared units of the states."""
    rows = found.verdict.rows
    last = next((row for row in rows if row.holds is False), rows[-1])
    by_name = {row.statistic: row for row in rows}
    cells: Row = {
        "rule": last.rule,
        "decided_by": found.decided_by,
        "deciding": _text(last.value),
        "deciding_low": _text(last.low),
    }
    if (alpha := by_name.get("|alpha|^2")) is not None:
        cells["alpha"] = _text(alpha.value)
    for cell, control_name in (("beyond_grey", "grey"), ("beyond_other", "other-image:0")):
        if (row := by_name.get(f"|alpha(real - {control_name})|^2")) is not None:
            cells |= {cell: _text(row.value), f"{cell}_low": _text(row.low)}
    return cells


def _leaks(workspace: Workspace, run_id: str) -> list[Leak]:
    """Return what the extraction found: the rows of ``data check --leaks``."""
    run = workspace.run(run_id)
    with workspace.database.transaction() as connection:
        return read_leaks(connection, run.dataset_id, PUBLISHED.name)


def _metrics(workspace: Workspace, run_id: str, layer: int) -> Callable[[str, str], Row]:
    """Return what looks a metric of all pairs up, by name and target."""
    table = workspace.metrics(run_id, subset="all").to_pylist()
    by_name = {(row["metric"], row["target"]): row for row in table if row["layer"] == layer}
    return lambda name, target: by_name.get((name, target), {})


def _numbers(old: Row, new: Row) -> Row:
    return {
        "published": _text(old.get("value")),
        "published_low": _text(old.get("ci_low")),
        "published_high": _text(old.get("ci_high")),
        "corrected": _text(new.get("value")),
        "low": _text(new.get("ci_low")),
        "high": _text(new.get("ci_high")),
    }


def _text(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.6g}"
