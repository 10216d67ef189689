"""Real runs beside their controls, at the layer that is recommended for the real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.above_control import AboveControl, above_control, above_shuffled_labels
from vlmprobe.analysis.catalog import RECOMMENDED_LAYER
from vlmprobe.analysis.comparison import accuracy_differences
from vlmprobe.pairs import Subset
from vlmprobe.store.controls import RANDOM_WEIGHTS, SHUFFLED_LABELS, kind_of
from vlmprobe.store.metrics import read_results_json
from vlmprobe.store.runs import controls_of
from vlmprobe.study.paired_runs import PairedRuns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.difference import Difference
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["RECOMMENDED", "ControlRow", "beside_controls", "controls_by_kind"]

RECOMMENDED, LAST = "recommended", "last"


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One axis of a real run beside one of its controls."""

    run: Run
    control: str
    control_run_id: str | None
    """None of exchanged labels, which no run is."""
    axis: str
    layer: int | None
    """None where the states of one of the two are not there."""
    layer_is: str
    """``recommended`` for the real run, or the ``last`` one stored."""
    geometry: AboveControl | None
    accuracy: Difference | None
    """Both answers right: run minus control. None of exchanged labels."""


def controls_by_kind(workspace: Workspace, run: Run) -> dict[str, Run]:
    """Return the newest complete control of each kind and seed that serves a run."""
    with workspace.database.transaction() as connection:
        found = controls_of(connection, [run.run_id])
    return {str(each.control): each for each in found if each.status == "complete"}


def beside_controls(workspace: Workspace, run: Run, kinds: Sequence[str]) -> list[ControlRow]:
    """Hold a real run against its controls over the pairs that both answered, a row for each control and axis.

    Args:
        workspace: the home.
        run: a complete real run.
        kinds: which controls, as they are stored; those that the run does not have are left out.

    Raises:
        UsageError: a control has answered no pair of the run, or lacks the layer.
    """
    there = controls_by_kind(workspace, run)
    with workspace.database.transaction() as connection:
        recommended = read_results_json(connection, run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL))
    layer = None if recommended is None else recommended["layer"]
    rows: list[ControlRow] = []
    for kind in kinds:
        if kind_of(kind) == SHUFFLED_LABELS:
            rows += _beside_labels(workspace, run, kind, layer)
        elif kind in there:
            rows += _beside(workspace, run, there[kind], layer)
    return rows


def _beside(workspace: Workspace, run: Run, control: Run, layer: int | None) -> list[ControlRow]:
    paired = PairedRuns(workspace, [run, control], layer)
    geometry: dict[str, AboveControl] = {}
    if paired.has_states:
        found = above_control(
            paired.states(run),
            paired.states(control),
            paired.state_pairs,
            same_coordinates=kind_of(str(control.control)) != RANDOM_WEIGHTS,
        )
        geometry = {each.axis: each for each in found}
    answers = accuracy_differences(paired.right[control.run_id], paired.right[run.run_id], paired.pairs)
    accuracy = {each.target: each for each in answers}
    return [
        ControlRow(
            run,
            str(control.control),
            control.run_id,
            axis,
            paired.layers.of_run.get(run.run_id),
            LAST if layer is None else RECOMMENDED,
            geometry.get(axis),
            accuracy[axis],
        )
        for axis in map(str, paired.axes)
    ]


def _beside_labels(workspace: Workspace, run: Run, kind: str, layer: int | None) -> list[ControlRow]:
    paired = PairedRuns(workspace, [run], layer)
    if not paired.has_states:
        return []
    seed = int(kind.partition(":")[2] or 0)
    found = above_shuffled_labels(paired.states(run), paired.state_pairs, seed=seed)
    layer_is = LAST if layer is None else RECOMMENDED
    at = paired.layers.of_run.get(run.run_id)
    return [ControlRow(run, kind, None, each.axis, at, layer_is, each, None) for each in found]
