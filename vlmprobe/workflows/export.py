"""Export: writes runs in the old results layout, or every table as parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis import LayerCandidates
from vlmprobe.analysis.catalog import DELTA_NORM, DELTA_SIMILARITY, LAYER_CANDIDATES
from vlmprobe.errors import UsageError
from vlmprobe.interop import (
    AnsweredPair,
    PairFacts,
    Quad,
    QuadDeltas,
    ScaleData,
    ScaleResults,
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

    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.engine import Database
    from vlmprobe.store.predictions import PairAnswers
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["export_parquet", "export_results"]


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
    with database.transaction() as connection:
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
    with database.transaction() as connection:
        stored = read_metrics(connection, run.run_id)
        result = read_results_json(connection, run.run_id, LAYER_CANDIDATES.name, str(Subset.ALL))
    kept = set(layers) | {-1}
    per_layer_files = {DELTA_SIMILARITY.name, DELTA_NORM.name}
    metrics = [metric for metric in stored if metric.layer in kept or metric.name not in per_layer_files]
    candidates = LayerCandidates(**result) if result else None
    return ScaleResults(metrics, candidates)
