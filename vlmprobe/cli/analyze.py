"""``vlmprobe analyze``."""

from __future__ import annotations

import typer

from vlmprobe.cli.options import Families, MaxPerCategory, OnData, Scales
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def analyze(
    families: Families = None,
    scales: Scales = None,
    data: OnData = None,
    max_per_category: MaxPerCategory = 200,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute every metric of the complete runs that match, store it and log it to MLflow. No model is loaded."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.analyze import analyze as run_analysis

        results = run_analysis(
            current.settings,
            current.console,
            families=families or (),
            scales=scales or (),
            data=data,
            max_per_category=max_per_category,
        )
        rows = [
            {
                "family": result.run.family,
                "scale": result.run.scale,
                "dataset": result.run.dataset,
                "pairs": result.n_pairs,
                "new": result.update.added,
                "changed": result.update.changed,
                "unchanged": result.update.unchanged,
                "run_id": result.run.run_id,
            }
            for result in results
        ]
        print_rows(rows, as_json=as_json, as_csv=as_csv)
        names = sorted({result.run.family for result in results})
        current.console.say(
            f"metrics are in {current.settings.database_path}; next: vlmprobe merge {' '.join(names)}"
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze", epilog="Example: vlmprobe analyze qwen25 --scale 80k --scale 2m")(analyze)
