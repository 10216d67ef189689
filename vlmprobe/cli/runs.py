"""``vlmprobe runs``."""

from __future__ import annotations

from dataclasses import asdict

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["runs"]


@command(example="vlmprobe runs --json")
def runs(
    workspace: Workspace,
    *,
    output: Output,
) -> None:
    """List every run with its progress, benchmark and checkpoint."""
    from vlmprobe.workflows.query import all_runs

    rows = [asdict(run) for run in all_runs(workspace)]
    if output.is_table:
        rows = [{**row, "created_at": f"{row['created_at']:%Y-%m-%d %H:%M}"} for row in rows]
    output.rows(rows, empty="no runs yet; create one with 'vlmprobe extract'")
