"""``vlmprobe demo train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import AsJson, folder_to_make
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.workflows.train import TrainingResult

__all__ = ["train"]


@command(example="vlmprobe demo train --seed 1 --out seed-1", experiment=True)
def train(
    workspace: Workspace,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="TOML file; values it leaves out come from the recipe.", metavar="FILE"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for checkpoints and results; rerun to resume unfinished training.",
            metavar="DIR",
            callback=folder_to_make,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Random seed; overrides the config file.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Compile the training step first (for a GPU).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train the demo's tiny models from scratch: the base model, then one fine-tuned model per scale."""
    from vlmprobe.demo.training.config import read_config
    from vlmprobe.workflows.train import train_demo

    result = train_demo(
        workspace,
        read_config(config, seed=seed),
        out=out,
        device=device,
        compiled=compiled,
    )
    if as_json:
        _print_json(result)
    else:
        typer.echo((result.out / "README.md").read_text(encoding="utf-8"))
    workspace.console.say(_summary(result))


def _summary(result: TrainingResult) -> str:
    seconds = sum(scale.seconds for scale in result.scales)
    questions = sum(scale.questions for scale in result.scales)
    last = result.scales[-1].scale
    return (
        f"{len(result.scales)} checkpoints in {seconds:.0f} s of training, {questions / max(seconds, 1e-9):,.0f} "
        f"questions/s: {result.out} (curves: experiment {result.experiment!r})\n"
        f"next: vlmprobe extract tiny --scale {last} --checkpoint {result.out / last} --data BENCHMARK.tsv"
    )


def _print_json(result: TrainingResult) -> None:
    import json

    facts = {
        "out": str(result.out),
        "scales": [
            {
                "scale": scale.scale,
                "samples": scale.samples,
                "steps": scale.steps,
                "seconds": round(scale.seconds, 3),
                "questions": scale.questions,
            }
            for scale in result.scales
        ],
    }
    typer.echo(json.dumps(facts, indent=1))
