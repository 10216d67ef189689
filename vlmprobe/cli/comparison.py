"""Prints a comparison of scales: the table first, then where to look next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vlmprobe.analysis.catalog import CONSISTENT, COUNTER, GAP, OVERALL
from vlmprobe.pairs import DEPTH
from vlmprobe.reports.numbers import measured, p_value
from vlmprobe.reports.verdicts import commands, shown_verdicts
from vlmprobe.settings import Settings

if TYPE_CHECKING:
    from vlmprobe.analysis.results import AccuracyPoint, Metric
    from vlmprobe.cli.options import Output
    from vlmprobe.timeline import Timeline
    from vlmprobe.workflows.merge import MergeResult
    from vlmprobe.workspace import Workspace

__all__ = ["print_merged"]


def print_merged(
    workspace: Workspace, result: MergeResult, output: Output, timeline: Timeline | None = None
) -> None:
    """Print accuracy by perspective, a row per scale; then, per scale and axis, accuracy and whether the axis is there.

    JSON and CSV have one row per scale and axis, with every float in full. Then say where the report is, and with a
    ``timeline`` how long its phases took.
    """
    if output.is_table:
        if result.findings.has_perspectives:
            output.rows(_by_perspective(result))
            typer.echo()
        output.rows(_by_axis(result))
        typer.echo()
        output.rows([_without_numbers(row) for row in shown_verdicts(result.verdicts)])
    else:
        output.rows(_in_full(result))
    settings, console = workspace.settings, workspace.console
    # Leave out --home if the next command would find the same home by itself.
    home = "" if settings.home == Settings.load().home else f" --home {shlex.quote(str(settings.home))}"
    console.say("")
    for line in [*_how_to_read(result), *commands(result.verdicts)]:
        console.say(line)
    console.say(f"report      {result.report}")
    console.say(f"MLflow UI   {_program()} ui{home}")
    # Otherwise a scale that has runs under several templates has several rows.
    which = f"where template = '{result.runs[0].template}' order by 1,2,3"
    example = f'"select family, scale, axis, acc_both from accuracy {which}"'  # noqa: S608 - printed
    console.say(f"SQL         {_program()} sql {example}{home}")
    if timeline is not None:
        console.say(f"times       {timeline.line()}")


def _without_numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Return a verdict without what decided it; 'vlmprobe verdict' and the report have that."""
    return {name: value for name, value in row.items() if name != "decided_by"}


def _points(result: MergeResult) -> dict[tuple[str, str], dict[str, AccuracyPoint]]:
    """Return family and scale -> axis -> accuracy, in the order of the report."""
    found: dict[tuple[str, str], dict[str, AccuracyPoint]] = {}
    for point in result.accuracy:
        found.setdefault((point.family, point.scale), {})[point.target] = point
    return found


def _by_perspective(result: MergeResult) -> list[dict[str, Any]]:
    rows = []
    points = _points(result)
    for scale in result.findings.scales:
        row: dict[str, Any] = {"family": scale.family, "scale": scale.scale}
        for target, point in points[scale.family, scale.scale].items():
            if target not in {DEPTH, OVERALL}:
                row[target] = measured(point.acc_both, point.acc_both_low, point.acc_both_high, bounds=False)
        for name, metric in (
            (f"{DEPTH}: {CONSISTENT}", scale.consistent),
            (COUNTER, scale.counter),
            (GAP, scale.gap),
        ):
            row[name] = None if metric is None else measured(metric.value, metric.ci_low, metric.ci_high)
        rows.append(row)
    return rows


def _by_axis(result: MergeResult) -> list[dict[str, Any]]:
    axes = {
        (scale.family, scale.scale, axis.axis): (scale, axis)
        for scale in result.findings.scales
        for axis in scale.axes
    }
    rows = []
    for point in result.accuracy:
        scale, axis = axes.get((point.family, point.scale, point.target), (None, None))
        there = axis is not None and axis.is_there
        coherence = axis.coherence if axis is not None and there else None
        rows.append(
            {
                "family": point.family,
                "scale": point.scale,
                "axis": point.target,
                "n": point.n,
                "both_right": measured(point.acc_both, point.acc_both_low, point.acc_both_high),
                "p_axis": None if axis is None else p_value(axis.p_value),
                "coherence": None
                if coherence is None
                else measured(coherence.value, coherence.ci_low, coherence.ci_high),
                "layer": scale.layer if scale is not None and there else None,
            }
        )
    return rows


def _in_full(result: MergeResult) -> list[dict[str, Any]]:
    peaks = {(peak.run_id, peak.target): peak for peak in result.peaks if peak.subset == "all"}
    run_ids = {(run.family, run.scale): run.run_id for run in result.runs}
    scales = {(scale.family, scale.scale): scale for scale in result.findings.scales}
    rows = []
    for point in result.accuracy:
        peak = peaks.get((run_ids[point.family, point.scale], point.target))
        scale = scales[point.family, point.scale]
        tests = {axis.axis: axis.p_value for axis in scale.axes}
        split = (scale.consistent, scale.counter, scale.gap) if point.target == DEPTH else (None, None, None)
        rows.append(
            {
                "family": point.family,
                "scale": point.scale,
                "axis": point.target,
                "n": point.n,
                "acc_both": point.acc_both,
                "low": point.acc_both_low,
                "high": point.acc_both_high,
                **_in_columns(CONSISTENT, split[0]),
                **_in_columns(COUNTER, split[1]),
                **_in_columns(GAP, split[2]),
                "coherence": peak.value if peak else None,
                "at_layer": peak.layer if peak else None,
                "p_holm": tests.get(point.target),
            }
        )
    return rows


def _in_columns(name: str, metric: Metric | None) -> dict[str, float | None]:
    numbers = (None, None, None) if metric is None else (metric.value, metric.ci_low, metric.ci_high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))


def _how_to_read(result: MergeResult) -> list[str]:
    lines = [
        "both_right: share of pairs with both questions right, with 95 % bounds that count images",
        f"p_axis: how often category labels exchanged among images would give such an axis; {result.findings.family}",
        "coherence: axis_coherence.balanced at the run's most coherent layer, where the axis is there",
    ]
    if not result.findings.has_perspectives:
        return lines
    about = (
        f"{CONSISTENT}, {COUNTER}: {DEPTH} pairs whose farther object is higher, or lower, in the image; "
        f"{GAP}: their difference"
    )
    return [about, *lines]


def _program() -> str:
    """Return what to type for ``vlmprobe`` here: an environment that is not activated needs its path."""
    found = shutil.which("vlmprobe")
    running = Path(sys.argv[0])
    if found is None and running.name == "vlmprobe":
        return os.path.relpath(running)
    return "vlmprobe"
