"""``vlmprobe export``, and under it ``directions``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import OneOrItsOwn, add, add_default, command
from vlmprobe.cli.options import Folder, Output, RunFilter, TemplateName, layer_choice
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

__all__ = ["app"]

_EXAMPLE = "vlmprobe export out qwen25 --layers all"
app = typer.Typer(cls=OneOrItsOwn, epilog=f"Example: {_EXAMPLE}", rich_markup_mode=None)


@command(example=_EXAMPLE)
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


@command(example="vlmprobe export directions out qwen25 --scale 2m")
def directions(
    workspace: Workspace,
    *,
    folder: Folder,
    runs: RunFilter,
    template: TemplateName = "published",
    axes: Annotated[
        list[str] | None, typer.Option("--axis", help="Only this axis; may be repeated.", metavar="NAME")
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option("--layer", help="Decoder layer, counted from 0; default the recommended one.", min=0),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="npz or safetensors.")] = "npz",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also write directions of axes that are not resolved.")
    ] = False,
    output: Output,
) -> None:
    """Write each axis's direction in one layer, a unit vector, and a JSON file that says what it is worth."""
    from vlmprobe.interop import DIRECTION_FORMATS
    from vlmprobe.workflows.export import export_directions

    if form not in DIRECTION_FORMATS:
        raise UsageError(f"--format {form!r}: use {' or '.join(DIRECTION_FORMATS)}")
    written = export_directions(
        workspace,
        runs.selection,
        folder,
        template=template,
        layer=layer,
        axes=axes or (),
        form=form,
        anyway=anyway,
    )
    if not output.is_table:
        output.rows([{"file": str(path)} for path in written])
    workspace.console.say(f"{len(written)} files are in {folder}")


add_default(app, export)
add(app, directions)
