"""``vlmprobe plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output, RunFilter, TemplateName, folder_to_make, layer_choice
from vlmprobe.workspace import Workspace

__all__ = ["plot"]


@command(example="vlmprobe plot qwen25 --layers 17,35 --format pdf")
def plot(
    workspace: Workspace,
    *,
    runs: RunFilter,
    template: TemplateName = "published",
    layers: Annotated[
        str, typer.Option("--layers", help="Decoder layers to draw, counted from 0.", metavar="all|0,5,...")
    ] = "",
    variants: Annotated[
        list[str] | None,
        typer.Option("--variant", help="all, both_correct or all_with_validity; may be repeated."),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    dpi: Annotated[float, typer.Option("--dpi", help="Resolution of PNG files, in dots per inch.")] = 110,
    free_y: Annotated[bool, typer.Option("--free-y", help="Give each scale its own y range.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the figures.", metavar="DIR", callback=folder_to_make),
    ] = None,
    output: Output,
) -> None:
    """Redraw every figure from the database and the stored hidden states; no model is loaded.

    Without --layers, the command uses five layers spread evenly over the model.
    """
    from vlmprobe.workflows.plot import PlotOptions, plots_folder
    from vlmprobe.workflows.plot import plot as run_plot

    defaults = PlotOptions()
    written = run_plot(
        workspace,
        runs.selection,
        template=template,
        layers=layer_choice(layers),
        out=out,
        options=PlotOptions(file_format, dpi, tuple(variants or defaults.variants), free_y),
    )
    if not output.is_table:
        output.rows([{"file": str(path)} for path in written])
    workspace.console.say(
        f"{len(written)} figures are in {out or plots_folder(workspace.settings, template)}"
    )
