"""``vlmprobe families``."""

from __future__ import annotations

from typing import Any

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Home, Quiet, session

__all__ = ["register"]


def families(
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List every family and scale: checkpoints, training, what a family needs and where it runs.

    --json and --csv print a row per scale, with its family's facts.
    """
    with session(home, quiet=quiet, debug=debug):
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.families import list_families, list_scales

        of_families, scales = list_families(), list_scales()
        if as_json or as_csv:
            facts = {row["family"]: row for row in of_families}
            print_rows([row | facts[row["family"]] for row in scales], as_json=as_json, as_csv=as_csv)
            return
        print_rows([_shown(row) for row in scales])
        typer.echo()
        print_rows(of_families)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Say in words what a missing name means to someone who wants to extract."""
    asked_for = row["checkpoint"] is None
    return row | {
        "scale": row["scale"] or "(any name)",
        "checkpoint": "(pass --checkpoint)" if asked_for else row["checkpoint"],
        "processor": row["processor"] or (None if asked_for else "its own"),
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("families", epilog="Example: vlmprobe families --json")(families)
