"""``vlmprobe control``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.extraction_options import ExtractionOptions
from vlmprobe.cli.options import BenchmarkData, Output
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.workflows.control import Controlled

__all__ = ["control"]


@command(example="vlmprobe control qwen25 --data EmbSpatial-Bench.tsv", experiment=True)
def control(
    workspace: Workspace,
    *,
    family: Annotated[str, typer.Argument(help="Model family whose runs are held against controls.")],
    data: BenchmarkData,
    scales: Annotated[
        list[str] | None,
        typer.Option("--scale", help="Only this scale; may be repeated. Default: all with a complete run."),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            help="Only these: grey, other-image[:SEED], random-weights[:SEED], shuffled-labels[:SEED], other-axis.",
            metavar="KIND,...",
        ),
    ] = None,
    image_swaps: Annotated[
        Path | None,
        typer.Option(
            "--image-swaps",
            help="The same questions about pictures with two objects exchanged, or mirrored; for verdicts.",
            metavar="FILE",
        ),
    ] = None,
    without_axis: Annotated[
        bool,
        typer.Option(
            "--also-without-axis", help="Extract what verdicts need for scales that have no axis too."
        ),
    ] = False,
    verdicts_only: Annotated[
        bool,
        typer.Option(
            "--verdicts-only",
            help="Extract nothing that no verdict needs: no random weights, no scale without an axis.",
        ),
    ] = False,
    options: ExtractionOptions,
    output: Output,
) -> None:
    """Extract the usual controls of each scale's run and what verdicts need; print how far the run is above them."""
    from vlmprobe.extraction.control import kind_list
    from vlmprobe.reports.controls import controls_in_full, shown_controls
    from vlmprobe.workflows.control import control as run_control
    from vlmprobe.workflows.verdict import say_verdicts

    found = run_control(
        workspace,
        family,
        options.on(data),
        scales=scales or (),
        kinds=None if kinds is None else kind_list(kinds.split(",")),
        image_swaps=image_swaps,
        without_axis=without_axis,
        verdicts_only=verdicts_only,
    )
    output.rows(shown_controls(found.rows) if output.is_table else controls_in_full(found.rows))
    for line in _remarks(found):
        workspace.console.say(line)
    say_verdicts(workspace, family, options.on(data), scales=scales or ())


def _remarks(found: Controlled) -> list[str]:
    from vlmprobe.reports.controls import LAST, READING

    lines = [
        f"controls: {len(found.controls.extracted)} extracted, {len(found.controls.already)} were complete already; "
        "list them with 'vlmprobe runs --controls'"
    ]
    if found.real.extracted or found.real.already:
        lines.append(
            f"yes/no runs for verdicts: {len(found.real.extracted)} extracted, {len(found.real.already)} were complete "
            "already; list them with 'vlmprobe runs'"
        )
    if found.without_axis:
        lines.append(
            f"nothing was extracted for verdicts on {', '.join(found.without_axis)}: no axis; --also-without-axis "
            "extracts it"
        )
    if found.failed:
        lines.append(
            f"pairs failed in {', '.join(found.failed)}; these are held against the run on the other pairs"
        )
    last = dict.fromkeys(row.name for row in found.rows if row.layer_is == LAST)
    if last:
        lines.append(f"no layer is recommended for {', '.join(last)}, so the last one is shown")
    return [*lines, *READING]
