"""``vlmprobe run``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
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
    out: Out = None,
    output: Output,
) -> None:
    """Extract and analyze each scale of a family, then compare them."""
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
    result = run_study(workspace, family, wanted, requests=requests, out=out)
    print_merged(workspace, result.merged, output, result.timeline)
