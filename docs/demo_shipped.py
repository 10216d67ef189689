"""Writes what the shipped checkpoints show on the demo's scenes: ``docs/results/demo/shipped.csv``.

``vlmprobe demo --home HOME``, then ``python docs/demo_shipped.py HOME``, then ``python docs/demo_page.py``. The rows
are those of the demo's report, and a contrast: how far the size of VD-EI is above that of its control HV.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.geometry import Layout, axis_effect, corrected_cosine, sums_of_swaps
from vlmprobe.analysis.inference import contrast_of_sizes
from vlmprobe.pairs import SPACE
from vlmprobe.settings import Settings
from vlmprobe.study.findings import findings_of
from vlmprobe.study.selection import Selection
from vlmprobe.study.study import Study
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.analysis.results import Metric
    from vlmprobe.store.runs import Run

SHIPPED = Path(__file__).resolve().parent / "results" / "demo" / "shipped.csv"
COLUMNS = ("scale", "metric", "target", "layer", "value", "low", "high", "p", "n", "reason")
EXCESS = "size less that of its control"
PLACES = {str(axis): place for place, axis in enumerate(SPACE.axes)}


def main(home: str) -> None:
    """Read a finished demo; write its rows."""
    workspace = Workspace(Settings.load(Path(home)))
    runs = Selection(("tiny",)).newest(workspace, "published").runs
    study = Study(workspace.database, runs)
    rows = []
    for run, found in zip(runs, findings_of(study, workspace.database).scales, strict=True):
        metrics = (found.consistent, found.counter, found.gap, *found.angles)
        rows += [_row(run.scale, metric) for metric in metrics if metric is not None]
        for axis in found.axes:
            if axis.coherence is not None:
                row = _row(run.scale, axis.coherence) | {"p": _text(axis.p_value)}
                # Without an axis the layer is where noise is largest, and so is the value.
                rows.append(row if axis.is_there else row | {"layer": -1, "value": "", "low": "", "high": ""})
        if found.has_axis:
            estimate, n = _excess(workspace, run, found.layer)
            rows.append(
                {
                    "scale": run.scale,
                    "metric": EXCESS,
                    "target": "vertical/distance",
                    "layer": found.layer,
                    "value": _text(estimate.value),
                    "low": _text(estimate.ci_low),
                    "high": _text(estimate.ci_high),
                    "p": "",
                    "n": n,
                    "reason": estimate.reason,
                }
            )
    with SHIPPED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _excess(workspace: Workspace, run: Run, layer: int) -> tuple[Estimate, int]:
    """Return |VD| - |HV|, paired over images."""
    arrays = workspace.arrays(run)
    states = arrays.layer(layer)
    layout = Layout(category_codes(arrays.categories), arrays.images, len(SPACE.categories))
    products = sums_of_swaps(states[:, 0], states[:, 1], layout).raw.products()
    horizontal, vertical, distance = (axis_effect(place) for place in PLACES.values())
    angles = [corrected_cosine(products, *both) for both in ((vertical, distance), (horizontal, vertical))]
    return contrast_of_sizes(angles, (1, -1)).estimate(), len(states)


def _row(scale: str, metric: Metric) -> dict[str, Any]:
    return {
        "scale": scale,
        "metric": metric.name,
        "target": metric.target,
        "layer": metric.layer,
        "value": _text(metric.value),
        "low": _text(metric.ci_low),
        "high": _text(metric.ci_high),
        "p": "",
        "n": metric.n,
        "reason": metric.reason or "",
    }


def _text(value: float | None) -> str:
    return "" if value is None or value != value else repr(float(value))


if __name__ == "__main__":
    main(sys.argv[1])
