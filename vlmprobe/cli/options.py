"""Options that several commands share, and the functions that parse them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.study.selection import LayerChoice, Selection

__all__ = [
    "AsJson",
    "BenchmarkData",
    "Comparing",
    "Folder",
    "LatexOutput",
    "Layers",
    "MaxPerCategory",
    "Out",
    "Output",
    "RunFilter",
    "TemplateName",
    "folder_to_make",
    "layer_choice",
    "layer_list",
]


def folder_to_make(path: Path | None) -> Path | None:
    """Check, before any work is done, that a folder exists or can be created.

    Raises:
        typer.BadParameter: it or one of its parents is not a folder, or cannot be accessed.
    """
    try:
        for place in () if path is None else (path, *path.parents):
            if place.is_dir():
                break
            if place.exists() or place.is_symlink():
                what = "is not a folder" if place.exists() else "is a broken link"
                raise typer.BadParameter(f"{place} {what}; use another folder")
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}; use another folder") from None
    return path


BenchmarkData = Annotated[
    Path,
    typer.Option(
        "--data",
        help="TSV in EmbSpatial-Bench or ready-made form, or generic JSONL, CSV or parquet.",
        metavar="FILE",
    ),
]
MaxPerCategory = Annotated[
    int,
    typer.Option(
        "--max-per-category", help="Sample at most this many pairs per category; 0 = all.", metavar="N"
    ),
]
Layers = Annotated[
    str, typer.Option("--layers", help="Decoder layers to store, counted from 0.", metavar="all|0,5,...")
]
TemplateName = Annotated[
    str, typer.Option("--template", help="Only runs with this question template.", metavar="NAME")
]
Folder = Annotated[Path, typer.Argument(help="Folder to write to.", metavar="DIR", callback=folder_to_make)]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the report.", metavar="DIR", callback=folder_to_make),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass(frozen=True)
class Output:
    """The options for printing rows."""

    as_json: AsJson = False
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV.")] = False

    @property
    def is_table(self) -> bool:
        """Whether the output is a table for people rather than JSON or CSV for programs."""
        return not (self.as_json or self.as_csv)

    def rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[str] | None = None,
        *,
        empty: str = "no rows",
    ) -> None:
        """Print rows; see :func:`vlmprobe.cli.console.print_rows`."""
        from vlmprobe.cli.console import print_rows

        print_rows(rows, columns, as_json=self.as_json, as_csv=self.as_csv, empty=empty)


@dataclass(frozen=True)
class LatexOutput(Output):
    """The options for printing rows that may go into a paper."""

    as_latex: Annotated[bool, typer.Option("--latex", help="Print the result as a LaTeX table.")] = False

    @property
    def is_table(self) -> bool:
        """Whether the output is a table for people on a terminal."""
        return not (self.as_json or self.as_csv or self.as_latex)

    def rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[str] | None = None,
        *,
        empty: str = "no rows",
    ) -> None:
        """Print rows; see :func:`vlmprobe.cli.console.print_rows` and :func:`vlmprobe.cli.latex.latex_table`."""
        if not self.as_latex:
            super().rows(rows, columns, empty=empty)
            return
        from vlmprobe.cli.latex import latex_table

        typer.echo(latex_table(rows, columns))


@dataclass(frozen=True)
class RunFilter:
    """The arguments that select runs."""

    families: Annotated[
        list[str] | None, typer.Argument(help="Only these families.", metavar="[FAMILY]...")
    ] = None
    scales: Annotated[list[str] | None, typer.Option("--scale", help="Only this scale; may be repeated.")] = (
        None
    )
    data: Annotated[
        Path | None, typer.Option("--data", help="Only runs on this benchmark.", metavar="FILE|NAME")
    ] = None
    max_per_category: MaxPerCategory = 200

    @property
    def selection(self) -> Selection:
        """The selection in the form that workflows take."""
        from vlmprobe.study.selection import Selection

        return Selection(
            tuple(self.families or ()), tuple(self.scales or ()), self.data, self.max_per_category
        )


@dataclass(frozen=True)
class Comparing(RunFilter):
    """The arguments that select runs to compare; at least one family is required."""

    families: Annotated[list[str], typer.Argument(help="Families to compare.", metavar="FAMILY...")] = field()


def layer_choice(text: str) -> LayerChoice:
    """Parse which layers to show: empty for a few spread evenly over the depth, ``all``, or numbers.

    Raises:
        UsageError: it is none of these.
    """
    if not text:
        return None
    return layer_list(text) or "all"


def layer_list(text: str) -> tuple[int, ...] | None:
    """Read ``all`` or a list of layer numbers.

    Raises:
        UsageError: it is neither.
    """
    if text.strip().lower() == "all":
        return None
    try:
        layers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        layers = (-1,)
    if layers[0] < 0:
        raise UsageError(f"--layers {text[:60]!r}: use 'all' or layer numbers from 0, like 0,5,11")
    return layers
