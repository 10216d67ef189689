"""``vlmprobe import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.workflows.import_home import JoinedRun

__all__ = ["import_"]


@command(example="vlmprobe import results/molmo --family molmo", experiment=True)
def import_(
    workspace: Workspace,
    *,
    folder: Annotated[
        Path,
        typer.Argument(
            help="results/, saved_data/, or the folder of one model; or the home of another study.",
            metavar="DIR",
        ),
    ],
    family: Annotated[
        str | None, typer.Option("--family", help="Family name; overrides the folder's name.")
    ] = None,
    scales: Annotated[
        list[str] | None, typer.Option("--scale", help="Only this scale; may be repeated.")
    ] = None,
    output: Output,
) -> None:
    """Import old results: CSV, JSON and NPZ files become runs, pairs, predictions and hidden states.

    Of another study's home, import every run that this home lacks, with its arrays and metrics.
    """
    from vlmprobe.workflows.import_home import import_home, is_home
    from vlmprobe.workflows.import_results import import_results

    if is_home(folder):
        joined = import_home(workspace, folder, family=family, scales=tuple(scales or ()))
        output.rows([_of_joined(each) for each in joined], empty="no runs to import")
        workspace.console.say(
            f"{sum(each.state == 'imported' for each in joined)} of {len(joined)} runs imported; {folder} is as it was"
        )
        if any(each.is_missing for each in joined):
            raise typer.Exit(1)
        return
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


def _of_joined(joined: JoinedRun) -> dict[str, Any]:
    run = joined.run
    return {
        "family": run.family,
        "scale": run.scale,
        "dataset": run.dataset,
        "template": run.template,
        "pairs": run.pairs,
        "state": joined.state,
        "note": joined.why,
        "run_id": run.run_id,
    }
