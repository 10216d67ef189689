"""Real runs beside their controls, at the layer that is recommended for the real one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from vlmprobe.analysis.above_control import AboveControl, above_control, above_shuffled_labels
from vlmprobe.analysis.angles_beside import angles_beside, shuffled_geometry
from vlmprobe.analysis.catalog import RECOMMENDED_LAYER
from vlmprobe.analysis.comparison import accuracy_differences
from vlmprobe.errors import VlmprobeError
from vlmprobe.pairs import PUBLISHED, Subset, is_under
from vlmprobe.reports.controls import LAST, RECOMMENDED, ControlRow
from vlmprobe.store.controls import OTHER_AXIS, RANDOM_WEIGHTS, SHUFFLED_LABELS, kind_of
from vlmprobe.store.datasets import stored_dataset
from vlmprobe.store.metrics import read_results_json
from vlmprobe.store.runs import controls_of
from vlmprobe.study.paired_runs import PairedRuns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from vlmprobe.analysis.angles_beside import AngleBeside
    from vlmprobe.analysis.difference import Difference
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["all_controls", "beside_controls", "control_command", "controls_by_kind"]

#: Pairs per category that the command samples unless it is told otherwise.
_USUAL_PAIRS = 200


def control_command(
    connection: Connection, run: Run, *, image_swaps: str = "", own_template: bool = False
) -> str:
    """Return the command that extracts a run's controls, without its scale; empty where no model is known to ask.

    Args:
        connection: of the home.
        run: a real run; one that was imported has no model.
        image_swaps: the file of exchanged pictures; empty = none.
        own_template: whether it is about controls of the run itself, under its template.
    """
    if not run.config.get("identity"):
        return ""
    dataset = stored_dataset(connection, run.dataset_id)
    pairs = dataset.options.get("max_per_category", _USUAL_PAIRS)
    sampled = "" if pairs == _USUAL_PAIRS else f" --max-per-category {pairs or 0}"
    if own_template and not is_under(run.template, PUBLISHED.name):
        sampled += f" --templates {run.template}"
    exchange = f" --image-swaps {image_swaps}" if image_swaps else ""
    return f"vlmprobe control {run.family} --data {shlex.quote(str(dataset.path))}{sampled}{exchange}"


def controls_by_kind(workspace: Workspace, run: Run) -> dict[str, Run]:
    """Return the newest complete control of each kind and seed that serves a run."""
    return _controls_of_runs(workspace, [run])[run.run_id]


def _controls_of_runs(workspace: Workspace, runs: Sequence[Run]) -> dict[str, dict[str, Run]]:
    """Return the same of several runs, by their ids."""
    found: dict[str, dict[str, Run]] = {run.run_id: {} for run in runs}
    with workspace.database.transaction(write=False) as connection:
        for each in controls_of(connection, list(found)):
            if each.status == "complete":
                found[str(each.serves)][str(each.control)] = each
    return found


def beside_controls(workspace: Workspace, run: Run, kinds: Sequence[str]) -> list[ControlRow]:
    """Hold a real run against its controls over the pairs that both answered, a row for each control, axis and angle.

    Args:
        workspace: the home.
        run: a complete real run.
        kinds: which controls, as they are stored; those that the run does not have are left out, and so is what only
            verdicts use (``other-axis``), whose answers are neither right nor wrong.

    Raises:
        UsageError: a control has answered no pair of the run, or lacks the layer.
    """
    there = controls_by_kind(workspace, run)
    with workspace.database.transaction(write=False) as connection:
        recommended = read_results_json(connection, run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL))
    layer = None if recommended is None else recommended["layer"]
    rows: list[ControlRow] = []
    for kind in kinds:
        if kind_of(kind) == SHUFFLED_LABELS:
            rows += _beside_labels(workspace, run, kind, layer)
        elif kind in there and kind_of(kind) != OTHER_AXIS:
            rows += _beside(workspace, run, there[kind], layer)
    return rows


def all_controls(workspace: Workspace, runs: Sequence[Run]) -> list[ControlRow]:
    """Hold each run of a report against every complete control that serves it; without any there are no rows."""
    rows: list[ControlRow] = []
    controls = _controls_of_runs(workspace, runs)
    for run in runs:
        # Without a control there is nothing to read.
        if not controls[run.run_id]:
            continue
        try:
            rows += beside_controls(workspace, run, list(controls[run.run_id]))
        except VlmprobeError as error:
            # The rest of a report needs no control.
            workspace.console.warn(f"{run.name}: no table of its controls: {error}")
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
    angles: list[AngleBeside] = []
    if paired.has_states:
        both = paired.geometry(run), paired.geometry(control)
        angles = angles_beside(*both, paired.state_pairs.counts())
    answers = accuracy_differences(paired.right[control.run_id], paired.right[run.run_id], paired.pairs)
    accuracy = {each.target: each for each in answers}
    head = run, str(control.control), control.run_id, paired, layer
    return [
        *(
            _row(*head, axis, geometry=geometry.get(axis), accuracy=accuracy[axis])
            for axis in map(str, paired.axes)
        ),
        *(_row(*head, angle.axes, angle=angle) for angle in angles),
    ]


def _beside_labels(workspace: Workspace, run: Run, kind: str, layer: int | None) -> list[ControlRow]:
    paired = PairedRuns(workspace, [run], layer)
    if not paired.has_states:
        return []
    seed = int(kind.partition(":")[2] or 0)
    found = above_shuffled_labels(paired.states(run), paired.state_pairs, seed=seed)
    shuffled = shuffled_geometry(paired.states(run), paired.state_pairs, seed=seed)
    angles = angles_beside(paired.geometry(run), shuffled, paired.state_pairs.counts())
    head = run, kind, None, paired, layer
    return [
        *(_row(*head, each.axis, geometry=each) for each in found),
        *(_row(*head, each.axes, angle=each) for each in angles),
    ]


def _row(
    run: Run,
    kind: str,
    control_run_id: str | None,
    paired: PairedRuns,
    recommended: int | None,
    axis: str,
    *,
    geometry: AboveControl | None = None,
    accuracy: Difference | None = None,
    angle: AngleBeside | None = None,
) -> ControlRow:
    return ControlRow(
        run.family,
        run.scale,
        run.template,
        run.name,
        run.run_id,
        kind,
        control_run_id,
        axis,
        paired.layers.of_run.get(run.run_id),
        LAST if recommended is None else RECOMMENDED,
        geometry,
        accuracy,
        angle,
    )
