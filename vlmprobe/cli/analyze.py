"""``vlmprobe analyze``."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output, RunFilter
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.reports import TemplatePoint
    from vlmprobe.workflows.analyze import AnalyzeResult

__all__ = ["analyze"]


@command(example="vlmprobe analyze qwen25 --scale 80k --scale 2m", experiment=True)
def analyze(
    workspace: Workspace,
    *,
    runs: RunFilter,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", help="Compare this metric across templates; may be repeated.", metavar="NAME"
        ),
    ] = None,
    strata: Annotated[
        str | None,
        typer.Option(
            "--strata",
            help="Test axes by exchanging labels only among images that agree in this column of the benchmark.",
            metavar="COLUMN",
        ),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(
            "--memory",
            help="Memory for the layers in work, such as 1GiB; a layer that needs more is read in blocks of pairs.",
            metavar="SIZE",
        ),
    ] = "4GiB",
    force: Annotated[bool, typer.Option("--force", help="Compute what is up to date, too.")] = False,
    output: Output,
) -> None:
    """Compute every metric of the matching complete runs, store it and log it to MLflow. No model is loaded.

    A run is left alone if this version computed its metrics from the same answers, hidden states and --strata before.
    If a scale was run with several question templates, a second table compares them. --json and --csv print
    the runs; with --metric they print that comparison, one row per metric, target and template.
    """
    from vlmprobe.cli.sizes import size_in_bytes
    from vlmprobe.reports import TemplatePoint, side_by_side
    from vlmprobe.study.over_templates import check_metrics, over_templates
    from vlmprobe.workflows.analyze import analyze as run_analysis

    metrics = metrics or []
    check_metrics(metrics)
    of_layers = size_in_bytes(memory, "--memory")
    results = run_analysis(workspace, runs.selection, strata=strata, memory=of_layers, force=force)
    analyzed = [result.run for result in results]
    points = over_templates(workspace.database, analyzed, metrics)
    if metrics and not output.is_table:
        columns = [each.name for each in fields(TemplatePoint)]
        output.rows(list(map(asdict, points)), columns)
        return
    output.rows(_of_runs(results))
    if points and output.is_table:
        typer.echo()
        output.rows(_over_templates(points))
        workspace.console.say(side_by_side(points).reading)
    elif metrics:
        workspace.console.warn(
            "no scale was run with several templates; add some with 'vlmprobe extract --templates'"
        )
    if n_current := sum(not result.is_computed for result in results):
        workspace.console.say(
            f"{n_current} of {len(results)} runs were up to date and are as they were; --force computes them again"
        )
    names = sorted({run.family for run in analyzed})
    workspace.console.say(
        f"metrics are in {workspace.settings.database_name}; next: vlmprobe merge {' '.join(names)}"
    )


def _of_runs(results: Sequence[AnalyzeResult]) -> list[dict[str, Any]]:
    return [
        {
            "family": result.run.family,
            "scale": result.run.scale,
            "dataset": result.run.dataset,
            "template": result.run.template,
            "pairs": result.n_pairs,
            "new": result.update.added,
            "changed": result.update.changed,
            "unchanged": result.update.unchanged,
            "run_id": result.run.run_id,
        }
        for result in results
    ]


def _over_templates(points: Sequence[TemplatePoint]) -> list[dict[str, Any]]:
    """Return one row per scale, metric and target, with one column per template."""
    from vlmprobe.reports import side_by_side
    from vlmprobe.reports.numbers import measured

    table = side_by_side(points)
    return [
        {
            "family": row.family,
            "scale": row.scale,
            "dataset": row.dataset,
            "metric": row.metric,
            "target": row.target,
            **{
                name: None
                if point is None
                else measured(point.value, point.ci_low, point.ci_high, bounds=False)
                for name, point in zip(table.templates, row.points, strict=True)
            },
        }
        for row in table.rows
    ]
