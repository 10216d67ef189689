"""Export: writes runs in the old results layout, every table as parquet, or the directions of the axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from vlmprobe import __version__
from vlmprobe.analysis import LayerCandidates
from vlmprobe.analysis.catalog import DELTA_NORM, DELTA_SIMILARITY, LAYER_CANDIDATES, RECOMMENDED_LAYER
from vlmprobe.analysis.fitted_directions import NO_DIRECTION, fit_direction, without_interval
from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.interop import (
    AnsweredPair,
    PairFacts,
    Quad,
    QuadDeltas,
    ScaleData,
    ScaleResults,
    write_directions,
    write_results,
)
from vlmprobe.pairs import PUBLISHED, SPACE, Subset, get_template
from vlmprobe.store.metrics import read_metrics, read_results_json
from vlmprobe.store.parquet import write_tables
from vlmprobe.store.predictions import answered_pairs
from vlmprobe.study.selection import LayerChoice, Selection, choose_layers
from vlmprobe.workflows.plot import draw_plots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vlmprobe.analysis.fitted_directions import FittedDirection
    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.engine import Database
    from vlmprobe.store.predictions import PairAnswers
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["export_directions", "export_parquet", "export_results"]

#: What a user of a direction must not take it for; in every file that explains one.
_DOES_NOT_SHOW = (
    "that the axis is spatial: near the output the delta is the answer's word, in the direction of which it lies",
    "that the model uses the direction: reading along it is not steering along it",
    "that it holds for other questions, pictures or checkpoints: it was fitted on these pairs of one run",
    "how accurate it is on new pictures: sign_accuracy is that of two directions, each fitted on half of the images",
)


def export_results(
    workspace: Workspace,
    selection: Selection,
    out: Path,
    *,
    template: str = PUBLISHED.name,
    layers: LayerChoice = None,
    compress: bool = False,
    plots: bool = True,
) -> list[Path]:
    """Write the newest analyzed run of every scale in the old layout; return the files.

    CSV and JSON hold every layer; the NPZ files and the per-layer CSV files hold ``layers``, five that are spread
    evenly over the depth when None.

    Raises:
        UsageError: no run matches, a scale has no metrics yet, a run lacks one of the layers, or the
            template asks for a yes or no, which the old layout cannot express (its answers are categories).
    """
    if get_template(template).asks_whether is not None:
        raise UsageError(
            f"template {template} cannot be exported: the old layout stores categories, not yes or no; "
            "write every run with 'vlmprobe export DIR --format parquet'"
        )
    runs = selection.newest(workspace, template).runs
    studies = []
    for run in runs:
        arrays = workspace.arrays(run)
        if arrays.axis_set != SPACE:
            raise UsageError(
                f"{run.name}: its axes ({', '.join(arrays.axis_set)}) cannot be exported: the old layout knows "
                f"{', '.join(SPACE)}; write every run with 'vlmprobe export DIR --format parquet'"
            )
        chosen = choose_layers(run, arrays, layers)
        studies.append(
            (_data(workspace.database, run, arrays, chosen), _results(workspace.database, run, chosen))
        )
    with workspace.console.track("exporting", 1) as advance:
        written = write_results(out, studies, compress=compress)
        advance(1)
    if plots:
        written += draw_plots(workspace, runs, out / "results", layers=layers)
    return written


def export_parquet(workspace: Workspace, out: Path) -> list[Path]:
    """Write every table as ``out/{table}.parquet``; return the files."""
    return write_tables(workspace.database, out)


def export_directions(
    workspace: Workspace,
    selection: Selection,
    out: Path,
    *,
    template: str = PUBLISHED.name,
    layer: int | None = None,
    axes: Sequence[str] = (),
    form: str = "npz",
    anyway: bool = False,
) -> list[Path]:
    """Write the axis directions of the newest analyzed run of every scale; return the files, two a run.

    Nothing is written unless all can be.

    Args:
        workspace: the home.
        selection: which runs.
        out: the folder to write to.
        template: only runs under this question template.
        layer: the decoder layer; None = the recommended one.
        axes: which axes; all of the dataset's if empty.
        form: ``npz`` or ``safetensors``.
        anyway: also write directions of axes that are not resolved; the JSON file says which.

    Raises:
        UsageError: no run matches, a scale has no metrics yet, there is no such axis or layer, no layer is recommended,
            or an axis is not resolved.
    """
    ready = []
    for run in selection.newest(workspace, template).runs:
        with workspace.database.transaction(write=False) as connection:
            found = read_results_json(connection, run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL))
        if found is None:
            raise UsageError(
                f"{run.name}: analyzed by an earlier version; run 'vlmprobe analyze {run.family}' first"
            )
        at = found["layer"] if layer is None else layer
        if at is None:
            raise UsageError(
                f"{run.name}: no layer is recommended: {found['reason']}; choose one with --layer, or other "
                "scales with --scale"
            )
        arrays = workspace.arrays(run)
        choose_layers(run, arrays, [at])
        directions = _directions(run, arrays, at, axes or [str(axis) for axis in arrays.axis_set])
        unresolved = [each.axis for each in directions if not _is_resolved(each, found)]
        if unresolved and not anyway:
            raise UsageError(
                f"{run.name}, layer {at}: there is no resolved axis for {', '.join(unresolved)}; choose others with "
                "--axis or other scales with --scale, or write them with --anyway"
            )
        about = _about(run, arrays, directions, found, at, is_given=layer is not None)
        ready.append((f"{run.family}_{run.scale}_L{at}", directions, about))
    return [
        path
        for stem, directions, about in ready
        for path in write_directions(
            out, stem, {each.axis: each.vector for each in directions}, about, form=form
        )
    ]


def _directions(run: Run, arrays: RunArrays, layer: int, axes: Sequence[str]) -> list[FittedDirection]:
    known = [str(axis) for axis in arrays.axis_set]
    for axis in axes:
        if axis not in known:
            raise unknown_name("axis", axis, known)
    states = arrays.layer(layer)
    directions = []
    for axis in dict.fromkeys(axes):
        fitted = fit_direction(
            states[:, 0], states[:, 1], arrays.categories, arrays.images, axis, arrays.axis_set
        )
        if fitted is None:
            raise UsageError(f"{run.name}, layer {layer}: {axis} has no direction: {NO_DIRECTION}")
        directions.append(fitted)
    return directions


def _is_resolved(direction: FittedDirection, recommendation: Mapping[str, Any]) -> bool:
    """Return whether the axis is there in some layer, by its test, and in this one, by the bound of its length."""
    return direction.axis in recommendation["axes"] and direction.size.is_resolved


def _about(
    run: Run,
    arrays: RunArrays,
    directions: Sequence[FittedDirection],
    recommendation: Mapping[str, Any],
    layer: int,
    *,
    is_given: bool,
) -> dict[str, Any]:
    why = (
        "given with --layer"
        if is_given
        else f"recommended: near the peak of each resolved axis ({', '.join(recommendation['axes'])})"
    )
    resolved = {each.axis: _is_resolved(each, recommendation) for each in directions}
    return {
        "vlmprobe": __version__,
        "run_id": run.run_id,
        "family": run.family,
        "scale": run.scale,
        "checkpoint": run.checkpoint,
        "fingerprint": run.fingerprint,
        "dataset": run.dataset,
        "dataset_id": run.dataset_id,
        "template": run.template,
        "subset": str(Subset.ALL),
        "layer": layer,
        "layer_chosen": why,
        RECOMMENDED_LAYER.name: recommendation["layer"],
        "dim": len(directions[0].vector),
        "written_although_not_resolved": [axis for axis, is_there in resolved.items() if not is_there],
        "axes": {
            each.axis: {
                "points_to": str(arrays.axis_set.axis(each.axis).canonical),
                "points_from": str(arrays.axis_set.axis(each.axis).canonical.opposite),
                "resolved": resolved[each.axis],
                "p_value_holm": recommendation["p_values"][each.axis],
                "n": each.n,
                "n_images": each.n_images,
                "norm": each.norm,
                "squared_length": _estimate(each.size),
                "sign_accuracy": _estimate(
                    each.accuracy if resolved[each.axis] else without_interval(each.accuracy)
                ),
            }
            for each in directions
        },
        "does_not_show": list(_DOES_NOT_SHOW),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "n_images": estimate.n_images,
        "reason": estimate.reason or None,
    }


class _Lazy(Mapping[int, Any]):
    """Layer -> arrays, read on access: one layer is in memory at a time."""

    def __init__(self, layers: Sequence[int], read: Callable[[int], Any]) -> None:
        self._layers, self._read = tuple(layers), read

    def __getitem__(self, layer: int) -> Any:
        if layer not in self._layers:
            raise KeyError(layer)
        return self._read(layer)

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def _data(database: Database, run: Run, arrays: RunArrays, layers: Sequence[int]) -> ScaleData:
    with database.transaction(write=False) as connection:
        found = {pair.pair_id: pair for pair in answered_pairs(connection, run.run_id)}
    pairs = tuple(_answered(found[pair_id]) for pair_id in arrays.pair_ids)
    quads = None
    if ids := arrays.quads.ids:
        known = None
        if (vertical_ids := arrays.quads.vertical_ids) is not None:
            halves = zip(ids, vertical_ids, strict=True)
            known = tuple(Quad(_answered(found[d]), _answered(found[v])) for d, v in halves)
        quads = QuadDeltas(len(ids), _Lazy(layers, arrays.quad_deltas), known)
    return ScaleData(run.family, run.scale, pairs, _Lazy(layers, arrays.layer), quads)


def _answered(pair: PairAnswers) -> AnsweredPair:
    return AnsweredPair(
        pair_id=pair.pair_id,
        category=SPACE.category(pair.category),
        pred_orig=pair.orig_text,
        pred_swap=pair.swap_text,
        correct_orig=pair.orig_correct,
        correct_swap=pair.swap_correct,
        facts=PairFacts(**{each.name: getattr(pair, each.name) for each in fields(PairFacts)}),
    )


def _results(database: Database, run: Run, layers: Sequence[int]) -> ScaleResults:
    with database.transaction(write=False) as connection:
        stored = read_metrics(connection, run.run_id)
        result = read_results_json(connection, run.run_id, LAYER_CANDIDATES.name, str(Subset.ALL))
    kept = set(layers) | {-1}
    per_layer_files = {DELTA_SIMILARITY.name, DELTA_NORM.name}
    metrics = [metric for metric in stored if metric.layer in kept or metric.name not in per_layer_files]
    candidates = LayerCandidates(**result) if result else None
    return ScaleResults(metrics, candidates)
