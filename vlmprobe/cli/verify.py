"""``vlmprobe verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended: orphans, damage, what MLflow lacks.")
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check every shard's hash and shape, rows against shards, and the database; what is wrong is exit code 1."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from dataclasses import asdict

        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.verify import verify as run_verify

        verified = run_verify(current.settings, current.console, repair=repair)
        findings = verified.findings
        if as_json or as_csv:
            print_rows([asdict(finding) for finding in findings], as_json=as_json, as_csv=as_csv)
        else:
            for finding in findings:
                mark = "repaired" if finding.repaired else "wrong"
                typer.echo(f"{mark}: {finding.where}: {finding.problem}; {finding.todo}")
        n_wrong = sum(not finding.repaired for finding in findings)
        state = f"{n_wrong} wrong, {len(findings) - n_wrong} repaired" if findings else "all well"
        current.console.say(
            f"{verified.runs} runs, {verified.shards} shards, {verified.checks} checks: {state}"
        )
        if not verified.is_well:
            raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify", epilog="Example: vlmprobe verify --repair")(verify)
