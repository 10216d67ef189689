"""``vlmprobe demo``, and under it ``benchmark`` and ``train``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import add, command
from vlmprobe.cli.demo_benchmark import benchmark
from vlmprobe.cli.demo_train import train
from vlmprobe.cli.options import Out, Output
from vlmprobe.workspace import Workspace

__all__ = ["app"]

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    epilog="Example: vlmprobe demo --scales vanilla,2m --out demo",
)


@app.callback()
@command(example="vlmprobe demo --scales vanilla,2m --out demo", experiment=True)
def demo(
    workspace: Workspace,
    *,
    context: typer.Context,
    scales: Annotated[
        str, typer.Option("--scales", help="Bundled scales to run, separated by commas; all if empty.")
    ] = "",
    out: Out = None,
    output: Output,
) -> None:
    """Draw a benchmark and run five fine-tuning scales of a tiny Qwen2.5-VL on it. Needs no download and no GPU."""
    if context.invoked_subcommand is not None:
        return
    from vlmprobe.cli.comparison import print_merged
    from vlmprobe.workflows.demo import demo as run_demo

    chosen = [scale.strip() for scale in scales.split(",") if scale.strip()]
    result = run_demo(workspace, scales=chosen, out=out)
    print_merged(workspace, result.merged, output, result.timeline)


add(app, benchmark, train)
