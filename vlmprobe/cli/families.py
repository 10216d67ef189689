"""``vlmprobe families``."""

from __future__ import annotations

from typing import Any

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["families"]


@command(example="vlmprobe families --json", lists=True)
def families(
    _: Workspace,
    *,
    output: Output,
) -> None:
    """List every family and scale: checkpoints, training, what a family needs and where it runs.

    --json and --csv print one row per scale, including the facts of its family.
    """
    from vlmprobe.workflows.families import list_families, list_scales

    of_families, scales = list_families(), list_scales()
    if not output.is_table:
        facts = {row["family"]: row for row in of_families}
        output.rows([row | facts[row["family"]] for row in scales])
        return
    output.rows([_shown(row) for row in scales])
    typer.echo()
    output.rows(of_families)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Replace missing names by words that tell the user how to extract."""
    asked_for = row["checkpoint"] is None
    return row | {
        "scale": row["scale"] or "(any name)",
        "checkpoint": "(pass --checkpoint)" if asked_for else row["checkpoint"],
        "processor": row["processor"] or (None if asked_for else "its own"),
    }
