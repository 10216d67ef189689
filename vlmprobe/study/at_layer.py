"""One layer of a run: its states, deltas and answers, and the output layer of its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import RECOMMENDED_LAYER
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.geometry import Layout
from vlmprobe.errors import InputError, UsageError
from vlmprobe.pairs import Subset
from vlmprobe.reports.controls import LAST, RECOMMENDED
from vlmprobe.reports.robustness import RobustnessRow
from vlmprobe.store.comparison import answered_pairs
from vlmprobe.store.metrics import read_results_json
from vlmprobe.store.output_layers import output_layer_path, read_output_layer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from vlmprobe.analysis.controls import OutputLayer
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.comparison import AnsweredPair
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["AtLayer", "output_layer_of", "read_at_layer"]


@dataclass(frozen=True)
class AtLayer:
    """A run's states at one layer."""

    run: Run
    arrays: RunArrays
    layer: int
    layer_is: str
    answers: Mapping[str, AnsweredPair]
    output_layer_path: Path | None
    """Where that of the checkpoint would be stored; None = the checkpoint was not seen."""

    @cached_property
    def states(self) -> npt.NDArray[np.float32]:
        """(N, 2, D), orig then swap."""
        found = self.arrays.layer(self.layer)
        if not np.isfinite(found).all():
            raise InputError(
                f"{self.run.name}: a hidden state of layer {self.layer} is not finite; choose with --layer N"
            )
        return found

    @cached_property
    def deltas(self) -> npt.NDArray[np.float64]:
        """(N, D), not sign-corrected."""
        return self.states[:, 1].astype(np.float64) - self.states[:, 0]

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """(N,) category numbers, 2 k and 2 k + 1 of axis k."""
        return category_codes(self.arrays.categories, self.arrays.axis_set)

    @cached_property
    def layout(self) -> Layout:
        """A group for each category."""
        return Layout(self.codes, self.arrays.images, len(self.arrays.axis_set.categories))

    @cached_property
    def output_layer(self) -> OutputLayer | None:
        """Of the checkpoint; None = not stored."""
        return None if self.output_layer_path is None else read_output_layer(self.output_layer_path)

    @property
    def axes(self) -> list[tuple[int, str]]:
        """Number and name of each axis."""
        return list(enumerate(map(str, self.arrays.axis_set)))

    def inside(self, axis: int) -> npt.NDArray[np.bool_]:
        """Return (N,) which pairs are of an axis."""
        found: npt.NDArray[np.bool_] = self.codes // 2 == axis
        return found

    def row(
        self, table: str, metric: str, target: str, estimate: Estimate, n: int, note: str = ""
    ) -> RobustnessRow:
        """Return one number of this run."""
        return RobustnessRow(
            table,
            self.run.family,
            self.run.scale,
            self.run.template,
            self.run.run_id,
            self.layer,
            self.layer_is,
            metric,
            target,
            estimate,
            n,
            note,
        )


def read_at_layer(workspace: Workspace, run: Run, layer: int | None = None) -> AtLayer:
    """Open a run at a layer; None = the recommended one, else the last one stored.

    Raises:
        UsageError: no hidden states of the run are stored, or not of that layer.
        VlmprobeError: a shard is neither in the spool nor in MLflow.
    """
    arrays = workspace.arrays(run)
    if not arrays.pair_ids or not arrays.layers:
        raise UsageError(f"{run.name}: no hidden states of its pairs are stored")
    with workspace.database.transaction(write=False) as connection:
        recommended = read_results_json(connection, run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL))
        answers = answered_pairs(connection, run.run_id)
    best = None if recommended is None else recommended["layer"]
    if layer is None:
        layer, how = (best, RECOMMENDED) if best in arrays.layers else (arrays.layers[-1], LAST)
    elif layer in arrays.layers:
        how = RECOMMENDED if layer == best else LAST if layer == arrays.layers[-1] else "as asked for"
    else:
        raise UsageError(f"{run.name} has no layer {layer}; it has {arrays.layers}")
    return AtLayer(run, arrays, layer, how, answers, output_layer_of(workspace, run))


def output_layer_of(workspace: Workspace, run: Run) -> Path | None:
    """Return where the output layer of a run's checkpoint would be stored; None for an imported run's, never seen."""
    identity = run.config.get("identity") or {}
    if "fingerprint" not in identity:
        return None
    return output_layer_path(workspace.settings.home, identity)
