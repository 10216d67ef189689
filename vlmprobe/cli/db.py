"""``vlmprobe db``: upgrade, current, check, copy, grant-reader, grant-writer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

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
    typer.echo(f"{workspace.settings.database_name}: schema {before or 'none'} -> {after}")


@command(example="vlmprobe db current", lists=True)
def current(workspace: Workspace) -> None:
    """Print the database's schema revision and the one this version needs."""
    from vlmprobe.workflows.database import database_revision

    have, need = database_revision(workspace)
    typer.echo(f"{workspace.settings.database_name}: schema {have or 'none'}, this vlmprobe needs {need}")


@command(example="vlmprobe db check --json", lists=True)
def check(
    workspace: Workspace,
    *,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", help="Check only this run: its id, or the beginning or end of it.", metavar="RUN"
        ),
    ] = None,
    output: Output,
) -> None:
    """Run every check in queries/checks; the exit code is 1 if any row violates one."""
    from vlmprobe.workflows.database import check_database

    results = check_database(workspace, run)
    output.rows([asdict(result) for result in results])
    if any(result.rows for result in results):
        raise typer.Exit(1)


@command(example="vlmprobe db copy vlmprobe-data/vlmprobe.duckdb postgresql://user@host/study", lists=True)
def copy(
    workspace: Workspace,
    *,
    source: Annotated[str, typer.Argument(help="A DuckDB file, or postgresql://...", metavar="FROM")],
    target: Annotated[str, typer.Argument(help="The same; a database without rows.", metavar="TO")],
    output: Output,
) -> None:
    """Copy every row into an empty database of either kind, and check that all arrived; shards stay where they are."""
    from vlmprobe.streams import as_utf8
    from vlmprobe.workflows.database import copy_to

    counts = copy_to(workspace, as_utf8(source), as_utf8(target))
    output.rows([{"table": table, "rows": rows} for table, rows in counts.items()])


@command(example="vlmprobe db grant-reader reader")
def grant_reader(
    workspace: Workspace,
    *,
    name: Annotated[str, typer.Argument(help="The role; it is made if it is not there.", metavar="NAME")],
) -> None:
    """Let a Postgres role read the database, for VLMPROBE_READER_URL; it can write nothing."""
    from vlmprobe.workflows.database import make_reader

    for note in make_reader(workspace, name):
        workspace.console.warn(note)
    typer.echo(f"{name} may read {workspace.settings.database_name}")


@command(example="vlmprobe db grant-writer ana")
def grant_writer(
    workspace: Workspace,
    *,
    name: Annotated[str, typer.Argument(help="The role; it is made if it is not there.", metavar="NAME")],
) -> None:
    """Let a Postgres role extract and analyze into the database; it cannot change the schema."""
    from vlmprobe.workflows.database import make_writer

    for note in make_writer(workspace, name):
        workspace.console.warn(note)
    typer.echo(f"{name} may read and write {workspace.settings.database_name}")


add(app, upgrade, current, check, copy, grant_reader, grant_writer)
