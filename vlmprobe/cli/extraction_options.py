"""Options of the commands that extract, ``extract`` and ``run``, and the functions that parse them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.options import Layers, MaxPerCategory, layer_list
from vlmprobe.errors import UsageError

if TYPE_CHECKING:
    from vlmprobe.extraction.request import ExtractOptions, ExtractRequest

__all__ = ["CheckpointOptions", "ExtractionOptions", "batch_size", "device_list", "template_list"]


@dataclass(frozen=True)
class CheckpointOptions:
    """Which checkpoint a scale is, where it is not the catalog's."""

    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", help="Folder or hub id, instead of the scale's checkpoint.", metavar="DIR_OR_ID"
        ),
    ] = None
    processor: Annotated[
        str | None,
        typer.Option(
            "--processor", help="Folder or hub id of the tokenizer and image processor.", metavar="DIR_OR_ID"
        ),
    ] = None
    revision: Annotated[str | None, typer.Option("--revision", help="Commit, branch or tag of a hub id.")] = (
        None
    )
    new_checkpoint: Annotated[
        bool,
        typer.Option(
            "--new-checkpoint", help="Go on although the scale's earlier runs are of another checkpoint."
        ),
    ] = False

    def request(self, family: str, scale: str, options: ExtractOptions) -> ExtractRequest:
        """Return what to extract, in the form that workflows take."""
        from vlmprobe.extraction.request import ExtractRequest

        return ExtractRequest(
            family,
            scale,
            options,
            checkpoint=self.checkpoint,
            processor=self.processor,
            revision=self.revision,
            new_checkpoint=self.new_checkpoint,
        )


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
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait while another process extracts the run, instead of failing."),
    ] = False
    rehash: Annotated[
        bool,
        typer.Option("--rehash", help="Hash the checkpoint anew, whatever is remembered of its files."),
    ] = False
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
            wait=self.wait,
            rehash=self.rehash,
            model=ModelOptions(
                layers=layer_list(self.layers),
                dtype=self.dtype,
                device=self.device,
                devices=device_list(self.devices),
                compile=self.compile_layers,
                trust_remote_code=self.trust_remote_code,
            ),
        )


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
