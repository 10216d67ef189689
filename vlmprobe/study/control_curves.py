"""Coherence of controls over layers: computed once, kept with them, and drawn as a band behind the real runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import AXIS_COHERENCE_BALANCED
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.geometry import Layout, balanced_coherence, sums_of_swaps
from vlmprobe.analysis.results import LayerCurve
from vlmprobe.analysis.side_by_side import side_by_side
from vlmprobe.pairs import Subset
from vlmprobe.store.controls import OTHER_AXIS, kind_of
from vlmprobe.store.metrics import read_results_json, store_results
from vlmprobe.store.runs import controls_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["keep_control_curves", "read_control_curves"]

#: In ``results_json`` of a control. No row of ``metrics``: what lists metrics is about real runs.
NAME, VERSION = "control_coherence", 1
#: Memory for a layer, in copies of its states: float64 deltas and their sums.
_COPIES = 3


def keep_control_curves(workspace: Workspace, control: Run) -> None:
    """Compute ``axis_coherence.balanced`` of a complete control in every layer, unless that of its pairs is kept.

    There is none of ``other-axis``: its deltas belong to two axes, so they say nothing of how coherent one is.

    Raises:
        VlmprobeError: a shard is neither in the spool nor in MLflow.
    """
    if kind_of(str(control.control)) == OTHER_AXIS:
        return
    with workspace.database.transaction(write=False) as connection:
        kept = read_results_json(connection, control.run_id, NAME, str(Subset.ALL))
    arrays = workspace.arrays(control, every_layer=True)
    if not arrays.pair_ids or (kept is not None and kept["pairs"] == len(arrays.pair_ids)):
        return
    layout = Layout(
        category_codes(arrays.categories, arrays.axis_set), arrays.images, len(arrays.axis_set.categories)
    )
    found = list(
        side_by_side(
            lambda layer: _of_layer(arrays, layer, layout),
            arrays.layers,
            bytes_each=arrays.layer_bytes * _COPIES,
        )
    )
    value = {
        "pairs": len(arrays.pair_ids),
        "images": layout.n_images,
        "layers": list(arrays.layers),
        "axes": {str(axis): [row[place] for row in found] for place, axis in enumerate(arrays.axis_set)},
    }
    row = {"name": NAME, "version": VERSION, "subset": str(Subset.ALL), "layer": -1, "value": value}
    with workspace.database.transaction() as connection:
        store_results(connection, control.run_id, [row])


def _of_layer(arrays: RunArrays, layer: int, layout: Layout) -> list[list[float | None]]:
    """Return value and bounds of each axis; None where there are none."""
    states = arrays.layer(layer)
    directions = sums_of_swaps(states[:, 0], states[:, 1], layout).units.products()
    estimates = [balanced_coherence(directions, place).estimate() for place, _ in enumerate(arrays.axis_set)]
    return [[each.value, each.ci_low, each.ci_high] for each in estimates]


def read_control_curves(connection: Connection, runs: Sequence[Run]) -> list[LayerCurve]:
    """Return the curves that are kept of the complete controls of some runs, under the runs' own names."""
    by_id = {run.run_id: run for run in runs}
    found = []
    for control in controls_of(connection, list(by_id)):
        kept = read_results_json(connection, control.run_id, NAME, str(Subset.ALL))
        if control.status == "complete" and kept is not None:
            found += _curves(by_id[str(control.serves)], kept)
    return found


def _part(rows: Sequence[Sequence[float | None]], part: int) -> tuple[float, ...]:
    return tuple(math.nan if (number := row[part]) is None else number for row in rows)


def _curves(run: Run, kept: dict[str, Any]) -> list[LayerCurve]:
    return [
        LayerCurve(
            run.family,
            run.scale,
            run.samples_seen,
            AXIS_COHERENCE_BALANCED.name,
            axis,
            str(Subset.ALL),
            tuple(kept["layers"]),
            values=_part(rows, 0),
            low=_part(rows, 1),
            high=_part(rows, 2),
            n=kept["pairs"],
            n_images=kept["images"],
        )
        for axis, rows in kept["axes"].items()
    ]
