"""``vlmprobe backup``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.session import Debug, Home, Quiet, session

__all__ = ["register"]


def backup(
    file: Annotated[Path, typer.Argument(help="The copy; nothing is overwritten.", metavar="FILE")],
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Copy the database into a new file while others work with it; shards stay where they are."""
    with session(home, quiet=quiet, debug=debug) as current:
        from vlmprobe.workflows.database import back_up

        typer.echo(str(back_up(current.settings, current.console, file)))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backup", epilog="Example: vlmprobe backup before-the-upgrade.duckdb")(backup)
