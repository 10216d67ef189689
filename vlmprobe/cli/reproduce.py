"""``vlmprobe reproduce``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import LatexOutput, RunFilter, TemplateName
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.workflows.reproduce import Cell, Reproduction

__all__ = ["reproduce"]

#: Columns of the table for people; JSON and CSV have them all.
_SHOWN = (
    *("family", "scale", "benchmark", "metric", "target", "split", "layer", "n_ours", "n_theirs"),
    *("ours", "theirs", "difference", "se", "verdict"),
)

#: A tenth of a percentage point, and a thousandth of a cosine.
_PUBLISHED_DECIMALS = 3


@command(example="vlmprobe reproduce molmo nvila qwen25")
def reproduce(
    workspace: Workspace,
    *,
    runs: RunFilter,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark", help="Published benchmark that the runs' dataset is; default: by its name."
        ),
    ] = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin",
            help="Largest difference that counts as the same; may be repeated.",
            metavar="METRIC=N",
        ),
    ] = None,
    template: TemplateName = "published",
    output: LatexOutput,
) -> None:
    """Put published values beside those of the runs here; say where they are equivalent within a margin."""
    from vlmprobe.workflows.reproduce import reproduce as run_reproduce

    found = run_reproduce(
        workspace,
        runs.selection,
        benchmark=benchmark,
        margins=dict(_margin(text) for text in margins or []),
        template=template,
    )
    if output.is_table or output.as_latex:
        output.rows(
            [_row(cell) for cell in found.served], _SHOWN, empty="none of the published values has one here"
        )
    else:
        from dataclasses import asdict

        output.rows([asdict(cell) for cell in found.cells])
    for line in _remarks(found):
        workspace.console.say(line)


def _row(cell: Cell) -> dict[str, Any]:
    from vlmprobe.reports.numbers import decimals_of, rounded

    row = {name: getattr(cell, name) for name in _SHOWN}
    row["layer"] = "-" if cell.layer is None else f"{cell.layer} ({cell.layer_is})"
    row["verdict"] = _words(cell)
    decimals = _PUBLISHED_DECIMALS if cell.se is None else decimals_of(cell.ci_low, cell.ci_high)
    for name in ("difference", "se"):
        row[name] = None if row[name] is None else rounded(row[name], decimals)
    for name in ("ours", "theirs"):
        row[name] = rounded(row[name], _PUBLISHED_DECIMALS)
    return row


def _words(cell: Cell) -> str:
    """Say a verdict with its margin; a verdict that is missing says why."""
    if cell.verdict is None:
        return f"no test: {cell.reason}"
    if cell.verdict != "equivalent" or cell.margin is None:
        return cell.verdict
    is_share = cell.metric.startswith("accuracy")
    return (
        f"equivalent within ±{100 * cell.margin:g} points"
        if is_share
        else f"equivalent within ±{cell.margin:g}"
    )


def _remarks(found: Reproduction) -> list[str]:
    lines = [
        f"{len(cells)} values missing here: {reason}: {', '.join(dict.fromkeys(map(_place, cells)))}"
        for reason, cells in found.missing.items()
    ]
    if any(cell.layer_is == "recommended" for cell in found.served):
        lines.append(
            "layer (recommended): the model has not as many layers as the published one, so ours is shown"
        )
    return [
        *lines,
        "equivalent: two one-sided tests at 5 % reject a difference of the margin or more; different: the 95 % "
        "interval leaves out 0; not decided: neither, and no reproduction",
    ]


def _place(cell: Cell) -> str:
    return f"{cell.family} @ {cell.scale} on {cell.benchmark}"


def _margin(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    try:
        return name, float(number if equals else "")
    except ValueError:
        raise UsageError(f"--margin {text[:60]!r}: use METRIC=NUMBER, like accuracy=0.03") from None
