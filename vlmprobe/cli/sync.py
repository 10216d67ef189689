"""``vlmprobe sync``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["sync"]


@command(example="vlmprobe sync --prune", experiment=True)
def sync(
    workspace: Workspace,
    *,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete shards from the spool once MLflow has them.")
    ] = False,
    output: Output,
) -> None:
    """Bring MLflow up to date with the database; nothing is uploaded twice."""
    from vlmprobe.workflows.sync import sync as run_sync

    results = run_sync(workspace, prune=prune)
    rows = [
        {
            "family": run.family,
            "scale": run.scale,
            "shards_uploaded": delivery.uploaded,
            "shards_waiting": delivery.waiting,
            "state": delivery.state,
            "run_id": run.run_id,
        }
        for run, delivery in results
    ]
    output.rows(rows, empty="no complete runs")
    if any(delivery.state != "in MLflow" for _, delivery in results):
        raise typer.Exit(1)
