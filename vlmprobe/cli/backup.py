"""``vlmprobe backup``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.workspace import Workspace

__all__ = ["backup"]


@command(example="vlmprobe backup before-the-upgrade.duckdb")
def backup(
    workspace: Workspace,
    *,
    file: Annotated[
        Path, typer.Argument(help="File to create; an existing file is never overwritten.", metavar="FILE")
    ],
) -> None:
    """Copy the database to a new file, even while it is in use; shards stay where they are."""
    from vlmprobe.workflows.database import back_up

    typer.echo(str(back_up(workspace, file)))
