"""``vlmprobe run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.engine_options import EngineArguments
from vlmprobe.cli.extraction_options import CheckpointOptions, ExtractionOptions
from vlmprobe.cli.options import BenchmarkData, Out, Output
from vlmprobe.errors import UsageError, VlmprobeError
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
    """Hand the scales to an engine; with one that waits, compare them at the end."""
    from vlmprobe.cli.arguments import whole_path
    from vlmprobe.cli.engine_options import planned_units, selecting
    from vlmprobe.cluster.engines.base import experiment_arguments
    from vlmprobe.workflows.run import scales_to_run
    from vlmprobe.workflows.scales import reported_template
    from vlmprobe.workflows.units import finish_here, submit

    if options.allow_contradictions:
        raise UsageError(
            "--allow-contradictions cannot be used with --engine: analyze and merge would not find its runs"
        )
    names = scales or scales_to_run(workspace, family)
    common = experiment_arguments(workspace.settings)
    planned = planned_units(family, names, data, checkpoint, options, common, engine.parts)
    of_scales = [each for name in names for each in ("--scale", name)]
    selected = (family, *of_scales, "--data", whole_path(data), *selecting(options), *common)
    template = reported_template(options.on(data))
    to = () if out is None else ("--out", str(out.absolute()))
    finish = (("analyze", *selected), ("merge", *selected, "--template", template, *to))
    result = submit(workspace, planned, engine.engine, engine.options, finish)
    say = workspace.console.say
    if result.complete:
        say(f"complete already: {', '.join(result.complete)}")
    if result.submitted is None:
        say("nothing to submit")
    else:
        for line in result.submitted.lines:
            typer.echo(line)
        for line in result.submitted.said:
            say(line)
        if not result.submitted.is_over and not engine.only_print:
            say(
                f"{result.n_units} units; see 'vlmprobe status {result.name}', stop with "
                f"'vlmprobe cancel {result.name}'"
            )
    if (result.submitted is None and not engine.only_print) or (
        result.submitted and result.submitted.is_over
    ):
        failed = None if result.submitted is None else result.submitted.failed
        analyze, merge = finish
        forms = [name for name, given in (("--json", output.as_json), ("--csv", output.as_csv)) if given]
        try:
            finish_here(workspace, (analyze, (*merge, *forms)))
        except VlmprobeError as error:
            raise VlmprobeError(failed or str(error)) from error
        if failed:
            raise VlmprobeError(failed)
