"""Runs on the pairs that all of them answered: their verdicts, and the geometry of one layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.catalog import (
    AXIS_COSINE,
    DELTA_COHERENCE,
    DELTA_VD_EI,
    DELTA_VD_EI_SIZE,
    RECOMMENDED_LAYER,
    TREND_COHERENCE,
    TREND_VD_EI_SIZE,
)
from vlmprobe.analysis.comparison import (
    Geometry,
    SharedPairs,
    accuracy_differences,
    axis_cosines,
    geometry_differences,
    read_geometry,
)
from vlmprobe.analysis.difference import missing
from vlmprobe.analysis.trend import accuracy_trend, geometry_trend
from vlmprobe.errors import InputError, UsageError, VlmprobeError
from vlmprobe.pairs import Subset
from vlmprobe.reports.comparison import ChangedPair
from vlmprobe.store.axes import read_axes
from vlmprobe.store.comparison import judged_pairs
from vlmprobe.store.metrics import read_results_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.comparison import States
    from vlmprobe.analysis.difference import Difference
    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.comparison import JudgedPair
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["PairedRuns"]

NO_STATES = "no hidden states of these pairs are stored"
NEAR_THE_OUTPUT = "near the output the delta may be the answer's word"
TWO_SPACES = "states of two families, or of two layers, have no coordinates in common"


@dataclass(frozen=True, slots=True)
class _Layers:
    """The layer that is read of each run."""

    of_run: dict[str, int]
    choice: str
    """Which, and why."""


class PairedRuns:
    """Runs on the pairs that all of them answered; a layer's states are read when they are needed."""

    def __init__(
        self, workspace: Workspace, runs: Sequence[Run], layer: int | Mapping[str, int] | None = None
    ) -> None:
        """Read the answers, and choose the layer.

        Args:
            workspace: the home.
            runs: on one dataset under one template.
            layer: whose states are read, or of each run its own; None = the one that is recommended for those runs that
                have one, if these agree, or else each run's last one.

        Raises:
            UsageError: a run lacks that layer, or no pair was answered by all.
        """
        self.runs = list(runs)
        with workspace.database.transaction(write=False) as connection:
            self.axes = read_axes(connection, runs[0].dataset_id)
            judged = {run.run_id: judged_pairs(connection, run.run_id) for run in runs}
            recommended = {
                run.run_id: read_results_json(connection, run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL))
                for run in runs
            }
        shared = set.intersection(*({pair.pair_id for pair in pairs} for pairs in judged.values()))
        if not shared:
            raise UsageError(f"no pair was answered by all of {', '.join(run.name for run in runs)}")
        kept = {
            run_id: [pair for pair in pairs if pair.pair_id in shared] for run_id, pairs in judged.items()
        }
        self.pairs = _shared(kept[runs[0].run_id], self.axes)
        self.left_out = len({pair.pair_id for pairs in judged.values() for pair in pairs} - shared)
        self.right = {
            run_id: np.array([pair.both_correct for pair in pairs]) for run_id, pairs in kept.items()
        }
        self._arrays = {run.run_id: _arrays(workspace, run) for run in runs}
        self.state_pairs, self._places = self._with_states()
        self._layout = self.state_pairs.layout()
        self.layers = self._choose(layer, recommended)
        self._read: dict[str, Geometry] = {}

    def _with_states(self) -> tuple[SharedPairs, dict[str, npt.NDArray[np.int64]]]:
        """Return the shared pairs whose states every run has, and their places in each run's arrays."""
        place_of = {
            run_id: {name: place for place, name in enumerate(arrays.pair_ids)} if arrays else {}
            for run_id, arrays in self._arrays.items()
        }
        inside = [all(name in places for places in place_of.values()) for name in self.pairs.pair_ids]
        places = {
            run_id: np.array(
                [known[name] for name, keep in zip(self.pairs.pair_ids, inside, strict=True) if keep],
                dtype=np.int64,
            )
            for run_id, known in place_of.items()
        }
        return _chosen(self.pairs, inside), places

    def _choose(
        self, layer: int | Mapping[str, int] | None, recommended: Mapping[str, dict[str, Any] | None]
    ) -> _Layers:
        stored = {run.run_id: getattr(self._arrays[run.run_id], "layers", []) for run in self.runs}
        if not all(stored.values()):
            return _Layers({}, f"no geometry: {NO_STATES}")
        if layer is not None:
            of_run = dict.fromkeys(stored, layer) if isinstance(layer, int) else dict(layer)
            for run in self.runs:
                if of_run[run.run_id] not in stored[run.run_id]:
                    raise UsageError(
                        f"{run.name} has no layer {of_run[run.run_id]}; it has {stored[run.run_id]}"
                    )
            shown = ", ".join(map(str, sorted(set(of_run.values()))))
            return _Layers(of_run, f"geometry at layer {shown}, as asked for")
        of_layer, without = self._recommended(recommended)
        rest = f"; {without}" if without else ""
        if len(of_layer) == 1:
            ((best, names),) = of_layer.items()
            if all(best in layers for layers in stored.values()):
                named = f"recommended for {', '.join(names)}{rest}"
                return _Layers(dict.fromkeys(stored, best), f"geometry at layer {best}, {named}")
        last = {run_id: layers[-1] for run_id, layers in stored.items()}
        shown = ", ".join(map(str, sorted(set(last.values()))))
        why = "not every run has the recommended one" if len(of_layer) == 1 else "the recommended ones differ"
        named = "; ".join(f"{best} for {', '.join(names)}" for best, names in of_layer.items())
        why = f"since {why} ({named}{rest})" if of_layer else f"since none is recommended ({without})"
        return _Layers(last, f"geometry at the last stored layer ({shown}), {why}; {NEAR_THE_OUTPUT}")

    def _recommended(
        self, recommended: Mapping[str, dict[str, Any] | None]
    ) -> tuple[dict[int, list[str]], str]:
        """Return the runs' names by recommended layer, and which runs have none."""
        of_layer: dict[int, list[str]] = {}
        none, unknown = [], []
        several = len({run.family for run in self.runs}) > 1
        for run in self.runs:
            name = f"{run.family} @ {run.scale}" if several else run.scale
            found = recommended[run.run_id]
            if found is None:
                unknown.append(name)
            elif found["layer"] is None:
                none.append(name)
            else:
                of_layer.setdefault(int(found["layer"]), []).append(name)
        without = [f"none for {', '.join(dict.fromkeys(none))}"] if none else []
        if unknown:
            names = ", ".join(dict.fromkeys(unknown))
            without.append(f"not known for {names}, so run 'vlmprobe analyze' first")
        return {layer: list(dict.fromkeys(of_layer[layer])) for layer in sorted(of_layer)}, "; ".join(without)

    @property
    def has_states(self) -> bool:
        """Whether there is any geometry to read."""
        return bool(self.layers.of_run) and bool(self.state_pairs.pair_ids)

    def states(self, run: Run) -> States:
        """Return the states of the shared pairs at the chosen layer: (N, D) orig and swap.

        Raises:
            InputError: one of them is not finite.
        """
        arrays, layer = self._arrays[run.run_id], self.layers.of_run[run.run_id]
        assert arrays is not None  # noqa: S101 - has_states
        states = arrays.layer(layer)[self._places[run.run_id]]
        if not np.isfinite(states).all():
            raise InputError(
                f"{run.name}: a hidden state of layer {layer} is not finite; choose with --layer N"
            )
        return states[:, 0], states[:, 1]

    def geometry(self, run: Run) -> Geometry:
        """Return the run's coherence and angles; each is computed once."""
        if run.run_id not in self._read:
            self._read[run.run_id] = read_geometry(self.states(run), self._layout, self.axes)
        return self._read[run.run_id]

    def differences(self, before: Run, after: Run, *, cosines: bool = True) -> list[Difference]:
        """Return all rows of two runs, later minus earlier; without ``cosines``, accuracy and geometry alone."""
        found = accuracy_differences(self.right[before.run_id], self.right[after.run_id], self.pairs)
        if not self.has_states:
            entries = [DELTA_COHERENCE, DELTA_VD_EI, DELTA_VD_EI_SIZE, *([AXIS_COSINE] if cosines else [])]
            return found + missing(entries, self.axes, NO_STATES)
        counts = self.state_pairs.counts()
        found += geometry_differences(self.geometry(before), self.geometry(after), counts)
        if not cosines:
            return found
        layers = {self.layers.of_run[run.run_id] for run in (before, after)}
        first, second = (self.states(run) for run in (before, after))
        if before.family != after.family or len(layers) > 1 or first[0].shape != second[0].shape:
            return found + missing([AXIS_COSINE], self.axes, TWO_SPACES)
        return found + axis_cosines(first, second, self._layout, self.axes)

    def trend(self, runs: Sequence[Run], samples_seen: Sequence[int]) -> list[Difference]:
        """Return the slopes of accuracy, coherence and the size of VD-EI over some of the runs."""
        found = accuracy_trend([self.right[run.run_id] for run in runs], samples_seen, self.pairs)
        if not self.has_states:
            return found + missing([TREND_COHERENCE, TREND_VD_EI_SIZE], self.axes, NO_STATES)
        readings = [self.geometry(run) for run in runs]
        return found + geometry_trend(readings, samples_seen, self.state_pairs.counts())

    def changed(self, before: Run, after: Run, training: str) -> list[ChangedPair]:
        """Return the pairs that only one of two runs gets right."""
        first, second = self.right[before.run_id], self.right[after.run_id]
        axis_of = {str(category): str(axis) for axis in self.axes for category in axis.categories}
        pairs = self.pairs
        return [
            ChangedPair(
                pairs.pair_ids[place],
                pairs.categories[place],
                axis_of[pairs.categories[place]],
                pairs.perspectives[place],
                bool(second[place]),
                training,
            )
            for place in np.flatnonzero(first != second).tolist()
        ]

    def layer_text(self, before: Run, after: Run) -> str:
        """Return where the geometry of two runs was read."""
        layers = [self.layers.of_run[run.run_id] for run in (before, after) if self.layers.of_run]
        return "/".join(map(str, dict.fromkeys(layers)))


def _arrays(workspace: Workspace, run: Run) -> RunArrays | None:
    try:
        arrays = workspace.arrays(run)
    except VlmprobeError as error:
        # Accuracy needs no states.
        workspace.console.warn(f"{run.name}: {error}; its geometry is not compared")
        return None
    return arrays if arrays.pair_ids else None


def _shared(pairs: Sequence[JudgedPair], axes: Any) -> SharedPairs:
    return SharedPairs(
        tuple(pair.pair_id for pair in pairs),
        tuple(pair.category for pair in pairs),
        tuple(pair.image for pair in pairs),
        tuple(pair.perspective for pair in pairs),
        axes,
    )


def _chosen(pairs: SharedPairs, inside: Sequence[bool]) -> SharedPairs:
    def keep(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(value for value, stays in zip(values, inside, strict=True) if stays)

    return SharedPairs(
        keep(pairs.pair_ids), keep(pairs.categories), keep(pairs.images), keep(pairs.perspectives), pairs.axes
    )
