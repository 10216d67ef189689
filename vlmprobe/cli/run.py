"""``vlmprobe run``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import BenchmarkData, ExtractionOptions, Out, Output
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
    options: ExtractionOptions,
    out: Out = None,
    output: Output,
) -> None:
    """Extract and analyze each scale of a family, then compare them."""
    from vlmprobe.cli.comparison import print_merged
    from vlmprobe.workflows.run import run_study

    result = run_study(workspace, family, options.on(data), scales=scales or (), out=out)
    print_merged(workspace, result, output)
