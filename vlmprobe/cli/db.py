"""``vlmprobe db``: upgrade, current, check."""

from __future__ import annotations

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Home, Quiet, session

__all__ = ["app"]

app = typer.Typer(
    help="Look after the database's schema and integrity.",
    epilog="Example: vlmprobe db check",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog="Example: vlmprobe db upgrade")
def upgrade(home: Home = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Bring the database to this version's schema; nothing in it is lost."""
    with session(home, quiet=quiet, debug=debug) as current:
        from vlmprobe.workflows.database import upgrade_database

        before, after = upgrade_database(current.settings, current.console)
        typer.echo(f"{current.settings.database_path}: schema {before or 'none'} -> {after}")


@app.command(epilog="Example: vlmprobe db current")
def current(home: Home = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Print the database's schema revision and the one this version needs."""
    with session(home, quiet=quiet, debug=debug) as now:
        from vlmprobe.workflows.database import database_revision

        have, need = database_revision(now.settings, now.console)
        typer.echo(f"{now.settings.database_path}: schema {have or 'none'}, this vlmprobe needs {need}")


@app.command(epilog="Example: vlmprobe db check --json")
def check(
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run every statement in queries/checks; rows that break one are a failure (exit code 1)."""
    with session(home, quiet=quiet, debug=debug) as now:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.database import check_database

        results = check_database(now.settings, now.console)
        print_rows(results, as_json=as_json, as_csv=as_csv)
        if any(row["rows"] for row in results):
            raise typer.Exit(1)
