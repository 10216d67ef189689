"""``vlmprobe data check``, and the group it is in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.command import add, command
from vlmprobe.cli.data_mirror import mirror
from vlmprobe.cli.options import MaxPerCategory, Output
from vlmprobe.console import plain_text
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.leaks import Leak
    from vlmprobe.pairs import Dataset

__all__ = ["app"]

app = typer.Typer(
    help="Inspect benchmark files, and mirror their pictures, without a model.",
    epilog="Example: vlmprobe data check EmbSpatial-Bench.tsv",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@command(example="vlmprobe data check EmbSpatial-Bench.tsv --max-per-category 0", lists=True)
def check(
    workspace: Workspace,
    *,
    file: Annotated[
        Path,
        typer.Argument(
            help="TSV in EmbSpatial-Bench or ready-made form, or generic JSONL, CSV or parquet.",
            metavar="FILE",
        ),
    ],
    max_per_category: MaxPerCategory = 200,
    leaks: Annotated[
        bool,
        typer.Option("--leaks", help="Also say what the benchmark gives away before any model is asked."),
    ] = False,
    boxes: Annotated[
        str | None,
        typer.Option(
            "--boxes",
            help="With --leaks: object boxes, for the share of consistent pairs; JSON, parquet, or a hub id.",
            metavar="FILE",
        ),
    ] = None,
    output: Output,
) -> None:
    """Summarize a benchmark and list its problems row by row; every image is decoded.

    --json and --csv print the row problems, or with --leaks what leaks. The exit code is 1 if there are row problems.
    """
    from vlmprobe.pairs import read_dataset

    if boxes is not None and not leaks:
        raise UsageError("--boxes says how many distance pairs are consistent, for --leaks; add --leaks")

    with workspace.console.track("reading", file.stat().st_size if file.is_file() else 1) as advance:
        seen = 0

        def progress(position: int, _: int) -> None:
            nonlocal seen
            advance(position - seen)
            seen = position

        dataset = read_dataset(file, max_per_category=max_per_category, decode=True, progress=progress)
    problems = [
        {"line": problem.line, "column": problem.column, "what": problem.what, "why": problem.why}
        for problem in dataset.problems
    ]
    columns = ["line", "column", "what", "why"]
    found = _find_leaks(dataset, boxes) if leaks else None
    if output.is_table:
        _print_summary(dataset)
        if found is not None:
            _print_leaks(found)
        if problems:
            output.rows(problems, columns)
    elif found is not None:
        output.rows([{**asdict(leak), "is_alarm": leak.is_alarm} for leak in found])
        if problems:
            workspace.console.warn(
                f"{len(problems)} rows give no pair; 'vlmprobe data check' without --leaks lists them"
            )
    else:
        output.rows(problems, columns)
    if problems:
        raise typer.Exit(1)


def _find_leaks(dataset: Dataset, boxes: str | None) -> list[Leak]:
    from vlmprobe.analysis.leaks import find_leaks
    from vlmprobe.pairs import link_quads, read_boxes

    quads = None
    if boxes is not None or dataset.has_boxes:
        quads = link_quads(dataset, None if boxes is None else read_boxes(boxes))
    return find_leaks(dataset.pairs, dataset.axes, None if quads is None else quads.perspectives)


def _print_leaks(leaks: Sequence[Leak]) -> None:
    from vlmprobe.analysis.leaks import summary_line

    typer.echo(summary_line(leaks))
    for leak in leaks:
        typer.echo(plain_text(f"{'LEAK' if leak.is_alarm else '':>6}  {leak.says}"))
    typer.echo("")


def _print_summary(dataset: Dataset) -> None:
    from vlmprobe.cli.console import print_rows
    from vlmprobe.pairs import image_lines, summarize

    summary = summarize(dataset)
    lines = image_lines(dataset)
    notes = f", {len(lines)} note{'s' if len(lines) > 1 else ''} on images" if lines else ""
    typer.echo(
        f"{plain_text(str(dataset.path))}: {dataset.form} form, {dataset.n_rows} rows, "
        f"{len(dataset.problems)} problems{notes}"
    )
    typer.echo(f"dataset {dataset.dataset_id[:12]}, template {dataset.template}, {summary.n_images} images\n")
    rows = [
        {"category": str(category), "pairs": n_made, "sampled": summary.sampled[category]}
        for category, n_made in summary.made.items()
    ]
    print_rows(rows)
    typer.echo("")
    for axis, questions in summary.examples.items():
        for question in questions:
            typer.echo(plain_text(f"{axis:>10}  {question}"))
    typer.echo("")
    if lines:
        typer.echo("\n".join(lines) + "\n")


add(app, check, mirror)
