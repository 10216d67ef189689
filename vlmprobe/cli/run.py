"""``vlmprobe run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.engine_options import EngineArguments
from vlmprobe.cli.extraction_options import CheckpointOptions, ExtractionOptions
from vlmprobe.cli.options import BenchmarkData, Out, Output
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

__all__ = ["run"]


@command(
    example="vlmprobe run qwen25 --data EmbSpatial-Bench.tsv --scale vanilla --scale 80k", experiment=True
)
def run(
    workspace: Workspace,
    *,
    family: Annotated[str, typer.Argument(help="Model family: the code that runs an architecture.")],
    data: BenchmarkData,
    scales: Annotated[
        list[str] | None,
        typer.Option("--scale", help="Only this scale; may be repeated. Default: all known."),
    ] = None,
    checkpoint: CheckpointOptions,
    options: ExtractionOptions,
    engine: EngineArguments,
    out: Out = None,
    output: Output,
) -> None:
    """Extract and analyze each scale of a family, then compare them; here, or with --engine on a cluster."""
    from vlmprobe.cli.comparison import print_merged
    from vlmprobe.workflows.run import run_study

    wanted = options.on(data)
    requests = [checkpoint.request(family, scale, wanted) for scale in scales or ()]
    if not requests and checkpoint != CheckpointOptions():
        raise UsageError("--checkpoint, --processor and --revision are of one scale; name it with --scale")
    if len(requests) > 1 and (checkpoint.checkpoint or checkpoint.revision):
        raise UsageError(
            f"--checkpoint and --revision are of one scale, not of {', '.join(scales or ())}; run each scale apart"
        )
    if not engine.is_local:
        _submit(workspace, family, data, scales, checkpoint, options, engine, out, output)
        return
    result = run_study(workspace, family, wanted, requests=requests, out=out)
    print_merged(workspace, result.merged, output, result.timeline)


def _submit(
    workspace: Workspace,
    family: str,
    data: Path,
    scales: list[str] | None,
    checkpoint: CheckpointOptions,
    options: ExtractionOptions,
    engine: EngineArguments,
    out: Path | None,
    output: Output,
) -> None:
    """Hand the scales to an engine, and what compares them when all have ended."""
    from vlmprobe.cli.arguments import whole_path
    from vlmprobe.cli.engine_options import check_found_again, planned_units, selecting
    from vlmprobe.cli.submitting import submit_units
    from vlmprobe.cluster.engines.base import experiment_arguments
    from vlmprobe.workflows.run import scales_to_run
    from vlmprobe.workflows.scales import reported_template
    from vlmprobe.workflows.units import report_of

    check_found_again(options)
    names = scales or scales_to_run(workspace, family)
    common = experiment_arguments(workspace.settings)
    planned = planned_units(family, names, data, checkpoint, options, common, engine.parts)
    of_scales = [each for name in names for each in ("--scale", name)]
    selected = (family, *of_scales, "--data", whole_path(data), *selecting(options), *common)
    wanted = options.on(data)
    # Wherever that runs, the report is where whoever submits looks for it: a node may have a home of its own.
    report = out.absolute() if out is not None else report_of(workspace, family, wanted)
    merge = ("merge", *selected, "--template", reported_template(wanted), "--out", str(report))
    goes_on = submit_units(workspace, planned, engine, (("analyze", *selected), merge), output)
    if goes_on and not engine.only_print:
        workspace.console.say(f"report      {report / 'report.html'}, once all units have ended")
