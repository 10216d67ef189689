"""``vlmprobe control``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.arguments import whole_path
from vlmprobe.cli.command import command
from vlmprobe.cli.engine_options import EngineArguments
from vlmprobe.cli.extraction_options import ExtractionOptions
from vlmprobe.cli.options import BenchmarkData, Output
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    engine: EngineArguments,
    output: Output,
) -> None:
    """Extract the usual controls of each scale's run and what verdicts need; print how far the run is above them."""
    if not engine.is_local:
        own = (
            *(() if kinds is None else ("--kinds", kinds)),
            *(() if image_swaps is None else ("--image-swaps", whole_path(image_swaps))),
            *(("--also-without-axis",) if without_axis else ()),
            *(("--verdicts-only",) if verdicts_only else ()),
        )
        _submit(workspace, family, data, scales or (), options, own, engine, output)
        return
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


def _submit(
    workspace: Workspace,
    family: str,
    data: Path,
    scales: Sequence[str],
    options: ExtractionOptions,
    own: Sequence[str],
    engine: EngineArguments,
    output: Output,
) -> None:
    """Hand the controls of each scale to an engine, and what prints the verdicts when all have ended.

    Raises:
        UsageError: a scale has no complete run, or an option cannot be used with an engine.
    """
    from vlmprobe.cli.engine_options import check_found_again, planned_controls, selecting
    from vlmprobe.cli.submitting import submit_units
    from vlmprobe.cluster.engines.base import experiment_arguments
    from vlmprobe.workflows.control import served_runs

    if engine.parts > 1:
        raise UsageError("--parts cannot be used with control: each scale is one unit")
    if options.new:
        raise UsageError(
            "--new cannot be used with control --engine: a unit that is begun again resumes its runs"
        )
    check_found_again(options)
    runs = served_runs(workspace, family, options.on(data), scales)
    names = list(dict.fromkeys(run.scale for run in runs))
    common = experiment_arguments(workspace.settings)
    planned = planned_controls(family, names, data, options, own, common)
    of_scales = [each for name in names for each in ("--scale", name)]
    verdict = ("verdict", family, *of_scales, "--data", whole_path(data), *selecting(options), *common)
    submit_units(workspace, planned, engine, (verdict,), output)


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
