"""``vlmprobe export``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.options import Families, Folder, Layers, MaxPerCategory, OnData, Scales, TemplateName
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Home, Quiet, session
from vlmprobe.errors import UsageError

__all__ = ["register"]


def export(
    folder: Folder,
    families: Families = None,
    scales: Scales = None,
    data: OnData = None,
    max_per_category: MaxPerCategory = 200,
    template: TemplateName = "published",
    layers: Layers = "",
    compress: Annotated[bool, typer.Option("--compress", help="Compress the NPZ files (slow).")] = False,
    plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Whether figures are drawn too.")] = True,
    layout: Annotated[
        str, typer.Option("--format", help="results (the old layout) or parquet (every table).")
    ] = "results",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write runs as the old layout of CSV, JSON and NPZ files, or every table as parquet.

    --layers: five layers spread over the depth unless given.
    """
    with session(home, quiet=quiet, debug=debug) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.cli.options import layer_list
        from vlmprobe.workflows.export import export_parquet, export_results

        if layout not in {"results", "parquet"}:
            raise UsageError(f"--format {layout!r}: write results or parquet")
        if layout == "parquet":
            written = export_parquet(current.settings, current.console, folder)
        else:
            written = export_results(
                current.settings,
                current.console,
                folder,
                families=families or (),
                scales=scales or (),
                data=data,
                max_per_category=max_per_category,
                template=template,
                layers=layer_list(layers) if layers else None,
                all_layers=layers.strip().lower() == "all",
                compress=compress,
                plots=plots,
            )
        if as_json or as_csv:
            print_rows([{"file": str(path)} for path in written], as_json=as_json, as_csv=as_csv)
        current.console.say(f"{len(written)} files are in {folder}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", epilog="Example: vlmprobe export out qwen25 --layers all")(export)
