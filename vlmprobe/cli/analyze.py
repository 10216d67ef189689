"""``vlmprobe analyze``."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.cli.options import Families, MaxPerCategory, OnData, Scales
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.reports import TemplatePoint
    from vlmprobe.workflows.analyze import AnalyzeResult

__all__ = ["register"]


def analyze(
    families: Families = None,
    scales: Scales = None,
    data: OnData = None,
    max_per_category: MaxPerCategory = 200,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Compare this one over templates; may be repeated.", metavar="NAME"),
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute every metric of the complete runs that match, store it and log it to MLflow. No model is loaded.

    Where a scale was asked under several question templates, a second table compares them. --json and --csv print
    the runs; with --metric they print that comparison, a row a metric, target and template.
    """
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.reports import READING, TemplatePoint
        from vlmprobe.study.over_templates import check_metrics, compare_templates
        from vlmprobe.workflows.analyze import analyze as run_analysis

        check_metrics(metrics or ())
        results = run_analysis(
            current.settings,
            current.console,
            families=families or (),
            scales=scales or (),
            data=data,
            max_per_category=max_per_category,
        )
        runs = [result.run for result in results]
        points = compare_templates(current.settings, current.console, runs, metrics or ())
        if metrics and (as_json or as_csv):
            columns = [each.name for each in fields(TemplatePoint)]
            print_rows(list(map(asdict, points)), columns, as_json=as_json, as_csv=as_csv)
            return
        print_rows(_of_runs(results), as_json=as_json, as_csv=as_csv)
        if points and not (as_json or as_csv):
            typer.echo()
            print_rows(_over_templates(points))
            current.console.say(READING)
        elif metrics:
            current.console.warn(
                "no scale was asked under several templates; 'vlmprobe extract --templates' asks under others"
            )
        names = sorted({run.family for run in runs})
        current.console.say(
            f"metrics are in {current.settings.database_path}; next: vlmprobe merge {' '.join(names)}"
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
    """Return a row a scale, metric and target, with a column a template."""
    from vlmprobe.reports import side_by_side

    table = side_by_side(points)
    return [
        {
            "family": row.family,
            "scale": row.scale,
            "dataset": row.dataset,
            "metric": row.metric,
            "target": row.target,
            **{
                name: None if point is None else point.value
                for name, point in zip(table.templates, row.points, strict=True)
            },
        }
        for row in table.rows
    ]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze", epilog="Example: vlmprobe analyze qwen25 --scale 80k --scale 2m")(analyze)
