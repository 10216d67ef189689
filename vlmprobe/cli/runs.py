"""``vlmprobe runs``."""

from __future__ import annotations

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Home, Quiet, session

__all__ = ["register"]


def runs(
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List every run: how far it got, on what, and from which checkpoint."""
    with session(home, quiet=quiet, debug=debug) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.query import all_runs

        rows = all_runs(current.settings, current.console)
        short = [
            {**row, "created_at": f"{row['created_at']:%Y-%m-%d %H:%M}"} if not (as_json or as_csv) else row
            for row in rows
        ]
        print_rows(short, as_json=as_json, as_csv=as_csv, empty="no runs yet; 'vlmprobe extract' makes one")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("runs", epilog="Example: vlmprobe runs --json")(runs)
