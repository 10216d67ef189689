"""``vlmprobe data mirror``."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import AsJson
from vlmprobe.workspace import Workspace

__all__ = ["mirror"]

_CAUTION = (
    "text, faces and hands are mirrored too, and a mirrored picture is as from another camera: what a model makes of "
    "these may differ between the two pictures as well"
)


@command(example="vlmprobe data mirror EmbSpatial-Bench.tsv mirrored.jsonl")
def mirror(
    workspace: Workspace,
    *,
    file: Annotated[
        Path,
        typer.Argument(
            help="TSV in EmbSpatial-Bench form, or generic JSONL, CSV or parquet.",
            metavar="FILE",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(help="JSONL to create; an existing file is never overwritten.", metavar="OUT"),
    ],
    boxes: Annotated[
        str | None,
        typer.Option(
            "--boxes", help="Object boxes, mirrored too: JSON, parquet, or a hub id.", metavar="FILE"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a benchmark's left/right pairs about its pictures mirrored: exchanged pictures for verdicts."""
    from vlmprobe.workflows.mirror import mirror as write

    found = write(workspace, file, out, boxes=boxes)
    dataset, mirrored = found.dataset, found.mirrored
    n_pairs = sum(mirrored.n_pairs.values())
    if as_json:
        import json

        facts = {
            "file": str(out),
            "pairs": n_pairs,
            **mirrored.n_pairs,
            "images": mirrored.n_images,
            "rows_without_pair": len(dataset.problems),
            "problems": [asdict(problem) for problem in mirrored.problems],
        }
        typer.echo(json.dumps(facts, indent=1))
    else:
        typer.echo(str(out))
    console = workspace.console
    if dataset.problems:
        console.warn(
            f"{len(dataset.problems)} of {dataset.n_rows} rows give no pair; "
            f"'vlmprobe data check {shlex.quote(str(file))}' lists them"
        )
    if mirrored.problems:
        first = mirrored.problems[0]
        console.warn(
            f"{len(mirrored.problems)} of {n_pairs + len(mirrored.problems)} pairs have no mirrored picture, the first "
            f"on {dataset.unit} {first.line}: {first.why}; --json lists them"
        )
    counts = ", ".join(f"{n} {category}" for category, n in mirrored.n_pairs.items())
    console.say(
        f"{n_pairs} pairs about {mirrored.n_images} mirrored pictures ({counts}); next: vlmprobe control FAMILY "
        f"--data {shlex.quote(str(file))} --image-swaps {shlex.quote(str(out))}"
    )
    console.warn(_CAUTION)
