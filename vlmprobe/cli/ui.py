"""``vlmprobe ui``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.workspace import Workspace

__all__ = ["ui"]


@command(example="vlmprobe ui --port 5001", experiment=True)
def ui(
    workspace: Workspace,
    *,
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 5000,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on; anything but the default lets other machines connect.",
            metavar="ADDRESS",
        ),
    ] = "127.0.0.1",
    auth: Annotated[bool, typer.Option("--auth", help="Require a user name and password.")] = False,
) -> None:
    """Open the MLflow UI at the chart view that compares the scales; stop it with Ctrl-C."""
    from vlmprobe.workflows.ui import serve

    serve(workspace, port=port, host=host, auth=auth, announce=typer.echo)
