"""``vlmprobe import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["import_"]


@command(example="vlmprobe import results/molmo --family molmo", experiment=True)
def import_(
    workspace: Workspace,
    *,
    folder: Annotated[
        Path, typer.Argument(help="results/, saved_data/, or the folder of one model.", metavar="DIR")
    ],
    family: Annotated[
        str | None, typer.Option("--family", help="Family name; overrides the folder's name.")
    ] = None,
    scales: Annotated[
        list[str] | None, typer.Option("--scale", help="Only this scale; may be repeated.")
    ] = None,
    output: Output,
) -> None:
    """Import old results: CSV, JSON and NPZ files become runs, pairs, predictions and hidden states."""
    from vlmprobe.workflows.import_results import import_results

    results = import_results(workspace, folder, family=family, scales=scales or ())
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
    output.rows(rows)
    names = " ".join(sorted({result.run.family for result in results}))
    workspace.console.say(f"next: vlmprobe analyze {names}")
