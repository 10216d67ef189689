"""``vlmprobe robustness``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import MaxPerCategory, Output, TemplateName
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.reports.robustness import RobustnessRow

__all__ = ["robustness"]


@command(example="vlmprobe robustness qwen25 --data EmbSpatial-Bench.tsv --scale 80k")
def robustness(
    workspace: Workspace,
    *,
    family: Annotated[str, typer.Argument(help="Model family whose runs are read.")],
    data: Annotated[
        Path, typer.Option("--data", help="Benchmark that the runs are on.", metavar="FILE|NAME")
    ],
    scales: Annotated[
        list[str] | None,
        typer.Option("--scale", help="Only this scale; may be repeated. Default: all with a complete run."),
    ] = None,
    template: TemplateName = "published",
    max_per_category: MaxPerCategory = 200,
    layer: Annotated[
        int | None,
        typer.Option("--layer", help="Decoder layer to read. Default: the recommended one.", metavar="N"),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Also train a logistic probe beside its control task.")
    ] = False,
    splits: Annotated[
        str | None,
        typer.Option(
            "--splits",
            help="Splits of the probe: object-disjoint, image-grouped. Default: both.",
            metavar="NAME,...",
        ),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option("--boxes", help="Object boxes, for Null 2: JSON, parquet, or a hub id.", metavar="FILE"),
    ] = None,
    swap_boxes: Annotated[
        str | None,
        typer.Option("--swap-boxes", help="Object boxes of the exchanged pictures.", metavar="FILE"),
    ] = None,
    output: Output,
) -> None:
    """Say whether a run's axes hang on the inner product, on its answers, on a wording, or on objects; ask no model."""
    from vlmprobe.reports.robustness import READING, READING_OF_SCENE, reasons, rows_in_full, scene_table
    from vlmprobe.study.pictured import BoxSources
    from vlmprobe.workflows.robustness import robustness as read_robustness
    from vlmprobe.workflows.robustness import split_list

    if splits is not None and not probe:
        raise UsageError("--splits needs --probe")
    wanted = split_list(splits or "object-disjoint,image-grouped") if probe else ()
    rows = read_robustness(
        workspace,
        family,
        data,
        scales=scales or (),
        template=template,
        max_per_category=max_per_category,
        layer=layer,
        splits=wanted,
        boxes=BoxSources(boxes, swap_boxes),
    )
    if not output.is_table:
        output.rows(rows_in_full(rows))
        return
    _print(output, rows)
    for line in (*reasons(rows), *READING, *(READING_OF_SCENE if scene_table(rows) else ())):
        workspace.console.say(line)


def _print(output: Output, rows: Sequence[RobustnessRow]) -> None:
    from vlmprobe.reports.robustness import (
        answers_table,
        probe_table,
        products_table,
        scene_table,
        transfer_table,
    )

    for number, table in enumerate((products_table, answers_table, transfer_table, scene_table, probe_table)):
        lines = table(rows)
        if lines:
            if number:
                typer.echo()
            output.rows(lines)
