"""Options that several commands share, and the functions that parse them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.extraction.request import ExtractOptions
    from vlmprobe.study.selection import LayerChoice, Selection

__all__ = [
    "AsJson",
    "BenchmarkData",
    "Comparing",
    "ExtractionOptions",
    "Folder",
    "Layers",
    "MaxPerCategory",
    "Out",
    "Output",
    "RunFilter",
    "TemplateName",
    "batch_size",
    "device_list",
    "folder_to_make",
    "layer_choice",
    "layer_list",
    "template_list",
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


@dataclass(frozen=True)
class ExtractionOptions:
    """What to extract and how to run the model, for any checkpoint."""

    templates: Annotated[
        str,
        typer.Option(
            "--templates",
            help="Question templates, one run each: published,yes-no,...",
            metavar="all|NAME,...",
        ),
    ] = "published"
    boxes: Annotated[
        str | None,
        typer.Option("--boxes", help="Object boxes for quads: JSON, parquet, or a hub id.", metavar="FILE"),
    ] = None
    max_per_category: MaxPerCategory = 200
    allow_contradictions: Annotated[
        bool,
        typer.Option("--allow-contradictions", help="Ask about rows whose labels contradict each other too."),
    ] = False
    allow_problems: Annotated[
        bool,
        typer.Option("--allow-problems", help="Go on when more than half of the rows give no pair."),
    ] = False
    layers: Layers = "all"
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype", help="auto (bfloat16 on a GPU, float32 on a CPU), float32, bfloat16, float16."
        ),
    ] = "auto"
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto"
    devices: Annotated[
        str,
        typer.Option(
            "--devices",
            help="GPUs that share the work, by number, like 0,1. Default: all.",
            metavar="0,1,...",
        ),
    ] = "all"
    compile_layers: Annotated[
        bool,
        typer.Option(
            "--compile/--no-compile",
            help="Compile layers on a GPU; takes a minute and pays off in long runs.",
        ),
    ] = True
    batch: Annotated[
        str, typer.Option("--batch-size", help="Pairs per batch, or auto.", metavar="N|auto")
    ] = "auto"
    new: Annotated[bool, typer.Option("--new", help="Start a new run even if an identical one exists.")] = (
        False
    )
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Allow the checkpoint's own Python files to run."),
    ] = False

    def on(self, data: Path) -> ExtractOptions:
        """Return the options in the form that workflows take, with a benchmark.

        Raises:
            UsageError: the text of an option cannot be read.
        """
        from vlmprobe.extraction.request import ExtractOptions
        from vlmprobe.families import ModelOptions

        return ExtractOptions(
            data=data,
            templates=template_list(self.templates),
            boxes=self.boxes,
            max_per_category=self.max_per_category,
            allow_contradictions=self.allow_contradictions,
            allow_problems=self.allow_problems,
            batch_size=batch_size(self.batch),
            new=self.new,
            model=ModelOptions(
                layers=layer_list(self.layers),
                dtype=self.dtype,
                device=self.device,
                devices=device_list(self.devices),
                compile=self.compile_layers,
                trust_remote_code=self.trust_remote_code,
            ),
        )


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


def batch_size(text: str) -> int | None:
    """Read ``auto`` or a number of pairs.

    Raises:
        UsageError: it is neither.
    """
    if text.strip().lower() == "auto":
        return None
    try:
        size = int(text)
    except ValueError:
        size = 0
    if size < 1:
        raise UsageError(f"--batch-size {text[:60]!r}: use 'auto' or a number of pairs, at least 1")
    return size


def device_list(text: str) -> tuple[str, ...]:
    """Read GPU numbers or device names, separated by commas; an empty text means all.

    Raises:
        UsageError: a part is empty.
    """
    if text.strip().lower() in {"", "all"}:
        return ()
    devices = tuple(part.strip() for part in text.split(","))
    if not all(devices):
        raise UsageError(f"--devices {text[:60]!r}: use 'all' or GPU numbers, like 0,1")
    return devices


def template_list(text: str) -> tuple[str, ...]:
    """Read ``all`` or names of question templates; a name that comes twice counts once.

    Raises:
        UsageError: there is no template of a name; the message lists those that exist.
    """
    from vlmprobe.pairs.prompts import TEMPLATES, get_template

    if text.strip().lower() == "all":
        return tuple(TEMPLATES)
    return tuple(dict.fromkeys(get_template(name.strip()).name for name in text.split(",")))
