"""``vlmprobe doctor``."""

from __future__ import annotations

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["doctor"]


@command(example="vlmprobe doctor --home /data/probes", lists=True)
def doctor(workspace: Workspace, *, output: Output) -> None:
    """Check what a run needs: versions, GPU, home, database, MLflow, families, disk.

    Nothing is changed, and no model is loaded. The exit code is 1 if something will fail.
    """
    from vlmprobe.workflows.doctor import diagnose

    found = diagnose(workspace)
    output.rows(
        [{"what": each.what, "ok": "yes" if each.ok else "NO", "state": each.state} for each in found]
    )
    if not all(each.ok for each in found):
        raise typer.Exit(1)
