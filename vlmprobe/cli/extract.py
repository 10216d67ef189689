"""``vlmprobe extract``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.extraction_options import CheckpointOptions, ExtractionOptions
from vlmprobe.cli.options import AsJson, BenchmarkData
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.workflows.extract import ExtractResult

__all__ = ["extract"]


@command(example="vlmprobe extract qwen25 --scale 80k --data EmbSpatial-Bench.tsv", experiment=True)
def extract(
    workspace: Workspace,
    *,
    family: Annotated[str, typer.Argument(help="Model family: the code that runs an architecture.")],
    data: BenchmarkData,
    scale: Annotated[str, typer.Option("--scale", help="Checkpoint of the family: vanilla, 80k, ...")],
    checkpoint: CheckpointOptions,
    options: ExtractionOptions,
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            help="Extract a control of the run: grey, other-image[:SEED], random-weights[:SEED], other-axis.",
            metavar="KIND",
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option("--part", help="Extract this part of the run beside others, like 2/4.", metavar="I/N"),
    ] = None,
    unembedding: Annotated[
        bool,
        typer.Option(
            "--unembedding", help="Load a complete run's model too, to store its output layer; ask nothing."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a checkpoint on every pair of a benchmark; store answers and hidden states.

    Interrupted? Rerun the same command; it resumes.
    """
    from dataclasses import replace

    from vlmprobe.extraction.control import Control
    from vlmprobe.store.parts import Part
    from vlmprobe.workflows.extract import extract as run_extraction

    asked = replace(
        options.on(data), unembedding=unembedding, part=None if part is None else Part.parse(part)
    )
    request = checkpoint.request(family, scale, asked)
    if control is not None:
        request = replace(request, control=Control.parse(control))
    results = run_extraction(workspace, request)
    for result in results:
        workspace.console.say(_summary(result))
    if any(result.n_inferred for result in results):
        workspace.console.say(f"times: {workspace.timeline.line()}")
    interrupted = results[-1].interrupted
    if all(map(_is_complete, results)):
        what_next = "control" if control is not None else "analyze"
        more = f" --data {data}" if control is not None else ""
        workspace.console.say(f"next: vlmprobe {what_next} {family}{more}")
    if as_json:
        _print_json([_facts(result) for result in results], several=len(request.options.templates) > 1)
    if interrupted:
        raise KeyboardInterrupt


def _summary(result: ExtractResult) -> str:
    name = result.run.name if result.part is None else f"{result.run.name}, part {result.part}"
    state = "interrupted" if result.interrupted else "complete"
    more = f"; {result.unnamed} answers name neither option" if result.unnamed else ""
    if result.part is not None:
        more += f"; the run is {'complete' if _is_complete(result) else 'complete once its other parts are'}"
    return (
        f"{name}: {state}: {result.n_inferred} pairs extracted, {result.reused} reused, "
        f"{result.failed} failed of {result.n_pairs} in {result.seconds:.0f} s (run {result.run.run_id}){more}"
    )


def _is_complete(result: ExtractResult) -> bool:
    return result.run.status == "complete"


def _facts(result: ExtractResult) -> dict[str, Any]:
    return {
        "run_id": result.run.run_id,
        "template": result.run.template,
        "control": result.run.control,
        "serves": result.run.serves,
        "part": None if result.part is None else str(result.part),
        "status": result.run.status,
        "pairs": result.n_pairs,
        "asked": result.n_inferred,
        "reused": result.reused,
        "failed": result.failed,
        "unnamed": result.unnamed,
        "row_problems": result.problems,
        "seconds": round(result.seconds, 3),
        "spool": str(result.spool),
        "notes": list(result.notes),
    }


def _print_json(facts: list[dict[str, Any]], *, several: bool) -> None:
    """Print one run as an object, or the runs of several templates as a list."""
    import json

    typer.echo(json.dumps(facts if several else facts[0], indent=1))
