"""Coherence and VD-EI of controls over layers: computed once, kept with them, and drawn as bands behind real runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import AXIS_COHERENCE_BALANCED, VD_EI_CORRECTED
from vlmprobe.analysis.comparison import read_geometry
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.geometry import Layout
from vlmprobe.analysis.results import LayerCurve
from vlmprobe.analysis.side_by_side import side_by_side
from vlmprobe.pairs import Subset
from vlmprobe.store.controls import OTHER_AXIS, kind_of
from vlmprobe.store.metrics import read_results_json, store_results
from vlmprobe.store.runs import controls_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from vlmprobe.analysis.entries import Entry
    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["keep_control_curves", "read_control_curves"]

#: Names in ``results_json`` of a control. No rows of ``metrics``: what lists metrics is about real runs.
NAMES = {"control_coherence": AXIS_COHERENCE_BALANCED, "control_vd_ei": VD_EI_CORRECTED}
VERSION = 1
#: Memory for a layer, in copies of its states: float64 deltas and their sums.
_COPIES = 3


def keep_control_curves(workspace: Workspace, control: Run) -> None:
    """Compute balanced coherence and corrected angles of a complete control in every layer, unless they are kept.

    There are none of ``other-axis``: its deltas belong to two axes, so they say nothing of how coherent one is.

    Raises:
        VlmprobeError: a shard is neither in the spool nor in MLflow.
    """
    if kind_of(str(control.control)) == OTHER_AXIS:
        return
    with workspace.database.transaction(write=False) as connection:
        kept = [read_results_json(connection, control.run_id, name, str(Subset.ALL)) for name in NAMES]
    arrays = workspace.arrays(control, every_layer=True)
    n = len(arrays.pair_ids)
    if not n or all(each is not None and each["pairs"] == n for each in kept):
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
    head = {"pairs": n, "images": layout.n_images, "layers": list(arrays.layers)}
    rows = [
        {
            "name": name,
            "version": VERSION,
            "subset": str(Subset.ALL),
            "layer": -1,
            "value": head
            | {"axes": {target: [row[name][target] for row in found] for target in found[0][name]}},
        }
        for name in NAMES
    ]
    with workspace.database.transaction() as connection:
        store_results(connection, control.run_id, rows)


#: Value and bounds; None where there are none.
_Point = list[float | None]


def _of_layer(arrays: RunArrays, layer: int, layout: Layout) -> dict[str, dict[str, _Point]]:
    """Return the points of each axis, and of each pair of axes."""
    states = arrays.layer(layer)
    geometry = read_geometry((states[:, 0], states[:, 1]), layout, arrays.axis_set)
    found = {}
    for name, of_targets in zip(NAMES, (geometry.coherence, geometry.angles), strict=True):
        estimates = {target: each.estimate() for target, each in of_targets.items()}
        found[name] = {target: [each.value, each.ci_low, each.ci_high] for target, each in estimates.items()}
    return found


def read_control_curves(connection: Connection, runs: Sequence[Run]) -> list[LayerCurve]:
    """Return the curves that are kept of the complete controls of some runs, under the runs' own names."""
    by_id = {run.run_id: run for run in runs}
    found = []
    for control in controls_of(connection, list(by_id)):
        if control.status != "complete":
            continue
        for name, entry in NAMES.items():
            kept = read_results_json(connection, control.run_id, name, str(Subset.ALL))
            # VD-EI is not kept by earlier versions.
            if kept is not None:
                found += _curves(by_id[str(control.serves)], entry, kept)
    return found


def _part(rows: Sequence[Sequence[float | None]], part: int) -> tuple[float, ...]:
    return tuple(math.nan if (number := row[part]) is None else number for row in rows)


def _curves(run: Run, entry: Entry, kept: dict[str, Any]) -> list[LayerCurve]:
    return [
        LayerCurve(
            run.family,
            run.scale,
            run.samples_seen,
            entry.name,
            target,
            str(Subset.ALL),
            tuple(kept["layers"]),
            values=_part(rows, 0),
            low=_part(rows, 1),
            high=_part(rows, 2),
            n=kept["pairs"],
            n_images=kept["images"],
        )
        for target, rows in kept["axes"].items()
    ]
