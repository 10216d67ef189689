"""``vlmprobe import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def import_(
    folder: Annotated[
        Path, typer.Argument(help="results/, saved_data/, or one model's folder.", metavar="DIR")
    ],
    family: Annotated[
        str | None, typer.Option("--family", help="The family's name, instead of the folder's.")
    ] = None,
    scales: Annotated[
        list[str] | None, typer.Option("--scale", help="Only this scale; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Bring old results along: CSV, JSON and NPZ files become runs, pairs, predictions and hidden states."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.import_results import import_results

        results = import_results(
            current.settings, current.console, folder, family=family, scales=scales or ()
        )
        rows = [
            {
                "family": result.run.family,
                "scale": result.run.scale,
                "dataset": result.run.dataset,
                "pairs": result.n_pairs,
                "quads": result.n_quads,
                "layers": result.n_layers,
                "already_there": result.already_there,
                "run_id": result.run.run_id,
            }
            for result in results
        ]
        print_rows(rows, as_json=as_json, as_csv=as_csv)
        names = " ".join(sorted({result.run.family for result in results}))
        current.console.say(f"next: vlmprobe analyze {names}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", epilog="Example: vlmprobe import results/molmo --family molmo")(import_)
