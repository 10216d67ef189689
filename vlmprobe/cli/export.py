"""``vlmprobe export``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Folder, Output, RunFilter, TemplateName, layer_choice
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

__all__ = ["export"]


@command(example="vlmprobe export out qwen25 --layers all")
def export(
    workspace: Workspace,
    *,
    folder: Folder,
    runs: RunFilter,
    template: TemplateName = "published",
    layers: Annotated[
        str, typer.Option("--layers", help="Decoder layers to export, counted from 0.", metavar="all|0,5,...")
    ] = "",
    compress: Annotated[bool, typer.Option("--compress", help="Compress the NPZ files (slow).")] = False,
    plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Also draw the figures.")] = True,
    layout: Annotated[
        str, typer.Option("--format", help="results (the old layout) or parquet (every table).")
    ] = "results",
    output: Output,
) -> None:
    """Write runs in the old layout of CSV, JSON and NPZ files, or every table as parquet.

    Without --layers, the command uses five layers spread evenly over the model.
    """
    from vlmprobe.workflows.export import export_parquet, export_results

    if layout not in {"results", "parquet"}:
        raise UsageError(f"--format {layout!r}: use results or parquet")
    if layout == "parquet":
        written = export_parquet(workspace, folder)
    else:
        written = export_results(
            workspace,
            runs.selection,
            folder,
            template=template,
            layers=layer_choice(layers),
            compress=compress,
            plots=plots,
        )
    if not output.is_table:
        output.rows([{"file": str(path)} for path in written])
    workspace.console.say(f"{len(written)} files are in {folder}")
