"""``vlmprobe control``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.extraction_options import ExtractionOptions
from vlmprobe.cli.options import BenchmarkData, Output
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.study.controls import ControlRow
    from vlmprobe.workflows.control import Controlled

__all__ = ["control"]


@command(example="vlmprobe control qwen25 --data EmbSpatial-Bench.tsv", experiment=True)
def control(
    workspace: Workspace,
    *,
    family: Annotated[str, typer.Argument(help="Model family whose runs are held against controls.")],
    data: BenchmarkData,
    scales: Annotated[
        list[str] | None,
        typer.Option("--scale", help="Only this scale; may be repeated. Default: all with a complete run."),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds",
            help="Only these: grey, other-image[:SEED], random-weights[:SEED], shuffled-labels[:SEED].",
            metavar="KIND,...",
        ),
    ] = None,
    options: ExtractionOptions,
    output: Output,
) -> None:
    """Extract the usual controls of each scale's run, and print how far the run is above them."""
    from vlmprobe.workflows.control import USUAL, kind_list
    from vlmprobe.workflows.control import control as run_control

    wanted = USUAL if kinds is None else kind_list(kinds.split(","))
    found = run_control(workspace, family, options.on(data), scales=scales or (), kinds=wanted)
    if output.is_table:
        output.rows([_shown(row) for row in found.rows])
    else:
        output.rows([_in_full(row) for row in found.rows])
    for line in _remarks(found):
        workspace.console.say(line)


def _shown(row: ControlRow) -> dict[str, Any]:
    geometry, right = row.geometry, row.accuracy
    return {
        "scale": row.run.scale,
        **({"template": row.run.template} if row.run.template != "published" else {}),
        "control": row.control,
        "axis": row.axis,
        "right_above": None if right is None else _measured(right.estimate),
        "layer": row.layer,
        "coherence": None if geometry is None else _measured(geometry.coherence),
        "of_control": None if geometry is None else _measured(geometry.of_control),
        "above": None if geometry is None else _measured(geometry.difference),
        "left": None if geometry is None else _measured(geometry.size),
        "adds_an_axis": None if geometry is None else _yes_or_no(geometry.adds_an_axis),
    }


def _measured(estimate: Estimate) -> str | None:
    from vlmprobe.reports.numbers import measured

    return None if estimate.value is None else measured(estimate.value, estimate.ci_low, estimate.ci_high)


def _yes_or_no(answer: bool | None) -> str | None:
    return None if answer is None else "yes" if answer else "no"


def _in_full(row: ControlRow) -> dict[str, Any]:
    geometry, right = row.geometry, row.accuracy
    numbers: dict[str, Any] = {}
    for name, estimate in (
        ("right_above", None if right is None else right.estimate),
        ("coherence", None if geometry is None else geometry.coherence),
        ("of_control", None if geometry is None else geometry.of_control),
        ("above", None if geometry is None else geometry.difference),
        ("left", None if geometry is None else geometry.size),
        ("own_size", None if geometry is None else geometry.own_size),
    ):
        numbers |= {
            name: None if estimate is None else estimate.value,
            f"{name}_low": None if estimate is None else estimate.ci_low,
            f"{name}_high": None if estimate is None else estimate.ci_high,
            f"{name}_reason": "" if estimate is None else estimate.reason,
        }
    return {
        "family": row.run.family,
        "scale": row.run.scale,
        "template": row.run.template,
        "control": row.control,
        "axis": row.axis,
        "n": 0 if geometry is None else geometry.n,
        "layer": row.layer,
        "layer_is": row.layer_is,
        **numbers,
        "adds_an_axis": None if geometry is None else geometry.adds_an_axis,
        "run_id": row.run.run_id,
        "control_run_id": row.control_run_id,
    }


def _remarks(found: Controlled) -> list[str]:
    lines = [
        f"controls: {len(found.extracted)} extracted, {len(found.already)} were complete already; list them with "
        "'vlmprobe runs --controls'"
    ]
    if found.failed:
        lines.append(f"pairs failed in {', '.join(found.failed)}; these are held against the run on the other pairs")
    last = dict.fromkeys(row.run.name for row in found.rows if row.layer_is == "last")
    if last:
        lines.append(f"no layer is recommended for {', '.join(last)}, so the last one is shown")
    return [
        *lines,
        "right_above: share with both answers right, run minus control; above: coherence, run minus control, paired",
        "left: squared length of the axis after the control's vectors are subtracted pair by pair; adds_an_axis: "
        "whether its lower bound is above 0, else the axis is also in the control",
        "left is not defined for random-weights, whose coordinates are others, nor for shuffled-labels, whose vectors "
        "are the run's own",
    ]
