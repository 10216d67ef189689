"""``vlmprobe ui``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.session import Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def ui(
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 5000,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on; others than this one let other machines in.",
            metavar="ADDRESS",
        ),
    ] = "127.0.0.1",
    auth: Annotated[bool, typer.Option("--auth", help="Ask for a user and a password.")] = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Open the MLflow UI at the chart view that compares the scales; Ctrl-C ends it."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.workflows.ui import serve

        serve(current.settings, current.console, port=port, host=host, auth=auth, announce=typer.echo)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ui", epilog="Example: vlmprobe ui --port 5001")(ui)
