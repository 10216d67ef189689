"""``vlmprobe sync``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def sync(
    prune: Annotated[bool, typer.Option("--prune", help="Free the spool of shards that MLflow has.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Bring MLflow up to date with the database; what is there already is not doubled."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.sync import sync as run_sync

        results = run_sync(current.settings, current.console, prune=prune)
        rows = [
            {
                "family": run.family,
                "scale": run.scale,
                "shards_uploaded": delivery.uploaded,
                "shards_waiting": delivery.waiting,
                "state": "waiting" if delivery.problem else "in MLflow",
                "run_id": run.run_id,
            }
            for run, delivery in results
        ]
        print_rows(rows, as_json=as_json, as_csv=as_csv, empty="no complete runs")
        if any(delivery.problem for _, delivery in results):
            raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sync", epilog="Example: vlmprobe sync --prune")(sync)
