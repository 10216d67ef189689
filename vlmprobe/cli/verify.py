"""``vlmprobe verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["verify"]


@command(example="vlmprobe verify --repair", experiment=True, lists=True)
def verify(
    workspace: Workspace,
    *,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Recover orphaned shards, replace damaged ones, upload what MLflow lacks."
        ),
    ] = False,
    output: Output,
) -> None:
    """Check each shard's hash, shape and rows, and the database; the exit code is 1 if anything is wrong."""
    from dataclasses import asdict

    from vlmprobe.workflows.verify import verify as run_verify

    verified = run_verify(workspace, repair=repair)
    findings = verified.findings
    if not output.is_table:
        output.rows([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "repaired" if finding.repaired else "wrong"
            typer.echo(f"{mark}: {finding.where}: {finding.problem}; {finding.todo}")
    n_wrong = sum(not finding.repaired for finding in findings)
    state = f"{n_wrong} wrong, {len(findings) - n_wrong} repaired" if findings else "all well"
    workspace.console.say(
        f"{verified.runs} runs, {verified.shards} shards, {verified.checks} checks: {state}"
    )
    if not verified.is_well:
        raise typer.Exit(1)
