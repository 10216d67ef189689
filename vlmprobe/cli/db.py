"""``vlmprobe db``: upgrade, current, check."""

from __future__ import annotations

from dataclasses import asdict

import typer

from vlmprobe.cli.command import add, command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["app"]

app = typer.Typer(
    help="Upgrade the database's schema and check its integrity.",
    epilog="Example: vlmprobe db check",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@command(example="vlmprobe db upgrade")
def upgrade(workspace: Workspace) -> None:
    """Upgrade the database to this version's schema; no data is lost."""
    from vlmprobe.workflows.database import upgrade_database

    before, after = upgrade_database(workspace)
    typer.echo(f"{workspace.settings.database_path}: schema {before or 'none'} -> {after}")


@command(example="vlmprobe db current", lists=True)
def current(workspace: Workspace) -> None:
    """Print the database's schema revision and the one this version needs."""
    from vlmprobe.workflows.database import database_revision

    have, need = database_revision(workspace)
    typer.echo(f"{workspace.settings.database_path}: schema {have or 'none'}, this vlmprobe needs {need}")


@command(example="vlmprobe db check --json", lists=True)
def check(
    workspace: Workspace,
    *,
    output: Output,
) -> None:
    """Run every check in queries/checks; the exit code is 1 if any row violates one."""
    from vlmprobe.workflows.database import check_database

    results = check_database(workspace)
    output.rows([asdict(result) for result in results])
    if any(result.rows for result in results):
        raise typer.Exit(1)


add(app, upgrade, current, check)
