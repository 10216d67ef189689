"""``vlmprobe compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import LatexOutput, MaxPerCategory, TemplateName
from vlmprobe.errors import UsageError
from vlmprobe.whole_file import whole_file
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.reports.comparison import Comparison

__all__ = ["compare"]

#: Exit code of ``--fail-if worse`` where something is.
_WORSE = 3
_FORMATS = ("json", "csv", "latex")
_SUFFIXES = {".json": "json", ".csv": "csv", ".tex": "latex"}


@command(example="vlmprobe compare tiny@800k tiny@2m")
def compare(
    workspace: Workspace,
    *,
    first: Annotated[
        str, typer.Argument(help="Run id, scale or FAMILY@SCALE; a family with --over-scales.", metavar="A")
    ],
    second: Annotated[str | None, typer.Argument(help="What it is compared with.", metavar="[B]")] = None,
    over_scales: Annotated[
        bool, typer.Option("--over-scales", help="Compare all scales of family A, in order of training.")
    ] = False,
    layer: Annotated[
        int | None, typer.Option("--layer", help="Decoder layer whose geometry is compared.", metavar="N")
    ] = None,
    template: TemplateName = "published",
    data: Annotated[
        Path | None, typer.Option("--data", help="Only runs on this benchmark.", metavar="FILE|NAME")
    ] = None,
    max_per_category: MaxPerCategory = 200,
    pairs: Annotated[bool, typer.Option("--pairs", help="Name every pair that changed.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write the result to.", metavar="FILE")
    ] = None,
    fail_if: Annotated[
        str | None,
        typer.Option(
            "--fail-if", help="worse: exit with 3 if an accuracy or coherence has fallen.", metavar="WHAT"
        ),
    ] = None,
    output: LatexOutput,
) -> None:
    """Compare two runs or scales on the same pairs, or all scales of a family, with paired tests."""
    from vlmprobe.workflows.compare import compare as run_comparison

    if fail_if not in {None, "worse"}:
        raise UsageError(f"--fail-if {fail_if!r}: use worse")
    form = _form(output, out)
    comparison = run_comparison(
        workspace,
        first,
        second,
        over_scales=over_scales,
        layer=layer,
        template=template,
        data=data,
        max_per_category=max_per_category,
    )
    _print(comparison, form, out, pairs=pairs)
    for line in (*comparison.words(), *comparison.changes(all_pairs=pairs)):
        workspace.console.say(line)
    if fail_if and comparison.is_worse:
        worse = ", ".join(
            f"{part.name}: {row.entry.name} {row.target}"
            for part in comparison.compared
            for row in part.rows
            if row.is_worse
        )
        workspace.console.warn(f"worse: {worse}")
        raise typer.Exit(_WORSE)


def _form(output: LatexOutput, out: Path | None) -> str:
    chosen = [
        name
        for name, is_chosen in zip(_FORMATS, (output.as_json, output.as_csv, output.as_latex), strict=True)
        if is_chosen
    ]
    if len(chosen) > 1:
        raise UsageError("use one of --json, --csv and --latex")
    if out is not None:
        if not out.parent.is_dir() or out.is_dir():
            raise UsageError(f"--out {out}: use a file in a folder that exists")
        if not chosen:
            return _SUFFIXES.get(out.suffix.lower(), "table")
    return chosen[0] if chosen else "table"


def _print(comparison: Comparison, form: str, out: Path | None, *, pairs: bool) -> None:
    """Print the rows, or write them to a file as they would be printed to one."""
    from vlmprobe.cli.console import print_rows, rows_as_text
    from vlmprobe.cli.latex import latex_table
    from vlmprobe.reports.comparison import pair_rows, shown_rows, tidy_rows

    if form in {"table", "latex"}:
        rows = shown_rows(comparison)
    else:
        rows = pair_rows(comparison) if pairs else tidy_rows(comparison)
    as_json, as_csv, empty = form == "json", form == "csv", "no pair changed"
    if form == "latex":
        text = f"{latex_table(rows)}\n"
    elif out is None:
        print_rows(rows, as_json=as_json, as_csv=as_csv, empty=empty)
        return
    else:
        text = rows_as_text(rows, as_json=as_json, as_csv=as_csv, empty=empty)
    if out is None:
        typer.echo(text, nl=False)
        return
    with whole_file(out) as partial:
        partial.write_text(text, encoding="utf-8")
