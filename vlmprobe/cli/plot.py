"""``vlmprobe plot``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.options import Families, Layers, MaxPerCategory, OnData, Out, Scales, TemplateName
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Home, Quiet, session

__all__ = ["register"]


def plot(
    families: Families = None,
    scales: Scales = None,
    data: OnData = None,
    max_per_category: MaxPerCategory = 200,
    template: TemplateName = "published",
    layers: Layers = "",
    variants: Annotated[
        list[str] | None,
        typer.Option("--variant", help="all, both_correct or all_with_validity; may be repeated."),
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    dpi: Annotated[float, typer.Option("--dpi", help="Dots an inch of PNG files.")] = 110,
    free_y: Annotated[bool, typer.Option("--free-y", help="Give each scale a y range of its own.")] = False,
    out: Out = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw every figure again from the database and the stored hidden states; no model is loaded.

    --layers: five layers spread over the depth unless given.
    """
    with session(home, quiet=quiet, debug=debug) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.cli.options import layer_list
        from vlmprobe.workflows.plot import PlotOptions, plots_folder
        from vlmprobe.workflows.plot import plot as run_plot

        defaults = PlotOptions()
        written = run_plot(
            current.settings,
            current.console,
            families=families or (),
            scales=scales or (),
            data=data,
            max_per_category=max_per_category,
            template=template,
            layers=layer_list(layers) if layers else None,
            all_layers=layers.strip().lower() == "all",
            out=out,
            options=PlotOptions(file_format, dpi, tuple(variants or defaults.variants), free_y),
        )
        if as_json or as_csv:
            print_rows([{"file": str(path)} for path in written], as_json=as_json, as_csv=as_csv)
        current.console.say(
            f"{len(written)} figures are in {out or plots_folder(current.settings, template)}"
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plot", epilog="Example: vlmprobe plot qwen25 --layers 17,35 --format pdf")(plot)
